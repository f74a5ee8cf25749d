/**
 * The pack's extension of the page: gives its nodes their views and passes the host's messages on.
 * This is the only file that the host imports by itself (it imports every *.js), and the only one
 * that knows the host.
 */

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const TRAINER = "ScoftTrainLora";
const HELPERS = [
  "asking",
  "cards",
  "cell_grid",
  "chart",
  "desk",
  "dom",
  "filter_bar",
  "format",
  "gallery",
  "graph",
  "keys",
  "memory",
  "metrics_nodes",
  "modal",
  "negatives_view",
  "owner",
  "picture_dialog",
  "picture_filters",
  "pictures_view",
  "presets",
  "previews",
  "report_nodes",
  "review_nodes",
  "reviewer",
  "row_form",
  "run_nodes",
  "run_state",
  "run_view",
  "score_table",
  "score_view",
  "series",
  "server",
  "single_view",
  "styles",
  "survey_nodes",
  "view_height",
  "virtual_rows",
  "words",
];

// The host forbids browsers to keep a *.js, but says nothing about *.mjs: without this, a browser
// may put helpers of an earlier version of the pack beside this file.
await Promise.all(
  HELPERS.map((name) =>
    fetch(new URL(`./lib/${name}.mjs`, import.meta.url), { cache: "no-cache" }).catch(() => null),
  ),
);
const { executionIdOf, findNode } = await import("./lib/graph.mjs");
const { Memory } = await import("./lib/memory.mjs");
const { MetricsNodes, SCORED } = await import("./lib/metrics_nodes.mjs");
const { Owner } = await import("./lib/owner.mjs");
const { attachPresets } = await import("./lib/presets.mjs");
const { REPORTER, ReportNodes } = await import("./lib/report_nodes.mjs");
const { REVIEWED, ReviewNodes } = await import("./lib/review_nodes.mjs");
const { RunNodes } = await import("./lib/run_nodes.mjs");
const { serverOf } = await import("./lib/server.mjs");
const { SURVEY_MAKER, SURVEY_READER, SurveyMakers, SurveyReaders } = await import(
  "./lib/survey_nodes.mjs"
);
const { addStyles } = await import("./lib/styles.mjs");

const rootGraph = () => app.rootGraph ?? app.graph;
const placeIn = (workflow, executionId) => `${workflow}/${executionId}`;
const server = serverOf(api);
const shared = {
  server,
  memory: new Memory(window.sessionStorage),
  find: (executionId) => findNode(rootGraph(), executionId),
  placeOf(node) {
    const executionId = executionIdOf(rootGraph(), node);
    return executionId === null ? null : placeIn(rootGraph().id, executionId);
  },
};
const runs = new RunNodes(shared);
const reviews = new ReviewNodes(shared);
const reports = new ReportNodes(shared);
const metrics = new MetricsNodes(shared);
const surveys = new SurveyMakers(shared);
const answers = new SurveyReaders(shared);
const owner = new Owner(api);

/** Pass messages on in their order, each to the workflow that it belongs to. */
let last = Promise.resolve();
function pass(detail) {
  last = last.then(async () => {
    const workflow = await owner.workflow();
    const isOpen = workflow === null || workflow === rootGraph().id;
    runs.event(detail, isOpen ? null : placeIn(workflow, detail.node));
  });
}

let presets = null;
const askPresets = () => {
  presets ??= server.presets().catch((error) => {
    presets = null;
    throw error;
  });
  return presets;
};

function complain(error) {
  app.extensionManager?.toast?.add({
    severity: "error",
    summary: "SCoFT",
    detail: error.message,
    life: 8000,
  });
}

/** The training's view has the previews of all steps; the host shows the newest once more below. */
function hidePreview({ displayNodeId }) {
  const node = shared.find(displayNodeId);
  if (node?.comfyClass !== TRAINER) return;
  for (const key of [node.id, `${node.graph?.id}:${node.id}`]) delete app.nodePreviewImages?.[key];
}

/**
 * Let the classic renderer fold rare widgets away, as the new one does by itself. Marked as
 * advanced, they come and go with "Show Advanced" in the node's menu; hidden, they also leave no gap.
 */
function foldRareWidgets(node) {
  for (const widget of node.widgets ?? []) {
    if (!widget.options?.advanced) continue;
    widget.advanced = true;
    let hidden = widget.hidden;
    Object.defineProperty(widget, "hidden", {
      configurable: true,
      enumerable: true,
      get: () => hidden || !(node.showAdvanced || window.LiteGraph?.vueNodesMode),
      set: (value) => {
        hidden = value;
      },
    });
  }
}

/** Leave free height to the view below instead of sharing it with a few words. */
function limitTexts(node, height, ...names) {
  for (const { name, options } of node.widgets ?? []) {
    if (names.includes(name) && options) options.getMaxHeight = () => height;
  }
}

/** Make a node large enough for what it holds; a saved one gets its saved size after this. */
function fit(node, width) {
  const [wanted, height] = node.computeSize();
  node.setSize([Math.max(width, wanted), height]);
}

app.registerExtension({
  name: "Scoft",
  setup() {
    addStyles();
    api.addEventListener("execution_start", () => owner.forget());
    api.addEventListener("scoft.event", ({ detail }) => pass(detail));
    api.addEventListener("execution_error", ({ detail }) => {
      last = last.then(() => runs.hostError(detail.node_id, detail.exception_message));
    });
    api.addEventListener("execution_interrupted", ({ detail }) => {
      last = last.then(() => runs.hostInterrupted(detail.node_id));
    });
    api.addEventListener("reconnected", () => runs.reconnected());
    api.addEventListener("b_preview_with_metadata", ({ detail }) => hidePreview(detail));
  },
  nodeCreated(node) {
    if (node.comfyClass?.startsWith("Scoft")) foldRareWidgets(node);
    if (node.comfyClass === TRAINER) {
      runs.attach(node);
      attachPresets(node, askPresets, complain);
      limitTexts(node, 90, "preview_prompts");
      fit(node, 420);
    } else if (REVIEWED.includes(node.comfyClass)) {
      reviews.attach(node);
      fit(node, 300);
    } else if (node.comfyClass === REPORTER) {
      reports.attach(node);
      fit(node, 320);
    } else if (SCORED.includes(node.comfyClass)) {
      metrics.attach(node);
      fit(node, 520);
    } else if (node.comfyClass === SURVEY_MAKER) {
      surveys.attach(node);
      limitTexts(node, 140, "about", "consent", "models");
      fit(node, 420);
    } else if (node.comfyClass === SURVEY_READER) {
      answers.attach(node);
      fit(node, 780);
    }
  },
  loadedGraphNode(node) {
    if (node.comfyClass === TRAINER) runs.loaded(node);
    else if (REVIEWED.includes(node.comfyClass)) reviews.loaded(node);
    else if (node.comfyClass === REPORTER) reports.loaded(node);
    else if (SCORED.includes(node.comfyClass)) metrics.loaded(node);
    else if (node.comfyClass === SURVEY_MAKER) surveys.loaded(node);
    else if (node.comfyClass === SURVEY_READER) answers.loaded(node);
  },
});
