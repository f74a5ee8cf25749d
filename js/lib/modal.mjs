/** A native modal dialog that leaves the page again on closing and keeps its keys to itself. */

import { element } from "./dom.mjs";

/**
 * Return a dialog, in the page but not open yet.
 *
 * @param {Object} options
 * @param {string} options.class
 * @param {string} options.label: what a screen reader calls it.
 * @param {(() => void)|null} options.leave: called in place of closing when a person wants out by a
 *   click beside the dialog or the browser's way back; it may save something first. Such a dialog
 *   takes Escape itself, since a browser asks only once whether it may close.
 */
export function modal({ class: name, label, leave = null }) {
  const dialog = element("dialog", {
    class: `scoft-root scoft-dialog ${name}`,
    // The words here are English whatever the host's page speaks; captions say what they are.
    lang: "en",
    dir: "ltr",
    "aria-label": label,
  });
  const out = leave ?? (() => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) out();
  });
  if (leave) {
    dialog.addEventListener("cancel", (event) => {
      if (event.target !== dialog) return;
      event.preventDefault();
      leave();
    });
  }
  // The canvas listens on the window: a Delete here must not delete a node there.
  for (const kind of ["keydown", "keyup", "keypress", "paste", "copy"]) {
    dialog.addEventListener(kind, (event) => event.stopPropagation());
  }
  document.body.append(dialog);
  return dialog;
}
