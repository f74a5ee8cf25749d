/**
 * Presets on the training node: whoever chooses one gets its values into the node's widgets.
 * Loading a workflow, in either form, chooses nothing: its values stay as they were saved.
 */

import { chain } from "./graph.mjs";

/**
 * Return what choosing a preset changes, as [[widget, value]].
 *
 * A preset stands on the defaults: what only other presets set goes back to its default.
 *
 * @param {Array<{name: string, value: any}>} widgets
 * @param {Object} presets: name -> {widget name: value}
 * @param {string} chosen
 * @param {(name: string) => any} defaultOf: a widget's default, undefined where it has none.
 */
export function presetChanges(widgets, presets, chosen, defaultOf) {
  const values = presets[chosen] ?? {};
  if (Object.keys(values).length === 0) return [];
  const touched = new Set(Object.values(presets).flatMap((preset) => Object.keys(preset)));
  return widgets
    .filter((widget) => touched.has(widget.name))
    .map((widget) => [widget, widget.name in values ? values[widget.name] : defaultOf(widget.name)])
    .filter(([widget, value]) => value !== undefined && widget.value !== value);
}

/**
 * Fill the node's widgets whenever a person chooses another preset.
 *
 * @param {Object} node: with `widgets`, one of them called `preset`.
 * @param {() => Promise<Object>} presets
 * @param {(error: Error) => void} onError
 */
export function attachPresets(node, presets, onError) {
  const chooser = node.widgets?.find((widget) => widget.name === "preset");
  if (!chooser) return;
  let last = chooser.value;
  chain(node, "onConfigure", () => {
    last = chooser.value;
  });
  const others = togetherWith(node.widgets.filter((widget) => widget !== chooser));
  chain(chooser, "callback", async (value) => {
    // The front end also calls back with a value that is not new, say at each queueing.
    if (value === last) return;
    last = value;
    if (await others()) return;
    try {
      const found = await presets();
      if (last !== value) return;
      for (const [widget, wanted] of presetChanges(node.widgets, found, value, defaultsOf(node))) {
        widget.value = wanted;
        widget.callback?.(wanted);
      }
      node.setDirtyCanvas?.(true, true);
    } catch (error) {
      onError(error);
    }
  });
}

/**
 * Return a function that resolves, when the page's present task is over, to whether any of these
 * widgets was set in it: a graph in API form is loaded widget by widget, all in one task, and a
 * person sets one.
 */
function togetherWith(widgets) {
  const nextTask = () => new Promise((resolve) => setTimeout(resolve));
  let set = false;
  for (const widget of widgets) {
    chain(widget, "callback", () => {
      set = true;
      nextTask().then(() => {
        set = false;
      });
    });
  }
  return async () => {
    if (set) return true;
    await nextTask();
    return set;
  };
}

function defaultsOf(node) {
  const { inputs = {}, input = {} } = node.constructor.nodeData ?? {};
  const first = { ...input.optional, ...input.required };
  return (name) => inputs[name]?.default ?? first[name]?.[1]?.default;
}
