/**
 * What a node remembers across a reload of the page: ids of its run, dataset and negatives.
 *
 * They lie in the node's properties, which are saved with the workflow, and in the page session's
 * storage under the workflow's and the node's id, since a workflow that is not saved may lose the
 * first.
 */

/** A memory over a Storage such as `sessionStorage`. */
export class Memory {
  /** @param {Storage|null} storage: null, or one that refuses, leaves the properties only. */
  constructor(storage) {
    this.storage = storage;
  }

  /**
   * Keep a value; null forgets it.
   *
   * @param {Object|null} node: null where the workflow that holds it is not open.
   * @param {string|null} place: says which node, across reloads.
   * @param {string} key: "scoft_run", "scoft_dataset" or "scoft_negatives".
   */
  keep(node, place, key, value) {
    if (node) {
      node.properties ??= {};
      if (value === null) delete node.properties[key];
      else if (node.properties[key] !== value) node.properties[key] = value;
    }
    if (place === null) return;
    this.attempt((storage) =>
      value === null
        ? storage.removeItem(name(place, key))
        : storage.setItem(name(place, key), value),
    );
  }

  /** Return the value last kept, or null; what this page saw counts before what was saved. */
  recall(node, place, key) {
    const seen =
      place === null ? null : this.attempt((storage) => storage.getItem(name(place, key)));
    return seen ?? node.properties?.[key] ?? null;
  }

  attempt(action) {
    try {
      return this.storage ? action(this.storage) : null;
    } catch {
      return null; // A full or forbidden storage costs the memory across reloads, nothing else.
    }
  }
}

function name(place, key) {
  return `${key}@${place}`;
}
