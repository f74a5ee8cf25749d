/** A native modal dialog that leaves the page again on closing and keeps its keys to itself. */

import { element } from "./dom.mjs";

/**
 * Return a dialog, in the page but not open yet.
 *
 * @param {{class: string, label: string}} options: `label` is what a screen reader calls it.
 */
export function modal({ class: name, label }) {
  const dialog = element("dialog", {
    class: `scoft-root scoft-dialog ${name}`,
    "aria-label": label,
  });
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  // The canvas listens on the window: a Delete here must not delete a node there.
  for (const kind of ["keydown", "keyup", "keypress", "paste", "copy"]) {
    dialog.addEventListener(kind, (event) => event.stopPropagation());
  }
  document.body.append(dialog);
  return dialog;
}
