/**
 * The training nodes of the open workflow: which run each shows, where its messages go, and how it
 * is found again after a reload. The host's objects are passed in.
 */

import { addView, chain } from "./graph.mjs";
import { emptyState, isActive, mergeHistory, reduce, reduceHostError } from "./run_state.mjs";
import { RunView } from "./run_view.mjs";

const KEY = "scoft_run";
const IDLE_HEIGHT = 64;

/** All training nodes. */
export class RunNodes {
  /**
   * @param {Object} options
   * @param {Object} options.server: of `serverOf`.
   * @param {Object} options.memory: a Memory.
   * @param {(executionId: string) => Object|null} options.find: a node of the open workflow.
   * @param {(node: Object) => string|null} options.placeOf: where `memory` keeps what a node has.
   */
  constructor({ server, memory, find, placeOf }) {
    this.server = server;
    this.memory = memory;
    this.find = find;
    this.placeOf = placeOf;
    this.entries = new Map();
  }

  /** Give a new node its view. */
  attach(node) {
    const entry = { node, state: emptyState() };
    entry.view = new RunView({
      server: this.server,
      onStopping: (run) => {
        if (run === entry.state.run) this.change(entry, reduce(entry.state, { event: "stopping" }));
      },
      onHeight: () => node.setDirtyCanvas?.(true, true),
    });
    this.entries.set(node, entry);
    addView(node, "scoft_run", entry.view.element, {
      least: (margin) => Math.max(IDLE_HEIGHT, entry.view.minHeight() + 2 * margin),
    });
    chain(node, "onRemoved", () => {
      entry.view.destroy();
      this.entries.delete(node);
    });
    chain(node, "onExecuted", (output) => {
      const run = output?.scoft?.[0]?.run;
      if (run) this.follow(entry, run);
    });
  }

  /** Look for the run that a node of a loaded workflow had. */
  loaded(node) {
    const entry = this.entries.get(node);
    if (!entry) return Promise.resolve();
    const run = this.memory.recall(node, this.placeOf(node), KEY);
    return run ? this.fetchRun(entry, run) : Promise.resolve();
  }

  /**
   * Take in one live message.
   *
   * @param {Object} detail: the message.
   * @param {string|null} elsewhere: the place of its node, where that is in a workflow that is not
   *   open: the run is then kept for the time that it is.
   */
  event(detail, elsewhere = null) {
    const entry = elsewhere === null ? this.entries.get(this.find(detail.node)) : undefined;
    if (!entry) {
      if (detail.run && elsewhere !== null) this.memory.keep(null, elsewhere, KEY, detail.run);
      return Promise.resolve();
    }
    if (detail.run) this.memory.keep(entry.node, this.placeOf(entry.node), KEY, detail.run);
    const isNew = Boolean(detail.run) && detail.run !== entry.state.run;
    this.change(entry, reduce(entry.state, detail));
    const turns = ["settings", "finished"].includes(detail.event);
    return isNew || (turns && detail.run) ? this.fetchRun(entry, detail.run) : Promise.resolve();
  }

  /** The host reports that a node failed. */
  hostError(executionId, message) {
    const entry = this.entries.get(this.find(executionId));
    if (entry && (isActive(entry.state) || entry.state.status === "idle")) {
      this.change(entry, reduceHostError(entry.state, message));
    }
  }

  /** The host reports that its queue was interrupted at a node. */
  hostInterrupted(executionId) {
    const entry = this.entries.get(this.find(executionId));
    if (entry && isActive(entry.state)) {
      this.change(entry, reduce(entry.state, { event: "interrupted" }));
    }
  }

  /** The connection was lost for a while: ask for what was missed. */
  reconnected() {
    const known = [...this.entries.values()].filter((entry) => entry.state.run);
    return Promise.all(known.map((entry) => this.fetchRun(entry, entry.state.run)));
  }

  follow(entry, run) {
    this.memory.keep(entry.node, this.placeOf(entry.node), KEY, run);
    if (entry.state.run !== run) this.fetchRun(entry, run);
  }

  async fetchRun(entry, run) {
    const { events } = entry.state;
    let snapshot;
    try {
      snapshot = await this.server.run(run);
    } catch (error) {
      // A run of another server, or of an earlier one: the node just shows none.
      if (error.status === 404 && entry.state.run !== run) {
        this.memory.keep(entry.node, this.placeOf(entry.node), KEY, null);
      }
      return;
    }
    if (!this.entries.has(entry.node)) return;
    if (entry.state.run && entry.state.run !== run && entry.state.events !== events) return;
    const base = entry.state.run === run || !entry.state.run ? entry.state : emptyState();
    this.change(entry, mergeHistory(base, snapshot, events));
  }

  change(entry, state) {
    entry.state = state;
    entry.view.show(state);
  }
}
