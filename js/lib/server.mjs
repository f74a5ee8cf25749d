/**
 * The pack's routes. Whoever asks gets the answer as an object, or an Error whose message is the
 * sentence to show. The host's `api` is passed in; it adds the page's own prefix to each address.
 */

/** What the server or the way to it answered instead; `status` is 0 where there was no answer. */
export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Return the routes as functions. `api` has fetchApi(path, options) and apiURL(path). */
export function serverOf(api) {
  async function ask(path, body) {
    const options =
      body === undefined
        ? {}
        : {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify(body),
          };
    let response;
    try {
      response = await api.fetchApi(path, options);
    } catch {
      const sentence =
        "The server does not answer. Check that ComfyUI is still running, then try again.";
      throw new ServerError(sentence, 0);
    }
    const answer = await response.json().catch(() => null);
    if (response.ok && answer !== null) return answer;
    throw new ServerError(
      answer?.error ?? `The server answered ${response.status} to ${path}. Its log says more.`,
      response.status,
    );
  }

  const run = (id) => `/scoft/runs/${encodeURIComponent(id)}`;
  const dataset = (id) => `/scoft/datasets/${encodeURIComponent(id)}`;
  const grid = (id) => `/scoft/grids/${encodeURIComponent(id)}`;
  const survey = (id) => `/scoft/surveys/${encodeURIComponent(id)}`;
  const results = (id) => `/scoft/results/${encodeURIComponent(id)}`;
  const set = (id, name) => `${dataset(id)}/negatives/${encodeURIComponent(name)}`;

  return {
    run: (id) => ask(run(id)),
    stopRun: (id) => ask(`${run(id)}/stop`, {}),
    previewUrl: (id, name) =>
      api.apiURL(`${run(id)}/previews/${encodeURIComponent(baseName(name))}`),
    presets: () => ask("/scoft/presets"),

    openDataset: (name) => ask("/scoft/datasets/open", { name }),
    dataset: (id) => ask(dataset(id)),
    reportUrl: (id) => api.apiURL(`${dataset(id)}/report`),
    changeRow: (id, sha256, stated) => ask(`${dataset(id)}/rows/${sha256}`, stated),
    history: (id, sha256) => ask(`${dataset(id)}/rows/${sha256}/history`),
    measure: (id) => ask(`${dataset(id)}/measure`, {}),
    pictureUrl: (id, sha256, size) => api.apiURL(`${dataset(id)}/pictures/${sha256}?size=${size}`),

    scores: (id, baseline = null) =>
      ask(baseline ? `${grid(id)}?baseline=${encodeURIComponent(baseline)}` : grid(id)),
    scoresReportUrl: (id) => api.apiURL(`${grid(id)}/report`),

    survey: (id) => ask(survey(id)),
    surveyPageUrl: (id, name, { save = false } = {}) =>
      api.apiURL(`${survey(id)}/pages/${encodeURIComponent(name)}${save ? "?save" : ""}`),
    results: (id) => ask(results(id)),
    resultsReportUrl: (id) => api.apiURL(`${results(id)}/report`),

    negatives: (id, name) => ask(set(id, name)),
    decideNegative: (id, name, folder, file, stated) =>
      ask(`${set(id, name)}/${encodeURIComponent(folder)}/${encodeURIComponent(file)}`, stated),
    depthUrl: (id, name, folder, size) =>
      api.apiURL(`${set(id, name)}/${encodeURIComponent(folder)}/depth?size=${size}`),
    negativeUrl: (id, name, folder, file, size) =>
      api.apiURL(
        `${set(id, name)}/${encodeURIComponent(folder)}/pictures/${encodeURIComponent(file)}?size=${size}`,
      ),
  };
}

function baseName(path) {
  return path.split("/").at(-1);
}
