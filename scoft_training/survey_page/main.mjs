/** The page: which step is shown, what is kept, and what happens around the steps. */

import { newAnswers, stopped } from "./answers.mjs";
import { startClock } from "./clock.mjs";
import { button, element, speaker } from "./dom.mjs";
import { askErase } from "./erasing.mjs";
import { memoryOf } from "./memory.mjs";
import { overviewStep } from "./overview.mjs";
import { pageStep } from "./pages.mjs";
import { isStep, readAnswers } from "./reading.mjs";
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
    greeting: element("aside.notice"),
    save: () => save(app),
    changed: () => changed(app),
    go: (at) => go(app, at),
    begun: () => begun(app),
    resume: (answers) => resume(app, answers),
    erase: () => erase(app),
  };
  app.memory = memoryOf(data.survey, data.culture, () => warn(app));
  app.answers = kept(app) ?? newAnswers(data);
  app.settle = startClock((seconds) => spend(app, seconds));
  listen(app);
  document.getElementById("survey").replaceChildren(place, app.notice, app.greeting, app.stage);
  if (!app.memory.works) warn(app);
  history.replaceState(app.answers.at, "");
  render(app);
  if (app.answers.started) greet(app);
}

function kept({ memory, data }) {
  const text = memory.read();
  return text === null ? null : readAnswers(text, data);
}

function save({ answers, memory }) {
  if (answers.started) memory.write(JSON.stringify(answers));
}

/** Keep what somebody has just answered; no file holds it yet. */
function changed(app) {
  app.answers.saved = false;
  save(app);
}

/** Say whose answers these are: several people may use one device, one after the other. */
function greet(app) {
  const { words, greeting } = app;
  const ask = () => askErase(app, words("memory.other_ask"), words("memory.other_yes"));
  greeting.replaceChildren(
    element("p", {}, words("memory.here"), button(words("memory.other"), ask)),
  );
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
  const { heading, above = [] } = render(app);
  heading.focus({ preventScroll: true });
  // Whoever listens is taken to the question, past what stands above it.
  app.say(...(same ? [] : above));
  if (same) stage.querySelector(".question").scrollIntoView({ block: "start" });
  else scrollTo(0, 0);
}

/** Put the present step on the screen, where nothing of the one before is left; return it. */
function render(app) {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  app.greeting.replaceChildren();
  const step = STEPS[app.answers.at.step](app);
  app.stage.replaceChildren(...[step.content].flat());
  return step;
}

function begun(app) {
  if (!app.memory.works) warn(app);
  app.answers.saved = false;
  go(app, app.answers.last ?? { step: "page", page: 0, item: 0 });
}

/** Go on with answers that came from a file. */
function resume(app, answers) {
  app.answers = answers;
  if (!app.memory.works) warn(app);
  go(app, stopped(answers, app.data));
  greet(app);
}

function erase(app) {
  app.memory.erase();
  app.answers = newAnswers(app.data);
  if (!app.memory.works) warn(app);
  history.replaceState(app.answers.at, "");
  show(app, app.answers.at);
  app.say(app.words("end.erased"));
}

/** Show what another tab has kept: what was answered last is what counts. */
function refresh(app) {
  app.settle();
  app.answers = kept(app) ?? newAnswers(app.data);
  render(app);
}

/** Answer what happens around the steps: the way back, other tabs, the end. */
function listen(app) {
  addEventListener("popstate", ({ state }) => {
    if (state) show(app, isStep(state, app.answers, app.data) ? state : { step: "welcome" });
  });
  addEventListener("storage", ({ key }) => {
    if (key === app.memory.key) refresh(app);
  });
  addEventListener("pageshow", ({ persisted }) => {
    // The browser has put the page aside and brings it back as it was, deaf to what came after.
    if (persisted && app.memory.works) refresh(app);
  });
  addEventListener("pagehide", () => leave(app));
  addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") leave(app);
  });
  addEventListener("beforeunload", (event) => {
    if (app.memory.works || !app.answers.started || app.answers.saved) return;
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
