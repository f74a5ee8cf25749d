/** Going on from a saved file: on another device, or where the browser lets nothing be kept. */

import { element, foreign } from "./dom.mjs";
import { wrongOf } from "./faults.mjs";
import { readFile } from "./reading.mjs";

const LARGEST = 16 * 2 ** 20;
/* Bytes; the file of a thousand pages is some 1 MB. */

/** Return the section that takes a file. */
export function resumeSection(app) {
  const { words } = app;
  const start = foreign("answers-");
  // Of every kind: what came by a messenger often has lost its own.
  const input = element("input", { type: "file", id: "resume", "aria-describedby": "resume-help" });
  const wrong = wrongOf("resume", input, "resume-help");
  input.addEventListener("change", async () => {
    const answers = await answersIn(input.files[0], app.data);
    if (answers) app.resume(answers);
    else wrong.show(words("resume.wrong"));
  });
  return element(
    "details",
    {},
    element("summary", {}, words("resume.heading")),
    element("p.soft", { id: "resume-help" }, words.nodes("resume.help", { start })),
    element("div.field", {}, element("label", { for: "resume" }, words("resume.choose")), input),
    wrong.node,
  );
}

async function answersIn(file, data) {
  try {
    return file.size <= LARGEST ? readFile(await file.text(), data) : null;
  } catch {
    // The file is gone, or none was chosen.
    return null;
  }
}
