/** Ways in which the file leaves the page, each of which the participant asks for. */

import { element } from "./dom.mjs";

/** Save a text where the browser keeps downloads. */
export function saveFile(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = element("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  // Some browsers read the file only after the click has been dealt with.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/**
 * Return a function that opens the device's own way of sharing a file and answers whether
 * somebody shared it; null where the device has none.
 */
export function sharing(name, text) {
  if (!navigator.canShare) return null;
  const files = [new File([text], name, { type: "application/json" })];
  if (!navigator.canShare({ files })) return null;
  // Closing the device's window without a choice is no error.
  return () =>
    navigator.share({ files }).then(
      () => true,
      () => false,
    );
}

/** Copy the text of a field; answers whether that worked. */
export async function copyText(field) {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    return document.execCommand("copy");
  }
}

/** Post the text to the form target, whose answer opens in a tab of its own. */
export function postForm(target, text) {
  const field = element("textarea", { name: "answers", value: text });
  const settings = { method: "post", action: target, target: "_blank", rel: "noopener" };
  const form = element("form", { ...settings, acceptCharset: "utf-8", hidden: true }, field);
  document.body.append(form);
  form.submit();
  form.remove();
}
