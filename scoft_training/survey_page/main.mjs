/** The page: which step is shown, what is kept, and what happens around the steps. */

import { newAnswers, readAnswers } from "./answers.mjs";
import { startClock } from "./clock.mjs";
import { button, element, speaker } from "./dom.mjs";
import { memoryOf } from "./memory.mjs";
import { overviewStep } from "./overview.mjs";
import { pageStep } from "./pages.mjs";
import { saveAnswers } from "./sending.mjs";
import { welcomeStep } from "./welcome.mjs";
import { wordsOf } from "./words.mjs";

const STEPS = { welcome: welcomeStep, page: pageStep, overview: overviewStep };

function start() {
  const data = JSON.parse(document.getElementById("survey-data").textContent);
  const { place, say } = speaker();
  const app = {
    data,
    say,
    words: wordsOf(data.texts, data.language),
    stage: element("div.stage"),
    notice: element("div.notice", { role: "alert" }),
    save: () => save(app),
    go: (at) => go(app, at),
    begun: () => begun(app),
    erase: () => erase(app),
  };
  app.memory = memoryOf(data.survey, data.culture, () => warn(app));
  app.answers = kept(app) ?? newAnswers(data);
  app.settle = startClock((seconds) => spend(app, seconds));
  listen(app);
  document.getElementById("survey").replaceChildren(place, app.notice, app.stage);
  if (!app.memory.works) warn(app);
  history.replaceState(app.answers.at, "");
  render(app);
}

function kept({ memory, data }) {
  const text = memory.read();
  return text === null ? null : readAnswers(text, data);
}

function save({ answers, memory }) {
  if (answers.started) memory.write(JSON.stringify(answers));
}

/** Say that nothing is kept; once there are answers, offer their file. */
function warn(app) {
  const { words, answers, notice } = app;
  const now = answers?.started && button(words("memory.save_now"), () => saveAnswers(app));
  notice.replaceChildren(element("p", {}, words("memory.blocked")), now || "");
}

function spend({ answers, data }, seconds) {
  const { at, order, pages } = answers;
  if (at.step === "page") pages[order[at.page]].items[data.items[at.item]].seconds += seconds;
}

/** Show a step, and let the browser's own way back lead to the one before. */
function go(app, at) {
  history.pushState(at, "");
  show(app, at);
}

function show(app, at) {
  const { answers, stage } = app;
  app.settle();
  const same = answers.at.step === "page" && answers.at.page === at.page;
  answers.at = at;
  if (at.step === "page") answers.last = at;
  save(app);
  render(app).focus({ preventScroll: true });
  if (same) stage.querySelector(".question").scrollIntoView({ block: "start" });
  else scrollTo(0, 0);
}

/** Put the present step on the screen; return its heading. */
function render(app) {
  const { heading, content } = STEPS[app.answers.at.step](app);
  app.stage.replaceChildren(...[content].flat());
  return heading;
}

function begun(app) {
  if (!app.memory.works) warn(app);
  go(app, app.answers.last ?? { step: "page", page: 0, item: 0 });
}

function erase(app) {
  app.memory.erase();
  app.answers = newAnswers(app.data);
  if (!app.memory.works) warn(app);
  history.replaceState(app.answers.at, "");
  show(app, app.answers.at);
  app.say(app.words("end.erased"));
}

/** Answer what happens around the steps: the way back, other tabs, the end. */
function listen(app) {
  addEventListener("popstate", ({ state }) => {
    if (state) show(app, app.answers.started ? state : { step: "welcome" });
  });
  addEventListener("storage", ({ key }) => {
    // The same survey in another tab: what was answered there last is what counts.
    if (key !== app.memory.key) return;
    app.answers = kept(app) ?? newAnswers(app.data);
    render(app);
  });
  addEventListener("pagehide", () => leave(app));
  addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") leave(app);
  });
  addEventListener("beforeunload", (event) => {
    if (app.memory.works || !app.answers.started) return;
    event.preventDefault();
    // Browsers of before 2023 look at this alone.
    event.returnValue = "";
  });
}

function leave({ settle, answers, memory }) {
  settle();
  if (answers.started) memory.keep(JSON.stringify(answers));
}

start();
