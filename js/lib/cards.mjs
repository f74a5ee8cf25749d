/** The cards of the review desk's grids: a picture, its state, what is said of it, and two buttons. */

import { button, element, setText } from "./dom.mjs";

const SIGNS = { kept: "✓", dropped: "✕", undecided: "?" };

/**
 * Return {element, update} of a picture that can be kept or left out.
 *
 * @param {Object} options
 * @param {string} options.source: the picture's address.
 * @param {string} options.name: which one it is, for the buttons' names, say "row 17".
 * @param {string} options.dropWord: what the second button says.
 * @param {() => {state: string, badge: string, marks: Node[], body: Node[]}} options.look
 * @param {(letter: "k"|"d") => void} options.decide
 */
export function decidableCard({ source, name, dropWord, look, decide }) {
  const badge = element("span", { class: "scoft-badge" });
  const sign = element("span", { class: "scoft-sign", "aria-hidden": "true" });
  const marks = element("span", { class: "scoft-marks" });
  const body = element("div", { class: "scoft-card-body" });
  const words = element("span");
  badge.append(sign, words);
  const keep = decision("Keep", name, () => decide("k"));
  const drop = decision(dropWord, name, () => decide("d"));
  const card = element(
    "div",
    { class: "scoft-card" },
    element("div", { class: "scoft-card-picture" }, cardPicture(source), badge, marks),
    body,
    element("div", { class: "scoft-card-buttons" }, keep, drop),
  );

  function update() {
    const { state, badge: text, marks: shown, body: said } = look();
    card.dataset.state = state;
    setText(sign, SIGNS[state]);
    setText(words, text);
    marks.replaceChildren(...shown);
    body.replaceChildren(...said);
    keep.setAttribute("aria-pressed", String(state === "kept"));
    drop.setAttribute("aria-pressed", String(state === "dropped"));
  }

  update();
  return { element: card, update };
}

/** Return a card's picture; what it shows is said by the words around it. */
export function cardPicture(source) {
  return element("img", { src: source, alt: "", decoding: "async", draggable: "false" });
}

function decision(word, name, act) {
  return button(word, {
    class: "scoft-button scoft-small",
    "aria-label": `${word} ${name}`,
    on: { click: act },
  });
}
