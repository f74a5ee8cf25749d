/**
 * The node that makes a report on a dataset: what it found in a few lines, and a button that opens
 * the page. A report's page holds no script, and the frame that shows it would let none run.
 */

import { button, element, replaceChildren, setText } from "./dom.mjs";
import { addView, chain } from "./graph.mjs";
import { modal } from "./modal.mjs";

const DATASET = "scoft_report";
const SUMMARY = "scoft_report_summary";
const HEIGHT = 190;
const HINT = "Queue the graph to see the report.";
const PREVIEW = "Preview: what you enter is not kept, and cannot be sent. Save the page to try that.";

/** The class of the node. */
export const REPORTER = "ScoftDatasetReport";

/** All nodes that make reports. */
export class ReportNodes {
  /** Options as of RunNodes. */
  constructor({ server, memory, placeOf }) {
    this.server = server;
    this.memory = memory;
    this.placeOf = placeOf;
    this.entries = new Map();
  }

  /** Give a new node its lines and button. */
  attach(node) {
    const entry = { node, dataset: null };
    entry.lines = element("p", { class: "scoft-report-lines", dir: "auto", role: "status" });
    entry.report = new ReportButton({
      label: "Report on the dataset",
      ask: () => this.server.dataset(entry.dataset),
      url: () => this.server.reportUrl(entry.dataset),
      complain: (sentence) => {
        setText(entry.lines, sentence);
        entry.lines.classList.add("scoft-error");
      },
    });
    entry.element = element(
      "div",
      { class: "scoft-root scoft-report-view" },
      entry.lines,
      entry.report.element,
    );
    this.entries.set(node, entry);
    this.show(entry, null, null);
    addView(node, "scoft_report", entry.element, { least: HEIGHT });
    chain(node, "onRemoved", () => this.entries.delete(node));
    chain(node, "onExecuted", (output) => {
      const found = output?.scoft?.[0];
      if (!found?.dataset) return;
      const place = this.placeOf(node);
      this.memory.keep(node, place, DATASET, found.dataset);
      this.memory.keep(node, place, SUMMARY, found.summary ?? "");
      this.show(entry, found.dataset, found.summary ?? "");
    });
  }

  /** Show again what a node of a loaded workflow found. */
  loaded(node) {
    const entry = this.entries.get(node);
    if (!entry) return;
    const place = this.placeOf(node);
    const dataset = this.memory.recall(node, place, DATASET);
    if (dataset) this.show(entry, dataset, this.memory.recall(node, place, SUMMARY) ?? "");
  }

  show(entry, dataset, summary) {
    entry.dataset = dataset;
    entry.report.element.disabled = !dataset;
    entry.lines.classList.remove("scoft-error");
    setText(entry.lines, dataset ? summary : HINT);
  }
}

/** A button in `element` that opens a page, a report's, once however often it is pressed. */
export class ReportButton {
  /**
   * @param {Object} options
   * @param {string} options.label: what a screen reader calls the page.
   * @param {() => Promise} options.ask: fails, with a sentence, where the server knows no page.
   * @param {() => string} options.url: the page's address.
   * @param {(sentence: string) => void} options.complain: shows why nothing opens.
   * @param {string} options.text: on the button.
   * @param {string} options.name: what a screen reader calls the button, if not by its text.
   * @param {string} options.sandbox: as in `openPage`.
   */
  constructor({ label, ask, url, complain, text = "Open report", name = null, sandbox = "" }) {
    Object.assign(this, { label, ask, url, complain, sandbox, isOpening: false });
    this.element = button(text, { "aria-label": name, on: { click: () => this.open() } });
  }

  async open() {
    if (this.isOpening) return;
    this.isOpening = true;
    try {
      // A server that was started anew has to be told of it first, and says so.
      await this.ask();
      openPage(this.url(), this.label, { sandbox: this.sandbox });
    } catch (error) {
      this.complain(error.message);
    }
    this.isOpening = false;
  }
}

/**
 * Open a page over the canvas, as a stranger to the host.
 *
 * @param {string} url
 * @param {string} label: what a screen reader calls it.
 * @param {Object} options
 * @param {string} options.sandbox: what the page may do beyond being looked at.
 */
function openPage(url, label, { sandbox = "" } = {}) {
  const dialog = modal({ class: "scoft-report", label });
  const link = { href: url, target: "_blank", rel: "noopener", text: "Open in a new tab" };
  replaceChildren(
    dialog,
    element(
      "header",
      { class: "scoft-report-head" },
      // In a tab of its own a page with a script would be no stranger on every host.
      sandbox ? element("span", { text: PREVIEW }) : element("a", link),
      button("Close", { on: { click: () => dialog.close() } }),
    ),
    element("iframe", { class: "scoft-report-page", src: url, sandbox, title: label }),
  );
  dialog.showModal();
}
