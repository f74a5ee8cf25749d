/** How the answers leave the page: as a file, by the device's sharing, as text, by a form. */

import { fileName, fileText } from "./answers.mjs";
import { ask } from "./dialogs.mjs";
import { button, element, foreign } from "./dom.mjs";
import { copyText, postForm, saveFile, sharing } from "./files.mjs";

const MAIL = /([^\s@<>()?&,;:]+@[^\s@<>()?&,;:]+\.[^\s@<>()?&,;:]*[^\s@<>()?&,;:.])/u;

/** Save the file, and say so. */
export function saveAnswers({ answers, data, words, say }) {
  const name = fileName(answers, data);
  saveFile(name, fileText(answers, data));
  say(words("end.saved", { file: name }));
  return name;
}

/** Return the section that hands over the answers. */
export function sendingSection(app) {
  const { data, words } = app;
  const saved = element("p.saved", { hidden: true });
  const save = () => {
    const file = foreign(saveAnswers(app));
    saved.replaceChildren(...words.nodes("end.saved", { file }));
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

function shareButton({ answers, data, words }) {
  const share = () => sharing(fileName(answers, data), fileText(answers, data));
  return share() && button(words("end.share"), () => share()());
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

function copySection({ answers, data, words, say }) {
  const field = element("textarea", {
    id: "as-text",
    rows: 4,
    readOnly: true,
    dir: "ltr",
    spellcheck: false,
  });
  const copy = async () => {
    const copied = await copyText(field);
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
  section.addEventListener("toggle", () => {
    field.value = fileText(answers, data);
  });
  return section;
}
