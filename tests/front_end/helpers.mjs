/** What tests of the front end need of the host, invented: nodes with a DOM widget, and a storage. */

/** Return a Storage over a map. */
function storageOver(map) {
  return {
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => map.set(key, value),
    removeItem: (key) => map.delete(key),
  };
}

/** Return a node whose DOM widget lands in the page, and `removed` once it was taken away. */
function fakeNode(values) {
  return {
    addDOMWidget(name, type, element, options) {
      document.getElementById("node").append(element);
      this.widget = { name, type, options, margin: 10 };
      return this.widget;
    },
    onRemoved() {
      this.removed = true;
    },
    ...values,
  };
}

/** Put a training node 3 into the page: `node`, all of them in `nodes`, the storage in `kept`. */
export function addTrainer(run = null) {
  const properties = run ? { scoft_run: run } : {};
  window.node = fakeNode({ id: 3, properties, comfyClass: "ScoftTrainLora" });
  window.kept = new Map();
  const graph = { nodes: [node], getNodeById: (id) => (id === 3 ? node : null) };
  window.nodes = new scoft.RunNodes({
    server,
    memory: new scoft.Memory(storageOver(kept)),
    find: (id) => scoft.findNode(graph, id),
    placeOf: (one) => scoft.executionIdOf(graph, one),
  });
  nodes.attach(node);
}

/** Put a node with a dataset into the page: `node`, all of them in `reviews`. */
export function addReviewed(comfyClass, properties = {}) {
  const widgets = [{ name: "dataset", value: "avelun" }];
  window.node = fakeNode({ id: 5, properties, comfyClass, widgets });
  const memory = new scoft.Memory(null);
  window.reviews = new scoft.ReviewNodes({ server, memory, placeOf: () => "5" });
  reviews.attach(node);
}

/** Put a node that makes a report into the page: `node`, all of them in `reports`. */
export function addReporter(properties = {}) {
  window.node = fakeNode({ id: 6, properties, comfyClass: scoft.REPORTER });
  const memory = new scoft.Memory(null);
  window.reports = new scoft.ReportNodes({ server, memory, placeOf: () => "6" });
  reports.attach(node);
}

/** Put a node with scores into the page: `node`, all of them in `metrics`, the storage in `kept`. */
export function addScored(comfyClass, properties = {}) {
  window.node = fakeNode({ id: 7, properties, comfyClass });
  window.kept = new Map();
  const memory = new scoft.Memory(storageOver(kept));
  window.metrics = new scoft.MetricsNodes({ server, memory, placeOf: () => "7" });
  metrics.attach(node);
}

/** Put a node that makes or reads a survey into the page: `node`, all of its kind in `surveys`. */
export function addSurveyNode(comfyClass, properties = {}) {
  window.node = fakeNode({ id: 8, properties, comfyClass });
  const memory = new scoft.Memory(null);
  const Nodes = comfyClass === scoft.SURVEY_MAKER ? scoft.SurveyMakers : scoft.SurveyReaders;
  window.surveys = new Nodes({ server, memory, placeOf: () => "8" });
  surveys.attach(node);
}

/** Resolve when what was changed is drawn. */
export function drawn() {
  return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}

/** Return {contrast, text} of the text with the lowest WCAG contrast; disabled ones do not count. */
export function lowestContrast(selector) {
  let lowest = { contrast: 99, text: "" };
  for (const element of document.querySelector(selector).querySelectorAll("*")) {
    const text = [...element.childNodes]
      .filter((node) => node.nodeType === 3)
      .map((node) => node.data)
      .join("");
    if (!text.trim() || element.closest(":disabled") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const color = element instanceof SVGElement ? style.fill : style.color;
    const [dark, light] = [luminance(rgba(color)), luminance(ground(element))].sort(
      (a, b) => a - b,
    );
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < lowest.contrast) lowest = { contrast, text };
  }
  return lowest;
}

const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

function rgba(color) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
}

function luminance(color) {
  const linear = color.slice(0, 3).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

function ground(element) {
  for (let at = element; at; at = at.parentElement) {
    const color = rgba(getComputedStyle(at).backgroundColor);
    if (color[3] > 200) return color;
  }
  return [255, 255, 255, 255];
}
