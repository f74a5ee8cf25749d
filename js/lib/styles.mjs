/** The style sheet, put into the page once. */

/** Add scoft.css to the page, if it is not there yet. */
export function addStyles() {
  const href = new URL("../scoft.css", import.meta.url).href;
  if ([...document.styleSheets].some((sheet) => sheet.href === href)) return;
  if (document.querySelector("link[data-scoft]")) return;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = href;
  link.dataset.scoft = "";
  document.head.append(link);
}
