/** The gallery's view of a dataset: each picture with its captions, to keep or leave out. */

import { decidable } from "./decision.mjs";
import { element } from "./dom.mjs";

/** The filters of this view: what they are called, and which rows they show. */
export const PICTURE_FILTERS = [
  { key: "all", label: "All", matches: () => true },
  { key: "kept", label: "Kept", matches: (row) => row.included },
  { key: "dropped", label: "Left out", matches: (row) => !row.included },
];

/**
 * Return a card for one row.
 *
 * @param {Object} options
 * @param {Object} options.row: of the dataset; its `included` and `by` are changed in place.
 * @param {Object} options.server: of `serverOf`.
 * @param {string} options.dataset: the id.
 * @param {() => void} options.onChange: called after the server took a decision.
 */
export function pictureCard({ row, server, dataset, onChange }) {
  const card = decidable({
    source: server.pictureUrl(dataset, row.sha256, 320),
    large: server.pictureUrl(dataset, row.sha256, 1024),
    name: row.caption || row.file_name,
    state: () => ({ kept: row.included, text: decisionText(row), byUser: false }),
    decide: async (included) => {
      Object.assign(row, await server.includeRow(dataset, row.sha256, included));
      onChange();
    },
    body: [
      element("p", { class: "scoft-caption", dir: "auto", text: row.caption }),
      ...row.generic_captions.map((text) =>
        element("p", { class: "scoft-generic", dir: "auto", title: "Generic caption", text }),
      ),
      element("p", {
        class: "scoft-muted scoft-meta",
        dir: "auto",
        text: meta(row),
        title: row.file_name,
      }),
    ],
  });
  return card.element;
}

function decisionText({ included, by }) {
  if (included) return "kept";
  return by === "user" ? "left out by you" : "left out in the dataset";
}

function meta(row) {
  return [`Row ${row.number}`, row.category, row.era].filter(Boolean).join(" · ");
}
