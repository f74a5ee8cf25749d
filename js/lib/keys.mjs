/** The review desk's keys: which letter a key stroke is, whether someone types, and their list. */

import { button, element } from "./dom.mjs";
import { modal } from "./modal.mjs";

const KEYS = [
  [
    "Everywhere",
    [
      ["?", "show these keys"],
      ["Ctrl+Z", "undo the last change, as often as you like"],
      ["Tab, Shift+Tab", "go on to the next control, or back"],
      ["Esc", "go back: out of a field, to all pictures, out of the desk"],
    ],
  ],
  [
    "Among the pictures or negatives",
    [
      ["← → ↑ ↓", "go to the next one in that direction"],
      ["Home, End", "to the first or last of the line; with Ctrl, of all"],
      ["Page Up, Page Down", "a screen up or down"],
      ["Enter", "look at it alone, large"],
      ["/", "search in the captions"],
    ],
  ],
  [
    "On a picture or negative",
    [
      ["K", "keep"],
      ["D", "leave out; you may say why"],
      ["U", "undecided: take the decision back"],
      ["W", "say why for the decision that holds"],
      ["E", "edit (pictures)"],
    ],
  ],
  [
    "Looking at one picture",
    [
      ["← →, Page Up, Page Down", "the previous or the next picture; what you typed is saved"],
      ["Ctrl+S", "save what you typed"],
    ],
  ],
];

const WITHOUT_TYPING = ["button", "checkbox", "radio", "range", "submit"];

/**
 * Return the Latin letter of a key stroke without Ctrl, Alt or Meta, or null.
 *
 * Where the keyboard writes another script, the letter printed on a Latin one counts, so that nobody
 * has to switch it.
 */
export function letterOf(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return null;
  if (/^[a-z]$/i.test(event.key)) return event.key.toLowerCase();
  return /^Key[A-Z]$/.test(event.code) ? event.code.slice(3).toLowerCase() : null;
}

/** Tell whether a key stroke goes into a field, so that no shortcut may take it. */
export function isTyping({ target }) {
  if (target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName)) return true;
  return target.tagName === "INPUT" && !WITHOUT_TYPING.includes(target.type);
}

/** Tell whether a key stroke is Ctrl, or Cmd, with this letter and nothing else. */
export function isCommand(event, letter) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return false;
  return event.key.toLowerCase() === letter || event.code === `Key${letter.toUpperCase()}`;
}

/** Return 1 or -1 for the arrow that leads on or back in the direction of writing, else 0. */
export function stepOf({ key }, inside) {
  const onward = getComputedStyle(inside).direction === "rtl" ? "ArrowLeft" : "ArrowRight";
  if (key === onward) return 1;
  return key === "ArrowLeft" || key === "ArrowRight" ? -1 : 0;
}

/** Open the list of keys. */
export function showKeys() {
  const dialog = modal({ class: "scoft-ask scoft-keys", label: "Keys" });
  dialog.append(
    element(
      "header",
      { class: "scoft-dialog-head" },
      element("h2", { class: "scoft-title", text: "Keys" }),
      button("Close", { on: { click: () => dialog.close() } }),
    ),
    element(
      "div",
      { class: "scoft-ask-body", tabindex: "0", role: "region", "aria-label": "List of keys" },
      ...KEYS.map(([where, keys]) => section(where, keys)),
    ),
  );
  dialog.showModal();
}

function section(where, keys) {
  return element(
    "section",
    {},
    element("h3", { class: "scoft-heading", text: where }),
    element(
      "dl",
      { class: "scoft-key-list" },
      ...keys.flatMap(([key, does]) => [
        element("dt", {}, ...key.split(", ").map((one) => element("kbd", { text: one }))),
        element("dd", { text: does }),
      ]),
    ),
  );
}
