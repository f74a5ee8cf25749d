/** The page's words in its language, with numbers in the digits of that language. */

/**
 * Return the words: `words(key, values)` is a text, `words.nodes(key, values)` a list of texts and
 * nodes for values that are elements, `words.number(n)` a number as people write it.
 */
export function wordsOf(texts, language) {
  const number = numbersOf(language);
  const shown = (value) => (typeof value === "number" ? number(value) : value);
  const parts = (key, values) =>
    texts[key].split(/\{(\w+)\}/).map((part, place) => (place % 2 ? shown(values[part]) : part));

  const words = (key, values = {}) => parts(key, values).join("");
  words.nodes = (key, values) => parts(key, values);
  words.number = number;
  return words;
}

function numbersOf(language) {
  try {
    const format = new Intl.NumberFormat(language, { useGrouping: false });
    return (value) => format.format(value);
  } catch {
    return String;
  }
}

/** Return the digit 0 to 9 that a key writes in whichever script, or null. */
export function digitOf(key) {
  if (!/^\p{Nd}$/u.test(key)) return null;
  // Every script's ten digits stand in a row that begins where no digit comes before.
  const code = key.codePointAt(0);
  let value = 0;
  while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(code - value - 1))) value += 1;
  return value;
}
