/**
 * The widget of a node with scores: three questions as a table, as curves where models are steps of
 * a run, the suggestion, the warnings, and a button that opens the report. It shows what the server
 * tells of a grid; which grid that is, is decided outside.
 */

import { Chart } from "./chart.mjs";
import { button, element, replaceChildren, setText } from "./dom.mjs";
import { count, isNumber } from "./format.mjs";
import { ReportButton } from "./report_nodes.mjs";
import { differenceTable, valueTable } from "./score_table.mjs";
import { stackedHeight } from "./view_height.mjs";

const TABLE_HEIGHT = 400;
const BORDERS = 2;
const CHART_HEIGHT = 150;
const HINT = "Queue the graph to measure.";

/** The view in `element`; `show` gives it scores, `destroy` takes it away. */
export class ScoreView {
  /**
   * @param {Object} options
   * @param {Object} options.server: of `serverOf`.
   * @param {boolean} options.compares: whether it shows differences from one model.
   * @param {() => void} options.onHeight: the view needs another height than before.
   */
  constructor({ server, compares = false, onHeight = () => {} }) {
    this.compares = compares;
    this.onHeight = onHeight;
    this.scores = null;
    this.question = 0;
    this.height = 0;
    this.report = new ReportButton({
      label: "Report on the models",
      ask: () => server.scores(this.scores.grid),
      url: () => server.scoresReportUrl(this.scores.grid),
      complain: (sentence) => this.complain(sentence),
    });
    this.build();
    this.watcher = new ResizeObserver(() => this.measure());
    for (const child of this.element.children) this.watcher.observe(child);
    this.watcher.observe(this.box.firstElementChild);
    this.show(null);
  }

  build() {
    this.line = element("p", { class: "scoft-scores-line", role: "status", dir: "auto" });
    this.box = element(
      "div",
      { class: "scoft-scores-box", tabindex: "0", role: "region", "aria-label": "Table of models" },
      element("div", {}),
    );
    this.suggestion = element("p", { class: "scoft-suggestion", dir: "auto" });
    this.chart = new Chart({ newest: "Values of the last step" });
    this.tabs = element("div", {
      class: "scoft-tabs",
      role: "group",
      "aria-label": "What the chart shows",
    });
    this.chartBox = element(
      "div",
      { class: "scoft-chart-box" },
      element("div", { class: "scoft-controls" }, this.tabs),
      this.chart.element,
    );
    this.warnings = element("details", { class: "scoft-warnings" });
    this.element = element(
      "div",
      { class: "scoft-root scoft-scores", lang: "en" },
      this.line,
      this.box,
      this.suggestion,
      this.chartBox,
      this.warnings,
      element("div", { class: "scoft-row" }, this.report.element),
    );
    // Keys that work a control here are no shortcuts of the canvas.
    this.element.addEventListener("keydown", (event) => event.stopPropagation());
  }

  destroy() {
    this.watcher.disconnect();
    this.chart.destroy();
  }

  /** Show scores as the server tells them; null where there are none yet. */
  show(scores) {
    this.scores = scores;
    this.report.element.disabled = scores === null;
    this.line.classList.remove("scoft-error");
    setText(this.line, scores ? this.headline() : HINT);
    this.renderTable();
    this.renderSuggestion();
    this.renderWarnings();
    this.renderTabs();
    this.renderChart();
    this.measure();
  }

  /** Show a sentence in place of the headline. */
  complain(sentence) {
    setText(this.line, sentence);
    this.line.classList.add("scoft-error");
    this.measure();
  }

  headline() {
    const { models, base, baseline } = this.scores;
    if (this.compares) return `Differences from ${baseline}, with their 95 % intervals`;
    return `${count(models.length, "model")} of ${base}, with 95 % intervals`;
  }

  renderTable() {
    this.box.hidden = this.scores === null;
    if (this.box.hidden) return;
    const suggested = this.scores.suggestion?.model ?? null;
    replaceChildren(
      this.box.firstElementChild,
      this.compares ? differenceTable(this.scores) : valueTable(this.scores, suggested),
    );
  }

  renderSuggestion() {
    const found = this.compares ? null : this.scores?.suggestion;
    this.suggestion.hidden = !found;
    if (!found) return;
    replaceChildren(
      this.suggestion,
      element("strong", { text: `Suggested: ${found.model}. ` }),
      found.reason,
    );
  }

  renderWarnings() {
    const warnings = this.scores?.warnings ?? [];
    this.warnings.hidden = warnings.length === 0;
    replaceChildren(
      this.warnings,
      element("summary", { text: count(warnings.length, "warning") }),
      element("ul", {}, ...warnings.map((text) => element("li", { text, dir: "auto" }))),
    );
  }

  /** Questions with a value at two steps or more have a curve. */
  renderTabs() {
    const drawn = (this.scores?.questions ?? [])
      .map(({ name }, index) => ({ name, index }))
      .filter(({ index }) => this.curves(index).some(({ points }) => points.length > 1));
    this.chartBox.hidden = drawn.length === 0;
    if (!drawn.some(({ index }) => index === this.question)) this.question = drawn[0]?.index ?? 0;
    replaceChildren(
      this.tabs,
      ...drawn.map(({ name, index }) =>
        button(name, {
          class: "scoft-tab",
          "data-question": index,
          on: { click: () => this.choose(index) },
        }),
      ),
    );
  }

  choose(index) {
    this.question = index;
    this.renderChart();
  }

  renderChart() {
    if (this.chartBox.hidden) return;
    for (const tab of this.tabs.children) {
      const isShown = Number(tab.dataset.question) === this.question;
      tab.setAttribute("aria-pressed", String(isShown));
    }
    const { suggestion } = this.scores;
    const curves = [...this.curves(this.question), ...this.levels(this.question)];
    this.chart.update(curves, { log: false, smoothing: 0, mark: suggestion?.step ?? null });
  }

  /** The values of one question over the steps, a curve a run. */
  curves(index) {
    const { name } = this.scores.questions[index];
    const steps = this.scores.models.filter((model) => isNumber(model.step) && model.values[index]);
    const runs = [...new Set(steps.map(({ run }) => run))];
    return runs.map((run, place) => {
      const own = steps
        .filter((model) => model.run === run)
        .map((model) => ({ step: model.step, ...model.values[index] }))
        .sort((a, b) => a.step - b.step);
      return {
        key: runs.length === 1 ? name : `run-${place}`,
        label: runs.length === 1 ? name : run,
        points: own.map(({ step, value }) => [step, value]),
        intervals: own.map(({ step, low, high }) => [step, low, high]),
        sparse: true,
      };
    });
  }

  /** The models that are no step of a run, as values to compare the curve with. */
  levels(index) {
    return this.scores.models
      .filter((model) => !isNumber(model.step) && model.values[index])
      .map((model, number) => ({
        key: `level-${number}`,
        label: model.name,
        points: [],
        level: model.values[index].value,
      }));
  }

  /** Return how high the view has to be, in the canvas's units, so that nothing is cut off. */
  minHeight() {
    return this.height;
  }

  measure() {
    // A long table scrolls in its box; a short one leaves the room to the chart.
    const table = Math.min(TABLE_HEIGHT, this.box.firstElementChild.offsetHeight + BORDERS);
    this.box.style.minHeight = `${table}px`;
    const height = stackedHeight(this.element, (child) => {
      if (child === this.box) return table;
      if (child !== this.chartBox) return child.offsetHeight;
      return child.scrollHeight - this.chart.plot.offsetHeight + CHART_HEIGHT;
    });
    if (height === null || height === this.height) return;
    this.height = height;
    this.element.style.minHeight = `${height}px`;
    this.onHeight();
  }
}
