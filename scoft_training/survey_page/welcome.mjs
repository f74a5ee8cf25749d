/** The first step: what this is about, consent, and who somebody says they are. */

import { begin } from "./answers.mjs";
import { element, foreign } from "./dom.mjs";
import { wrongOf } from "./faults.mjs";
import { resumeSection } from "./resume.mjs";
import { digitOf } from "./words.mjs";

const MOST_YEARS = 120;

/** Return the step's content and its heading. */
export function welcomeStep(app) {
  const { data, words, answers } = app;
  const heading = foreign(data.title, "h1", { tabIndex: -1 });
  const paragraphs = (texts) => texts.map((text) => foreign(text, "p"));
  const fields = fieldsOf(app);
  const form = element(
    "form.card-like",
    { noValidate: true },
    element("h2", {}, words("welcome.consent_heading")),
    element("div.consent", {}, paragraphs(data.consent)),
    fields.agree.node,
    element("h2", {}, words("welcome.you_heading")),
    fields.culture.node,
    fields.country.node,
    fields.years.node,
    element(
      "div.buttons",
      {},
      element(
        "button.primary",
        // Enter in a field presses it, too; forms themselves are forbidden in some previews.
        { type: "submit", on: { click: (event) => submitted(event, app, fields) } },
        words(answers.started ? "welcome.go_on" : "welcome.begin"),
      ),
    ),
    app.memory.works && element("p.soft", {}, words("memory.kept")),
  );
  const about = element("section", {}, element("h2", {}, words("welcome.about_heading")));
  about.append(...paragraphs(data.about));
  const content = element(
    "main.welcome",
    {},
    heading,
    about,
    !answers.started && resumeSection(app),
    form,
  );
  return { heading, content };
}

function fieldsOf({ words, answers }) {
  const { culture, country, years } = answers.declared;
  const text = { type: "text", dir: "auto", autocomplete: "off", maxLength: 200 };
  return {
    agree: consentBox(words, answers.consent !== null),
    culture: field(words, "culture", { ...text, value: culture }, { required: true, help: true }),
    country: field(words, "country", { ...text, value: country, autocomplete: "country-name" }),
    years: field(words, "years", {
      type: "text",
      inputMode: "decimal",
      value: years ?? "",
      maxLength: 10,
    }),
  };
}

function consentBox(words, checked) {
  const input = element("input", { type: "checkbox", id: "agree", checked });
  const wrong = wrongOf("agree", input);
  input.setAttribute("aria-required", "true");
  const label = element("label.agree", { for: "agree" }, input, words("welcome.agree"));
  return { node: element("div.field", {}, label, wrong.node), input, fault: wrong.show };
}

function field(words, name, settings, { required = false, help = false } = {}) {
  const input = element("input", { id: name, ...settings });
  const wrong = wrongOf(name, input, help && `${name}-help`);
  if (required) input.setAttribute("aria-required", "true");
  const optional = !required && element("span.soft", {}, ` (${words("welcome.optional")})`);
  const node = element(
    "div.field",
    {},
    element("label", { for: name }, words(`welcome.${name}`), optional),
    help && element("p.soft", { id: `${name}-help` }, words(`welcome.${name}_help`)),
    input,
    wrong.node,
  );
  return { node, input, fault: wrong.show };
}

function submitted(event, app, { agree, culture, country, years }) {
  event.preventDefault();
  const { words } = app;
  const number = yearsOf(years.input.value);
  const checks = [
    [agree, agree.input.checked, "agree_missing"],
    [culture, culture.input.value.trim(), "culture_missing"],
    [years, number !== undefined, "years_wrong"],
  ];
  for (const [one, right, key] of checks) one.fault(right ? "" : words(`welcome.${key}`));
  const wrong = checks.find(([, right]) => !right);
  if (wrong) {
    wrong[0].input.focus();
    return;
  }
  begin(app.answers, app.data, {
    culture: culture.input.value.trim(),
    country: country.input.value.trim(),
    years: number,
  });
  app.begun();
}

/** Return a number from what somebody wrote, null for nothing, undefined for what is no number. */
function yearsOf(text) {
  const plain = text
    .trim()
    .replace(/\p{Nd}/gu, (digit) => digitOf(digit))
    .replace(/[,٫]/u, ".");
  if (!plain) return null;
  const number = /^\d+(\.\d+)?$/.test(plain) ? Number(plain) : -1;
  return number >= 0 && number <= MOST_YEARS ? number : undefined;
}
