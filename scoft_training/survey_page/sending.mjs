/** How the answers leave the page: as a file, by the device's sharing, as text, by a form. */

import { fileName, fileText } from "./answers.mjs";
import { ask } from "./dialogs.mjs";
import { button, element, foreign } from "./dom.mjs";
import { copyText, postForm, saveFile, sharing } from "./files.mjs";

const MAIL = /([^\s@<>()?&,;:]+@[^\s@<>()?&,;:]+\.[^\s@<>()?&,;:]*[^\s@<>()?&,;:.])/u;

/** Save the file, and say so; return the same sentence as texts and nodes. */
export function saveAnswers(app) {
  const { answers, data, words, say } = app;
  const file = fileName(answers, data);
  saveFile(file, fileText(answers, data));
  noteSaved(app);
  say(words("end.saved", { file }));
  return words.nodes("end.saved", { file: foreign(file) });
}

function noteSaved({ answers, save }) {
  answers.saved = true;
  save();
}

/** Return the section that hands over the answers. */
export function sendingSection(app) {
  const { data, words } = app;
  const saved = element("p.saved", { hidden: true });
  const save = () => {
    saved.replaceChildren(...saveAnswers(app));
    saved.hidden = false;
  };
  const contact = contactOf(data.contact, words);
  return element(
    "section.card-like",
    {},
    element("h2", {}, words("end.save_heading")),
    element(
      "div.buttons",
      {},
      button(words("end.save"), save, { classes: ".primary" }),
      shareButton(app),
      data.form_target && postButton(app),
    ),
    saved,
    element("p", {}, words.nodes("end.send_to", { contact })),
    element("p.soft", {}, words("end.again")),
    copySection(app),
  );
}

function contactOf(contact, words) {
  if (!contact) return words("contact.unknown");
  const shown = foreign("");
  shown.append(
    ...contact
      .split(MAIL)
      .map((part, at) => (at % 2 ? foreign(part, "a", { href: `mailto:${part}` }) : part)),
  );
  return shown;
}

function shareButton(app) {
  const { answers, data, words } = app;
  const share = () => sharing(fileName(answers, data), fileText(answers, data));
  const press = async () => {
    if (await share()()) noteSaved(app);
  };
  return share() && button(words("end.share"), press);
}

function postButton(app) {
  const { answers, data, words, say } = app;
  const host = new URL(data.form_target).host;
  const done = element("p", { hidden: true }, words("end.post_done"));
  const send = () => {
    postForm(data.form_target, fileText(answers, data));
    done.hidden = false;
    say(done.textContent);
  };
  const values = () => ({ host: foreign(host) });
  const question = words.nodes("end.post_ask", values());
  const open = () => ask(words, question, words("end.post_yes"), send);
  return [button(words.nodes("end.post", values()), open), done];
}

function copySection(app) {
  const { answers, data, words, say } = app;
  const field = element("textarea", {
    id: "as-text",
    rows: 4,
    readOnly: true,
    dir: "ltr",
    spellcheck: false,
  });
  const fill = () => {
    field.value = fileText(answers, data);
  };
  const copy = async () => {
    // Something may have been answered since the text was shown.
    fill();
    const copied = await copyText(field);
    if (copied) noteSaved(app);
    told.textContent = words(copied ? "end.copied" : "end.copy_failed");
    say(told.textContent);
  };
  const told = element("p");
  const section = element(
    "details",
    {},
    element("summary", {}, words("end.copy_heading")),
    element("p", {}, words("end.copy_help")),
    element("label.aloud", { for: "as-text" }, words("end.copy_label")),
    field,
    element("div.buttons", {}, button(words("end.copy"), copy)),
    told,
  );
  section.addEventListener("toggle", fill);
  return section;
}
