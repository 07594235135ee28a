// What the server knows of a log, asked for in pieces: tiles of 256 buckets, and marks.

import { request } from "./request.js";

const AT_ONCE = 3;
const KEPT = 120;
export const BUCKETS = 256;
const LEAST_PIXELS = 3; // of what is there at all
const NOTHING = Object.freeze({ lanes: {}, failures: {} });
const FILTERED = new Set(["look", "overview", "lanes", "tiles", "marks", "bars", "failures"]);

/** Asks for the pieces of one log, of the events that a filter finds; `changed`: one has come. */
export class Source {
  constructor(base, filter, changed) {
    Object.assign(this, { base, filter, changed });
    this.pieces = new Map(); // the answers by address, the latest asked for last
    this.waiting = []; // addresses, the latest first
    this.running = 0;
    this.generation = null;
  }

  /** Returns the address of a route with its parameters. */
  address(route, parameters = {}) {
    const query = new URLSearchParams(FILTERED.has(route) ? this.filter : "");
    for (const [name, value] of Object.entries(parameters)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== null && one !== undefined && one !== "") query.append(name, one);
      }
    }
    const text = query.toString();
    return `${this.base}/${route}${text && "?"}${text}`;
  }

  /** Asks at once, past the queue; throws a RequestError. */
  async ask(route, parameters) {
    return (await request(this.address(route, parameters))).json();
  }

  /** Returns a piece if it is here; else it is asked for, and undefined until it comes. */
  piece(route, parameters) {
    const address = this.address(route, parameters);
    const kept = this.pieces.get(address);
    if (kept !== undefined) {
      this.pieces.delete(address); // and put behind the others
      this.pieces.set(address, kept);
      return kept === "asked" ? undefined : kept;
    }
    this.pieces.set(address, "asked");
    this.waiting.unshift(address);
    this.waiting.length = Math.min(this.waiting.length, KEPT);
    this.pump();
    return undefined;
  }

  /** Forgets the pieces that `isOld` says have changed; all of them without it. */
  forget(isOld = () => true) {
    for (const [address, piece] of this.pieces) {
      if (isOld(address, piece)) this.pieces.delete(address);
    }
    this.waiting = [];
  }

  pump() {
    while (this.running < AT_ONCE && this.waiting.length) {
      const address = this.waiting.shift();
      if (!this.pieces.has(address)) continue;
      this.running += 1;
      request(address)
        .then((answer) => answer.json())
        .catch(() => NOTHING) // the server is gone: what is here stays
        .then((content) => {
          this.running -= 1;
          this.pieces.set(address, content);
          while (this.pieces.size > KEPT) this.pieces.delete(this.pieces.keys().next().value);
          this.changed();
          this.pump();
        });
    }
  }
}

/** Yields the parts of the columns of some counts: [bucket, from, to, colour], 0 at the foot. */
export function* columns(counts, failures, height, kinds) {
  const sums = new Map(); // of each bucket by kind
  for (let at = 0; at < counts.length; at += 3) {
    const [bucket, type, number] = counts.slice(at, at + 3);
    if (!sums.has(bucket)) sums.set(bucket, { begin: 0, end: 0, other: 0 });
    sums.get(bucket)[kinds(type)] += number;
  }
  const all = ({ begin, end, other }) => begin + end + other;
  const most = Math.max(1, ...[...sums.values()].map(all));
  const high = (sum) => Math.max(LEAST_PIXELS, Math.round((height * all(sum)) / most));
  for (const [bucket, sum] of sums) {
    let filled = 0;
    for (const [kind, number] of Object.entries(sum)) {
      const part = (high(sum) * number) / all(sum);
      if (number) yield [bucket, filled, filled + part, kind];
      filled += part;
    }
  }
  for (let at = 0; at < failures.length; at += 2) {
    const [bucket, number] = failures.slice(at, at + 2);
    const sum = sums.get(bucket);
    yield [bucket, 0, Math.max(LEAST_PIXELS, (high(sum) * number) / all(sum)), "failed"];
  }
}

/** Paints tiles, once each, into canvases that are only moved afterwards. */
export class Painter {
  constructor(colours, kinds) {
    this.colours = colours; // by name
    this.kinds = kinds; // of types by number
    this.painted = new WeakMap(); // the canvas of each lane, by the answer that it was made of
  }

  /** Returns the canvas of a lane in a tile, null where it has nothing there. */
  canvas(tile, lane, height) {
    let lanes = this.painted.get(tile);
    if (lanes === undefined) this.painted.set(tile, (lanes = new Map()));
    if (!lanes.has(lane)) lanes.set(lane, this.paint(tile, lane, height));
    return lanes.get(lane);
  }

  paint(tile, lane, height) {
    const counts = tile.lanes[lane] ?? [];
    if (!counts.length) return null;
    const image = new ImageData(BUCKETS, height);
    for (const [bucket, from, to, name] of columns(counts, tile.failures[lane] ?? [], height, this.kinds)) {
      const [red, green, blue] = this.colours(name);
      for (let y = height - Math.round(to); y < height - Math.round(from); y += 1) {
        image.data.set([red, green, blue, 255], (y * BUCKETS + bucket) * 4);
      }
    }
    const canvas = new OffscreenCanvas(BUCKETS, height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }
}
