/**
 * The review desk: one dialog with the pictures of a dataset and with its negatives, who reviews, what
 * happened last and the way back from it. The two views are `pictures_view` and `negatives_view`.
 */

import { askName } from "./asking.mjs";
import { Desk } from "./desk.mjs";
import { button, element, replaceChildren, setText } from "./dom.mjs";
import { count } from "./format.mjs";
import { isCommand, isTyping, showKeys } from "./keys.mjs";
import { modal } from "./modal.mjs";
import { NegativesView } from "./negatives_view.mjs";
import { PicturesView } from "./pictures_view.mjs";
import { Reviewer } from "./reviewer.mjs";

/**
 * Open the desk; it is on the screen, with what the server answered, when the promise resolves.
 *
 * @param {Object} options
 * @param {Object} options.server: of `serverOf`.
 * @param {string} options.dataset: the id.
 * @param {string|null} options.negatives: a set's id; with one, its view comes first.
 * @param {string|null} options.folder: of `Desk`.
 * @param {() => void} options.onClose
 * @throws {Error} with the server's sentence, where there is no such dataset.
 */
export async function openGallery(options) {
  const { server, dataset, negatives = null, folder = null, onClose = () => {} } = options;
  const answer = await server.dataset(dataset);
  const reviewer = new Reviewer(browserStorage(), askName);
  const gallery = new Gallery(new Desk({ server, dataset: answer, reviewer, folder }), negatives);
  gallery.dialog.addEventListener("close", onClose);
  gallery.dialog.showModal();
  await gallery.choose(negatives ? "negatives" : "pictures");
  return gallery;
}

class Gallery {
  constructor(desk, set) {
    this.desk = desk;
    this.sets = desk.dataset.sets ?? [];
    this.setId = set ?? this.sets.at(-1)?.negatives ?? null;
    this.views = new Map();
    this.view = null;
    this.lost = new Set();
    this.build();
    this.listen();
  }

  build() {
    const { name, culture } = this.desk.dataset;
    this.dialog = modal({
      class: "scoft-gallery",
      label: `Review of ${name}`,
      leave: () => this.back(),
    });
    this.tabs = [this.tab("pictures", "Pictures"), this.tab("negatives", "Negatives")];
    this.setChoice = this.buildSets();
    this.who = button("", { class: "scoft-button", on: { click: () => this.askWho() } });
    this.body = element("div", { class: "scoft-gallery-body" });
    this.dialog.append(
      element(
        "header",
        { class: "scoft-dialog-head" },
        element(
          "h2",
          { class: "scoft-title", dir: "auto" },
          name,
          culture ? element("span", { class: "scoft-culture", dir: "auto", text: culture }) : null,
        ),
        element("div", { class: "scoft-tabs", role: "group", "aria-label": "View" }, ...this.tabs),
        this.setChoice,
        this.who,
        button("Close", { on: { click: () => this.close() } }),
      ),
      this.body,
      this.buildFoot(),
    );
    this.showWho();
  }

  buildFoot() {
    this.said = element("p", { class: "scoft-said", role: "status", dir: "auto" });
    this.failed = element("p", { class: "scoft-error", role: "alert", dir: "auto" });
    this.undoing = button("Undo", {
      "aria-keyshortcuts": "Control+Z",
      title: "Undo the last change (Ctrl+Z)",
      "aria-disabled": "true",
      on: { click: () => this.desk.undo() },
    });
    return element(
      "footer",
      { class: "scoft-gallery-foot" },
      element("div", { class: "scoft-news" }, this.said, this.failed),
      this.undoing,
      button("Keys ?", { "aria-keyshortcuts": "?", on: { click: () => showKeys() } }),
    );
  }

  tab(view, text) {
    const isMissing = view === "negatives" && this.setId === null;
    return button(text, {
      class: "scoft-tab",
      "data-view": view,
      disabled: isMissing,
      title: isMissing ? "None are drawn yet." : null,
      on: { click: () => this.choose(view) },
    });
  }

  buildSets() {
    const select = element(
      "select",
      {
        class: "scoft-select",
        "aria-label": "Set of negatives",
        hidden: true,
        on: { change: () => this.chooseSet(select.value) },
      },
      ...this.sets.map((set) => element("option", { value: set.negatives, text: setName(set) })),
    );
    return select;
  }

  listen() {
    const { desk } = this;
    desk.addEventListener("said", ({ detail }) => this.news(detail.text, ""));
    desk.addEventListener("failed", ({ detail }) => this.news("", detail.text));
    desk.addEventListener("row", () => this.showWho());
    desk.addEventListener("negative", () => this.showWho());
    desk.addEventListener("undoable", () => {
      const { length } = desk.undoable;
      setText(this.undoing, length ? `Undo (${length})` : "Undo");
      this.undoing.setAttribute("aria-disabled", String(length === 0));
    });
    for (const kind of ["row", "negative", "dataset"]) {
      desk.addEventListener(kind, () => this.fetchLost());
    }
    this.dialog.addEventListener("error", ({ target }) => this.lost.add(target), { capture: true });
    this.dialog.addEventListener("keydown", (event) => this.keydown(event));
    this.dialog.addEventListener("close", () => {
      window.onbeforeunload = null;
    });
  }

  news(said, failed) {
    setText(this.said, said);
    setText(this.failed, failed);
  }

  /** The server answers: pictures that it could not send before are asked for again. */
  fetchLost() {
    for (const image of this.lost) {
      if (image.isConnected && image.hasAttribute("src")) image.src = image.getAttribute("src");
    }
    this.lost.clear();
  }

  async choose(name) {
    if (this.view && !(await this.view.leave())) return;
    for (const tab of this.tabs) {
      tab.setAttribute("aria-pressed", String(tab.dataset.view === name));
    }
    this.setChoice.hidden = name !== "negatives" || this.sets.length < 2;
    this.setChoice.value = this.setId ?? "";
    const view = name === "pictures" ? this.pictures() : await this.negatives();
    if (!view || view === this.view) return;
    this.view = view;
    replaceChildren(this.body, view.element);
    view.start();
  }

  pictures() {
    if (!this.views.has("pictures")) this.views.set("pictures", new PicturesView(this.desk));
    return this.views.get("pictures");
  }

  async negatives() {
    if (this.views.has(this.setId)) return this.views.get(this.setId);
    try {
      const set = await this.desk.ask((server) => server.negatives(this.desk.id, this.setId));
      this.views.set(this.setId, new NegativesView(this.desk, set));
    } catch (error) {
      this.news("", error.message);
    }
    return this.views.get(this.setId);
  }

  chooseSet(id) {
    this.setId = id;
    this.choose("negatives");
  }

  async askWho() {
    await this.desk.reviewer.change();
    this.showWho();
  }

  showWho() {
    const { known } = this.desk.reviewer;
    setText(this.who, known ? `Reviewer: ${known}` : "Reviewer: not named");
  }

  keydown(event) {
    if (event.defaultPrevented) return;
    if (isCommand(event, "z") && !isTyping(event)) this.desk.undo();
    else if (!this.view?.keydown(event)) {
      if (event.key === "Escape" && !event.isComposing) this.back();
      else if (["?", "؟"].includes(event.key) && !isTyping(event)) showKeys();
      else return;
    }
    event.preventDefault();
  }

  /** One step out: from one picture to all, from all out of the desk. */
  async back() {
    if (!(await this.view?.back())) await this.close();
  }

  async close() {
    if (!this.view || (await this.view.leave())) this.dialog.close();
  }
}

/** Return the browser's storage, or null where it is forbidden. */
function browserStorage() {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

function setName({ negatives, resolution, suffix, kept, dropped, undecided }) {
  const made = [resolution ? `${resolution} px` : null, suffix || null].filter(Boolean).join(", ");
  return `${made || negatives} (${count(kept + dropped + undecided, "negative")})`;
}
