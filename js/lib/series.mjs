/**
 * Curves as numbers: smoothing, thinning to a width, scales and tick marks. Pure functions over
 * arrays of [x, y]; what a curve means and how it is drawn is known to `run_state` and `chart`.
 */

import { isNumber } from "./format.mjs";

/**
 * Return exponentially smoothed values, without the pull to zero of a sum that starts there.
 *
 * m_i = w m_(i-1) + (1 - w) v_i with m_0 = 0, shown as m_i / (1 - w^i); i counts values, not steps.
 *
 * @param {Array<[number, number]>} points
 * @param {number} weight: w in [0, 1); 0 returns the points as they are.
 */
export function smooth(points, weight) {
  if (weight <= 0) return points;
  let mean = 0;
  let rest = 1;
  return points.map(([x, y]) => {
    mean = weight * mean + (1 - weight) * y;
    rest *= weight;
    return [x, mean / (1 - rest)];
  });
}

/**
 * Return at most about 4 points per column, so that long runs draw quickly and no peak is lost.
 *
 * Each of `columns` equal parts of [low, high] keeps its first, lowest, highest and last point.
 */
export function thin(points, columns, [low, high]) {
  if (points.length <= 4 * columns) return points;
  const width = (high - low || 1) / columns;
  const kept = [];
  let start = 0;
  while (start < points.length) {
    const column = columnOf(points[start][0], low, width);
    let end = start;
    let lowest = start;
    let highest = start;
    while (end < points.length && columnOf(points[end][0], low, width) === column) {
      if (points[end][1] < points[lowest][1]) lowest = end;
      if (points[end][1] > points[highest][1]) highest = end;
      end += 1;
    }
    const chosen = new Set([start, lowest, highest, end - 1]);
    for (const index of [...chosen].sort((a, b) => a - b)) kept.push(points[index]);
    start = end;
  }
  return kept;
}

function columnOf(x, low, width) {
  return Math.floor((x - low) / width);
}

/** Return the points that a scale can show: numbers, and above zero where it is logarithmic. */
export function drawable(points, log) {
  return points.filter(([, y]) => isNumber(y) && (!log || y > 0));
}

/** Return the point whose x is nearest, or null. Points are sorted by x. */
export function nearest(points, x) {
  if (points.length === 0) return null;
  let low = 0;
  let high = points.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < x) low = middle + 1;
    else high = middle;
  }
  const before = points[Math.max(0, low - 1)];
  return Math.abs(before[0] - x) <= Math.abs(points[low][0] - x) ? before : points[low];
}

/**
 * Return a function from values to places, linear or logarithmic (equal ratios, equal distances).
 *
 * @param {[number, number]} domain: low < high; above 0 where log.
 * @param {[number, number]} range: the places of low and high.
 */
export function scale([low, high], [from, to], log = false) {
  const place = log ? Math.log10 : (value) => value;
  const start = place(low);
  const factor = (to - from) / (place(high) - start || 1);
  return (value) => from + (place(value) - start) * factor;
}

/** Return [low, high] around all values, with air on both sides and never empty. */
export function domainOf(values, log = false) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return log ? [0.1, 1] : [0, 1];
  if (log) {
    const air = Math.max((high / low) ** 0.05, 1.1);
    return [low / air, high * air];
  }
  // A mean of equal values differs from them by rounding, which is no range to draw.
  const isFlat = high - low <= Math.max(Math.abs(low), Math.abs(high)) * 1e-6;
  const air = isFlat ? Math.abs(high) * 0.1 || 1 : (high - low) * 0.05;
  // A curve that never goes below zero is not drawn as if it could.
  return [low >= 0 ? Math.max(0, low - air) : low - air, high + air];
}

/** Return about `wanted` round values inside a linear domain; `whole` keeps them integers. */
export function linearTicks([low, high], wanted, whole = false) {
  const rough = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((digit) => digit * power).find((value) => value >= rough * 0.999);
  if (whole) step = Math.max(1, Math.round(step));
  const ticks = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high * (1 + 1e-12); index += 1) {
    ticks.push(Number((index * step).toPrecision(12)));
  }
  return ticks;
}

/** Return powers of ten inside a logarithmic domain, with 2 and 5 times them where few fit. */
export function logTicks([low, high], wanted) {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  for (const digits of [[1, 2, 5], [1]]) {
    const ticks = [];
    for (let power = first; power <= last; power += 1) {
      for (const digit of digits) ticks.push(Number(`${digit}e${power}`));
    }
    const inside = ticks.filter((tick) => tick >= low && tick <= high);
    if (digits.length > 1 && inside.length > wanted + 2) continue;
    const every = Math.ceil(inside.length / (wanted + 2)) || 1;
    return inside.length >= 2
      ? inside.filter((_, index) => index % every === 0)
      : linearTicks([low, high], wanted);
  }
  return [];
}
