/** One picture as large as the window allows, in a dialog of its own; left and right go on. */

import { button, element, setText } from "./dom.mjs";
import { modal } from "./modal.mjs";

/**
 * Open the dialog.
 *
 * @param {{source: string, title: string, caption: string}} picture
 * @param {((by: number) => Object)|null} step: returns the next or the previous picture.
 */
export function openPicture(picture, step = null) {
  const image = element("img", { class: "scoft-large", alt: "" });
  const caption = element("p", { class: "scoft-large-caption", dir: "auto" });
  const title = element("h2", { class: "scoft-title" });
  const show = (shown) => {
    image.src = shown.source;
    image.alt = `${shown.title}: ${shown.caption}`;
    setText(title, shown.title);
    setText(caption, shown.caption);
  };
  const dialog = modal({ class: "scoft-picture-dialog", label: "Picture" });
  const arrows = step
    ? [
        button("‹", {
          class: "scoft-button scoft-icon",
          "aria-label": "Previous",
          on: { click: () => show(step(-1)) },
        }),
        button("›", {
          class: "scoft-button scoft-icon",
          "aria-label": "Next",
          on: { click: () => show(step(1)) },
        }),
      ]
    : [];
  dialog.append(
    element(
      "header",
      { class: "scoft-dialog-head" },
      title,
      ...arrows,
      button("Close", { on: { click: () => dialog.close() } }),
    ),
    image,
    caption,
  );
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && step) show(step(by));
  });
  show(picture);
  dialog.showModal();
  return dialog;
}
