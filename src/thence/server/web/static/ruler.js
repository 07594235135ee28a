// The ruler of the lanes: numbers of events, turns, or times of this place, at even steps.

const ROOM = 90; // pixels that a tick has at least
const [SECOND, MINUTE, HOUR, DAY] = [1e6, 6e7, 3.6e9, 8.64e10]; // in microseconds
const TIMES = [
  ...[1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5],
  ...[1, 2, 5, 10, 15, 30].map((number) => number * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((number) => number * MINUTE),
  ...[1, 2, 3, 6, 12].map((number) => number * HOUR),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((number) => number * DAY),
];

/** Returns the least of 1, 2, 5, 10, 20, … that is at least a number. */
function evenStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map((number) => number * power).find((step) => step >= least);
}

/** Returns the words of a place on an axis, as a person in this place reads it. */
export function wordsOf(axis, position) {
  if (axis === "turn") return `turn ${Math.floor(position)}`;
  if (axis === "order") return `event ${Math.max(1, Math.ceil(position)).toLocaleString("en")}`;
  return new Date(position / 1000).toLocaleString("en-GB");
}

function timeWords(position, step, isFirst) {
  const time = new Date(position / 1000);
  const day = time.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
  if (step >= DAY) return day;
  const [hours, seconds] = [{ hour: "2-digit", minute: "2-digit" }, step < MINUTE && { second: "2-digit" }];
  const parts = step < SECOND ? { fractionalSecondDigits: 3 } : {};
  const clock = time.toLocaleTimeString("en-GB", { ...hours, ...seconds, ...parts });
  return isFirst ? `${day}, ${clock}` : clock;
}

/** Returns the ticks of a window as [position, words, title], so many as have room. */
export function ticks(axis, from, to, pixels) {
  const least = ((to - from) * ROOM) / Math.max(ROOM, pixels);
  if (axis !== "time") {
    const step = evenStep(least);
    const found = [];
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      const place = axis === "turn" ? at + 0.5 : at - 0.5;
      if (place >= from && place <= to) found.push([place, at.toLocaleString("en"), wordsOf(axis, at)]);
    }
    return found;
  }
  const step = TIMES.find((time) => time >= least) ?? TIMES.at(-1);
  const local = new Date(from / 1000).getTimezoneOffset() * MINUTE; // a day begins here at midnight
  const found = [];
  for (let at = Math.ceil((from - local) / step) * step + local; at < to; at += step) {
    found.push([at, timeWords(at, step, !found.length), new Date(at / 1000).toISOString()]);
  }
  return found;
}

/** Puts the ticks of a window into an element; `x` is where a position lies in it, in pixels. */
export function drawRuler(element, axis, [from, to], [left, right], x) {
  let free = left;
  const spans = [];
  for (const [position, words, title] of ticks(axis, from, to, right - left)) {
    const at = x(position);
    if (at < free || at > right - 24) continue; // it lies in a folded gap, or at the very end
    const span = document.createElement("span");
    Object.assign(span, { textContent: words, title });
    span.style.left = `${Math.round(at)}px`;
    spans.push(span);
    free = at + Math.max(ROOM / 2, words.length * 7);
  }
  element.replaceChildren(...spans);
}
