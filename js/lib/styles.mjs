/** The style sheets, put into the page once. */

const SHEETS = ["scoft.css", "desk.css", "scores.css"];

/** Add the pack's sheets to the page, those that are not there yet. */
export function addStyles() {
  for (const name of SHEETS) {
    const href = new URL(`../${name}`, import.meta.url).href;
    if ([...document.styleSheets].some((sheet) => sheet.href === href)) continue;
    if (document.querySelector(`link[data-scoft="${name}"]`)) continue;
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = href;
    link.dataset.scoft = name;
    document.head.append(link);
  }
}
