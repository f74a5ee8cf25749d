/** Faults in what somebody entered. */

import { element } from "./dom.mjs";

/**
 * Return where a field's fault is said, tied to the field: `node`, and `show(sentence)`, empty for
 * none.
 *
 * @param {string} name  of the field
 * @param {HTMLInputElement} input
 * @param {string|false} help  id of what explains the field
 */
export function wrongOf(name, input, help) {
  const node = element("p.wrong", { id: `${name}-wrong`, hidden: true });
  const show = (sentence) => {
    node.textContent = sentence;
    node.hidden = !sentence;
    input.setAttribute("aria-invalid", String(Boolean(sentence)));
    const told = [help, sentence && node.id].filter(Boolean).join(" ");
    if (told) input.setAttribute("aria-describedby", told);
    else input.removeAttribute("aria-describedby");
  };
  show("");
  return { node, show };
}
