/** The browser's memory for answers; where it is blocked, the page goes on without. */

/**
 * Return the memory of one survey and culture: `works`, `read()`, `write(text)`,
 * `keep(text)`, `erase()`.
 * The language is no part of the key: who changes it goes on where they were.
 *
 * @param {(works: boolean) => void} onChange  called when writing begins to fail
 */
export function memoryOf(survey, culture, onChange) {
  const key = `scoft-survey:${survey}:${culture}`;
  const memory = { works: true, key, read, write, keep, erase };
  let known = null;

  function tried(act) {
    try {
      return act();
    } catch {
      if (memory.works) {
        memory.works = false;
        onChange();
      }
      return null;
    }
  }

  function read() {
    known = tried(() => localStorage.getItem(key));
    return known;
  }

  function write(text) {
    tried(() => localStorage.setItem(key, text));
    known = text;
  }

  /** Write, unless another tab has written what is not known here yet. */
  function keep(text) {
    if (tried(() => localStorage.getItem(key)) === known) write(text);
  }

  function erase() {
    tried(() => localStorage.removeItem(key));
  }

  tried(() => {
    localStorage.setItem(`${key}:probe`, "1");
    localStorage.removeItem(`${key}:probe`);
  });
  return memory;
}
