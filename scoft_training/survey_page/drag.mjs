/**
 * Dragging by mouse, pen and finger. A finger drags only by what is marked as a grip, whose style
 * switches scrolling off there; everywhere else it scrolls the page as usual.
 */

import { element } from "./dom.mjs";

const FAR = 6;
/* Pixels that a press may tremble before it is a drag. */

const EDGE = 56;
/* Near the edge of the window the page scrolls on by itself. */

/**
 * Let a picture be dragged by `handle` onto an element with `data-drop`.
 *
 * @param {HTMLElement} handle  what is pressed; inside it, or it itself, `.grip` is for fingers
 * @param {string} source  the picture's address
 * @param {() => boolean} isPlaced  whether it can be taken out of the places, by `data-drop="out"`
 * @param {(target: string) => void} drop  gets the value of `data-drop`
 */
export function makeDraggable(handle, source, isPlaced, drop) {
  let drag = null;

  handle.addEventListener("pointerdown", (event) => {
    const byGrip = event.pointerType !== "touch" || event.target.closest(".grip");
    if (drag || event.button !== 0 || !byGrip) return;
    // From now on its movements come here, even a quick one that has left it already.
    handle.setPointerCapture(event.pointerId);
    drag = { pointer: event.pointerId, x: event.clientX, y: event.clientY, ghost: null };
    addEventListener("keydown", escape, true);
  });
  handle.addEventListener("pointermove", (event) => {
    if (drag?.pointer === event.pointerId) follow(event);
  });
  handle.addEventListener("pointerup", (event) => {
    if (drag?.pointer !== event.pointerId) return;
    const target = drag.ghost && aimedAt(event);
    if (drag.ghost) swallowClick(handle);
    end();
    if (target) drop(target.dataset.drop);
  });
  for (const kind of ["pointercancel", "lostpointercapture"]) handle.addEventListener(kind, end);
  handle.addEventListener("dragstart", (event) => event.preventDefault());

  function follow(event) {
    if (!drag.ghost) {
      if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < FAR) return;
      drag.ghost = element("img.ghost", { alt: "", src: source });
      document.body.append(drag.ghost);
      document.body.classList.add("dragging");
    }
    drag.ghost.style.transform = `translate(${event.clientX}px, ${event.clientY}px)`;
    mark(aimedAt(event));
    if (event.clientY < EDGE) scrollBy(0, -EDGE / 4);
    if (event.clientY > innerHeight - EDGE) scrollBy(0, EDGE / 4);
  }

  function aimedAt(event) {
    const target = targetAt(event);
    return target?.dataset.drop === "out" && !isPlaced() ? null : target;
  }

  function escape(event) {
    if (event.key !== "Escape" || !drag?.ghost) return;
    event.preventDefault();
    swallowClick(handle);
    end();
  }

  function end() {
    drag?.ghost?.remove();
    drag = null;
    mark(null);
    document.body.classList.remove("dragging");
    removeEventListener("keydown", escape, true);
  }
}

function targetAt({ clientX, clientY }) {
  return document.elementFromPoint(clientX, clientY)?.closest("[data-drop]") ?? null;
}

function mark(target) {
  for (const one of document.querySelectorAll(".aimed")) one.classList.remove("aimed");
  target?.classList.add("aimed");
}

/** The end of a drag is no press of what was dragged. */
function swallowClick(handle) {
  const swallow = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  handle.addEventListener("click", swallow, { capture: true, once: true });
  setTimeout(() => handle.removeEventListener("click", swallow, { capture: true }), 50);
}
