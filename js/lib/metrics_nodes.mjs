/**
 * The nodes that show scores: which grid each one shows, and how that is found again after a reload.
 * The host's objects are passed in.
 */

import { addView, chain } from "./graph.mjs";
import { ScoreView } from "./score_view.mjs";

const GRID = "scoft_grid";
const BASELINE = "scoft_baseline";
const COMPARER = "ScoftCompareModels";
const IDLE_HEIGHT = 84;

/** The classes of the nodes. */
export const SCORED = ["ScoftMetrics", COMPARER];

/** All nodes with scores. */
export class MetricsNodes {
  /** Options as of RunNodes. */
  constructor({ server, memory, placeOf }) {
    this.server = server;
    this.memory = memory;
    this.placeOf = placeOf;
    this.entries = new Map();
  }

  /** Give a new node its view. */
  attach(node) {
    const entry = { node, asked: 0 };
    entry.view = new ScoreView({
      server: this.server,
      compares: node.comfyClass === COMPARER,
      onHeight: () => node.setDirtyCanvas?.(true, true),
    });
    this.entries.set(node, entry);
    addView(node, "scoft_scores_view", entry.view.element, {
      least: (margin) => Math.max(IDLE_HEIGHT, entry.view.minHeight() + 2 * margin),
    });
    chain(node, "onRemoved", () => {
      entry.view.destroy();
      this.entries.delete(node);
    });
    chain(node, "onExecuted", (output) => {
      const found = output?.scoft?.[0];
      if (!found?.grid) return;
      this.keep(node, found.grid, found.baseline ?? null);
      this.fetch(entry, found.grid, found.baseline ?? null);
    });
  }

  /** Show again what a node of a loaded workflow found. */
  loaded(node) {
    const entry = this.entries.get(node);
    const place = this.placeOf(node);
    const grid = entry ? this.memory.recall(node, place, GRID) : null;
    if (!grid) return Promise.resolve();
    return this.fetch(entry, grid, this.memory.recall(node, place, BASELINE));
  }

  keep(node, grid, baseline) {
    const place = this.placeOf(node);
    this.memory.keep(node, place, GRID, grid);
    this.memory.keep(node, place, BASELINE, baseline);
  }

  /** Ask for a grid's scores; of several questions the answer to the last counts. */
  async fetch(entry, grid, baseline) {
    entry.asked += 1;
    const { asked } = entry;
    const isLast = () => this.entries.has(entry.node) && entry.asked === asked;
    try {
      const scores = await this.server.scores(grid, baseline);
      if (isLast()) entry.view.show(scores);
    } catch (error) {
      if (isLast()) entry.view.complain(error.message);
    }
  }
}
