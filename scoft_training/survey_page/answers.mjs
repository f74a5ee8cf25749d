/**
 * What one participant has answered: made, and written as the file that is sent. Reading it back
 * is the matter of `reading.mjs`.
 *
 * The file, format "scoft-survey-answers", version 1: `survey`, `culture` and `language` of the
 * page; `participant`, a random UUID; `declared` {culture, country, years or null}; `consent`
 * {agreed, at}; `started`; `finished`, when the last answer of a complete survey was given, else
 * null; `page_order`, the pages that this person was to see, in their order; `pages`, those that
 * were seen: `page`, `order` of the pictures on it, `seconds`, `comment`, `items` {key: {ranks
 * {picture: rank}, seconds}}; `comment`. Times are ISO 8601. A ranking may be incomplete.
 *
 * Seconds of an item: for how long its question stood on the screen while the page was visible,
 * summed over all visits; see `clock.mjs` for pauses. A page's seconds are the sum of its items'.
 */

import { randomId, shuffled } from "./chance.mjs";
import { isRanked } from "./ranking.mjs";

export const FORMAT = "scoft-survey-answers";
export const VERSION = 1;

/** Return the answers of somebody who has not begun. */
export function newAnswers(data) {
  return {
    version: VERSION,
    survey: data.survey,
    participant: randomId(),
    declared: { culture: "", country: "", years: null },
    consent: null,
    started: null,
    finished: null,
    order: [],
    pages: {},
    comment: "",
    at: { step: "welcome" },
    last: null,
    // Whether a file or a message has taken them as they are now.
    saved: false,
  };
}

/** Note the consent; at the first time, draw which pages are seen, and all orders. */
export function begin(answers, data, declared) {
  answers.declared = declared;
  if (answers.started) return;
  answers.started = new Date().toISOString();
  answers.consent = { agreed: true, at: answers.started };
  const drawn = shuffled(data.pages);
  const seen = drawn.slice(0, data.pages_per_participant || drawn.length);
  answers.order = seen.map(({ page }) => page);
  for (const { page, pictures } of seen) answers.pages[page] = newPage(pictures, data.items);
}

/** Return the answers on a page that nobody has seen, with an order of its pictures. */
export function newPage(pictures, keys) {
  const items = keys.map((item) => [item, { places: {}, seconds: 0 }]);
  return { seen: false, order: shuffled(pictures), comment: "", items: Object.fromEntries(items) };
}

/** Return the questions of a page that are still open. */
export function openQuestions(answers, page) {
  const { items, order } = answers.pages[page];
  return Object.keys(items).filter((item) => !isRanked(items[item].places, order));
}

/** Return the pages that are not complete. */
export function openPages(answers) {
  return answers.order.filter((page) => openQuestions(answers, page).length > 0);
}

/** Return where somebody stopped: the first open question from the page on that was seen last. */
export function stopped(answers, data) {
  const { order, pages } = answers;
  const last = order.map((page) => pages[page].seen).lastIndexOf(true);
  const at = order.findIndex((page, index) => index >= last && openQuestions(answers, page).length);
  if (at < 0) return { step: "overview" };
  return { step: "page", page: at, item: data.items.indexOf(openQuestions(answers, order[at])[0]) };
}

/** Note that a ranking has changed: whether everything is answered by now. */
export function noteRanking(answers) {
  answers.finished = openPages(answers).length ? null : new Date().toISOString();
}

/** Return the file's text. */
export function fileText(answers, data) {
  const file = {
    format: FORMAT,
    version: VERSION,
    survey: data.survey,
    culture: data.culture,
    language: data.language,
    participant: answers.participant,
    declared: answers.declared,
    consent: answers.consent,
    started: answers.started,
    finished: answers.finished,
    page_order: answers.order,
    pages: answers.order.filter((page) => answers.pages[page].seen).map(pageOf(answers)),
    comment: answers.comment,
  };
  return `${JSON.stringify(file, null, 1)}\n`;
}

const pageOf = (answers) => (page) => {
  const { order, comment, items } = answers.pages[page];
  const entries = Object.entries(items);
  const seconds = entries.reduce((sum, [, item]) => sum + item.seconds, 0);
  return {
    page,
    order,
    seconds: rounded(seconds),
    comment,
    items: Object.fromEntries(
      entries.map(([key, item]) => [key, { ranks: item.places, seconds: rounded(item.seconds) }]),
    ),
  };
};

function rounded(seconds) {
  return Math.round(seconds * 10) / 10;
}

/** Return the file's name: the culture's own letters, and a number that tells people apart. */
export function fileName(answers, data) {
  const plain = data.culture.normalize("NFC").toLowerCase();
  // Marks are letters' parts: Hindi's vowels.
  const slug = plain.replace(/[^\p{L}\p{M}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
  // Whole letters: some are two of JavaScript's.
  const short = Array.from(slug).slice(0, 60).join("");
  return `answers-${short || "survey"}-${answers.participant.slice(0, 8)}.json`;
}
