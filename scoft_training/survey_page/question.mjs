/** One question about the pictures of a page: its words, the pictures, the places, one ranking. */

import { noteRanking } from "./answers.mjs";
import { pictureCards, standing } from "./cards.mjs";
import { enlarge } from "./dialogs.mjs";
import { button, element } from "./dom.mjs";
import { placeRow } from "./places.mjs";
import { freePlace, isRanked, joined, moved, put, without } from "./ranking.mjs";

/**
 * Return the question: `heading`, `body`, `places`, and `update()`, which shows the ranking.
 *
 * @param {object} app  the page's data, words, answers, and what to do on a change
 * @param {object} answered  this person's answers on the page
 * @param {string} item  its key
 * @param {() => void} onChange
 */
export function questionView(app, answered, item, onChange) {
  const { data, words } = app;
  const ties = data.allow_ties;
  const ids = answered.order;
  const letters = words("picture.letters").split(" ");
  const pictures = ids.map((id, at) => ({ id, source: data.pictures[id], letter: letters[at] }));
  const ranking = answered.items[item];
  const letterOf = (id) => letters[ids.indexOf(id)];

  function change(places, ...said) {
    ranking.places = places;
    noteRanking(app.answers);
    app.changed();
    update();
    onChange();
    app.say(...said, ...(isRanked(places, ids) ? [words("rank.complete")] : []));
  }

  /** Change a picture's place; of the others those are told that have made room. */
  function placed(places, id) {
    const moved = ids.filter((one) => one !== id && places[one] !== ranking.places[one]);
    const said = [id, ...moved].map((one) =>
      standing(words, letterOf(one), places[one], ids.length),
    );
    change(places, ...said);
  }

  const acts = {
    tap: (id) => {
      if (id in ranking.places) acts.takeOut(id);
      else acts.put(id, freePlace(ranking.places, ids.length));
    },
    put: (id, place) => placed(put(ranking.places, id, place, ids, ties), id),
    move: (id, by) => placed(moved(ranking.places, id, by, ids, ties), id),
    share: (id) => {
      placed(joined(ranking.places, id, ids), id);
      cards.focus(id);
    },
    takeOut: (id) => {
      if (!(id in ranking.places)) return;
      change(without(ranking.places, id), words("picture.removed", { letter: letterOf(id) }));
      cards.focus(id);
    },
    enlarge: (id) => enlarge(words, pictures, ids.indexOf(id)),
  };

  const cards = pictureCards(words, pictures, acts);
  const places = placeRow(words, item, pictures, ties, acts);
  const startAgain = () => {
    change({}, words("rank.cleared"));
    heading.focus({ preventScroll: true });
  };
  const clear = button(words("rank.clear"), startAgain, { classes: ".quiet" });
  const heading = element("h2", { tabIndex: -1 }, words(`item.${item}.question`));

  function update() {
    cards.update(ranking.places);
    places.update(ranking.places);
    clear.hidden = Object.keys(ranking.places).length === 0;
  }

  update();
  const body = [...helpOf(app, item, ids.length), cards.node, clear];
  return { heading, body, places: places.node };
}

/** Return what is meant, open while everything is new; how to rank stands apart at first. */
function helpOf({ data, words, answers }, item, count) {
  const { page, item: index } = answers.at;
  const equal = data.allow_ties ? "rank.how_ties" : "rank.how_strict";
  const how = [words("rank.how", { first: 1, last: count }), words(equal)];
  const first = page === 0 && index === 0;
  const doing = element(first ? "p.how" : "p", {}, how.join(" "));
  const meant = element(
    "details.help",
    { open: page === 0 },
    element("summary", {}, words("rank.help")),
    element("p", {}, words(`item.${item}.help`)),
    page > 0 && doing,
    page > 0 && element("p.keyboard", {}, words("rank.how_keyboard")),
  );
  return first ? [meant, doing, element("p.keyboard", {}, words("rank.how_keyboard"))] : [meant];
}
