/** The last step: what is still open, a last word, the file, and erasing everything. */

import { openPages, openQuestions } from "./answers.mjs";
import { button, element, icon } from "./dom.mjs";
import { askErase } from "./erasing.mjs";
import { sendingSection } from "./sending.mjs";

/** Return the step's content and its heading. */
export function overviewStep(app) {
  const { words, answers } = app;
  const heading = element("h1", { tabIndex: -1 }, words("end.heading"));
  const count = openPages(answers).length;
  const content = element(
    "main.overview",
    {},
    heading,
    element(
      "p.lead",
      {},
      count
        ? words("end.missing", { count, pages: answers.order.length })
        : words("end.complete"),
    ),
    element("h2", {}, words("end.pages")),
    pageButtons(app),
    commentField(app),
    sendingSection(app),
    eraseSection(app),
  );
  return { heading, content };
}

function pageButtons({ data, words, answers, go }) {
  const open = new Set(openPages(answers));
  const entries = answers.order.map((page, index) => {
    const first = data.items.indexOf(openQuestions(answers, page)[0]);
    const values = { page: index + 1, pages: answers.order.length };
    const state = words(open.has(page) ? "progress.open" : "progress.complete");
    const chip = button(
      words.number(index + 1),
      () => go({ step: "page", page: index, item: Math.max(0, first) }),
      {
        classes: open.has(page) ? ".chip" : ".chip.done",
        "aria-label": `${words("progress.page", values)} (${state})`,
      },
    );
    if (!open.has(page)) chip.append(icon("done"));
    return element("li", {}, chip);
  });
  return element("ol.chips", {}, entries);
}

function commentField(app) {
  const keep = (event) => {
    app.answers.comment = event.target.value;
    app.changed();
  };
  const settings = { id: "last-word", rows: 3, dir: "auto", maxLength: 5000 };
  return element(
    "div.field",
    {},
    element(
      "label",
      { for: "last-word" },
      app.words("end.comment"),
      element("span.soft", {}, ` (${app.words("welcome.optional")})`),
    ),
    element("textarea", { ...settings, value: app.answers.comment, on: { input: keep } }),
  );
}

function eraseSection(app) {
  const { words } = app;
  const open = () => askErase(app, words("end.erase_ask"), words("end.erase_yes"));
  return element(
    "section.erasing",
    {},
    element("h2", {}, words("end.erase_heading")),
    element("p.soft", {}, words("end.erase_help")),
    button(words("end.erase"), open, { classes: ".danger" }),
  );
}
