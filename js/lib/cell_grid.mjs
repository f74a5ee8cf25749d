/**
 * A grid of cards with one stop for Tab: arrows go from card to card in two directions. Lines come
 * and go with the scrolling (`virtual_rows`); positions and totals are said by ARIA's numbers.
 */

import { element } from "./dom.mjs";
import { stepOf } from "./keys.mjs";
import { VirtualRows } from "./virtual_rows.mjs";

/** The grid; put `element` into a box of a definite height, then call `reset`. */
export class CellGrid {
  /**
   * @param {Object} options
   * @param {string} options.label: what a screen reader calls it.
   * @param {string} options.class
   * @param {(line: number, column: number) => {element: HTMLElement, update: () => void}} options.card
   * @param {(line: number) => HTMLElement|null} options.head: what stands before a line's cards.
   * @param {(line: number, column: number) => void} options.open: by Enter or by a click.
   */
  constructor({ label, class: name, card, head = () => null, open }) {
    this.card = card;
    this.head = head;
    this.open = open;
    this.lengths = [];
    this.at = { line: 0, column: 0 };
    this.cards = new Map();
    this.box = element("div", { class: "scoft-lines", role: "grid", "aria-label": label });
    this.element = element("div", { class: `scoft-scroller ${name}` }, this.box);
    this.rows = new VirtualRows({
      scroller: this.element,
      box: this.box,
      make: (line) => this.makeLine(line),
      drop: (row, line) => this.dropLine(row, line),
    });
    this.element.addEventListener("keydown", (event) => this.walk(event));
    this.element.addEventListener("focusin", (event) => this.follow(event));
    this.element.addEventListener("click", (event) => this.clicked(event));
  }

  /** Start anew: as many lines as `lengths`, each with so many cards; `at` gets Tab's stop. */
  reset(lengths, at = { line: 0, column: 0 }) {
    const hadFocus = this.box.contains(document.activeElement);
    this.lengths = lengths;
    this.at = at;
    this.hasHeads = lengths.length > 0 && this.head(0) !== null;
    this.box.setAttribute("aria-rowcount", lengths.length);
    const most = Math.max(0, ...lengths);
    this.box.setAttribute("aria-colcount", most + (this.hasHeads ? 1 : 0));
    // Lines are contained, so that the box is as wide as the style sheet says, not as they are.
    this.box.style.setProperty("--scoft-most", most);
    this.box.hidden = lengths.length === 0;
    this.element.scrollTop = 0;
    this.rows.reset(lengths.length);
    if (lengths.length === 0) return;
    this.rows.pin(at.line);
    if (at.line > 0) this.rows.reveal(at.line);
    if (hadFocus) this.focus();
  }

  /** Make a card Tab's stop, and bring it into sight. */
  go(line, column, { focus = true } = {}) {
    if (!this.lengths[line]) return;
    this.setStop(false);
    this.at = { line, column: Math.min(column, this.lengths[line] - 1) };
    this.rows.pin(line);
    this.rows.reveal(line);
    this.setStop(true);
    if (focus) this.focus();
  }

  /** Give the focus to Tab's stop. */
  focus() {
    this.cell()?.focus({ preventScroll: true });
    this.cell()?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** Show a card's present state, if it is in the page. */
  update(line, column) {
    this.cards.get(keyOf(line, column))?.card.update();
  }

  makeLine(line) {
    const before = this.head(line);
    const row = element("div", { class: "scoft-line-of", role: "row", "aria-rowindex": line + 1 });
    if (before) {
      before.setAttribute("role", "rowheader");
      before.setAttribute("aria-colindex", 1);
      row.append(before);
    }
    for (let column = 0; column < this.lengths[line]; column += 1) {
      const card = this.card(line, column);
      const cell = element(
        "div",
        {
          class: "scoft-cell",
          role: "gridcell",
          "aria-colindex": column + (before ? 2 : 1),
          "data-line": line,
          "data-column": column,
        },
        card.element,
      );
      this.cards.set(keyOf(line, column), { card, cell });
      this.setTab(cell, line === this.at.line && column === this.at.column);
      row.append(cell);
    }
    return row;
  }

  dropLine(row, line) {
    // A picture that nobody waits for any more must not keep the next ones waiting.
    for (const image of row.querySelectorAll("img")) image.removeAttribute("src");
    for (let column = 0; column < this.lengths[line]; column += 1) {
      this.cards.delete(keyOf(line, column));
    }
  }

  cell() {
    return this.cards.get(keyOf(this.at.line, this.at.column))?.cell;
  }

  setStop(isStop) {
    const cell = this.cell();
    if (cell) this.setTab(cell, isStop);
  }

  /** Tab stops at the card and then at its buttons, of one card only. */
  setTab(cell, isStop) {
    for (const one of [cell, ...cell.querySelectorAll("button")]) one.tabIndex = isStop ? 0 : -1;
  }

  follow({ target }) {
    const cell = target.closest(".scoft-cell");
    if (!cell) return;
    const [line, column] = [Number(cell.dataset.line), Number(cell.dataset.column)];
    if (line === this.at.line && column === this.at.column) return;
    this.go(line, column, { focus: false });
  }

  clicked(event) {
    const cell = event.target.closest(".scoft-cell");
    if (!cell || event.target.closest("button, a")) return;
    const selected = window.getSelection();
    if (!selected.isCollapsed && cell.contains(selected.anchorNode)) return;
    cell.focus({ preventScroll: true });
    this.open(this.at.line, this.at.column);
  }

  walk(event) {
    if (event.altKey || event.metaKey) return;
    if (event.key === "Enter") {
      if (!event.target.classList.contains("scoft-cell")) return;
      event.preventDefault();
      this.open(this.at.line, this.at.column);
      return;
    }
    const target = this.targetOf(event);
    if (!target) return;
    event.preventDefault();
    this.go(target.line, target.column);
  }

  /** Return where a key leads from here, or null where it is none of the grid's. */
  targetOf(event) {
    const { line, column } = this.at;
    const last = this.lengths.length - 1;
    const end = (of) => this.lengths[of] - 1;
    const step = stepOf(event, this.element);
    if (step && !event.ctrlKey) return this.beside(line, column, step);
    switch (event.key) {
      case "ArrowDown":
        return this.toLine(line, 1, column);
      case "ArrowUp":
        return this.toLine(line, -1, column);
      case "PageDown":
        return this.toLine(line, this.rows.screenful(), column);
      case "PageUp":
        return this.toLine(line, -this.rows.screenful(), column);
      case "Home":
        return event.ctrlKey ? this.toLine(0, 0, 0) : { line, column: 0 };
      case "End":
        return event.ctrlKey ? this.toLine(last, 0, end(last)) : { line, column: end(line) };
      default:
        return null;
    }
  }

  /** The card after the last of a line is the first of the next. */
  beside(line, column, step) {
    const next = column + step;
    if (next >= 0 && next < this.lengths[line]) return { line, column: next };
    const other = this.withCards(line + step, step);
    if (other === null) return { line, column };
    return { line: other, column: step > 0 ? 0 : this.lengths[other] - 1 };
  }

  toLine(line, by, column) {
    const wanted = Math.min(this.lengths.length - 1, Math.max(0, line + by));
    const found = this.withCards(wanted, Math.sign(by) || 1) ?? this.withCards(wanted, -1);
    return { line: found ?? line, column: Math.max(0, column) };
  }

  /** Return the first line with cards from `line` on in steps of `step`, or null. */
  withCards(line, step) {
    for (let at = line; at >= 0 && at < this.lengths.length; at += step) {
      if (this.lengths[at] > 0) return at;
    }
    return null;
  }
}

function keyOf(line, column) {
  return `${line}/${column}`;
}
