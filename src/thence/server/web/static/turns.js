// A variable over the turns of a run: its line in the lane of each agent or place.

const RISE = 20; // pixels of a line's field

/** Returns the values of a variable in the turns that are seen, by lane; undefined until they come. */
export function seriesOf(view) {
  if (!view.variable || view.axis !== "turn") return undefined;
  const piece = view.source.piece("series", { variable: view.variable });
  return piece && "every" in piece ? piece : undefined;
}

/** Returns the lanes of a variable that is of no agent and no place, which are seen on top. */
export function globalLanes(series) {
  const names = Object.entries(series?.names ?? {});
  const isGlobal = ([, name]) => !name.startsWith("agent/") && !name.startsWith("place/");
  return names.filter(isGlobal).map(([id, name]) => [Number(id), name, 0, 0]);
}

/** Returns the least and the greatest value of all lanes; null where there is no number. */
export function bounds(series) {
  let [least, greatest] = [Infinity, -Infinity];
  for (const points of Object.values(series.lanes)) {
    for (let at = 1; at < points.length; at += 3) {
      if (typeof points[at] !== "number") continue;
      least = Math.min(least, points[at]);
      greatest = Math.max(greatest, points[at]);
    }
  }
  return least <= greatest ? [least, greatest] : null;
}

/** Draws the line of one lane below its marks: a step at each turn in which the value changed. */
export function drawLine(context, points, [least, greatest], x, bottom, colour) {
  const scale = greatest > least ? RISE / (greatest - least) : 0;
  const y = (value) => bottom - 2 - (scale ? (value - least) * scale : RISE / 2);
  context.strokeStyle = `rgb(${colour})`;
  context.lineWidth = 1.5;
  context.beginPath();
  let before = null;
  for (let at = 0; at < points.length; at += 3) {
    const value = points[at + 1];
    if (typeof value !== "number") continue;
    if (before === null) context.moveTo(x(points[at]), y(value));
    else {
      context.lineTo(x(points[at]), y(before));
      context.lineTo(x(points[at]), y(value));
    }
    before = value;
  }
  if (before !== null) context.lineTo(x(points.at(-3) + 1), y(before));
  context.stroke();
}

/** Returns the arrival of the change that is nearest to a place of the canvas, 0 for none. */
export function nearestChange(points, x, at, reach) {
  let [nearest, distance] = [0, reach];
  for (let place = 0; place < points.length; place += 3) {
    const away = Math.abs(x(points[place]) - at);
    if (points[place + 2] && away <= distance) [nearest, distance] = [points[place + 2], away];
  }
  return nearest;
}

/** Returns the value of a line in a turn: that of the last change until then. */
export function valueAt(points, turn) {
  let value;
  for (let place = 0; place < points.length && points[place] <= turn; place += 3) value = points[place + 1];
  return value;
}
