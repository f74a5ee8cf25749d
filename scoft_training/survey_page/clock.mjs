/** Time that somebody spends on what is on the screen. */

const LONGEST_PAUSE = 60_000;
/* A minute without a touch, a key or a movement: nobody may be there. No more of it counts. */

const SIGNS = ["pointerdown", "pointermove", "keydown", "wheel", "scroll"];

/**
 * Hand on the seconds that pass while the page is visible, in small portions.
 *
 * @param {(seconds: number) => void} spend
 * @returns {() => void} hands on what has passed until now; call it before the view changes
 */
export function startClock(spend) {
  let last = performance.now();
  let visible = document.visibilityState === "visible";

  function settle() {
    const now = performance.now();
    if (visible) spend(Math.min(now - last, LONGEST_PAUSE) / 1000);
    last = now;
  }

  for (const sign of SIGNS) addEventListener(sign, settle, { capture: true, passive: true });
  document.addEventListener("visibilitychange", () => {
    settle();
    visible = document.visibilityState === "visible";
  });
  return settle;
}
