/** Windows above the page: a question, and a picture as large as the screen allows. */

import { button, element, icon } from "./dom.mjs";

function opened(dialog) {
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}

/**
 * Ask something; `act` is called if the answer is yes.
 *
 * @param {string|Array} question  text, or texts and nodes; false ones are left out
 * @param {{others: Array, classes: string}} settings  buttons between no and yes, which leave the
 *   window open, false ones left out; the look of the yes
 */
export function ask(words, question, yes, act, { others = [], classes = ".primary" } = {}) {
  const accept = () => {
    dialog.close();
    act();
  };
  const dialog = element(
    "dialog.ask",
    { "aria-labelledby": "asked" },
    element("div.asked", { id: "asked" }, question),
    element(
      "div.buttons",
      {},
      button(words("ask.cancel"), () => dialog.close()),
      others,
      button(yes, accept, { classes }),
    ),
  );
  opened(dialog);
}

/**
 * Show pictures one at a time, large.
 *
 * @param {{source: string, letter: string}[]} pictures  in the order of the page
 * @param {number} first  index of the one to begin with
 */
export function enlarge(words, pictures, first) {
  let at = first;
  const image = element("img", { alt: "" });
  const heading = element("h2", { id: "enlarged", "aria-live": "polite" });
  const go = (by) => {
    at = (at + by + pictures.length) % pictures.length;
    const name = words("picture.name", { letter: pictures[at].letter });
    Object.assign(image, { src: pictures[at].source, alt: name });
    heading.textContent = name;
  };
  image.addEventListener("load", () => markSmall(image));
  const dialog = element(
    "dialog.enlarged",
    { "aria-labelledby": "enlarged", on: { keydown: (event) => turned(event, go) } },
    element(
      "header",
      {},
      heading,
      iconButton("close", words("picture.close"), () => dialog.close()),
    ),
    image,
    element(
      "div.buttons",
      {},
      iconButton("back", words("picture.previous"), () => go(-1)),
      iconButton("next", words("picture.next"), () => go(1)),
    ),
  );
  go(0);
  opened(dialog);
}

function iconButton(name, label, press) {
  return button(icon(name), press, { classes: ".round", "aria-label": label, title: label });
}

function turned(event, go) {
  const forwards = document.documentElement.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  event.preventDefault();
  go(event.key === forwards ? 1 : -1);
}

const SMALL = 128;

/** Show each pixel of a tiny picture; smoothed, it would be a blur that no model has drawn. */
export function markSmall(image) {
  image.classList.toggle("pixels", image.naturalWidth <= SMALL);
}
