/**
 * The table of what was measured of a grid: a row a model, a column for each of the three questions,
 * and in each cell the value, its interval, and both drawn on the column's common scale.
 */

import { element, svgElement } from "./dom.mjs";
import { isNumber } from "./format.mjs";
import { domainOf, scale } from "./series.mjs";

const BAR = { width: 120, height: 12 };
const VERDICTS = { better: "better", worse: "worse", unclear: "no clear difference" };

/**
 * Return the table of every model's values.
 *
 * @param {Object} scores: as the server tells them.
 * @param {string|null} suggested: the model to point out.
 */
export function valueTable(scores, suggested) {
  const columns = columnsOf(scores.questions, scores.models, false);
  return table("Models and what was measured of them", columns, scores.models, (model) => [
    name(model),
    ...(model.name === suggested ? [" ", tag("suggested")] : []),
  ]);
}

/** Return the table of the differences from one model. */
export function differenceTable(scores) {
  const columns = columnsOf(scores.questions, scores.differences, true);
  const label = `Differences from ${scores.baseline}`;
  return table(label, columns, scores.differences, (model) => [name(model)]);
}

function table(label, columns, models, named) {
  const shown = columns.filter((column) => column.isMeasured);
  return element(
    "table",
    { class: "scoft-scores-table" },
    element("caption", { class: "scoft-spoken", text: label }),
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        element("th", { scope: "col", text: "Model" }),
        ...shown.map((column) => column.head),
      ),
    ),
    element(
      "tbody",
      {},
      ...models.map((model) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, ...named(model)),
          ...shown.map((column) => column.cell(model.values[column.index])),
        ),
      ),
    ),
  );
}

function columnsOf(questions, rows, isDifference) {
  return questions.map((question, index) => {
    const values = rows.map((row) => row.values[index]).filter(Boolean);
    const ends = values.flatMap(({ value, low, high }) => [value, low, high]).filter(isNumber);
    const place = scale(domainOf(isDifference ? [0, ...ends] : ends), [4, BAR.width - 4]);
    const digits = isDifference ? question.difference_digits : question.digits;
    const write = {
      value: (value) => written(value, digits, isDifference, false),
      end: (value) => written(value, digits, isDifference, isDifference),
    };
    return {
      index,
      isMeasured: values.length > 0,
      head: head(question),
      cell: (found) => cell(found, write, place, isDifference),
    };
  });
}

function head({ question, title, better, unit }) {
  const measured = unit ? `${title}, ${unit}` : title;
  const direction = better ? `${measured}; ${better} is better` : measured;
  return element(
    "th",
    { scope: "col" },
    element("span", { class: "scoft-scores-question", text: question }),
    element("span", { class: "scoft-muted scoft-scores-title", text: direction }),
  );
}

function cell(found, write, place, isDifference) {
  if (!found) return element("td", { class: "scoft-muted", text: "not measured" });
  const hasInterval = isNumber(found.low) && isNumber(found.high);
  return element(
    "td",
    { class: found.mark === "best" ? "scoft-best" : null },
    element(
      "span",
      { class: "scoft-scores-value" },
      element("strong", { text: write.value(found.value) }),
      found.mark ? tag(found.mark) : null,
      found.verdict ? verdict(found.verdict) : null,
    ),
    bar(found, place, isDifference),
    element("span", {
      class: "scoft-muted scoft-scores-interval",
      text: hasInterval ? `${write.end(found.low)} to ${write.end(found.high)}` : "no interval",
    }),
  );
}

function name(model) {
  return element("span", { text: model.name, dir: "auto" });
}

function tag(text) {
  return element("span", { class: "scoft-tag", text });
}

function verdict(kind) {
  return element("span", { class: `scoft-tag scoft-${kind}`, text: VERDICTS[kind] });
}

function bar({ value, low, high }, place, isDifference) {
  const { width, height } = BAR;
  const middle = height / 2;
  const line = (kind, x1, x2, y1, y2) => svgElement("line", { class: kind, x1, x2, y1, y2 });
  return svgElement(
    "svg",
    { class: "scoft-bar", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    line("scoft-bar-ground", 0, width, middle, middle),
    isDifference ? line("scoft-bar-zero", place(0), place(0), 0, height) : null,
    isNumber(low) && isNumber(high)
      ? line("scoft-bar-interval", place(low), place(high), middle, middle)
      : null,
    svgElement("circle", { class: "scoft-bar-value", cx: place(value), cy: middle, r: 3.5 }),
  );
}

/**
 * Return a number with so many decimals. What rounds to zero has a sign only where `keepsSign`: an
 * end of a difference's interval tells by it on which side of zero it lies.
 */
function written(value, digits, isSigned, keepsSign) {
  const size = Math.abs(value).toFixed(digits);
  if (value === 0 || (Number(size) === 0 && !keepsSign)) return size;
  if (value < 0) return `\u2212${size}`;
  return isSigned ? `+${size}` : size;
}
