/** The gallery's view of one set of negatives: each picture, its depth, and what was drawn of it. */

import { decidable } from "./decision.mjs";
import { element } from "./dom.mjs";
import { formatNumber, isNumber } from "./format.mjs";

/** The filters of this view, over single negatives. */
export const NEGATIVE_FILTERS = [
  { key: "all", label: "All", matches: () => true },
  { key: "kept", label: "Kept", matches: ({ kept }) => kept === true },
  { key: "dropped", label: "Dropped", matches: ({ kept }) => kept === false },
  { key: "undecided", label: "Undecided", matches: ({ kept }) => kept === null },
];

/**
 * Return the section of one row, or null where the filter leaves it no negative.
 *
 * @param {Object} options
 * @param {Object} options.row: of the set; its negatives are changed in place.
 * @param {(negative: Object) => boolean} options.matches
 * @param {boolean} options.always: show a row without negatives, too.
 * @param {Object} options.server: of `serverOf`.
 * @param {string} options.dataset
 * @param {string} options.set: the set's id.
 * @param {() => void} options.onChange: called after the server took a decision.
 */
export function negativesRow({ row, matches, always, server, dataset, set, onChange }) {
  const shown = row.negatives.filter(matches);
  if (shown.length === 0 && !always) return null;
  const still = [
    stillPicture("Picture", server.pictureUrl(dataset, row.sha256, 320), row.caption),
    row.depth
      ? stillPicture(
          "Depth",
          server.depthUrl(dataset, set, row.folder, 320),
          `Depth of ${row.caption}`,
        )
      : null,
  ];
  const cards = shown.map((negative) =>
    negativeCard({ row, negative, server, dataset, set, onChange }),
  );
  return element(
    "section",
    { class: "scoft-negatives-row", "aria-label": row.caption },
    element(
      "header",
      {},
      element("p", { class: "scoft-caption", dir: "auto", text: row.caption }),
      element("p", { class: "scoft-muted scoft-meta", text: `Row ${row.number}` }),
    ),
    element(
      "div",
      { class: "scoft-strip" },
      element("div", { class: "scoft-stills" }, ...still),
      ...cards,
      cards.length ? null : element("p", { class: "scoft-muted", text: "No negatives yet." }),
    ),
  );
}

function negativeCard({ row, negative, server, dataset, set, onChange }) {
  const { folder } = row;
  const prompt = negative.prompt ?? row.generic_captions[0] ?? "";
  return decidable({
    source: server.negativeUrl(dataset, set, folder, negative.name, 320),
    large: server.negativeUrl(dataset, set, folder, negative.name, 1024),
    name: `Negative ${negative.name} of ${row.caption}${prompt ? `, drawn for: ${prompt}` : ""}`,
    state: () => ({
      kept: negative.kept,
      text: decisionText(negative),
      byUser: negative.by === "user",
    }),
    decide: async (kept) => {
      Object.assign(negative, await server.keepNegative(dataset, set, folder, negative.name, kept));
      onChange();
    },
    takesBack: true,
    body: [
      element("p", {
        class: "scoft-meta",
        text: isNumber(negative.distance)
          ? `distance ${formatNumber(negative.distance)}`
          : "no distance yet",
      }),
      prompt
        ? element("p", { class: "scoft-generic", dir: "auto", title: prompt, text: prompt })
        : null,
    ],
  }).element;
}

function decisionText({ kept, by }) {
  if (kept === null) return "undecided";
  const what = kept ? "kept" : "dropped";
  if (by === "user") return `${what} by you`;
  return by === "filter" ? `${what} by the filter` : what;
}

function stillPicture(label, source, alt) {
  return element(
    "figure",
    { class: "scoft-still" },
    element("img", { src: source, alt, loading: "lazy", decoding: "async", draggable: "false" }),
    element("figcaption", { class: "scoft-muted scoft-meta", text: label }),
  );
}
