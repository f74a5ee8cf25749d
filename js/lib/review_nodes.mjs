/**
 * The nodes that hand on a dataset: a line about it, and a button that opens the gallery. Which
 * dataset it is, the node learns when it runs; the loader finds its own by name before that.
 */

import { button, element, setText } from "./dom.mjs";
import { count } from "./format.mjs";
import { openGallery } from "./gallery.mjs";
import { addView, chain } from "./graph.mjs";

const DATASET = "scoft_dataset";
const NEGATIVES = "scoft_negatives";
const LOADER = "ScoftLoadDataset";
const DRAWER = "ScoftDrawNegatives";
const HEIGHT = 62;

/** The classes of the nodes that get a button. */
export const REVIEWED = [
  LOADER,
  "ScoftDownloadDataset",
  "ScoftLoadMiniature",
  "ScoftCaption",
  "ScoftDepthMaps",
  DRAWER,
];

/** All nodes with a dataset. */
export class ReviewNodes {
  /** Options as of RunNodes. */
  constructor({ server, memory, placeOf }) {
    this.server = server;
    this.memory = memory;
    this.placeOf = placeOf;
    this.entries = new Map();
  }

  /** Give a new node its line and button. */
  attach(node) {
    const entry = { node, dataset: null, negatives: null, loader: nameWidget(node) };
    this.build(entry);
    this.entries.set(node, entry);
    addView(node, "scoft_review", entry.element, { least: HEIGHT, most: HEIGHT });
    chain(node, "onRemoved", () => this.entries.delete(node));
    chain(node, "onExecuted", (output) => {
      const ids = output?.scoft?.[0];
      if (ids?.dataset) this.follow(entry, ids.dataset, ids.negatives ?? null);
    });
    if (entry.loader) chain(entry.loader, "callback", () => this.forget(entry));
  }

  build(entry) {
    const shows = entry.node.comfyClass === DRAWER ? "Review negatives" : "Review pictures";
    entry.line = element("p", { class: "scoft-review-line", dir: "auto", role: "status" });
    entry.button = button(shows, { on: { click: () => this.open(entry) } });
    entry.element = element("div", { class: "scoft-root scoft-review" }, entry.line, entry.button);
    this.render(entry, null);
  }

  /** Look for the dataset that a node of a loaded workflow had. */
  loaded(node) {
    const entry = this.entries.get(node);
    if (!entry) return Promise.resolve();
    const place = this.placeOf(node);
    const dataset = this.memory.recall(node, place, DATASET);
    if (!dataset) return Promise.resolve();
    entry.dataset = dataset;
    entry.negatives = this.memory.recall(node, place, NEGATIVES);
    return this.refresh(entry);
  }

  follow(entry, dataset, negatives) {
    entry.dataset = dataset;
    entry.negatives = negatives;
    const place = this.placeOf(entry.node);
    this.memory.keep(entry.node, place, DATASET, dataset);
    this.memory.keep(entry.node, place, NEGATIVES, negatives);
    return this.refresh(entry);
  }

  forget(entry) {
    entry.dataset = null;
    entry.negatives = null;
    const place = this.placeOf(entry.node);
    this.memory.keep(entry.node, place, DATASET, null);
    this.memory.keep(entry.node, place, NEGATIVES, null);
    this.render(entry, null);
  }

  async refresh(entry) {
    const asked = entry.dataset;
    try {
      const dataset = await this.server.dataset(asked);
      if (entry.dataset === asked) this.render(entry, dataset);
    } catch (error) {
      if (error.status === 404 && entry.dataset === asked) this.forget(entry);
    }
  }

  async open(entry) {
    if (entry.isOpening) return;
    // The button is not disabled meanwhile: it would lose the focus that comes back to it later.
    entry.isOpening = true;
    try {
      if (entry.loader) {
        const { dataset } = await this.server.openDataset(entry.loader.value);
        if (dataset !== entry.dataset) await this.follow(entry, dataset, null);
      }
      await openGallery({
        server: this.server,
        dataset: entry.dataset,
        negatives: entry.negatives,
        folder: entry.loader?.value ?? null,
        onClose: () => this.refresh(entry),
      });
    } catch (error) {
      setText(entry.line, error.message);
      entry.line.classList.add("scoft-error");
    }
    entry.isOpening = false;
  }

  render(entry, dataset) {
    entry.line.classList.remove("scoft-error");
    setText(entry.line, dataset ? summary(dataset, entry.negatives) : hint(entry));
    entry.line.title = dataset ? entry.line.textContent : "";
    entry.button.disabled = !canOpen(entry);
  }
}

/** Return a dataset in one line, with the counts of one set of negatives where it is named. */
export function summary(dataset, negatives = null) {
  const parts = [`${dataset.name}: ${count(dataset.kept, "picture")}`];
  if (dataset.left_out) parts.push(`${dataset.left_out} left out`);
  if (dataset.undecided) parts.push(`${dataset.undecided} undecided`);
  const set = dataset.sets?.find((one) => one.negatives === negatives);
  if (set) {
    const all = set.kept + set.dropped + set.undecided;
    parts.push(`${set.kept} of ${count(all, "negative")} kept`);
  }
  return parts.join(" · ");
}

function nameWidget(node) {
  if (node.comfyClass !== LOADER) return null;
  return node.widgets?.find((widget) => widget.name === "dataset") ?? null;
}

function canOpen(entry) {
  return Boolean(entry.loader || entry.dataset);
}

function hint(entry) {
  return entry.loader
    ? "Look at what the folder holds."
    : "Queue the graph once to see its pictures.";
}
