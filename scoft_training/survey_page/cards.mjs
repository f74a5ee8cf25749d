/** The pictures of a page, each a button that gives it a place. */

import { markSmall } from "./dialogs.mjs";
import { button, element, icon } from "./dom.mjs";
import { makeDraggable } from "./drag.mjs";
import { digitOf } from "./words.mjs";

/**
 * Return the pictures: `node`, `update(places)`, `focus(picture)`.
 *
 * @param {Function} words
 * @param {{id: string, source: string, letter: string}[]} pictures  as this person sees them
 * @param {{tap, put, move, takeOut, enlarge}} acts  each gets the picture's id
 */
export function pictureCards(words, pictures, acts) {
  const cards = pictures.map((picture) => card(words, picture, pictures.length, acts));
  const node = element(
    "div.pictures",
    { role: "group", "aria-label": words("rank.pictures") },
    cards.map((one) => one.node),
  );
  node.dataset.drop = "out";
  node.dataset.count = pictures.length;
  return {
    node,
    update: (places) => cards.forEach((one) => one.update(places)),
    focus: (id) => cards.find((one) => one.id === id).focus(),
  };
}

function card(words, { id, source, letter }, count, acts) {
  const image = element("img", { alt: "", src: source, decoding: "sync", draggable: false });
  image.addEventListener("load", () => markSmall(image));
  const badge = element("span.badge");
  const pick = element(
    "button.pick",
    {
      type: "button",
      on: { click: () => acts.tap(id), keydown: (event) => pressed(event, id, count, acts) },
    },
    element("span.frame", {}, image),
    element(
      "span.strip",
      {},
      element("span.grip", {}, icon("grip"), element("span.letter", {}, letter)),
      badge,
    ),
  );
  const isPlaced = () => node.classList.contains("placed");
  makeDraggable(pick, source, isPlaced, (target) =>
    target === "out" ? acts.takeOut(id) : acts.put(id, Number(target)),
  );
  const label = words("picture.enlarge", { letter });
  const larger = button(icon("enlarge"), () => acts.enlarge(id), {
    classes: ".enlarge",
    "aria-label": label,
    title: label,
  });
  const node = element("div.card", {}, pick, larger);

  function update(places) {
    const rank = places[id];
    node.classList.toggle("placed", rank !== undefined);
    badge.textContent = rank === undefined ? "" : words.number(rank);
    pick.setAttribute("aria-label", standing(words, letter, rank, count));
  }
  return { id, node, update, focus: () => pick.focus({ preventScroll: true }) };
}

/** Return where a picture stands, in words. */
export function standing(words, letter, rank, count) {
  return rank === undefined
    ? words("picture.unplaced", { letter })
    : words("picture.placed", { letter, rank, count });
}

function pressed(event, id, count, acts) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const digit = digitOf(event.key);
  const by = steps()[event.key];
  if (digit >= 1 && digit <= count) acts.put(id, digit);
  else if (by) acts.move(id, by);
  else if (event.key === "Backspace" || event.key === "Delete") acts.takeOut(id);
  else return;
  event.preventDefault();
}

/** Towards where reading begins is better, as the places stand. */
function steps() {
  const forwards = document.documentElement.dir === "rtl" ? -1 : 1;
  return { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -forwards, ArrowRight: forwards };
}
