/** Erasing all answers from the device, which nothing brings back: not before their file is offered. */

import { ask } from "./dialogs.mjs";
import { button, element } from "./dom.mjs";
import { saveAnswers } from "./sending.mjs";

/** Ask whether the answers are to be erased; what no file holds yet can be saved in the window. */
export function askErase(app, question, yes) {
  const { words, answers, erase } = app;
  const unsaved = !answers.saved;
  const told = element("p", { role: "status" }, words("end.unsaved"));
  const save = () => told.replaceChildren(...saveAnswers(app));
  ask(words, [element("p", {}, question), unsaved && told], yes, erase, {
    others: [unsaved && button(words("end.save"), save, { classes: ".primary" })],
    classes: ".danger",
  });
}
