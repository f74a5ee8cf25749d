/** The review desk's view of a dataset: filters, a grid of all pictures, and one of them alone. */

import { askReason, KEEP_REASONS, ROW_REASONS } from "./asking.mjs";
import { cardPicture, decidableCard } from "./cards.mjs";
import { CellGrid } from "./cell_grid.mjs";
import { element, replaceChildren } from "./dom.mjs";
import { FilterBar } from "./filter_bar.mjs";
import { count } from "./format.mjs";
import { isTyping, letterOf } from "./keys.mjs";
import { filtered } from "./picture_filters.mjs";
import { SingleView } from "./single_view.mjs";
import { categoryName, eraName, languageTag, rowState, STATE_NAMES } from "./words.mjs";

const CARD_WIDTH = 160;
const GAP = 14;

/** The view; `element` goes into the desk's body. */
export class PicturesView {
  /** @param {Object} desk: of `Desk`. */
  constructor(desk) {
    this.desk = desk;
    this.columns = 0;
    this.shown = [];
    this.language = languageTag(desk.dataset.language);
    this.filters = new FilterBar({
      onChange: () => this.filter(),
      onCheck: () => desk.measure(),
      onLeave: () => this.grid.focus(),
    });
    this.grid = new CellGrid({
      label: "Pictures",
      class: "scoft-pictures",
      card: (line, column) => this.card(this.shown[line * this.columns + column]),
      open: (line, column) => this.showSingle(this.shown[line * this.columns + column]),
    });
    this.none = element("p", { class: "scoft-muted scoft-none", text: "Nothing to show here." });
    this.notes = element("details", { class: "scoft-warnings", hidden: true });
    this.overview = element(
      "div",
      { class: "scoft-overview" },
      this.filters.element,
      this.notes,
      this.none,
      this.grid.element,
    );
    this.single = new SingleView({
      desk,
      language: this.language,
      onMove: (by) => this.moveSingle(by),
      onBack: () => this.back(),
      onDecide: (letter) => this.decide(this.single.row, letter),
    });
    this.element = element("div", { class: "scoft-view" }, this.overview, this.single.element);
    this.watch();
  }

  watch() {
    this.desk.addEventListener("row", ({ detail }) => this.changed(detail.row, detail.undone));
    this.desk.addEventListener("dataset", () => this.refresh());
    new ResizeObserver(() => this.layOut()).observe(this.grid.element);
  }

  /** Show the rows for the first time; the view is in the page now. */
  start() {
    this.refresh();
    this.grid.focus();
  }

  refresh() {
    const { dataset } = this.desk;
    this.filters.count(dataset.rows, dataset.categories ?? []);
    this.renderNotes(dataset.problems ?? []);
    this.filter();
    if (this.single.row) this.single.update();
  }

  filter() {
    const active = this.activeRow();
    this.shown = filtered(this.desk.dataset.rows, this.filters.wanted);
    this.filters.tell(this.shown.length, this.desk.dataset.rows.length);
    this.none.hidden = this.shown.length > 0;
    this.columns = 0;
    this.layOut(active);
  }

  /** Bring the lines to the width of the grid, with the same picture in sight. */
  layOut(active = this.activeRow()) {
    const width = this.grid.element.clientWidth - 32;
    if (width <= 0) return;
    const columns = Math.max(1, Math.floor((width + GAP) / (CARD_WIDTH + GAP)));
    const size = Math.floor((width + GAP) / columns) - GAP;
    if (columns === this.columns && size === this.size) return;
    this.columns = columns;
    this.size = size;
    this.grid.element.style.setProperty("--scoft-columns", columns);
    const lines = Math.ceil(this.shown.length / columns);
    const lengths = Array.from({ length: lines }, (_, line) =>
      Math.min(columns, this.shown.length - line * columns),
    );
    this.grid.reset(lengths, this.placeOf(Math.max(0, this.shown.indexOf(active))));
  }

  placeOf(index) {
    return { line: Math.floor(index / this.columns), column: index % this.columns };
  }

  activeRow() {
    const { line, column } = this.grid.at;
    return this.shown[line * this.columns + column];
  }

  card(row) {
    return decidableCard({
      source: this.desk.server.pictureUrl(this.desk.id, row.sha256, 256),
      name: `row ${row.number}`,
      dropWord: "Leave out",
      look: () => this.look(row),
      decide: (letter) => this.decide(row, letter),
    });
  }

  look(row) {
    const state = rowState(row);
    const found = row.problems.length;
    const facts = [`Row ${row.number}`, row.category && categoryName(row.category)];
    if (row.era) facts.push(eraName(row.era));
    return {
      state,
      badge: STATE_NAMES[state],
      marks: [
        row.edited.length ? element("span", { class: "scoft-mark", text: "✎ edited" }) : null,
        found
          ? element("span", {
              class: "scoft-mark scoft-alert",
              text: `⚠ ${count(found, "problem")}`,
            })
          : null,
      ].filter(Boolean),
      body: [
        element("p", {
          class: "scoft-caption",
          dir: "auto",
          lang: this.language,
          text: row.caption,
          title: row.caption,
        }),
        element("p", { class: "scoft-muted scoft-meta", text: facts.filter(Boolean).join(" · ") }),
      ],
    };
  }

  changed(row, undone = false) {
    this.filters.count(this.desk.dataset.rows, this.desk.dataset.categories ?? []);
    const index = this.shown.indexOf(row);
    if (index >= 0) {
      const { line, column } = this.placeOf(index);
      this.grid.update(line, column);
      // What was undone is shown, unless someone is about something else.
      if (undone && !this.single.row) {
        const focus = this.overview.contains(document.activeElement);
        this.grid.go(line, column, { focus });
      }
    }
    if (this.single.row === row) this.single.update();
  }

  showSingle(row, { edit = false } = {}) {
    if (!row) return;
    this.overview.hidden = true;
    this.single.show(row, this.shown.indexOf(row), this.shown.length);
    this.preload(row);
    if (edit) this.single.edit();
    else this.single.focus();
  }

  /** Go to a neighbour of the picture that is shown alone, once what was typed is saved. */
  async moveSingle(by) {
    const index = this.shown.indexOf(this.single.row) + by;
    if (index < 0 || index >= this.shown.length) {
      this.desk.say(by > 0 ? "This is the last picture." : "This is the first picture.");
      return;
    }
    if (!(await this.single.save())) return;
    const row = this.shown[index];
    this.single.show(row, index, this.shown.length);
    this.preload(row);
  }

  preload(row) {
    const next = this.shown[this.shown.indexOf(row) + 1];
    if (next) this.next = cardPicture(this.single.sourceOf(next));
  }

  /** Leave the picture for the grid; false where the grid is shown already. */
  async back() {
    if (!this.single.row) return false;
    if (!(await this.single.saveOrDiscard())) return true;
    const row = this.single.row;
    this.single.hide();
    this.overview.hidden = false;
    this.layOut();
    const { line, column } = this.placeOf(Math.max(0, this.shown.indexOf(row)));
    this.grid.go(line, column);
    return true;
  }

  /** Save what was typed; resolves with whether the view may close. */
  leave() {
    return this.single.row ? this.single.saveOrDiscard() : Promise.resolve(true);
  }

  async decide(row, letter) {
    const state = rowState(row);
    if (letter === "k") {
      if (state === "kept") this.desk.say(`Row ${row.number} is kept already.`);
      else await this.desk.changeRow(row, { include: true });
    } else if (letter === "u") {
      if (row.decision === null) this.desk.say(`Row ${row.number}: nobody has decided yet.`);
      else await this.desk.changeRow(row, { include: null });
    } else {
      // The reason is for what holds once the change under way is done.
      if (letter === "w") await this.desk.last;
      await this.decideWithReason(row, letter === "w" ? rowState(row) : "dropped");
    }
  }

  async decideWithReason(row, state) {
    if (state === "undecided") {
      this.desk.say(`Row ${row.number} is undecided: keep it or leave it out first.`);
      return;
    }
    const isKept = state === "kept";
    const why = await askReason({
      title: `${isKept ? "Keep" : "Leave out"} row ${row.number}`,
      action: isKept ? "Keep" : "Leave out",
      reasons: isKept ? KEEP_REASONS : ROW_REASONS,
    });
    if (why !== null) await this.desk.changeRow(row, { include: isKept }, why);
  }

  /** Take a key stroke, if it is one of this view's; tells whether it did. */
  keydown(event) {
    if (this.single.row) return this.single.keydown(event);
    if (isTyping(event)) {
      // Out of a filter first, not out of the desk.
      if (event.key !== "Escape" || event.isComposing || this.shown.length === 0) return false;
      this.grid.focus();
      return true;
    }
    if (event.key === "/") {
      this.filters.focusSearch();
      return true;
    }
    const letter = letterOf(event);
    const row = this.activeRow();
    if (!row || !this.grid.box.contains(document.activeElement)) return false;
    if (letter === "e") this.showSingle(row, { edit: true });
    else if (letter && "kduw".includes(letter)) this.decide(row, letter);
    else return false;
    return true;
  }

  renderNotes(problems) {
    this.notes.hidden = problems.length === 0;
    replaceChildren(
      this.notes,
      element("summary", {
        text: count(problems.length, "note on the dataset", "notes on the dataset"),
      }),
      element("ul", {}, ...problems.map((text) => element("li", { text, dir: "auto" }))),
    );
  }
}
