/**
 * A run's previews: one picture whose left half is the base model's and whose right half the
 * LoRA's, from the same seed, with its prompt; a slider and keys go through the steps. It follows
 * the newest step until someone looks at an earlier one.
 */

import { button, element, setText } from "./dom.mjs";
import { openPicture } from "./picture_dialog.mjs";

/** The previews in `element`; give them groups with `update`. */
export class Previews {
  /**
   * @param {Object} options
   * @param {(name: string) => string} options.url: the address of a preview.
   */
  constructor({ url }) {
    this.url = url;
    this.groups = [];
    this.place = 0;
    this.number = 0;
    this.follows = true;
    this.build();
  }

  build() {
    this.picture = element("img", { class: "scoft-preview-picture", draggable: "false", alt: "" });
    this.open = button(
      "",
      { class: "scoft-preview-open", title: "Show large", on: { click: () => this.enlarge() } },
      this.picture,
    );
    this.back = button("‹", {
      class: "scoft-button scoft-icon",
      "aria-label": "Earlier step",
      on: { click: () => this.move(-1) },
    });
    this.forward = button("›", {
      class: "scoft-button scoft-icon",
      "aria-label": "Later step",
      on: { click: () => this.move(1) },
    });
    this.slider = element("input", {
      type: "range",
      class: "scoft-slider",
      min: "0",
      step: "1",
      "aria-label": "Step of the preview",
      on: { input: () => this.go(Number(this.slider.value)) },
    });
    this.label = element("span", { class: "scoft-preview-step" });
    this.next = button("", { class: "scoft-button", on: { click: () => this.nextPrompt() } });
    this.caption = element("p", { class: "scoft-preview-caption", dir: "auto" });
    this.element = element(
      "section",
      { class: "scoft-previews", "aria-label": "Previews" },
      element(
        "div",
        { class: "scoft-halves", "aria-hidden": "true" },
        element("span", { text: "Base model" }),
        element("span", { text: "With the LoRA" }),
      ),
      this.open,
      this.caption,
      element(
        "div",
        { class: "scoft-row" },
        this.back,
        this.slider,
        this.forward,
        this.label,
        this.next,
      ),
    );
  }

  /** Show groups as `previewsByStep` returns them; none hides the strip. */
  update(groups) {
    const before = this.groups[this.place]?.step;
    this.groups = groups;
    if (this.follows) this.place = groups.length - 1;
    else
      this.place = Math.max(
        0,
        groups.findIndex((group) => group.step === before),
      );
    this.show();
  }

  move(by) {
    this.go(this.place + by);
  }

  go(place) {
    this.place = Math.min(this.groups.length - 1, Math.max(0, place));
    this.follows = this.place === this.groups.length - 1;
    this.show();
  }

  nextPrompt() {
    this.number = (this.number + 1) % this.groups[this.place].pictures.length;
    this.show();
  }

  current() {
    const group = this.groups[this.place];
    if (!group) return null;
    const number = Math.min(this.number, group.pictures.length - 1);
    return { step: group.step, number, pictures: group.pictures.length, ...group.pictures[number] };
  }

  show() {
    const current = this.current();
    this.element.hidden = current === null;
    if (current === null) return;
    const source = this.url(current.name);
    if (this.picture.getAttribute("src") !== source) this.picture.src = source;
    this.picture.alt = `Step ${current.step}: left the base model's, right with the LoRA: ${current.prompt}`;
    setText(this.caption, current.prompt);
    this.slider.max = String(this.groups.length - 1);
    this.slider.value = String(this.place);
    this.slider.setAttribute("aria-valuetext", `step ${current.step}`);
    this.slider.disabled = this.groups.length < 2;
    this.back.disabled = this.place === 0;
    this.forward.disabled = this.place === this.groups.length - 1;
    setText(this.label, `step ${current.step}`);
    this.next.hidden = current.pictures < 2;
    setText(this.next, `prompt ${current.number + 1} of ${current.pictures}`);
    this.next.title = "Show the next prompt";
  }

  enlarge() {
    const large = () => {
      const { step, prompt, name } = this.current();
      return {
        source: this.url(name),
        title: `Step ${step}: base model | with the LoRA`,
        caption: prompt,
      };
    };
    openPicture(large(), (by) => {
      this.move(by);
      return large();
    });
  }
}
