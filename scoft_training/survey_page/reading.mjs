/**
 * Answers read back: what this device has kept, and a file that somebody has saved and goes on
 * with, here or on another device. Nothing is taken that the page could not have written itself:
 * with one damaged entry some step would have nothing to show.
 */

import { FORMAT, newAnswers, newPage, VERSION } from "./answers.mjs";
import { isPossible } from "./ranking.mjs";

const PARTICIPANT = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Return kept answers that fit the page, or null. */
export function readAnswers(text, data) {
  return fitting(() => JSON.parse(text), data);
}

/** Return the answers of a saved file that fit the page, or null. */
export function readFile(text, data) {
  // A file may have come as a message, with words around it.
  const whole = () => JSON.parse(text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1));
  return fitting(() => answersOf(whole(), data), data);
}

/** Return what `read` returns, or null where that fails or does not fit. */
function fitting(read, data) {
  try {
    const answers = read();
    return fits(answers, data) ? answers : null;
  } catch {
    return null;
  }
}

/** Return a file's answers; pages that were not seen get an order of their own, as at first. */
function answersOf(file, data) {
  if (file.format !== FORMAT || file.culture !== data.culture) return null;
  const { version, survey, participant, declared, consent, started, finished, comment } = file;
  const read = { version, survey, participant, declared, consent, started, finished, comment };
  const answers = { ...newAnswers(data), ...read, order: file.page_order, saved: true };
  const seen = new Map(file.pages.map((one) => [one.page, one]));
  for (const { page, pictures } of data.pages.filter((one) => file.page_order.includes(one.page)))
    answers.pages[page] = seen.has(page)
      ? seenPage(seen.get(page), data.items)
      : newPage(pictures, data.items);
  return answers;
}

function seenPage({ order, comment, items }, keys) {
  const read = keys.map((key) => [key, { places: items[key].ranks, seconds: items[key].seconds }]);
  return { seen: true, order, comment, items: Object.fromEntries(read) };
}

function fits(answers, data) {
  const { version, survey, participant, order, pages, at, last } = answers;
  const pictures = new Map(data.pages.map((one) => [one.page, one.pictures]));
  return (
    version === VERSION &&
    survey === data.survey &&
    PARTICIPANT.test(participant) &&
    isSaid(answers) &&
    order.length > 0 &&
    new Set(order).size === order.length &&
    order.every((page) => pageFits(pages[page], pictures.get(page), data)) &&
    isStep(at, answers, data) &&
    (last === null || isStep(last, answers, data))
  );
}

function isSaid({ declared, consent, started, finished, comment }) {
  const { culture, country, years } = declared;
  const texts = [culture, country, consent.at, started, finished ?? "", comment];
  return (
    texts.every((one) => typeof one === "string") &&
    (years === null || Number.isFinite(years)) &&
    consent.agreed === true
  );
}

function pageFits({ order, comment, items }, pictures, data) {
  const same = (one, other) => [...one].sort().join() === [...other].sort().join();
  return (
    same(order, pictures) &&
    typeof comment === "string" &&
    same(Object.keys(items), data.items) &&
    Object.values(items).every(
      ({ places, seconds }) =>
        Number.isFinite(seconds) &&
        seconds >= 0 &&
        isPossible(places, pictures, data.allow_ties),
    )
  );
}

/** Return whether there is such a step: it may have been noted for other answers than these. */
export function isStep({ step, page, item }, { order }, { items }) {
  const within = (index, list) => Number.isInteger(index) && index in list;
  if (step === "page") return within(page, order) && within(item, items);
  return step === "welcome" || (step === "overview" && order.length > 0);
}
