/**
 * Elements from plain values. Text goes in as text nodes only, so that a caption can never become
 * markup; nothing here knows what the elements are for.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return a new HTML element.
 *
 * @param {string} tag
 * @param {Object} attributes: `class`, `text`, `on` ({event: listener}) and any attribute; a value
 *   of false, null or undefined leaves the attribute out, true sets it empty.
 * @param {...(Node|string|null)} children: strings become text; null is left out.
 */
export function element(tag, attributes = {}, ...children) {
  return build(document.createElement(tag), attributes, children);
}

/** Return a new SVG element; arguments as in `element`. */
export function svgElement(tag, attributes = {}, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

/** Return a button that neither submits nor takes the canvas's key strokes. */
export function button(text, attributes = {}, ...children) {
  return element(
    "button",
    { type: "button", class: "scoft-button", text, ...attributes },
    ...children,
  );
}

/** Set an element's text only where it differs, so that screen readers hear each change once. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Put `children` in place of what `target` holds. */
export function replaceChildren(target, ...children) {
  target.replaceChildren(...children.filter((child) => child != null));
}

function build(target, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name === "text") target.append(String(value));
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value))
        target.addEventListener(event, listener);
    } else target.setAttribute(name, value === true ? "" : value);
  }
  target.append(...children.filter((child) => child != null));
  return target;
}
