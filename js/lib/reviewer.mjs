/** Who reviews: asked once, before the first change, and remembered by the browser. */

const KEY = "scoft.reviewer";

/** The reviewer's name. */
export class Reviewer {
  /**
   * @param {Storage|null} storage: null, or one that refuses, makes the page forget on a reload.
   * @param {(name: string) => Promise<string|null>} ask: null where the person does not answer.
   */
  constructor(storage, ask) {
    this.storage = storage;
    this.ask = ask;
    this.asking = null;
    this.known = this.attempt(() => storage?.getItem(KEY)) ?? null;
  }

  /** Return the name, "" for nobody's; null where the person was asked and did not answer. */
  async name() {
    return this.known ?? this.change();
  }

  /** Ask for the name, also where it is known; several askers get one question. */
  change() {
    this.asking ??= this.ask(this.known ?? "").then((name) => {
      this.asking = null;
      if (name === null) return null;
      this.known = name;
      this.attempt(() => this.storage?.setItem(KEY, name));
      return name;
    });
    return this.asking;
  }

  attempt(action) {
    try {
      return action();
    } catch {
      return null;
    }
  }
}
