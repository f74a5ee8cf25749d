/** The step with the questions: one prompt, its pictures, and one question at a time. */

import { openQuestions } from "./answers.mjs";
import { button, element, foreign, icon } from "./dom.mjs";
import { questionView } from "./question.mjs";
import { isRanked } from "./ranking.mjs";

/** Return the step's content, the heading of its question, and what is to be said of the page. */
export function pageStep(app) {
  const { data, words, answers } = app;
  const at = answers.at;
  const id = answers.order[at.page];
  const answered = answers.pages[id];
  const item = data.items[at.item];
  answered.seen = true;

  const nav = navigation(app);
  const steps = element("ol");
  const open = element("p.soft.still-open");
  const update = () => {
    steps.replaceChildren(...stepButtons(app, answered));
    const count = openQuestions(answers, id).length;
    const last = at.item === data.items.length - 1;
    const ranked = isRanked(answered.items[item].places, answered.order);
    nav.update(ranked);
    open.textContent = last && ranked && count ? words("page.still_open", { count }) : "";
  };
  const question = questionView(app, answered, item, update);
  update();
  const about = data.pages.find((one) => one.page === id);
  const content = [
    progress(app),
    element(
      "main",
      {},
      promptOf(about, data, words),
      element("nav.steps", { "aria-label": words("progress.questions") }, steps),
      element("section.question", {}, question.heading, ...question.body),
      data.comments && commentField(app, answered),
      open,
    ),
    element(
      "footer.bar",
      { className: data.pages[0].pictures.length > 5 ? "bar many" : "bar" },
      question.places,
      nav.node,
    ),
  ];
  const above = [progressText(app), foreign(about.prompt), about.translation].filter(Boolean);
  return { heading: question.heading, content, above };
}

function progressText({ words, answers: { at, order } }) {
  return words("progress.page", { page: at.page + 1, pages: order.length });
}

function progress(app) {
  const { words, answers, go } = app;
  const text = progressText(app);
  return element(
    "header.progress",
    {},
    element("h1", {}, text),
    button(words("progress.overview"), () => go({ step: "overview" }), { classes: ".quiet" }),
    element("progress", {
      max: answers.order.length,
      value: answers.at.page + 1,
      "aria-label": text,
    }),
  );
}

function promptOf({ prompt, translation }, { language }, words) {
  return element(
    "figure.prompt",
    {},
    element("figcaption.soft", {}, words("prompt.label")),
    // In which language it is written is not known: surely not always in the page's.
    element("blockquote", { lang: "" }, foreign(prompt, "p")),
    translation && [
      element("p.soft", {}, words("prompt.translation")),
      foreign(translation, "p", { lang: language }),
    ],
  );
}

function stepButtons({ data, words, answers, go }, answered) {
  return data.items.map((key, index) => {
    const done = isRanked(answered.items[key].places, answered.order);
    const number = { number: index + 1, count: data.items.length };
    const state = words(done ? "progress.complete" : "progress.open");
    const title = words(`item.${key}.title`);
    const step = button(
      element("span.dot", {}, done ? icon("done") : words.number(index + 1)),
      () => go({ ...answers.at, item: index }),
      {
        classes: done ? ".done" : "",
        "aria-current": index === answers.at.item && "step",
        "aria-label": `${words("progress.question", number)}: ${title} (${state})`,
      },
    );
    step.append(element("span.title", {}, title));
    return element("li", {}, step);
  });
}

function commentField(app, answered) {
  const keep = (event) => {
    answered.comment = event.target.value;
    app.changed();
  };
  const settings = { id: "comment", rows: 3, dir: "auto", maxLength: 5000 };
  return element(
    "details.comment",
    { open: answered.comment !== "" },
    element("summary", {}, app.words("page.comment")),
    element("label.aloud", { for: "comment" }, app.words("page.comment")),
    element("textarea", { ...settings, value: answered.comment, on: { input: keep } }),
  );
}

function navigation(app) {
  const { data, words, answers, go } = app;
  const next = button("", () => go(after(answers, data)), { classes: ".next" });
  const back = button(words("nav.back"), () => go(before(answers, data)));
  return {
    node: element("nav.buttons", { "aria-label": progressText(app) }, back, next),
    update: (ranked) => {
      next.textContent = words(ranked ? "nav.next" : "nav.skip");
      next.classList.toggle("primary", ranked);
    },
  };
}

function after({ at, order }, { items }) {
  if (at.item + 1 < items.length) return { ...at, item: at.item + 1 };
  if (at.page + 1 < order.length) return { step: "page", page: at.page + 1, item: 0 };
  return { step: "overview" };
}

function before({ at }, { items }) {
  if (at.item > 0) return { ...at, item: at.item - 1 };
  if (at.page > 0) return { step: "page", page: at.page - 1, item: items.length - 1 };
  return { step: "welcome" };
}
