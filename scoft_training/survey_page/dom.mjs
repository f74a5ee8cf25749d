/** Elements, made without markup: every text is text, whoever wrote it. */

/**
 * Return an element.
 *
 * @param {string} tag  with classes: "p.soft"
 * @param {object} settings  properties; what begins with "aria" or has a dash is set as an
 *   attribute, `on` holds listeners by event
 * @param children  nodes and texts; null and false are left out
 */
export function element(tag, settings = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(settings)) {
    if (key === "on") {
      for (const [kind, listener] of Object.entries(value)) made.addEventListener(kind, listener);
    } else if (key.includes("-") || key === "role" || key === "for") {
      if (value !== null && value !== false) made.setAttribute(key, value);
    } else {
      made[key] = value;
    }
  }
  made.append(...children.flat().filter((child) => child !== null && child !== false));
  return made;
}

/** Return a button with a text. */
export function button(text, press, settings = {}) {
  const { classes = "", ...others } = settings;
  return element(`button${classes}`, { type: "button", ...others, on: { click: press } }, text);
}

/** Return somebody's text with a direction of its own, which cannot turn its surroundings. */
export function foreign(text, tag = "bdi", settings = {}) {
  return element(tag, { dir: "auto", ...settings }, text);
}

const SHAPES = {
  enlarge: "M9 3H3v6M15 3h6v6M9 21H3v-6M15 21h6v-6",
  close: "M5 5l14 14M19 5L5 19",
  back: "M15 4l-8 8 8 8",
  next: "M9 4l8 8-8 8",
  done: "M4 12l6 6L20 6",
  grip: "M9 5v.01M15 5v.01M9 12v.01M15 12v.01M9 19v.01M15 19v.01",
};

/** Return a small drawing that says nothing to a screen reader. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  drawing.setAttribute("viewBox", "0 0 24 24");
  drawing.setAttribute("aria-hidden", "true");
  drawing.setAttribute("class", `icon icon-${name}`);
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", SHAPES[name]);
  drawing.append(line);
  return drawing;
}

/** Return a place where what happened is said aloud, and the function that says it. */
export function speaker() {
  const place = element("div.aloud", { role: "status", "aria-live": "polite" });
  // New elements are read even if they say the same as the ones before.
  const say = (...sentences) =>
    place.replaceChildren(...sentences.map((one) => element("p", {}, one)));
  return { place, say };
}
