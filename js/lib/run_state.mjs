/**
 * One training run as the page knows it: live events and the server's history become one state.
 *
 * Pure functions; a state is never changed, a new one is returned. Rows are steps in order, each
 * step once: where a number comes twice, the later message counts.
 */

import { count, formatBytes, formatDuration, isNumber } from "./format.mjs";

/** How each loss term is called, in the order of the legend. */
export const TERMS = {
  ldm: "L_LDM",
  memorization: "L_M",
  perceptual: "L_P",
  contrastive: "L_C",
  lpips: "LPIPS",
};

const ENDED = ["stopped", "finished", "failed", "interrupted"];

/** What a node without a run shows. */
export function emptyState() {
  return {
    run: null,
    status: "idle",
    message: "",
    phase: null,
    estimate: null,
    settings: null,
    steps: 0,
    rows: [],
    validations: [],
    previews: [],
    warnings: [],
    events: 0,
  };
}

/** Whether a run of this state can be stopped, or will be once its id is known. */
export function isActive(state) {
  return ["preparing", "running", "stopping"].includes(state.status);
}

/** Whether a run of this state has come to an end. */
export function hasEnded(state) {
  return ENDED.includes(state.status);
}

/** Return the state after one live message. Kinds that it does not know change nothing but `events`. */
export function reduce(state, event) {
  const another = event.run && state.run && event.run !== state.run;
  // What a run tells before its id is known; the first of it begins a new one.
  const begins = !event.run && ["phase", "warning"].includes(event.event) && !isActive(state);
  const base = another || begins ? emptyState() : state;
  const next = {
    ...base,
    run: event.run ?? base.run,
    status: begins ? "preparing" : base.status,
    events: state.events + 1,
  };
  const change = CHANGES[event.event];
  return change ? { ...next, ...change(next, event) } : next;
}

const CHANGES = {
  phase(state, { phase, done, total }) {
    return {
      status: state.status === "stopping" ? "stopping" : "preparing",
      message: "",
      phase: { phase, done, total },
    };
  },
  estimate: (_state, { level, parts, peak_bytes, needed_bytes, free_bytes, fits }) => ({
    estimate: { level, parts, peak_bytes, needed_bytes, free_bytes, fits },
  }),
  settings(state, event) {
    const { event: _kind, node: _node, run: _run, ...settings } = event;
    return {
      status: "running",
      message: "",
      phase: null,
      settings,
      steps: event.steps,
      // A killed run goes on from its last checkpoint; what came after that no longer counts.
      rows: state.rows.filter((row) => row.step <= event.start_step),
    };
  },
  step(state, event) {
    return {
      status: state.status === "stopping" ? "stopping" : "running",
      message: "",
      phase: null,
      steps: event.steps,
      rows: put(state.rows, toRow(event), "step"),
    };
  },
  validation(state, { step, loss, pictures }) {
    return { validations: put(state.validations, { step, loss, pictures }, "step") };
  },
  preview(state, { step, prompt, name }) {
    return { previews: put(state.previews, { step, prompt, name }, "name") };
  },
  warning(state, { message }) {
    return state.warnings.includes(message) ? {} : { warnings: [...state.warnings, message] };
  },
  stopped: (_state, { message }) => ({ status: "stopped", message, phase: null }),
  finished: (_state, event) => ({
    status: "finished",
    phase: null,
    message: event.already_done
      ? "Nothing was left to train: this LoRA was finished before, and was taken as it is."
      : "",
  }),
  failed: (_state, { message }) => ({ status: "failed", message, phase: null }),
  // The answer to the question may come after the run's own last word.
  stopping: (state) => (hasEnded(state) ? {} : { status: "stopping" }),
  interrupted(state) {
    return hasEnded(state)
      ? {}
      : {
          status: "interrupted",
          phase: null,
          message: "Interrupted. What was trained so far is saved; queue again to go on.",
        };
  },
};

/** Return the state after the host's error for the node, unless the run told its end itself. */
export function reduceHostError(state, message) {
  return hasEnded(state) ? state : { ...state, status: "failed", phase: null, message };
}

/**
 * Return the state after the answer of GET /scoft/runs/{run}.
 *
 * @param {Object} state: with all live events up to now.
 * @param {Object} snapshot: the server's answer.
 * @param {number} eventsBefore: `state.events` when the question was asked; live events since then
 *   are newer than the answer.
 */
export function mergeHistory(state, snapshot, eventsBefore = state.events) {
  if (state.run && state.run !== snapshot.run) return state;
  const news = state.events > eventsBefore;
  const { validations = [], previews = [] } = snapshot;
  // A phase that is over stays in the answer until something else begins.
  const phase =
    snapshot.phase && snapshot.phase.done < snapshot.phase.total ? snapshot.phase : null;
  const told = snapshot.state !== "running" ? snapshot.state : phase ? "preparing" : "running";
  const keeps = state.status === "stopping" && snapshot.state === "running";
  return {
    ...state,
    run: snapshot.run,
    status: (news && state.status !== "idle") || keeps ? state.status : told,
    message: news
      ? state.message
      : snapshot.message || (told === state.status ? state.message : ""),
    phase: news ? state.phase : phase,
    estimate: state.estimate ?? snapshot.estimate ?? null,
    settings: state.settings ?? snapshot.settings ?? null,
    steps: state.steps || snapshot.steps || 0,
    rows: union(historyRows(snapshot.history), state.rows, "step"),
    validations: union(validations, state.validations, "step"),
    previews: union(previews, state.previews, "name"),
    warnings: [...new Set([...(snapshot.warnings ?? []), ...state.warnings])],
  };
}

/** Return the server's columns as rows, a step that comes twice once, with its later values. */
export function historyRows(history) {
  const rows = (history?.step ?? []).map((step, index) => {
    const losses = {};
    for (const [term, values] of Object.entries(history.losses ?? {})) {
      if (isNumber(values[index])) losses[term] = values[index];
    }
    const column = (name) => history[name]?.[index] ?? null;
    return {
      step,
      losses,
      total_loss: column("total_loss"),
      grad_norm: column("grad_norm"),
      learning_rate: column("learning_rate"),
      seconds: column("seconds"),
      memory_bytes: column("memory_bytes"),
    };
  });
  return union(rows, [], "step");
}

function toRow({ step, losses, total_loss, grad_norm, learning_rate, seconds, memory_bytes }) {
  return { step, losses, total_loss, grad_norm, learning_rate, seconds, memory_bytes };
}

/** Return the list with `item` in its place by `key`, instead of one with the same key. */
function put(list, item, key) {
  let place = list.length;
  while (place > 0 && compare(list[place - 1][key], item[key]) > 0) place -= 1;
  const same = place > 0 && list[place - 1][key] === item[key];
  return [...list.slice(0, same ? place - 1 : place), item, ...list.slice(place)];
}

/** Return both lists as one, in order of `key` and each key once; of two the later in line counts. */
function union(earlier, later, key) {
  const found = new Map([...earlier, ...later].map((item) => [item[key], item]));
  return [...found.values()].sort((a, b) => compare(a[key], b[key]));
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Return the seconds that the steps still to come will take, or null where nothing is known.
 *
 * Steps with a perceptual term are many times slower, and come every n-th time; so both kinds are
 * counted apart, each at its own recent mean.
 */
export function secondsLeft(state) {
  const pace = paceOf(state.rows);
  if (pace === null) return null;
  const { step } = state.rows.at(-1);
  const remaining = Math.max(0, state.steps - step);
  const slow = pace.newest === null ? 0 : slowBetween(pace, step, state.steps);
  return slow * pace.slow + (remaining - slow) * pace.quick;
}

/** Return the mean seconds of a step over a whole period of slow and quick ones, or null. */
export function secondsPerStep(state) {
  const pace = paceOf(state.rows);
  if (pace === null) return null;
  return pace.newest === null
    ? pace.quick
    : (pace.slow + (pace.period - 1) * pace.quick) / pace.period;
}

/**
 * Return {quick, slow, period, newest}: mean seconds of both kinds, how many steps lie from one slow
 * step to the next, and which was the newest slow one (null where none was).
 */
function paceOf(rows, recent = 20) {
  const timed = rows.filter((row) => isNumber(row.seconds));
  if (timed.length === 0) return null;
  const slow = timed.filter(isSlow);
  const slowMean = mean(slow.slice(-recent));
  const quick = mean(timed.filter((row) => !isSlow(row)).slice(-recent)) ?? slowMean;
  const newest = slow.at(-1)?.step ?? null;
  // One alone does not tell the period, but none can lie before it or since.
  const alone = Math.max(newest, timed.at(-1).step - newest + 1);
  const period = slow.length > 1 ? newest - slow.at(-2).step : alone;
  return { quick, slow: slowMean ?? quick, period, newest };
}

function isSlow({ losses }) {
  return "perceptual" in losses || "contrastive" in losses || "lpips" in losses;
}

/** Return how many slow steps lie in (from, to]. */
function slowBetween({ newest, period }, from, to) {
  const upTo = (end) => Math.floor((end - newest) / period);
  return Math.max(0, upTo(to) - upTo(from));
}

function mean(rows) {
  if (rows.length === 0) return null;
  return rows.reduce((sum, row) => sum + row.seconds, 0) / rows.length;
}

/**
 * Return the curves of one view as [{key, label, points: [[step, value]], sparse, marks}].
 *
 * `sparse` says that the curve has a value at some steps only, `marks` that it is drawn as marks.
 *
 * @param {"losses"|"gradient"|"rate"} view
 */
export function curves(state, view) {
  if (view === "gradient") return [column(state.rows, "grad_norm", "gradient norm")];
  if (view === "rate") return [column(state.rows, "learning_rate", "learning rate")];
  const found = [];
  for (const [term, label] of Object.entries(TERMS)) {
    const points = pointsOf(state.rows, (row) => row.losses[term]);
    if (points.length)
      found.push({ key: term, label, points, sparse: points.length < 0.7 * state.rows.length });
  }
  if (found.length > 1) found.push(column(state.rows, "total_loss", "weighted sum"));
  if (state.validations.length) {
    const points = pointsOf(state.validations, (row) => row.loss);
    found.push({ key: "validation", label: "held out", points, sparse: true, marks: true });
  }
  return found;
}

function column(rows, key, label) {
  return { key, label, points: pointsOf(rows, (row) => row[key]), sparse: false };
}

function pointsOf(rows, value) {
  return rows.filter((row) => isNumber(value(row))).map((row) => [row.step, value(row)]);
}

/** Return previews as [{step, pictures: [{prompt, name}]}], oldest first. */
export function previewsByStep(state) {
  const groups = new Map();
  for (const { step, prompt, name } of state.previews) {
    if (!groups.has(step)) groups.set(step, []);
    groups.get(step).push({ prompt, name });
  }
  return [...groups]
    .sort(([a], [b]) => a - b)
    .map(([step, pictures]) => ({
      step,
      pictures: pictures.sort((a, b) => compare(a.name, b.name)),
    }));
}

/**
 * Return what an estimate of memory says: {peak, parts}, the second a line for each part, or null
 * where there is none.
 */
export function estimateWords({ estimate }) {
  if (!estimate) return null;
  const { level, parts, peak_bytes, needed_bytes, free_bytes, fits } = estimate;
  const lines = Object.entries(parts).map(([name, size]) => `${name}: ${formatBytes(size)}`);
  const free = `Of this ${formatBytes(needed_bytes)} were to be taken, ${formatBytes(free_bytes)} free.`;
  const doubt = fits ? [] : ["It will hardly fit: lower batch_size or resolution."];
  return {
    peak: `${fits ? "" : "⚠ "}${formatBytes(peak_bytes)}`,
    parts: [`memory ${level}, at the peak`, ...lines, free, ...doubt].join("\n"),
  };
}

/** Return how far the run is: {title, detail, done, total}, for the line at its top. */
export function progress(state) {
  const step = state.rows.at(-1)?.step ?? state.settings?.start_step ?? 0;
  const total = state.steps || null;
  const of = total ? `${step} of ${total}` : String(step);
  switch (state.status) {
    case "idle":
      return { title: "No run yet", detail: "Queue the graph to train.", done: 0, total: null };
    case "preparing":
      return preparing(state);
    case "running":
    case "stopping": {
      const left = secondsLeft(state);
      const detail = left === null ? "" : `${formatDuration(left)} left`;
      return state.status === "running"
        ? { title: `Step ${of}`, detail, done: step, total }
        : {
            title: "Stopping …",
            detail: `saves what ${count(step, "step")} made`,
            done: step,
            total,
          };
    }
    case "finished":
      return { title: "Finished", detail: total ? count(total, "step") : "", done: 1, total: 1 };
    case "stopped":
      return { title: "Stopped and saved", detail: `step ${of}`, done: step, total };
    case "interrupted":
      return { title: "Interrupted", detail: step ? `step ${of}` : "", done: step, total };
    default:
      return { title: "Failed", detail: step ? `step ${of}` : "", done: step, total };
  }
}

function preparing({ phase, status }) {
  if (!phase) return { title: "Starting …", detail: "", done: 0, total: null };
  const known = phase.total > 1;
  return {
    title: `${phase.phase.charAt(0).toUpperCase()}${phase.phase.slice(1)}`,
    detail: known ? `${phase.done} of ${phase.total}` : status === "stopping" ? "stopping …" : "",
    done: phase.done,
    total: known ? phase.total : null,
  };
}
