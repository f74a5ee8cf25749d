/** One picture alone, large, beside all that is known of it and the form that changes it. */

import { askToDiscard } from "./asking.mjs";
import { button, element, replaceChildren, setText } from "./dom.mjs";
import { isCommand, isTyping, letterOf, stepOf } from "./keys.mjs";
import { RowForm } from "./row_form.mjs";
import {
  changesText,
  decisionText,
  problemName,
  rowState,
  STATE_NAMES,
  timeText,
} from "./words.mjs";

/** How many problems stand open above the form. */
const NEAR = 3;

/** The view; `row` is null while it is hidden. */
export class SingleView {
  /**
   * @param {Object} options
   * @param {Object} options.desk: of `Desk`.
   * @param {string} options.language: of the cultural captions.
   * @param {(by: number) => Promise<void>} options.onMove
   * @param {() => Promise<boolean>} options.onBack
   * @param {(letter: string) => Promise<void>} options.onDecide
   */
  constructor({ desk, language, onMove, onBack, onDecide }) {
    Object.assign(this, { desk, language, onMove, onBack, onDecide });
    this.row = null;
    this.form = new RowForm({
      categories: desk.dataset.categories ?? [],
      eras: desk.dataset.eras ?? [],
      language,
      onInput: () => this.showUnsaved(),
      onTakeBack: (field) => this.desk.changeRow(this.row, { [field]: null }),
    });
    this.build();
  }

  build() {
    this.title = element("h3", { class: "scoft-heading" });
    this.picture = element("img", { class: "scoft-single-picture", decoding: "async" });
    this.state = element("p", { class: "scoft-single-state" });
    this.decided = element("p", { class: "scoft-muted", dir: "auto" });
    this.source = element("p", { class: "scoft-muted scoft-source" });
    this.problems = element("ul", { class: "scoft-problems" });
    this.others = element("ul", { class: "scoft-problems" });
    this.othersName = element("summary");
    this.further = element("details", {}, this.othersName, this.others);
    this.buttons = [
      ["k", "Keep", "kept"],
      ["d", "Leave out", "dropped"],
      ["u", "Undecided", "undecided"],
      ["w", "Say why", null],
    ].map(([letter, word, state]) =>
      button(word, {
        "aria-keyshortcuts": letter,
        "data-state": state,
        on: { click: () => this.onDecide(letter) },
      }),
    );
    this.unsaved = element("p", { class: "scoft-muted" });
    this.saving = button("Save", {
      class: "scoft-button scoft-primary",
      "aria-keyshortcuts": "Control+S",
      on: { click: () => this.save({ say: true }) },
    });
    this.history = element("ol", { class: "scoft-history" });
    this.past = element(
      "details",
      { on: { toggle: () => this.loadHistory() } },
      element("summary", { text: "History" }),
      this.history,
    );
    const panel = element(
      "div",
      { class: "scoft-panel" },
      element("div", { class: "scoft-row" }, ...this.buttons),
      this.state,
      this.decided,
      this.problems,
      this.further,
      this.form.element,
      element("div", { class: "scoft-row scoft-save" }, this.saving, this.unsaved),
      this.source,
      this.past,
    );
    this.element = element(
      "section",
      { class: "scoft-single", tabindex: "-1", "aria-label": "One picture", hidden: true },
      this.head(),
      element(
        "div",
        { class: "scoft-single-body" },
        element("div", { class: "scoft-single-stage" }, this.picture),
        panel,
      ),
    );
  }

  head() {
    return element(
      "div",
      { class: "scoft-single-head scoft-row" },
      button("All pictures", { on: { click: () => this.onBack() } }),
      this.title,
      button("Previous", { on: { click: () => this.onMove(-1) } }),
      button("Next", { on: { click: () => this.onMove(1) } }),
    );
  }

  /** Return the address of a row's large picture. */
  sourceOf(row) {
    return this.desk.server.pictureUrl(this.desk.id, row.sha256, 1024);
  }

  /** Show a row, the `index`th of `total`; what the form held is gone. */
  show(row, index, total) {
    const isOther = this.row !== null;
    this.row = row;
    this.element.hidden = false;
    this.picture.src = this.sourceOf(row);
    this.picture.alt = row.caption || row.file_name;
    setText(this.title, `Row ${row.number} (${index + 1} of ${total})`);
    this.element.setAttribute("aria-label", `Row ${row.number}: ${row.caption}`);
    this.past.open = false;
    this.history.replaceChildren();
    this.further.open = false;
    this.form.show(row);
    this.update();
    if (isOther) {
      const found = row.problems.length ? `, problems: ${row.problems.length}` : "";
      this.desk.say(`Row ${row.number}, ${STATE_NAMES[rowState(row)]}${found}: ${row.caption}`);
    }
  }

  hide() {
    this.row = null;
    this.element.hidden = true;
    this.picture.removeAttribute("src");
  }

  focus() {
    this.element.focus({ preventScroll: true });
  }

  edit() {
    this.form.focus();
  }

  /** Show the row's present values; what was typed stays. */
  update(saved = {}) {
    const { row } = this;
    const state = rowState(row);
    this.element.dataset.state = state;
    const inUse = state === "undecided" ? " (counts until someone leaves it out)" : "";
    setText(this.state, `${STATE_NAMES[state]}${inUse}`);
    setText(this.decided, row.decision === null ? "" : decisionText(row));
    this.decided.hidden = row.decision === null;
    for (const one of this.buttons.slice(0, 3)) {
      one.setAttribute("aria-pressed", String(one.dataset.state === state));
    }
    this.showProblems(row.problems);
    replaceChildren(this.source, row.file_name, sourceLink(row.source_url));
    this.form.update(row, saved);
    this.showUnsaved();
    if (this.past.open) this.loadHistory();
  }

  /** Errors first; many would push the form out of sight, so the others are folded. */
  showProblems(problems) {
    const sorted = [...problems].sort((one, other) => other.is_error - one.is_error);
    // One alone needs no fold.
    const near = sorted.length > NEAR + 1 ? NEAR : sorted.length;
    replaceChildren(this.problems, ...sorted.slice(0, near).map((one) => problemLine(one)));
    replaceChildren(this.others, ...sorted.slice(near).map((one) => problemLine(one)));
    setText(this.othersName, `${sorted.length - near} more problems`);
    this.problems.hidden = sorted.length === 0;
    this.further.hidden = sorted.length === near;
  }

  /** Save what was typed; resolves with whether nothing is left unsaved. */
  async save({ say = false } = {}) {
    const { row } = this;
    const typed = this.form.changes();
    if (Object.keys(typed).length === 0) {
      if (say) this.desk.say("There is nothing to save.");
      return true;
    }
    const done = await this.desk.changeRow(row, typed);
    if (this.row === row) {
      if (done) this.update(typed);
      else this.form.focus(Object.keys(typed)[0]);
    }
    return done && Object.keys(this.form.changes()).length === 0;
  }

  /** Save, or ask whether to go on without; resolves with whether to go on. */
  async saveOrDiscard() {
    if (await this.save()) return true;
    return (await askToDiscard(this.desk.failure)) === true;
  }

  showUnsaved() {
    const names = Object.keys(this.form.changes());
    setText(this.unsaved, names.length ? "Not saved yet; going on saves it." : "");
    window.onbeforeunload = names.length ? (event) => event.preventDefault() : null;
  }

  async loadHistory() {
    const { row } = this;
    if (!this.past.open || !row) return;
    try {
      const { statements } = await this.desk.ask((server) =>
        server.history(this.desk.id, row.sha256),
      );
      if (this.row !== row) return;
      const lines = statements.map((one) => historyLine(one));
      replaceChildren(this.history, ...(lines.length ? lines : [line("Nothing is stated yet.")]));
    } catch (error) {
      replaceChildren(this.history, line(error.message));
    }
  }

  /** Take a key stroke, if it is one of this view's; tells whether it did. */
  keydown(event) {
    if (isCommand(event, "s")) {
      this.save({ say: true });
      return true;
    }
    const letter = letterOf(event);
    if (isTyping(event)) {
      if (event.key !== "Escape" || event.isComposing) return false;
      this.focus();
      return true;
    }
    if (event.ctrlKey || event.altKey || event.metaKey) return false;
    const by = { PageDown: 1, PageUp: -1 }[event.key] ?? stepOf(event, this.element);
    if (by) this.onMove(by);
    else if (letter === "e") this.edit();
    else if (letter && "kduw".includes(letter)) this.onDecide(letter);
    else return false;
    return true;
  }
}

function problemLine({ kind, message, is_error: isError }) {
  return element(
    "li",
    { class: isError ? "scoft-problem scoft-fault" : "scoft-problem", dir: "auto" },
    element("strong", { text: problemName(kind) }),
    ` ${message}`,
  );
}

function sourceLink(url) {
  if (!/^https?:\/\//i.test(url ?? "")) return null;
  const rel = "noopener noreferrer";
  return element("a", { href: url, target: "_blank", rel, text: "where it comes from" });
}

function historyLine({ at, by, why, changes }) {
  return line(`${timeText(at)}, ${by}: ${changesText(changes)}${why ? ` (${why})` : ""}`);
}

function line(text) {
  return element("li", { dir: "auto", text });
}
