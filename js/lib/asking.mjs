/** Small dialogs of the review desk that ask a person something; each resolves with the answer. */

import { button, element } from "./dom.mjs";
import { modal } from "./modal.mjs";

/** Why a picture is left out. */
export const ROW_REASONS = [
  "not our culture",
  "stereotype",
  "poor picture",
  "duplicate",
  "no consent",
  "caption does not fit",
];

/** Why a negative is dropped. */
export const NEGATIVE_REASONS = [
  "shows our culture after all",
  "poor drawing",
  "not the same scene",
  "offensive",
];

/** Why something is kept, where someone wants to say it. */
export const KEEP_REASONS = ["good example", "agreed on in the community", "checked again"];

/**
 * Ask for a reason: one of a short list, free words, both or neither.
 *
 * @param {{title: string, action: string, reasons: string[]}} options: `action` is on the button.
 * @returns {Promise<string|null>} the reason, "" for none; null where the person thought better.
 */
export function askReason({ title, action, reasons }) {
  const choices = ["", ...reasons].map((reason, index) =>
    element(
      "label",
      { class: "scoft-choice" },
      element("input", { type: "radio", name: "reason", value: reason, checked: index === 0 }),
      element("kbd", { "aria-hidden": "true", text: index }),
      reason || "no reason given",
    ),
  );
  const radios = choices.map((choice) => choice.querySelector("input"));
  const words = element("input", {
    class: "scoft-input",
    type: "text",
    dir: "auto",
    maxlength: "500",
    autocomplete: "off",
  });
  const answer = ask({
    title,
    action,
    first: radios[0],
    fields: [
      element(
        "fieldset",
        { class: "scoft-choices" },
        element("legend", { text: "Why? (digits choose)" }),
        ...choices,
      ),
      element("label", { class: "scoft-field" }, "In your own words", words),
    ],
    read: () =>
      [radios.find((radio) => radio.checked).value, words.value.trim()].filter(Boolean).join(": "),
    onKey: (event) => {
      const radio = event.target === words ? null : radios[Number.parseInt(event.key, 10)];
      if (!radio) return;
      radio.checked = true;
      radio.focus();
    },
  });
  return answer;
}

/** Ask who reviews; resolves with the name, which may be empty, or null where nobody answered. */
export function askName(name) {
  const input = element("input", {
    class: "scoft-input",
    type: "text",
    dir: "auto",
    maxlength: "80",
    autocomplete: "nickname",
    value: name,
  });
  return ask({
    title: "Who is reviewing?",
    action: "Go on",
    first: input,
    fields: [
      element("label", { class: "scoft-field" }, "Your name or nickname; may be empty", input),
      element("p", {
        class: "scoft-muted",
        text: "It is written beside each of your decisions and remembered in this browser.",
      }),
    ],
    read: () => input.value.trim(),
  });
}

/**
 * Ask whether to go on without what could not be saved; resolves with true or null.
 *
 * @param {string} failure: the sentence that says why it was not saved, "" where nothing does.
 */
export function askToDiscard(failure) {
  return ask({
    title: "Not saved",
    action: "Discard what I typed",
    refusal: "Stay here",
    fields: [
      failure ? element("p", { class: "scoft-error", dir: "auto", text: failure }) : null,
      element("p", { text: "What you typed could not be saved. Go on without it?" }),
    ],
    read: () => true,
  });
}

/**
 * Ask by a form of `fields`. Without `first`, a field to begin with, the safe answer is the button
 * that has the focus and stands out.
 */
function ask({ title, action, fields, read, refusal = "Cancel", first = null, onKey = () => {} }) {
  const dialog = modal({ class: "scoft-ask", label: title });
  let answer = null;
  const plain = "scoft-button";
  const strong = "scoft-button scoft-primary";
  const cancel = button(refusal, {
    class: first ? plain : strong,
    on: { click: () => dialog.close() },
  });
  const form = element(
    "form",
    { class: "scoft-ask-body", method: "dialog" },
    element("h2", { class: "scoft-heading", text: title }),
    ...fields.filter(Boolean),
    element(
      "div",
      { class: "scoft-row scoft-ask-foot" },
      button(action, { type: "submit", class: first ? strong : plain }),
      cancel,
    ),
  );
  form.addEventListener("submit", () => {
    answer = read();
  });
  dialog.addEventListener("keydown", onKey);
  dialog.append(form);
  dialog.showModal();
  (first ?? cancel).focus();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(answer));
  });
}
