/**
 * The training node's widget: how far the run is, its curves, previews and warnings, and a button
 * that stops and saves. It shows a state of `run_state` and asks the server to stop; which run is
 * shown, and where its messages come from, is decided outside.
 */

import { Chart } from "./chart.mjs";
import { button, element, replaceChildren, setText } from "./dom.mjs";
import { count, formatBytes, formatDuration, formatNumber } from "./format.mjs";
import { Previews } from "./previews.mjs";
import {
  curves,
  emptyState,
  estimateWords,
  isActive,
  previewsByStep,
  progress,
  secondsPerStep,
} from "./run_state.mjs";
import { stackedHeight } from "./view_height.mjs";

const VIEWS = { losses: "Losses", gradient: "Gradient", rate: "Rate" };
const CHART_HEIGHT = 150;

/** The view in `element`; `show` gives it a state, `destroy` takes it away. */
export class RunView {
  /**
   * @param {Object} options
   * @param {Object} options.server: of `serverOf`.
   * @param {(state: Object) => void} options.onStopping: the server was asked to stop the run.
   * @param {() => void} options.onHeight: the view needs another height than before.
   */
  constructor({ server, onStopping, onHeight = () => {} }) {
    this.server = server;
    this.onStopping = onStopping;
    this.onHeight = onHeight;
    this.state = emptyState();
    this.view = "losses";
    this.asked = false;
    this.stopError = "";
    this.frame = 0;
    this.height = 0;
    this.build();
    this.watcher = new ResizeObserver(() => this.measure());
    for (const child of this.element.children) this.watcher.observe(child);
    this.render();
  }

  build() {
    this.title = element("strong", { class: "scoft-state" });
    this.detail = element("span", { class: "scoft-muted" });
    this.bar = element("progress", { class: "scoft-progress", "aria-label": "Progress" });
    this.message = element("p", { class: "scoft-message", dir: "auto", hidden: true });
    this.facts = element("dl", { class: "scoft-facts", hidden: true });
    this.stop = button("Stop and save", {
      class: "scoft-button scoft-stop",
      on: { click: () => this.requestStop() },
    });
    this.chart = new Chart();
    this.previews = new Previews({ url: (name) => this.server.previewUrl(this.state.run, name) });
    this.warnings = element("details", { class: "scoft-warnings", hidden: true });
    this.controls = this.buildControls();
    this.chartBox = element(
      "div",
      { class: "scoft-chart-box", hidden: true },
      this.controls,
      this.chart.element,
    );
    this.element = element(
      "div",
      { class: "scoft-root scoft-run" },
      element(
        "div",
        { class: "scoft-run-head" },
        element("div", { class: "scoft-run-line", role: "status" }, this.title, this.detail),
        this.stop,
      ),
      this.bar,
      this.message,
      this.facts,
      this.chartBox,
      this.previews.element,
      this.warnings,
    );
    // Keys that work a control here are no shortcuts of the canvas.
    this.element.addEventListener("keydown", (event) => event.stopPropagation());
  }

  buildControls() {
    this.tabs = Object.entries(VIEWS).map(([view, label]) =>
      button(label, {
        class: "scoft-tab",
        "data-view": view,
        on: { click: () => this.choose(view) },
      }),
    );
    this.smoothing = element("input", {
      type: "range",
      class: "scoft-slider",
      min: "0",
      max: "0.99",
      step: "0.01",
      value: "0.9",
      title: "How much each curve is smoothed; the values themselves stay behind it, fainter.",
      on: { input: () => this.renderChart() },
    });
    this.log = element("input", {
      type: "checkbox",
      checked: true,
      on: { change: () => this.renderChart() },
    });
    return element(
      "div",
      { class: "scoft-controls" },
      element(
        "div",
        { class: "scoft-tabs", role: "group", "aria-label": "What the chart shows" },
        ...this.tabs,
      ),
      element("label", { class: "scoft-control" }, "Smooth", this.smoothing),
      element("label", { class: "scoft-control" }, this.log, "Log"),
    );
  }

  destroy() {
    cancelAnimationFrame(this.frame);
    this.watcher.disconnect();
    this.chart.destroy();
  }

  /** Show a state at the next frame; of several before it only the last is drawn. */
  show(state) {
    if (state.run !== this.state.run || !isActive(state)) {
      this.asked = false;
      this.stopError = "";
    }
    this.state = state;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.render());
  }

  render() {
    this.renderHead();
    this.renderFacts();
    this.renderChart();
    this.previews.update(previewsByStep(this.state));
    this.renderWarnings();
    this.measure();
  }

  renderHead() {
    const { status, message } = this.state;
    const { title, detail, done, total } = progress(this.state);
    this.element.dataset.status = status;
    setText(this.title, title);
    setText(this.detail, detail);
    this.bar.hidden = !isActive(this.state) || (status === "preparing" && !this.state.phase);
    if (total === null) this.bar.removeAttribute("value");
    else {
      this.bar.max = total;
      this.bar.value = done;
    }
    const shown = this.stopError || message;
    this.message.hidden = !shown;
    this.message.classList.toggle("scoft-error", status === "failed" || this.stopError !== "");
    setText(this.message, shown);
    this.renderStop(status);
  }

  renderStop(status) {
    const stopping = this.asked || status === "stopping";
    this.stop.hidden = !isActive(this.state);
    this.stop.disabled = stopping || !this.state.run;
    setText(this.stop, stopping ? "Stopping …" : "Stop and save");
    this.stop.title = this.state.run
      ? "Ends at the next step, saves everything, and hands on the LoRA so far."
      : "Possible once the run has started.";
  }

  renderFacts() {
    const row = this.state.rows.at(-1);
    const estimate = estimateWords(this.state);
    this.facts.hidden = !row && !estimate;
    if (this.facts.hidden) return;
    const facts = [];
    if (row) {
      facts.push(["Per step", formatDuration(secondsPerStep(this.state))]);
      facts.push(["Memory", formatBytes(row.memory_bytes)]);
    }
    if (estimate) facts.push(["Estimate", estimate.peak, estimate.parts]);
    if (row) {
      facts.push(["Gradient", formatNumber(row.grad_norm)]);
      facts.push(["Rate", formatNumber(row.learning_rate)]);
    }
    replaceChildren(
      this.facts,
      ...facts.map(([name, text, title = null]) =>
        element("div", { title }, element("dt", { text: name }), element("dd", { text })),
      ),
    );
    const { device, precision } = this.state.settings ?? {};
    this.facts.title = device ? `On ${device}, ${precision}` : "";
  }

  choose(view) {
    this.view = view;
    this.renderChart();
  }

  renderChart() {
    this.chartBox.hidden = this.state.rows.length === 0;
    if (this.chartBox.hidden) return;
    for (const tab of this.tabs)
      tab.setAttribute("aria-pressed", String(tab.dataset.view === this.view));
    const smoothing = this.view === "rate" ? 0 : Number(this.smoothing.value);
    this.smoothing.setAttribute("aria-valuetext", smoothing.toFixed(2));
    this.chart.update(curves(this.state, this.view), { log: this.log.checked, smoothing });
  }

  renderWarnings() {
    const { warnings } = this.state;
    this.warnings.hidden = warnings.length === 0;
    if (this.warnings.childElementCount && this.shownWarnings === warnings) return;
    this.shownWarnings = warnings;
    replaceChildren(
      this.warnings,
      element("summary", { text: count(warnings.length, "warning") }),
      element("ul", {}, ...warnings.map((text) => element("li", { text, dir: "auto" }))),
    );
    this.warnings.open = warnings.length > 0;
  }

  /** Return how high the view has to be, in the canvas's units, so that nothing is cut off. */
  minHeight() {
    return this.height;
  }

  measure() {
    const height = stackedHeight(this.element, (child) =>
      child === this.chartBox ? this.chartHeight() : child.offsetHeight,
    );
    if (height === null || height === this.height) return;
    this.height = height;
    this.element.style.minHeight = `${height}px`;
    this.onHeight();
  }

  /** The chart takes what is left over, but never less than this. */
  chartHeight() {
    const plot = this.chart.plot.offsetHeight;
    return this.chartBox.scrollHeight - plot + CHART_HEIGHT;
  }

  async requestStop() {
    const { run } = this.state;
    if (!run || this.asked) return;
    this.asked = true;
    this.stopError = "";
    this.renderHead();
    try {
      await this.server.stopRun(run);
      this.onStopping(run);
    } catch (error) {
      this.asked = false;
      this.stopError = error.message;
    }
    this.renderHead();
  }
}
