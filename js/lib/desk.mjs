/**
 * What the review desk holds: a dataset, the changes sent to the server one after the other, and the
 * way back from each. Nothing here is on the screen; views listen for what happened:
 *
 * - "row" {row}, "negative" {negative}: one of them changed;
 * - "dataset": all rows were read anew;
 * - "said" {text}: what happened, in words;
 * - "failed" {text}: the sentence to show, the server's where it sent one;
 * - "undoable": there is more, or less, to undo.
 */

import { fieldsText, negativeState, rowState, STATE_NAMES } from "./words.mjs";

/** One dataset under review. */
export class Desk extends EventTarget {
  /**
   * @param {Object} options
   * @param {Object} options.server: of `serverOf`.
   * @param {Object} options.dataset: the server's answer; its rows are changed in place.
   * @param {{name: () => Promise<string|null>}} options.reviewer
   * @param {string|null} options.folder: by which name the server opens the dataset anew; null is
   *   the dataset's own.
   */
  constructor({ server, dataset, reviewer, folder = null }) {
    super();
    this.server = server;
    this.dataset = dataset;
    this.reviewer = reviewer;
    this.folder = folder ?? dataset.name;
    this.failure = "";
    this.undoable = [];
    this.last = Promise.resolve();
  }

  /** The dataset's id. */
  get id() {
    return this.dataset.dataset;
  }

  /**
   * State something about a row: `changes` as the server takes them, `why` may be empty.
   *
   * Resolves with whether it was done; where not, "failed" told why, or nobody said who reviews.
   */
  changeRow(row, changes, why = "") {
    return this.queue(async (by) => {
      const { row: fresh, before } = await this.ask((server) =>
        server.changeRow(this.id, row.sha256, { changes, by, why }),
      );
      Object.assign(row, fresh);
      this.push({ row, before });
      this.tell("row", { row });
      this.say(`Row ${row.number}: ${rowWords(row, changes, " saved")}${why ? ` (${why})` : ""}.`);
    });
  }

  /** Keep a negative (true), drop it (false) or take a person's decision back (null); likewise. */
  decideNegative(set, folder, negative, kept, why = "") {
    return this.queue(async (by) => {
      const { negative: fresh, before } = await this.ask((server) =>
        server.decideNegative(this.id, set, folder, negative.name, { kept, by, why }),
      );
      Object.assign(negative, fresh);
      this.push({ set, folder, negative, before });
      this.tell("negative", { negative });
      this.say(`${negative.name}: ${negativeWords(negative)}${why ? ` (${why})` : ""}.`);
    });
  }

  /** Take the last change back; likewise. */
  undo() {
    return this.queue(async (by) => {
      const step = this.undoable.at(-1);
      if (!step) {
        this.say("There is nothing to undo.");
        return;
      }
      await (step.row ? this.undoRow(step, by) : this.undoNegative(step, by));
      this.undoable.pop();
      this.tell("undoable");
    });
  }

  async undoRow({ row, before }, by) {
    const asked = { changes: before, by, why: "undone" };
    const { row: fresh } = await this.ask((server) =>
      server.changeRow(this.id, row.sha256, asked),
    );
    Object.assign(row, fresh);
    this.tell("row", { row, undone: true });
    this.say(`Undone: row ${row.number}, ${rowWords(row, before)} as before.`);
  }

  async undoNegative({ set, folder, negative, before }, by) {
    // Where the filter had decided, `before.kept` is null: its decision holds again.
    const asked = { kept: before.kept, by, why: "undone" };
    const { negative: fresh } = await this.ask((server) =>
      server.decideNegative(this.id, set, folder, negative.name, asked),
    );
    Object.assign(negative, fresh);
    this.tell("negative", { negative, undone: true });
    this.say(`Undone: ${negative.name}, ${negativeWords(negative)} as before.`);
  }

  /** Have the server look for blurred, small and similar pictures, and show what it found. */
  async measure() {
    try {
      const fresh = await this.ask((server) => server.measure(this.id));
      const known = new Map(this.dataset.rows.map((row) => [row.sha256, row]));
      // The same objects stay, since a form or the way back may hold one of them.
      fresh.rows = fresh.rows.map((row) => Object.assign(known.get(row.sha256) ?? {}, row));
      this.dataset = fresh;
      this.tell("dataset");
      const found = fresh.rows.filter((row) => row.problems.length > 0).length;
      this.say(`All pictures are checked. Rows with something to look at: ${found}.`);
    } catch (error) {
      this.fail(error.message);
    }
  }

  /**
   * Ask the server by `send`. One that was started anew since is told of the dataset first.
   *
   * @throws {Error} with the sentence to show.
   */
  async ask(send) {
    try {
      return await send(this.server);
    } catch (error) {
      if (error.status !== 404 || !(await this.reopen())) throw error;
    }
    return send(this.server);
  }

  /** Resolves with whether the server has this very dataset open again. */
  async reopen() {
    try {
      return (await this.server.openDataset(this.folder)).dataset === this.id;
    } catch {
      return false;
    }
  }

  /** Say something that is no fault. */
  say(text) {
    this.tell("said", { text });
  }

  /** Changes wait for one another: the server's record and the way back have the same order. */
  queue(send) {
    const done = this.last.then(async () => {
      const by = await this.reviewer.name();
      if (by === null) return false;
      try {
        await send(by);
        return true;
      } catch (error) {
        this.fail(error.message);
        return false;
      }
    });
    this.last = done;
    return done;
  }

  fail(text) {
    this.failure = text;
    this.tell("failed", { text });
  }

  push(step) {
    this.undoable.push(step);
    this.tell("undoable");
  }

  tell(kind, detail = {}) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

function rowWords(row, changes, done = "") {
  const fields = fieldsText(changes);
  const decided = "include" in changes ? STATE_NAMES[rowState(row)] : "";
  return [decided, fields && `${fields}${done}`].filter(Boolean).join(", ");
}

function negativeWords(negative) {
  const state = negativeState(negative);
  const words = state === "dropped" ? "dropped" : STATE_NAMES[state];
  return negative.by === "filter" ? `${words} by the filter` : words;
}
