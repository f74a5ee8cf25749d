/** The review desk's view of one set of negatives: a line for each picture, its depth, its negatives. */

import { askReason, KEEP_REASONS, NEGATIVE_REASONS } from "./asking.mjs";
import { cardPicture, decidableCard } from "./cards.mjs";
import { CellGrid } from "./cell_grid.mjs";
import { button, element, setText } from "./dom.mjs";
import { formatNumber, isNumber } from "./format.mjs";
import { isTyping, letterOf } from "./keys.mjs";
import { openPicture } from "./picture_dialog.mjs";
import { decisionText, languageTag, negativeState } from "./words.mjs";

const FILTERS = [
  { key: "all", label: "All", matches: () => true },
  { key: "kept", label: "Kept", matches: ({ kept }) => kept === true },
  { key: "dropped", label: "Dropped", matches: ({ kept }) => kept === false },
  { key: "undecided", label: "Undecided", matches: ({ kept }) => kept === null },
];

/** The view; `element` goes into the desk's body. */
export class NegativesView {
  /**
   * @param {Object} desk: of `Desk`.
   * @param {Object} set: the server's answer; its negatives are changed in place.
   */
  constructor(desk, set) {
    this.desk = desk;
    this.set = set;
    this.chosen = "all";
    this.lines = [];
    this.language = languageTag(desk.dataset.language);
    this.filters = FILTERS.map(({ key }) =>
      button("", {
        class: "scoft-tab",
        "data-filter": key,
        on: { click: () => this.choose(key) },
      }),
    );
    this.grid = new CellGrid({
      label: "Negatives",
      class: "scoft-negatives",
      head: (line) => this.head(this.lines[line].row),
      card: (line, column) => this.card(this.lines[line].row, this.lines[line].shown[column]),
      open: (line, column) => this.enlarge(this.lines[line], column),
    });
    this.none = element("p", { class: "scoft-muted scoft-none", text: "Nothing to show here." });
    this.element = element(
      "div",
      { class: "scoft-view" },
      element(
        "div",
        { class: "scoft-toolbar" },
        element(
          "div",
          { class: "scoft-tabs", role: "group", "aria-label": "Show" },
          ...this.filters,
        ),
      ),
      this.none,
      this.grid.element,
    );
    desk.addEventListener("negative", ({ detail }) =>
      this.changed(detail.negative, detail.undone ?? false),
    );
  }

  /** Show the rows for the first time; the view is in the page now. */
  start() {
    this.choose("all");
    this.grid.focus();
  }

  choose(key) {
    this.chosen = key;
    this.count();
    const { matches } = FILTERS.find((one) => one.key === key);
    this.lines = this.set.rows
      .map((row) => ({ row, shown: row.negatives.filter(matches) }))
      .filter(({ shown }) => shown.length > 0 || key === "all");
    this.none.hidden = this.lines.length > 0;
    const line = Math.max(
      0,
      this.lines.findIndex(({ shown }) => shown.length > 0),
    );
    this.grid.reset(
      this.lines.map(({ shown }) => shown.length),
      { line, column: 0 },
    );
  }

  count() {
    const negatives = this.set.rows.flatMap((row) => row.negatives);
    this.filters.forEach((tab, index) => {
      const { key, label, matches } = FILTERS[index];
      setText(tab, `${label} ${negatives.filter(matches).length}`);
      tab.setAttribute("aria-pressed", String(key === this.chosen));
    });
  }

  head(row) {
    const { desk, set } = this;
    const depth = row.depth
      ? still("Depth", desk.server.depthUrl(desk.id, set.negatives, row.folder, 256))
      : null;
    return element(
      "div",
      { class: "scoft-negatives-head" },
      element(
        "div",
        { class: "scoft-stills" },
        still("Picture", desk.server.pictureUrl(desk.id, row.sha256, 256)),
        depth,
      ),
      element("p", { class: "scoft-muted scoft-meta", text: `Row ${row.number}` }),
      element("p", {
        class: "scoft-caption",
        dir: "auto",
        lang: this.language,
        text: row.caption,
        title: row.caption,
      }),
      row.negatives.length
        ? null
        : element("p", { class: "scoft-muted", text: "No negatives yet." }),
    );
  }

  card(row, negative) {
    return decidableCard({
      source: this.sourceOf(row, negative, 256),
      name: `${negative.name} of row ${row.number}`,
      dropWord: "Drop",
      look: () => look(row, negative),
      decide: (letter) => this.decide(row, negative, letter),
    });
  }

  sourceOf(row, negative, size) {
    const { desk, set } = this;
    return desk.server.negativeUrl(desk.id, set.negatives, row.folder, negative.name, size);
  }

  async decide(row, negative, letter) {
    const send = (kept, why) =>
      this.desk.decideNegative(this.set.negatives, row.folder, negative, kept, why);
    const byPerson = negative.by === "user";
    if (letter === "k") {
      if (negative.kept === true && byPerson) this.desk.say(`${negative.name} is kept already.`);
      else await send(true);
    } else if (letter === "u") {
      if (byPerson) await send(null);
      else this.desk.say(`${negative.name}: no person has decided yet.`);
    } else {
      // The reason is for what holds once the change under way is done.
      if (letter === "w") await this.desk.last;
      await this.decideWithReason(negative, letter === "w" ? negative.kept : false, send);
    }
  }

  async decideWithReason(negative, kept, send) {
    if (kept === null) {
      this.desk.say(`${negative.name} is undecided: keep it or drop it first.`);
      return;
    }
    const action = kept ? "Keep" : "Drop";
    const reasons = kept ? KEEP_REASONS : NEGATIVE_REASONS;
    const why = await askReason({ title: `${action} ${negative.name}`, action, reasons });
    if (why !== null) await send(kept, why);
  }

  changed(negative, undone) {
    this.count();
    const line = this.lines.findIndex(({ shown }) => shown.includes(negative));
    if (line < 0) return;
    const column = this.lines[line].shown.indexOf(negative);
    this.grid.update(line, column);
    if (undone && this.element.checkVisibility()) {
      this.grid.go(line, column, { focus: this.element.contains(document.activeElement) });
    }
  }

  /** Show a negative large; left and right go on within its line. */
  enlarge({ row, shown }, column) {
    let at = column;
    const picture = () => ({
      source: this.sourceOf(row, shown[at], 1024),
      title: `${shown[at].name} of row ${row.number}`,
      caption: [promptOf(row, shown[at]), stateText(shown[at])].filter(Boolean).join("\n"),
    });
    openPicture(picture(), (by) => {
      at = (at + by + shown.length) % shown.length;
      return picture();
    });
  }

  /** Take a key stroke, if it is one of this view's; tells whether it did. */
  keydown(event) {
    const letter = letterOf(event);
    if (isTyping(event) || !letter || !"kduw".includes(letter)) return false;
    if (!this.grid.box.contains(document.activeElement)) return false;
    const { row, shown } = this.lines[this.grid.at.line];
    const negative = shown[this.grid.at.column];
    if (negative) this.decide(row, negative, letter);
    return true;
  }

  /** There is nothing to go back from. */
  async back() {
    return false;
  }

  /** Every decision is saved already. */
  async leave() {
    return true;
  }
}

function look(row, negative) {
  const { by, who, why, distance } = negative;
  const prompt = promptOf(row, negative);
  // Why is worth more room here than when; the large picture says both.
  const decided = by === "user" ? decisionText({ by: who, why }) : "";
  return {
    state: negativeState(negative),
    badge: badgeOf(negative),
    marks: [],
    body: [
      element("p", { class: "scoft-generic", dir: "auto", title: prompt, text: prompt }),
      element("p", {
        class: "scoft-muted scoft-meta",
        dir: "auto",
        title: by === "user" ? stateText(negative) : null,
        text:
          decided || (isNumber(distance) ? `distance ${formatNumber(distance)}` : "no distance"),
      }),
    ],
  };
}

function badgeOf(negative) {
  return negative.by === "filter" && negative.kept !== null
    ? `${negativeState(negative)} by the filter`
    : negativeState(negative);
}

/** Return what holds of a negative, and who said so, when and why. */
function stateText(negative) {
  const decided =
    negative.by === "user" ? decisionText({ ...negative, by: negative.who ?? "" }) : "";
  return [badgeOf(negative), decided].filter(Boolean).join(" ");
}

function promptOf(row, negative) {
  return negative.prompt ?? row.generic_captions[0] ?? "";
}

function still(label, source) {
  const image = cardPicture(source);
  return element(
    "div",
    { class: "scoft-still" },
    image,
    element("span", { class: "scoft-muted scoft-meta", text: label }),
  );
}
