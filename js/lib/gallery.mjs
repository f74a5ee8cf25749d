/**
 * The gallery: one dialog with the pictures of a dataset and with its negatives, filters over
 * both, and counts. The two views themselves are `pictures_view` and `negatives_view`.
 */

import { button, element, replaceChildren, setText } from "./dom.mjs";
import { count } from "./format.mjs";
import { modal } from "./modal.mjs";
import { NEGATIVE_FILTERS, negativesRow } from "./negatives_view.mjs";
import { PICTURE_FILTERS, pictureCard } from "./pictures_view.mjs";

/**
 * Open the gallery; it is on the screen, with what the server answered, when the promise resolves.
 *
 * @param {Object} options
 * @param {Object} options.server: of `serverOf`.
 * @param {string} options.dataset: the id.
 * @param {string|null} options.negatives: a set's id; with one, its view comes first.
 * @param {() => void} options.onClose
 * @throws {Error} with the server's sentence, where there is no such dataset.
 */
export async function openGallery({ server, dataset, negatives = null, onClose = () => {} }) {
  const answer = await server.dataset(dataset);
  const gallery = new Gallery(server, answer, negatives);
  gallery.dialog.addEventListener("close", onClose);
  gallery.dialog.showModal();
  await gallery.choose(negatives ? "negatives" : "pictures");
  gallery.tabs.find((tab) => tab.getAttribute("aria-pressed") === "true").focus();
  return gallery;
}

class Gallery {
  constructor(server, dataset, set) {
    this.server = server;
    this.dataset = dataset;
    this.setId = set ?? dataset.sets?.at(-1)?.negatives ?? null;
    this.set = null;
    this.filter = "all";
    this.build();
  }

  build() {
    const { name, culture, problems = [] } = this.dataset;
    this.dialog = modal({ class: "scoft-gallery", label: `Gallery of ${name}` });
    this.tabs = ["pictures", "negatives"].map((view) =>
      button(view === "pictures" ? "Pictures" : "Negatives", {
        class: "scoft-tab",
        "data-view": view,
        disabled: view === "negatives" && this.setId === null,
        title: view === "negatives" && this.setId === null ? "None are drawn yet." : null,
        on: { click: () => this.choose(view) },
      }),
    );
    this.sets = this.buildSets();
    this.filters = element("div", { class: "scoft-tabs", role: "group", "aria-label": "Show" });
    this.status = element("p", { class: "scoft-muted scoft-gallery-status", role: "status" });
    this.body = element("div", { class: "scoft-gallery-body", tabindex: "-1" });
    this.body.addEventListener("keydown", (event) => this.walk(event));
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
        this.sets,
        button("Close", { on: { click: () => this.dialog.close() } }),
      ),
      element("div", { class: "scoft-toolbar" }, this.filters, this.status),
      problems.length ? problemList(problems) : "",
      this.body,
    );
  }

  buildSets() {
    const { sets = [] } = this.dataset;
    const select = element(
      "select",
      {
        class: "scoft-select",
        "aria-label": "Set of negatives",
        hidden: true,
        on: {
          change: () => {
            this.setId = select.value;
            this.set = null;
            this.choose("negatives");
          },
        },
      },
      ...sets.map((set) => element("option", { value: set.negatives, text: setName(set) })),
    );
    return select;
  }

  async choose(view) {
    this.view = view;
    this.filter = "all";
    for (const tab of this.tabs)
      tab.setAttribute("aria-pressed", String(tab.dataset.view === view));
    this.sets.hidden = view !== "negatives" || this.dataset.sets.length < 2;
    this.sets.value = this.setId ?? "";
    if (view === "negatives" && !this.set) await this.loadSet();
    if (this.view === view) this.render();
  }

  async loadSet() {
    const wanted = this.setId;
    replaceChildren(this.filters);
    replaceChildren(this.body, element("p", { class: "scoft-muted", text: "Loading …" }));
    try {
      const set = await this.server.negatives(this.dataset.dataset, wanted);
      if (this.setId === wanted) this.set = set;
    } catch (error) {
      this.error = error.message;
    }
  }

  render() {
    if (this.view === "negatives" && !this.set) {
      replaceChildren(
        this.body,
        element("p", { class: "scoft-error", role: "alert", text: this.error }),
      );
      return;
    }
    this.renderCounts();
    const found = this.view === "pictures" ? this.pictures() : this.negatives();
    this.body.className = `scoft-gallery-body scoft-${this.view}`;
    replaceChildren(
      this.body,
      ...(found.length
        ? found
        : [element("p", { class: "scoft-muted", text: "Nothing to show here." })]),
    );
    this.body.scrollTop = 0;
  }

  shown() {
    return this.view === "pictures" ? PICTURE_FILTERS : NEGATIVE_FILTERS;
  }

  items() {
    return this.view === "pictures"
      ? this.dataset.rows
      : this.set.rows.flatMap((row) => row.negatives);
  }

  /** Bring the counts up to date; what is on the screen stays there, whatever the filter says. */
  renderCounts() {
    const items = this.items();
    const buttons = this.shown().map(({ key, label, matches }) =>
      button(`${label} ${items.filter(matches).length}`, {
        class: "scoft-tab",
        "data-filter": key,
        "aria-pressed": String(key === this.filter),
        on: { click: () => this.chooseFilter(key) },
      }),
    );
    const focused = this.filters.contains(document.activeElement);
    replaceChildren(this.filters, ...buttons);
    if (focused) buttons.find((one) => one.dataset.filter === this.filter).focus();
    setText(
      this.status,
      "Click a picture to keep or drop it. Decisions are saved and count from the next run on.",
    );
  }

  chooseFilter(key) {
    this.filter = key;
    this.render();
  }

  matcher() {
    return this.shown().find(({ key }) => key === this.filter).matches;
  }

  pictures() {
    const { server, dataset } = this;
    return dataset.rows
      .filter(this.matcher())
      .map((row) =>
        pictureCard({ row, server, dataset: dataset.dataset, onChange: () => this.renderCounts() }),
      );
  }

  negatives() {
    const { server, dataset, set } = this;
    return set.rows
      .map((row) =>
        negativesRow({
          row,
          matches: this.matcher(),
          always: this.filter === "all",
          server,
          dataset: dataset.dataset,
          set: set.negatives,
          onChange: () => this.renderCounts(),
        }),
      )
      .filter(Boolean);
  }

  /** Arrow keys go from picture to picture, since Tab also stops at what belongs to each. */
  walk(event) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const toggles = [...this.body.querySelectorAll(".scoft-toggle")];
    const at = toggles.indexOf(document.activeElement);
    if (!by || at < 0) return;
    event.preventDefault();
    toggles[Math.min(toggles.length - 1, Math.max(0, at + by))].focus();
  }
}

function problemList(problems) {
  return element(
    "details",
    { class: "scoft-warnings" },
    element("summary", {
      text: count(problems.length, "note on the dataset", "notes on the dataset"),
    }),
    element("ul", {}, ...problems.map((text) => element("li", { text, dir: "auto" }))),
  );
}

function setName({ negatives, resolution, suffix, kept, dropped, undecided }) {
  const made = [resolution ? `${resolution} px` : null, suffix || null].filter(Boolean).join(", ");
  return `${made || negatives} (${count(kept + dropped + undecided, "negative")})`;
}
