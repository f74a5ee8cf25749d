/**
 * A line chart as SVG: curves over steps, raw values faint and smoothed ones on top, a legend that
 * switches curves, tick marks, and a cursor for mouse and arrow keys. What is drawn comes in as
 * curves ({key, label, points, sparse, marks}); colours come from the style sheet, by key. A curve
 * may have `intervals` ([[step, low, high]]) around its points, or in place of points a `level`, a
 * value that does not depend on the step.
 */

import { button, element, replaceChildren, setText, svgElement } from "./dom.mjs";
import { count, formatNumber, isNumber } from "./format.mjs";
import {
  domainOf,
  drawable,
  linearTicks,
  logTicks,
  nearest,
  scale,
  smooth,
  thin,
} from "./series.mjs";

const MARGIN = { left: 46, right: 10, top: 8, bottom: 20 };
const FEW = 60; // Up to so many raw values of a sparse curve are drawn as dots, too.

/** A chart in `element`; give it curves with `update`, and take it away with `destroy`. */
export class Chart {
  /**
   * @param {Object} options
   * @param {() => void} options.onToggle: called when the legend switched a curve.
   * @param {string} options.newest: what the legend calls the values of the last steps.
   */
  constructor({ onToggle = () => {}, newest = "Newest values" } = {}) {
    this.hidden = new Set();
    this.onToggle = onToggle;
    this.newest = newest;
    this.curves = [];
    this.view = { log: false, smoothing: 0, mark: null };
    this.cursor = null;
    this.size = { width: 360, height: 170 };
    this.build();
    this.watcher = new ResizeObserver(([entry]) => this.resize(entry.contentRect));
    this.watcher.observe(this.plot);
  }

  build() {
    this.svg = svgElement("svg", {
      class: "scoft-chart-svg",
      role: "img",
      "aria-label": "No values yet",
    });
    this.plot = element(
      "div",
      {
        class: "scoft-chart-plot",
        tabindex: "0",
        role: "group",
        "aria-label": "Chart; left and right arrow keys read single steps",
        on: {
          pointermove: (event) => this.point(event),
          pointerleave: () => this.moveCursor(null),
          keydown: (event) => this.key(event),
          blur: () => this.moveCursor(null),
        },
      },
      this.svg,
    );
    this.readout = element("p", { class: "scoft-spoken", role: "status" });
    this.legendCaption = element("p", {
      class: "scoft-muted scoft-legend-caption",
      "aria-hidden": "true",
    });
    this.legend = element("div", { class: "scoft-legend", role: "group", "aria-label": "Curves" });
    this.note = element("p", { class: "scoft-muted scoft-chart-note", hidden: true });
    this.element = element(
      "div",
      { class: "scoft-chart" },
      this.plot,
      this.readout,
      this.legendCaption,
      this.legend,
      this.note,
    );
  }

  destroy() {
    this.watcher.disconnect();
  }

  resize({ width, height }) {
    if (width < 40 || height < 40) return;
    this.size = { width: Math.round(width), height: Math.round(height) };
    this.draw();
  }

  /**
   * Show curves.
   *
   * @param {Array} curves
   * @param {Object} view: {log: bool, smoothing: [0, 1), mark: a step to point out, or null}
   */
  update(curves, view) {
    this.curves = curves;
    this.view = view;
    this.drawLegend();
    this.draw();
  }

  shown() {
    return this.curves.filter((curve) => !this.hidden.has(curve.key));
  }

  drawLegend() {
    const present = [...this.legend.children].map((child) => child.dataset.key);
    const wanted = this.curves.map((curve) => curve.key);
    if (present.join() !== wanted.join()) {
      replaceChildren(this.legend, ...this.curves.map((curve) => this.legendButton(curve)));
    }
    this.curves.forEach((curve, index) => {
      this.legend.children[index].setAttribute("aria-pressed", String(!this.hidden.has(curve.key)));
    });
    this.drawValues();
  }

  /** Put values into the legend: those of the step under the cursor, else the newest ones. */
  drawValues() {
    const { smoothing } = this.view;
    const newest = smoothing > 0 ? `${this.newest}, smoothed` : this.newest;
    setText(this.legendCaption, this.cursor === null ? newest : `Values at step ${this.cursor}`);
    this.curves.forEach((curve, index) => {
      const value =
        this.cursor === null ? lastSmoothed(curve, smoothing) : valueAt(curve, this.cursor);
      setText(this.legend.children[index].lastElementChild, formatNumber(value));
    });
  }

  legendButton(curve) {
    return button(
      "",
      {
        class: `scoft-legend-item scoft-curve-${curve.key}`,
        "data-key": curve.key,
        on: { click: () => this.toggle(curve.key) },
      },
      element("span", { class: "scoft-swatch", "aria-hidden": "true" }),
      element("span", { text: curve.label }),
      element("span", { class: "scoft-legend-value" }),
    );
  }

  toggle(key) {
    if (!this.hidden.delete(key)) this.hidden.add(key);
    this.drawLegend();
    this.draw();
    this.onToggle();
  }

  draw() {
    const { width, height } = this.size;
    const { log, smoothing } = this.view;
    const shown = this.shown().map((curve) => {
      // Values that have no place on the scale count in the mean all the same.
      const smoothes = smoothing > 0 && curve.points.length > 1 && !curve.marks;
      const smoothed = smoothes ? drawable(smooth(curve.points, smoothing), log) : [];
      return { ...curve, raw: drawable(curve.points, log), smoothed };
    });
    const last = Math.max(1, this.lastStep(shown));
    this.x = scale([Math.min(1, last - 1), last], [MARGIN.left, width - MARGIN.right]);
    const inside = [MARGIN.left, width - MARGIN.right];
    const columns = Math.max(20, inside[1] - inside[0]);
    const domain = domainOf(values(shown, log), log);
    const y = scale(domain, [height - MARGIN.bottom, MARGIN.top], log);
    this.y = y;
    const lines = [];
    for (const curve of shown) {
      const steps = [0, last];
      lines.push(...this.curveLines(curve, thin(curve.raw, columns / 2, steps), y, false));
      lines.push(...this.curveLines(curve, thin(curve.smoothed, columns / 2, steps), y, true));
      lines.push(...this.intervalLines(curve, y), ...this.levelLine(curve, y));
    }
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.cursorLayer = svgElement("g", { class: "scoft-cursor" });
    replaceChildren(
      this.svg,
      this.grid(domain, y, last, log),
      this.markLine(),
      svgElement("g", {}, ...lines),
      lines.length
        ? null
        : svgElement("text", {
            class: "scoft-tick",
            x: width / 2,
            y: height / 2,
            "text-anchor": "middle",
            text: this.emptyText(),
          }),
      this.cursorLayer,
    );
    this.describe(shown);
    this.moveCursor(this.cursor);
  }

  emptyText() {
    if (this.curves.length === 0) return "No values yet";
    return this.shown().length ? "No values above 0" : "Every curve is switched off";
  }

  lastStep(shown) {
    return Math.max(0, ...shown.map((curve) => curve.points.at(-1)?.[0] ?? 0));
  }

  curveLines(curve, points, y, smoothed) {
    if (points.length === 0) return [];
    const faint = !smoothed && this.view.smoothing > 0 && !curve.marks;
    const kind = `scoft-curve-${curve.key}${faint ? " scoft-faint" : ""}`;
    const path = points
      .map(
        ([step, value], index) => `${index ? "L" : "M"}${round(this.x(step))} ${round(y(value))}`,
      )
      .join("");
    const parts = [
      svgElement("path", { class: `scoft-line ${kind}`, d: path, "data-key": curve.key }),
    ];
    const dots = points.length === 1 || (!smoothed && curve.sparse && points.length <= FEW);
    if (dots) {
      parts.push(
        ...points.map(([step, value]) =>
          svgElement("circle", {
            class: `scoft-dot ${kind}`,
            cx: round(this.x(step)),
            cy: round(y(value)),
            r: curve.marks ? 3 : 2,
          }),
        ),
      );
    }
    return parts;
  }

  intervalLines(curve, y) {
    return drawable(curve.intervals ?? [], this.view.log).map(([step, low, high]) =>
      svgElement("line", {
        class: `scoft-line scoft-interval scoft-curve-${curve.key}`,
        x1: round(this.x(step)),
        x2: round(this.x(step)),
        y1: round(y(low)),
        y2: round(y(high)),
      }),
    );
  }

  levelLine(curve, y) {
    if (drawable([[0, curve.level]], this.view.log).length === 0) return [];
    const place = round(y(curve.level));
    const kind = `scoft-line scoft-level scoft-curve-${curve.key}`;
    const { width } = this.size;
    return [
      svgElement("line", {
        class: kind,
        x1: MARGIN.left,
        x2: width - MARGIN.right,
        y1: place,
        y2: place,
      }),
    ];
  }

  /** The step that is pointed out, as a line from top to bottom. */
  markLine() {
    if (!isNumber(this.view.mark)) return null;
    const place = round(this.x(this.view.mark));
    return svgElement("line", {
      class: "scoft-mark",
      x1: place,
      x2: place,
      y1: MARGIN.top,
      y2: this.size.height - MARGIN.bottom,
    });
  }

  grid(domain, y, last, log) {
    const { width, height } = this.size;
    const group = svgElement("g", { class: "scoft-grid", "aria-hidden": "true" });
    const rows = Math.max(2, Math.floor((height - MARGIN.top - MARGIN.bottom) / 34));
    for (const tick of log ? logTicks(domain, rows) : linearTicks(domain, rows)) {
      const place = round(y(tick));
      group.append(
        svgElement("line", { x1: MARGIN.left, x2: width - MARGIN.right, y1: place, y2: place }),
        svgElement("text", {
          class: "scoft-tick",
          x: MARGIN.left - 6,
          y: place + 3.5,
          "text-anchor": "end",
          text: formatNumber(tick),
        }),
      );
    }
    const wanted = Math.max(2, Math.floor((width - MARGIN.left) / 45));
    for (const tick of linearTicks([Math.min(1, last - 1), last], wanted, true)) {
      if (tick === 0) continue;
      const place = round(this.x(tick));
      const anchor = place > width - MARGIN.right - 12 ? "end" : "middle";
      group.append(
        svgElement("line", {
          x1: place,
          x2: place,
          y1: height - MARGIN.bottom,
          y2: height - MARGIN.bottom + 4,
        }),
        svgElement("text", {
          class: "scoft-tick",
          x: place,
          y: height - 5,
          "text-anchor": anchor,
          text: tick,
        }),
      );
    }
    return group;
  }

  describe(shown) {
    const newest = shown
      .map((curve) => [curve.label, curve.level ?? curve.points.at(-1)?.[1]])
      .filter(([, value]) => isNumber(value))
      .map(([label, value]) => `${label} ${formatNumber(value)}`);
    const scaleName = this.view.log ? "logarithmic" : "linear";
    this.svg.setAttribute(
      "aria-label",
      newest.length
        ? `Up to step ${this.lastStep(shown)}, ${scaleName} scale; ${this.newest.toLowerCase()}: ${newest.join(", ")}`
        : this.emptyText(),
    );
    const lost = shown.reduce((sum, curve) => sum + curve.points.length - curve.raw.length, 0);
    this.note.hidden = lost === 0;
    setText(
      this.note,
      lost ? `A logarithmic scale has no place for ${count(lost, "value")} at or below 0.` : "",
    );
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    if (!box.width) return;
    // The canvas scales its nodes, so that a screen pixel need not be one of the drawing's.
    const place = ((event.clientX - box.left) / box.width) * this.size.width;
    const first = this.x(0);
    this.moveCursor((place - first) / (this.x(1) - first));
  }

  key(event) {
    const steps = {
      ArrowLeft: -1,
      ArrowRight: 1,
      PageUp: 10,
      PageDown: -10,
      Home: -Infinity,
      End: Infinity,
    };
    const move = steps[event.key];
    if (move === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const all = this.steps();
    if (all.length === 0) return;
    const at = this.cursor === null ? all.length : all.findIndex((step) => step >= this.cursor);
    this.moveCursor(all[Math.min(all.length - 1, Math.max(0, at + move))]);
  }

  /** Return all steps that some shown curve has a value at, in order. */
  steps() {
    const found = new Set(this.shown().flatMap((curve) => curve.points.map(([step]) => step)));
    return [...found].sort((a, b) => a - b);
  }

  /** Put the cursor on the step nearest to `step`, or take it away (null). */
  moveCursor(step) {
    const found = step === null ? [] : this.shown().map((curve) => nearest(curve.points, step));
    const steps = found.filter(Boolean).map(([value]) => value);
    if (steps.length === 0) {
      this.cursor = null;
      replaceChildren(this.cursorLayer);
      setText(this.readout, "");
    } else {
      this.cursor = steps.reduce((a, b) => (Math.abs(b - step) < Math.abs(a - step) ? b : a));
      this.showCursor();
    }
    this.drawValues();
  }

  showCursor() {
    const { log } = this.view;
    const place = round(this.x(this.cursor));
    const texts = [];
    const dots = [];
    for (const curve of this.shown()) {
      const value = valueAt(curve, this.cursor);
      if (value === undefined) continue;
      texts.push(`${curve.label} ${formatNumber(value)}`);
      if (!isNumber(curve.level) && drawable([[this.cursor, value]], log).length) {
        dots.push(
          svgElement("circle", {
            class: `scoft-dot scoft-curve-${curve.key}`,
            cx: place,
            cy: round(this.y(value)),
            r: 3.5,
          }),
        );
      }
    }
    replaceChildren(
      this.cursorLayer,
      svgElement("line", {
        x1: place,
        x2: place,
        y1: MARGIN.top,
        y2: this.size.height - MARGIN.bottom,
      }),
      ...dots,
    );
    setText(this.readout, `Step ${this.cursor}: ${texts.join(", ")}`);
  }
}

function lastSmoothed(curve, smoothing) {
  if (isNumber(curve.level)) return curve.level;
  return smooth(curve.points, curve.marks ? 0 : smoothing).at(-1)?.[1];
}

function valueAt(curve, step) {
  if (isNumber(curve.level)) return curve.level;
  const point = nearest(curve.points, step);
  return point?.[0] === step ? point[1] : undefined;
}

function* values(curves, log) {
  for (const { raw, smoothed, intervals = [], level } of curves) {
    for (const [, value] of raw) yield value;
    for (const [, value] of smoothed) yield value;
    for (const [, ...both] of drawable(intervals, log)) yield* both;
    if (drawable([[0, level]], log).length) yield level;
  }
}

function round(value) {
  return Math.round(value * 10) / 10;
}
