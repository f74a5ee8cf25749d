/** What the review desk calls things: states, categories, problems, fields and times. Pure functions. */

/** The states of a picture or a negative that a person looks at, and what they are called. */
export const STATE_NAMES = { kept: "kept", dropped: "left out", undecided: "undecided" };

/** The fields that the desk edits, by the names the server uses. */
export const FIELD_NAMES = {
  caption: "cultural caption",
  generic_captions: "generic captions",
  category: "category",
  era: "era",
  credit: "credit",
  licence: "licence",
  consent: "consent",
};

const CATEGORY_NAMES = {
  food_drink: "Food and drink",
  people_actions: "People and actions",
  clothing: "Clothing",
  architecture: "Architecture",
  city: "City",
  dance_music_art: "Dance, music and art",
  nature: "Nature",
  utensil_tool: "Utensils and tools",
  religion_festival: "Religion and festivals",
};

/** Return a category's name for people, or its slug where it is none of the nine. */
export function categoryName(slug) {
  return CATEGORY_NAMES[slug] ?? asWords(slug);
}

/** Return a kind of problem in words: its code says it, with spaces for hyphens. */
export function problemName(kind) {
  return asWords(kind);
}

/** Return an era in words. */
export function eraName(era) {
  return asWords(era);
}

/** Return a row's state: "kept", "dropped" or "undecided". An undecided one counts as kept. */
export function rowState(row) {
  if (!row.included) return "dropped";
  return row.decision === "kept" ? "kept" : "undecided";
}

/** Return a negative's state likewise; without a decision, of a person or the filter, it is unused. */
export function negativeState(negative) {
  if (negative.kept === null) return "undecided";
  return negative.kept ? "kept" : "dropped";
}

/** Return an ISO time as the reader's language writes it, or as it came where it is no time. */
export function timeText(iso) {
  const time = new Date(iso ?? "");
  if (Number.isNaN(time.getTime())) return iso ?? "";
  const style = { dateStyle: "medium" };
  return time.toLocaleString(undefined, iso.length > 10 ? { ...style, timeStyle: "short" } : style);
}

/** Return who decided, when and why, as far as it is known. */
export function decisionText({ by, at, why }) {
  const who = [by && `by ${by}`, at && timeText(at)].filter(Boolean).join(", ");
  return [who, why].filter(Boolean).join(": ");
}

/** Return what changes do, say "left out; category: Clothing"; null takes a statement back. */
export function changesText(changes) {
  const parts = [];
  if ("include" in changes) {
    const { include } = changes;
    parts.push(include === null ? "decision taken back" : include ? "kept" : "left out");
  }
  // What a program adds to a row's own captions is stated under a name of its own.
  const names = { ...FIELD_NAMES, generic_captions_added: "generic captions added" };
  for (const [field, name] of Object.entries(names)) {
    if (field in changes) parts.push(`${name}: ${valueText(field, changes[field])}`);
  }
  return parts.join("; ");
}

/** Return the names of changed fields as a list, say "category and era". */
export function fieldsText(changes) {
  const names = Object.keys(FIELD_NAMES)
    .filter((field) => field in changes)
    .map((field) => FIELD_NAMES[field]);
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** Return a field's value in words; null is the dataset's own. */
function valueText(field, value) {
  if (value === null || value === undefined) return "the dataset's own";
  if (Array.isArray(value)) return value.map((one) => `“${one}”`).join(", ") || "none";
  if (field === "category") return categoryName(value);
  if (field === "era") return eraName(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  return `“${value}”`;
}

/** Return the language as an attribute wants it, "" (unknown) where the card's is no language tag. */
export function languageTag(language) {
  try {
    return language ? Intl.getCanonicalLocales(language)[0] : "";
  } catch {
    return "";
  }
}

function asWords(code) {
  const words = String(code ?? "").replaceAll(/[-_]/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
