/** The places from best to worst: what stands where, and where pictures are dragged to. */

import { standing } from "./cards.mjs";
import { markSmall } from "./dialogs.mjs";
import { button, element } from "./dom.mjs";
import { makeDraggable } from "./drag.mjs";

/**
 * Return the places: `node`, `update(places)`.
 *
 * @param {Function} words
 * @param {string} item  its key
 * @param {{id: string, source: string, letter: string}[]} pictures
 * @param {boolean} ties  whether a place may hold several pictures
 * @param {{put, takeOut, share}} acts  each gets the picture's id
 */
export function placeRow(words, item, pictures, ties, acts) {
  const count = pictures.length;
  const rows = pictures.map((_, index) => {
    const row = element("li.place");
    row.dataset.drop = index + 1;
    return row;
  });
  const list = element("ol", { "aria-label": words("rank.places") }, rows);
  const end = (key, rank) =>
    element("span", {}, element("b", {}, words.number(rank)), ` ${words(`item.${item}.${key}`)}`);
  const ends = element("p.ends", {}, end("best", 1), end("worst", count));

  function update(places) {
    rows.forEach((row, index) => fill(row, index + 1, places));
  }

  function fill(row, rank, places) {
    const held = pictures.filter(({ id }) => places[id] === rank);
    const number = element("span.number", { "aria-hidden": "true" }, words.number(rank));
    const empty = element("span.aloud", {}, words("rank.place_empty", { rank }));
    const better = Object.values(places).some((place) => place < rank);
    const shares = ties && better && held.length === 1;
    row.classList.toggle("filled", held.length > 0);
    row.replaceChildren(
      number,
      ...(held.length ? held.map((picture) => thumb(picture, rank)) : [empty]),
      ...(shares ? [sharing(held[0])] : []),
    );
  }

  function thumb({ id, source, letter }, rank) {
    const image = element("img", { alt: "", src: source, decoding: "sync", draggable: false });
    image.addEventListener("load", () => markSmall(image));
    // The same can be done at the picture itself, so the keyboard need not stop here as well.
    const settings = {
      classes: ".thumb.grip",
      tabIndex: -1,
      "aria-label": standing(words, letter, rank, count),
    };
    const held = button(image, () => acts.takeOut(id), settings);
    held.append(element("span.letter", {}, letter));
    const isPlaced = () => true;
    makeDraggable(held, source, isPlaced, (target) =>
      target === "out" ? acts.takeOut(id) : acts.put(id, Number(target)),
    );
    return held;
  }

  function sharing({ id, letter }) {
    const label = words("rank.share", { letter });
    const settings = { classes: ".share", "aria-label": label, title: label };
    return button("=", () => acts.share(id), settings);
  }

  return { node: element(ties ? "div.places.ties" : "div.places", {}, ends, list), update };
}
