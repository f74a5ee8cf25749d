/**
 * Rows of one height in a scrolling box, of which only those near the window are in the page: a set
 * of thousands opens as fast as one of ten. One row can be pinned: it stays whatever is scrolled, so
 * that what has the focus never leaves the page.
 */

const MARGIN = 2;

/** The rows inside `box`, to be put into `scroller`. */
export class VirtualRows {
  /**
   * @param {Object} options
   * @param {HTMLElement} options.scroller: the scrolling element; `box` is its only tall child.
   * @param {HTMLElement} options.box: gets the rows as children.
   * @param {(index: number) => HTMLElement} options.make
   * @param {(row: HTMLElement, index: number) => void} options.drop: the row leaves the page.
   */
  constructor({ scroller, box, make, drop }) {
    this.scroller = scroller;
    this.box = box;
    this.make = make;
    this.drop = drop;
    this.rows = new Map();
    this.count = 0;
    this.height = 0;
    this.pinned = -1;
    this.asked = false;
    scroller.addEventListener("scroll", () => this.ask(), { passive: true });
  }

  /** Start anew with `count` rows; their height is that of the first one. */
  reset(count) {
    for (const index of [...this.rows.keys()]) this.remove(index);
    this.count = count;
    this.pinned = -1;
    this.measure();
    this.update();
  }

  /** Keep a row in the page. */
  pin(index) {
    this.pinned = index;
    this.update();
  }

  /** Return the row's element, or undefined where it is not in the page. */
  row(index) {
    return this.rows.get(index);
  }

  /** Scroll no further than needed for a whole row to be seen. */
  reveal(index) {
    const top = this.top(index);
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = index === 0 ? 0 : top;
    else if (top + this.height > scrollTop + clientHeight) {
      this.scroller.scrollTop = top + this.height - clientHeight;
    }
    this.update();
  }

  /** Return how many whole rows are seen at once, at least one. */
  screenful() {
    return Math.max(1, Math.floor(this.scroller.clientHeight / (this.height || 1)));
  }

  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.update();
    });
  }

  measure() {
    if (this.count === 0) {
      this.box.style.height = "0px";
      return;
    }
    const first = this.make(0);
    this.box.append(first);
    this.height = first.getBoundingClientRect().height;
    this.drop(first, 0);
    first.remove();
    this.box.style.height = `${this.height * this.count}px`;
  }

  update() {
    if (!this.box.isConnected || this.height === 0) return;
    const [from, to] = this.range();
    for (const index of [...this.rows.keys()]) {
      if ((index < from || index > to) && index !== this.pinned) this.remove(index);
    }
    for (let index = from; index <= to; index += 1) this.add(index);
    if (this.pinned >= 0 && this.pinned < this.count) this.add(this.pinned);
  }

  range() {
    const { scrollTop, clientHeight } = this.scroller;
    const above = scrollTop - this.box.offsetTop;
    const from = Math.floor(above / this.height) - MARGIN;
    const to = Math.ceil((above + clientHeight) / this.height) - 1 + MARGIN;
    return [Math.max(0, from), Math.min(this.count - 1, to)];
  }

  add(index) {
    if (this.rows.has(index)) return;
    const row = this.make(index);
    row.style.transform = `translateY(${index * this.height}px)`;
    // In their order, since a screen reader reads the page and not the picture of it.
    const after = [...this.rows.keys()].filter((other) => other > index);
    const next = after.length ? this.rows.get(Math.min(...after)) : null;
    this.box.insertBefore(row, next);
    this.rows.set(index, row);
  }

  remove(index) {
    const row = this.rows.get(index);
    this.rows.delete(index);
    this.drop(row, index);
    row.remove();
  }

  top(index) {
    return this.box.offsetTop + index * this.height;
  }
}
