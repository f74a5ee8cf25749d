/**
 * One ranking: which picture has which place, as `places` {picture: place}, place 1 being best.
 * Every function returns a new object. Without ties a place holds one picture at most. With ties
 * it may hold several, and once all pictures have a place, tied ones share the better rank and
 * the next follows after all of them: 1-1-3-4.
 */

/** Return whether each picture has a place. */
export function isRanked(places, pictures) {
  return pictures.every((picture) => picture in places);
}

/** Return whether such places can have come about: whole numbers, shared with ties alone. */
export function isPossible(places, pictures, ties) {
  const taken = Object.values(places);
  const count = pictures.length;
  const ranks = ties ? settled(places, pictures) : places;
  return (
    Object.keys(places).every((one) => pictures.includes(one) && ranks[one] === places[one]) &&
    taken.every((place) => Number.isInteger(place) && place >= 1 && place <= count) &&
    (ties || new Set(taken).size === taken.length)
  );
}

/** Return the place that a picture takes when it is tapped: the first one that is free. */
export function freePlace(places, count) {
  const taken = Object.values(places);
  // A tie uses up the places behind it. Some place is left: fewer than `count` pictures have one.
  const free = (place) =>
    !taken.includes(place) && taken.filter((other) => other < place).length < place;
  let place = 1;
  while (place < count && !free(place)) place += 1;
  return place;
}

/** Take a picture's place away. */
export function without(places, picture) {
  const { [picture]: _gone, ...others } = places;
  return others;
}

/** Give a picture a place; without ties the others make room, moving to the nearest gap. */
export function put(places, picture, place, pictures, ties) {
  const others = without(places, picture);
  if (!ties) return { ...madeRoom(others, place, pictures.length), [picture]: place };
  return settled({ ...others, [picture]: place }, pictures);
}

function madeRoom(places, place, count) {
  const holder = (wanted) => Object.keys(places).find((one) => places[one] === wanted);
  if (!holder(place)) return places;
  const step = gapBehind(places, place, count) ? 1 : -1;
  const moved = { ...places };
  for (let at = place; holder(at); at += step) moved[holder(at)] = at + step;
  return moved;
}

function gapBehind(places, place, count) {
  const taken = new Set(Object.values(places));
  for (let at = place + 1; at <= count; at += 1) if (!taken.has(at)) return true;
  return false;
}

/** Move a picture by one: `by` is -1 to the better, 1 to the worse. */
export function moved(places, picture, by, pictures, ties) {
  const count = pictures.length;
  if (!(picture in places)) return put(places, picture, freePlace(places, count), pictures, ties);
  if (ties && isRanked(places, pictures)) return movedTier(places, picture, by, pictures);
  const place = Math.min(count, Math.max(1, places[picture] + by));
  return put(places, picture, place, pictures, ties);
}

/** In a full ranking with ties: out of a shared place first, then into the next one. */
function movedTier(places, picture, by, pictures) {
  const shared = pictures.some((one) => one !== picture && places[one] === places[picture]);
  const next = shared ? places[picture] + by / 2 : neighbour(places, picture, by);
  return settled({ ...places, [picture]: next }, pictures);
}

function neighbour(places, picture, by) {
  const beyond = Object.values(places).filter((one) => (one - places[picture]) * by > 0);
  return beyond.length ? (by < 0 ? Math.max(...beyond) : Math.min(...beyond)) : places[picture];
}

/** Give a picture the place of those that stand before it. */
export function joined(places, picture, pictures) {
  const before = neighbour(places, picture, -1);
  return settled({ ...places, [picture]: before }, pictures);
}

function settled(places, pictures) {
  return isRanked(places, pictures) ? competitionRanks(places) : places;
}

/** Return ranks in which ties share the better one: 1 and how many stand before. */
function competitionRanks(places) {
  const taken = Object.values(places);
  const rank = (place) => 1 + taken.filter((other) => other < place).length;
  return Object.fromEntries(Object.entries(places).map(([one, place]) => [one, rank(place)]));
}
