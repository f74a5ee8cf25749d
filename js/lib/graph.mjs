/**
 * Nodes of a graph by the ids that the server uses: "3", or "7:3" for node 3 inside subgraph node 7.
 * Graphs and nodes are the front end's; only `getNodeById`, `nodes`, `subgraph` and `id` are used.
 */

/** Return the node of an execution id, or null where the open workflow has none. */
export function findNode(graph, executionId) {
  let node = null;
  let inside = graph;
  for (const part of String(executionId).split(":")) {
    // Ids are numbers in saved files, and strings in some versions of the front end.
    node = inside?.getNodeById?.(Number(part)) ?? inside?.getNodeById?.(part) ?? null;
    inside = node?.subgraph;
  }
  return node;
}

/** Return a node's execution id, or null; of several, as in a subgraph used twice, the first. */
export function executionIdOf(graph, wanted, prefix = "") {
  for (const node of graph?.nodes ?? graph?._nodes ?? []) {
    const id = `${prefix}${node.id}`;
    if (node === wanted) return id;
    const inside = node.subgraph ? executionIdOf(node.subgraph, wanted, `${id}:`) : null;
    if (inside) return inside;
  }
  return null;
}

/** Call `added` after a callback that an object may have, and keep the callback's answer. */
export function chain(target, name, added) {
  const before = target[name];
  target[name] = function (...values) {
    const answer = before?.apply(this, values);
    added.apply(this, values);
    return answer;
  };
}

/**
 * Put an element on a node, as a widget that is neither in a saved workflow nor in a queued prompt.
 *
 * @param {Object} node: of the front end.
 * @param {string} name: of the widget; its type is the same in capital letters.
 * @param {Element} shown: what stands on the node.
 * @param {Object} heights: `least`, a number or (margin) => number, and `most` where it may not grow.
 */
export function addView(node, name, shown, { least, most }) {
  const height = typeof least === "function" ? () => least(widget?.margin ?? 10) : () => least;
  const widget = node.addDOMWidget(name, name.toUpperCase(), shown, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: height,
    ...(most ? { getMaxHeight: () => most } : {}),
  });
  // The option keeps it out of the queued prompt, this out of the saved workflow.
  widget.serialize = false;
}
