/** How high a view has to be whose parts stand below each other, so that nothing of it is cut off. */

const AROUND = ["paddingTop", "paddingBottom", "borderTopWidth", "borderBottomWidth"];

/**
 * Return the height in the page's pixels, or null where the view is not shown.
 *
 * @param {HTMLElement} view: a column with a gap.
 * @param {(child: HTMLElement) => number} heightOf: what a part needs at least.
 */
export function stackedHeight(view, heightOf) {
  const children = [...view.children].filter((child) => child.offsetHeight > 0);
  if (children.length === 0) return null;
  const style = getComputedStyle(view);
  const gap = parseFloat(style.rowGap) || 0;
  const frame = AROUND.reduce((sum, side) => sum + (parseFloat(style[side]) || 0), 0);
  const heights = children.map(heightOf);
  return Math.ceil(
    heights.reduce((sum, value) => sum + value, frame + gap * (heights.length - 1)) + 1,
  );
}
