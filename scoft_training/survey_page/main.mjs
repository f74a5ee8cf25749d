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
  const words = wordsOf(data.texts, data.language);
  const { place, say } = speaker();
  const app = { data, words, say, save, go, begun, erase };
  const stage = element("div.stage");
  const notice = element("div.notice", { role: "alert" });
  app.memory = memoryOf(data.survey, data.culture, warn);
  app.answers = kept() ?? newAnswers(data);

  function kept() {
    const text = app.memory.read();
    return text === null ? null : readAnswers(text, data);
  }

  function save() {
    if (app.answers.started) app.memory.write(JSON.stringify(app.answers));
  }

  function warn() {
    const now = app.answers?.started
      ? button(words("memory.save_now"), () => saveAnswers(app))
      : "";
    notice.replaceChildren(element("p", {}, words("memory.blocked")), now);
  }

  const settle = startClock((seconds) => {
    const { at, order, pages } = app.answers;
    if (at.step === "page") pages[order[at.page]].items[data.items[at.item]].seconds += seconds;
  });

  /** Show a step, and let the browser's own way back lead to the one before. */
  function go(at) {
    history.pushState(at, "");
    show(at);
  }

  function show(at) {
    settle();
    const same = app.answers.at.step === "page" && app.answers.at.page === at.page;
    app.answers.at = at;
    if (at.step === "page") app.answers.last = at;
    save();
    render();
    stage.querySelector("[tabindex='-1']:is(h1, h2)").focus({ preventScroll: true });
    if (same) stage.querySelector(".question").scrollIntoView({ block: "start" });
    else scrollTo(0, 0);
  }

  function render() {
    const { content } = STEPS[app.answers.at.step](app);
    stage.replaceChildren(...[content].flat());
  }

  function begun() {
    if (!app.memory.works) warn();
    go(app.answers.last ?? { step: "page", page: 0, item: 0 });
  }

  function erase() {
    app.memory.erase();
    app.answers = newAnswers(data);
    if (!app.memory.works) warn();
    history.replaceState({ step: "welcome" }, "");
    show({ step: "welcome" });
    say(words("end.erased"));
  }

  addEventListener("popstate", ({ state }) => {
    if (state) show(app.answers.started ? state : { step: "welcome" });
  });
  addEventListener("storage", ({ key }) => {
    // The same survey in another tab: what was answered there last is what counts.
    if (key !== app.memory.key) return;
    app.answers = kept() ?? newAnswers(data);
    render();
  });
  function leave() {
    settle();
    if (app.answers.started) app.memory.keep(JSON.stringify(app.answers));
  }

  addEventListener("pagehide", leave);
  addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") leave();
  });
  addEventListener("beforeunload", (event) => {
    if (!app.memory.works && app.answers.started) event.preventDefault();
  });

  document.getElementById("survey").replaceChildren(place, notice, stage);
  if (!app.memory.works) warn();
  history.replaceState(app.answers.at, "");
  render();
}

start();
