/**
 * The node that makes a survey, with its pages to open and to save, and the node that reads the
 * answers, with what it found in a few lines and a button that opens the report.
 */

import { element, replaceChildren, setText } from "./dom.mjs";
import { count } from "./format.mjs";
import { addView, chain } from "./graph.mjs";
import { ReportButton } from "./report_nodes.mjs";

const SURVEY = "scoft_survey";
const RESULTS = "scoft_survey_results";
const SUMMARY = "scoft_survey_summary";
// No popups: a form sends to a tab of its own, and a preview is to send nothing.
const PREVIEW = "allow-scripts allow-forms allow-downloads allow-modals";
const MAKER_HEIGHT = 150;
const READER_HEIGHT = 420;
const MAKER_HINT = "Queue the graph to make the pages.";
const READER_HINT = "Queue the graph to read the answers.";

/** The classes of the nodes. */
export const SURVEY_MAKER = "ScoftMakeSurvey";
export const SURVEY_READER = "ScoftAggregateSurvey";

/** All nodes that make surveys. */
export class SurveyMakers {
  /** Options as of RunNodes. */
  constructor({ server, memory, placeOf }) {
    Object.assign(this, { server, memory, placeOf, entries: new Map() });
  }

  /** Give a new node its list of pages. */
  attach(node) {
    const entry = {
      node,
      asked: 0,
      said: lines(MAKER_HINT),
      list: element("ul", { class: "scoft-survey-pages" }),
      warnings: element("details", { class: "scoft-warnings", hidden: true }),
    };
    this.entries.set(node, entry);
    const shown = view(entry.said, entry.list, entry.warnings);
    addView(node, "scoft_survey_view", shown, { least: MAKER_HEIGHT });
    chain(node, "onRemoved", () => this.entries.delete(node));
    chain(node, "onExecuted", (output) => {
      const found = output?.scoft?.[0];
      if (!found?.survey) return;
      this.memory.keep(node, this.placeOf(node), SURVEY, found.survey);
      warn(entry.warnings, found.warnings ?? []);
      this.fetch(entry, found.survey);
    });
  }

  /** Show again what a node of a loaded workflow made. */
  loaded(node) {
    const entry = this.entries.get(node);
    const survey = entry ? this.memory.recall(node, this.placeOf(node), SURVEY) : null;
    return survey ? this.fetch(entry, survey) : Promise.resolve();
  }

  /** Ask which pages there are; of several questions the answer to the last counts. */
  async fetch(entry, survey) {
    entry.asked += 1;
    const { asked } = entry;
    const isLast = () => this.entries.has(entry.node) && entry.asked === asked;
    try {
      const { pages } = await this.server.survey(survey);
      if (!isLast()) return;
      say(entry.said, "Pages to hand out:");
      replaceChildren(entry.list, ...pages.map((page) => this.line(entry, survey, page)));
    } catch (error) {
      if (!isLast()) return;
      replaceChildren(entry.list);
      say(entry.said, error.message, { isError: true });
    }
  }

  line(entry, survey, { name, size }) {
    const open = new ReportButton({
      text: "Open",
      name: `Open ${name}`,
      label: `Preview of ${name}`,
      ask: () => this.stillThere(survey, name),
      url: () => this.server.surveyPageUrl(survey, name),
      complain: (sentence) => say(entry.said, sentence, { isError: true }),
      sandbox: PREVIEW,
    });
    const save = {
      href: this.server.surveyPageUrl(survey, name, { save: true }),
      // A page that is gone must not put the server's answer in the canvas's place.
      download: name,
      text: "Save",
      "aria-label": `Save ${name}`,
    };
    return element(
      "li",
      {},
      element("bdi", { text: `${name} (${(size / 1e6).toFixed(1)} MB)` }),
      open.element,
      element("a", save),
    );
  }

  async stillThere(survey, name) {
    const { pages } = await this.server.survey(survey);
    if (pages.some((page) => page.name === name)) return;
    throw new Error(`${name} is no longer in hand-out. Queue the graph again: it makes it anew.`);
  }
}

/** All nodes that read answers. */
export class SurveyReaders {
  /** Options as of RunNodes. */
  constructor({ server, memory, placeOf }) {
    Object.assign(this, { server, memory, placeOf, entries: new Map() });
  }

  /** Give a new node its lines and button. */
  attach(node) {
    const entry = { node, results: null, said: lines(READER_HINT) };
    entry.report = new ReportButton({
      label: "Report on the survey",
      ask: () => this.server.results(entry.results),
      url: () => this.server.resultsReportUrl(entry.results),
      complain: (sentence) => say(entry.said, sentence, { isError: true }),
    });
    entry.report.element.disabled = true;
    this.entries.set(node, entry);
    addView(node, "scoft_results_view", view(entry.said, entry.report.element), {
      least: READER_HEIGHT,
    });
    chain(node, "onRemoved", () => this.entries.delete(node));
    chain(node, "onExecuted", (output) => {
      const found = output?.scoft?.[0];
      if (!found?.results) return;
      const place = this.placeOf(node);
      this.memory.keep(node, place, RESULTS, found.results);
      this.memory.keep(node, place, SUMMARY, found.summary ?? "");
      this.show(entry, found.results, found.summary ?? "");
    });
  }

  /** Show again what a node of a loaded workflow found. */
  loaded(node) {
    const entry = this.entries.get(node);
    if (!entry) return;
    const place = this.placeOf(node);
    const results = this.memory.recall(node, place, RESULTS);
    if (results) this.show(entry, results, this.memory.recall(node, place, SUMMARY) ?? "");
  }

  show(entry, results, summary) {
    entry.results = results;
    entry.report.element.disabled = false;
    entry.said.classList.add("scoft-survey-summary");
    // Long lines are scrolled, which takes a keyboard's focus.
    entry.said.tabIndex = 0;
    say(entry.said, summary);
  }
}

function lines(hint) {
  return element("p", { class: "scoft-report-lines", dir: "auto", role: "status", text: hint });
}

function warn(target, sentences) {
  target.hidden = sentences.length === 0;
  replaceChildren(
    target,
    element("summary", { text: count(sentences.length, "warning") }),
    element("ul", {}, ...sentences.map((text) => element("li", { text, dir: "auto" }))),
  );
}

function view(...children) {
  const shown = { class: "scoft-root scoft-report-view", lang: "en" };
  // Keys that work a control here are no shortcuts of the canvas.
  const on = { keydown: (event) => event.stopPropagation() };
  return element("div", { ...shown, on }, ...children);
}

function say(target, sentence, { isError = false } = {}) {
  target.classList.toggle("scoft-error", isError);
  setText(target, sentence);
}
