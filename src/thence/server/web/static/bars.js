// The bars of the lanes: what lasted, as long as it took, with words, in rows below the marks.

export const BAR = 17; // pixels of a row
const HIGH = 15; // pixels of a bar
const LEAST = 2; // pixels that a bar has at least
const ROOM = 28; // pixels in which words are written
const HATCH = 6; // pixels between the lines of a bar that has no end yet

/** Returns an answer of the server with a record of each bar. */
export function barsOf({ bars, rows, words, total }) {
  const list = [];
  for (let at = 0; at < bars.length; at += 8) {
    const [begin, end, first, last, lane, row, failed, parent] = bars.slice(at, at + 8);
    const until = end ? last : Infinity;
    list.push({ begin, end, first, last: until, lane, row, failed, parent, words: words[begin] ?? "" });
  }
  return { list, rows, total };
}

/** Returns the begins of a bar and of its parts that it waited for last, one before the other. */
export function criticalPath(bars, arrival) {
  const lit = new Set();
  const wait = (bar) => {
    lit.add(bar.begin);
    let until = bar.last;
    const parts = bars.filter(({ begin, parent }) => parent === bar.begin && !lit.has(begin));
    for (const part of parts.sort((one, other) => other.last - one.last)) {
      if (part.last > until) continue;
      wait(part);
      until = part.first;
    }
  };
  const chosen = arrival && bars.find(({ begin, end }) => begin === arrival || end === arrival);
  if (chosen) wait(chosen);
  return lit;
}

function hatch(context, left, right, y) {
  context.beginPath();
  for (let x = left - HIGH; x < right; x += HATCH) {
    context.moveTo(x, y + HIGH);
    context.lineTo(x + HIGH, y);
  }
  context.stroke();
}

/** Draws bars that know their place; the words of a short one stand beside it where there is room. */
export function drawBars(context, bars, lit, [start, end], colours) {
  const free = new Map(); // by height: where the bar to the right begins
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (const bar of bars.toSorted((one, other) => other.left - one.left)) {
    const { y, failed } = bar;
    const [left, right] = [Math.max(start, bar.left), Math.min(end, Math.max(bar.right, bar.left + LEAST))];
    context.save();
    context.fillStyle = `rgb(${colours(failed ? "bar-failed" : "bar")})`;
    context.fillRect(left, y, Math.max(LEAST, right - left - 1), HIGH);
    context.beginPath();
    context.rect(left, y, right - left, HIGH);
    context.clip();
    context.strokeStyle = `rgb(${colours("quiet")})`;
    context.lineWidth = 1;
    if (!bar.end) hatch(context, left, right, y);
    context.restore();
    context.fillStyle = `rgb(${colours(lit.has(bar.begin) ? "ink" : failed ? "failed" : "quiet")})`;
    if (lit.has(bar.begin) || failed) context.fillRect(left, y + HIGH - 2, right - left, 2);
    const room = (free.get(y) ?? end) - 4;
    const wide = bar.words ? context.measureText(bar.words).width + 8 : 0;
    const isBeside = right - left < Math.min(wide, ROOM * 3) && room - right >= wide;
    const [from, until] = isBeside ? [right, room] : [left, Math.min(right, room)];
    if (wide && until - from >= ROOM) {
      context.save();
      context.beginPath();
      context.rect(from, y, until - from, HIGH);
      context.clip();
      context.fillStyle = `rgb(${colours("ink")})`;
      context.fillText(bar.words, from + 4, y + HIGH / 2);
      context.restore();
    }
    free.set(y, Math.min(free.get(y) ?? end, left));
  }
}
