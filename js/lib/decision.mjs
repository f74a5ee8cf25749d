/**
 * A picture that a person keeps or drops: the picture is the switch. The change shows at once, is
 * sent to the server, and taken back with the server's sentence where it is refused.
 */

import { button, element, setText } from "./dom.mjs";
import { openPicture } from "./picture_dialog.mjs";

/**
 * Return {element, update} of one picture with its decision.
 *
 * @param {Object} options
 * @param {string} options.source: the picture's address.
 * @param {string} options.large: that of the same picture, larger.
 * @param {string} options.name: what a screen reader calls it.
 * @param {() => {kept: boolean|null, text: string, byUser: boolean}} options.state
 * @param {(kept: boolean|null) => Promise<void>} options.decide: asks the server; on success `state`
 *   answers the new decision.
 * @param {boolean} options.takesBack: whether a user's decision can be undone to none.
 * @param {Node[]} options.body: what stands below the picture.
 */
export function decidable({ source, large, name, state, decide, takesBack = false, body = [] }) {
  const badge = element("span", { class: "scoft-badge" });
  const toggle = button(
    "",
    { class: "scoft-toggle", "aria-label": name, title: "Click to keep or drop" },
    element("img", {
      src: source,
      alt: "",
      loading: "lazy",
      decoding: "async",
      draggable: "false",
    }),
    badge,
  );
  const enlarge = button("⤢", {
    class: "scoft-button scoft-icon scoft-enlarge",
    "aria-label": `Show large: ${name}`,
    title: "Show large",
    on: { click: () => openPicture({ source: large, title: badge.textContent, caption: name }) },
  });
  const undo = button("Take back", {
    class: "scoft-button scoft-small scoft-undo",
    title: "Forget your decision, so that the filter's counts again",
    on: { click: () => send(null) },
  });
  const error = element("p", { class: "scoft-error", role: "alert", hidden: true });
  const card = element(
    "figure",
    { class: "scoft-card" },
    element("div", { class: "scoft-card-picture" }, toggle, enlarge),
    element("figcaption", {}, ...body, takesBack ? undo : null, error),
  );

  function show({ kept, text, byUser }) {
    const pressed = kept === null ? "mixed" : String(kept);
    toggle.setAttribute("aria-pressed", pressed);
    card.dataset.kept = kept === null ? "undecided" : String(kept);
    setText(badge, text);
    undo.hidden = !byUser;
  }

  async function send(kept) {
    if (card.hasAttribute("aria-busy")) return;
    card.setAttribute("aria-busy", "true");
    error.hidden = true;
    if (kept !== null) show({ kept, text: kept ? "kept" : "dropped", byUser: false });
    const hadFocus = document.activeElement === undo;
    try {
      await decide(kept);
    } catch (refused) {
      error.hidden = false;
      setText(error, refused.message);
    }
    card.removeAttribute("aria-busy");
    show(state());
    if (hadFocus && undo.hidden) toggle.focus();
  }

  toggle.addEventListener("click", () => send(state().kept === false));
  show(state());
  return { element: card, update: () => show(state()) };
}
