/** The browser's memory for answers; where it is blocked, the page goes on without. */

/**
 * Return the memory of one survey and culture: `works`, `read()`, `write(text)`, `erase()`.
 * The language is no part of the key: who changes it goes on where they were.
 *
 * @param {(works: boolean) => void} onChange  called when writing begins to fail
 */
export function memoryOf(survey, culture, onChange) {
  const key = `scoft-survey:${survey}:${culture}`;
  const memory = { works: true, key, read, write, erase };

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
    return tried(() => localStorage.getItem(key));
  }

  function write(text) {
    tried(() => localStorage.setItem(key, text));
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
