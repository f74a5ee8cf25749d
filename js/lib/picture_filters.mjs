/** Which rows of a dataset the review desk shows, and how many there are of each kind. Pure. */

import { categoryName, problemName, rowState } from "./words.mjs";

/** The filters by state: what they are called, and which rows they show. */
export const STATE_FILTERS = [
  { key: "all", label: "All", matches: () => true },
  { key: "undecided", label: "Undecided", matches: (row) => rowState(row) === "undecided" },
  { key: "kept", label: "Kept", matches: (row) => rowState(row) === "kept" },
  { key: "dropped", label: "Left out", matches: (row) => rowState(row) === "dropped" },
  { key: "edited", label: "Edited", matches: (row) => row.edited.length > 0 },
];

/** What is looked for at first: everything. */
export const EVERYTHING = { state: "all", category: "", problem: "", text: "" };

const NONE = "(none)";
const ANY = "(any)";

/** Return the rows that a filter shows, in their order. */
export function filtered(rows, { state, category, problem, text }) {
  const { matches } = STATE_FILTERS.find(({ key }) => key === state);
  const wanted = folded(text.trim());
  return rows.filter(
    (row) =>
      matches(row) &&
      hasCategory(row, category) &&
      hasProblem(row, problem) &&
      (!wanted || folded(searched(row)).includes(wanted)),
  );
}

/** Return the choices of the category filter: [{value, label}], each with its number of rows. */
export function categoryChoices(rows, categories) {
  const numbers = tally(rows.map((row) => row.category ?? NONE));
  const named = categories.map((slug) => [slug, categoryName(slug)]);
  return [
    { value: "", label: "All categories" },
    ...choices([...named, [NONE, "Not stated"]], numbers),
  ];
}

/** Return the choices of the problem filter likewise. */
export function problemChoices(rows) {
  const kinds = rows.map((row) => new Set(row.problems.map(({ kind }) => kind)));
  const numbers = tally(kinds.flatMap((found) => [...found]));
  numbers.set(ANY, kinds.filter((found) => found.size > 0).length);
  numbers.set(NONE, rows.length - numbers.get(ANY));
  const named = [...numbers.keys()]
    .filter((kind) => kind !== ANY && kind !== NONE)
    .sort()
    .map((kind) => [kind, problemName(kind)]);
  return [
    { value: "", label: "With and without problems" },
    ...choices([[ANY, "Any problem"], ...named, [NONE, "No problem"]], numbers),
  ];
}

function hasCategory(row, category) {
  return category === "" || (row.category ?? NONE) === category;
}

function hasProblem(row, problem) {
  if (problem === "") return true;
  if (problem === ANY) return row.problems.length > 0;
  if (problem === NONE) return row.problems.length === 0;
  return row.problems.some(({ kind }) => kind === problem);
}

function searched(row) {
  return [row.caption, ...row.generic_captions, row.file_name, row.credit ?? ""].join("\n");
}

/** Widths, composed letters and case make no difference to what people look for. */
function folded(text) {
  return text.normalize("NFKC").toLowerCase();
}

function tally(values) {
  const numbers = new Map();
  for (const value of values) numbers.set(value, (numbers.get(value) ?? 0) + 1);
  return numbers;
}

function choices(named, numbers) {
  return named
    .filter(([value]) => numbers.get(value))
    .map(([value, label]) => ({ value, label: `${label} (${numbers.get(value)})` }));
}
