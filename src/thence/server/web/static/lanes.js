// The lanes of a log on a canvas: buckets from afar, marks, bars and causes from near.

import { Scale } from "./gaps.js";
import { wordsOf } from "./ruler.js";
import { BUCKETS } from "./tiles.js";
import { bounds, drawLine, globalLanes, nearestChange, seriesOf, valueAt } from "./turns.js";

export const NEAR = 2000; // positions in view, up to which single events are drawn
const LANE = 24;
const LINED = 46; // a lane with the line of a variable, or with flags
const SESSION = /^([0-9a-f]{8})-[0-9a-f-]{27}\/(?:[^/]+\/)?/; // how the lane of an agent begins
const ROWS = 16; // of a lane that are painted
const ROWS_SEEN = 18; // lanes that are seen at once
const TILE_LANES = 20; // of one answer
const REACH = 8; // pixels from a mark in which it is meant
const MARKS = 2000; // of one answer
const WORDS = 150; // pixels that the words of the last flag have

// what changes the order of letters, or is no letter at all, is told by its number
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

function plain(name) {
  return name.replace(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function diamond(context, x, y) {
  context.beginPath();
  for (const [right, down] of [[0, -8], [8, 0], [0, 8], [-8, 0]]) context.lineTo(x + right, y + down);
  context.fill();
}

/** Draws the lanes of a view into the canvas that stays in sight of a scrolled element. */
export class Lanes {
  constructor(element, canvas, view, source, painter, colours) {
    Object.assign(this, { element, canvas, view, source, painter, colours });
    this.rows = []; // [id, name, events, failures] of each lane, the pinned ones first
    this.row = 0; // the chosen one
    this.path = []; // [arrival, lane, type, depth] of the chosen event and its causes
    this.links = []; // child, parent, … among these
    this.places = {}; // where these lie, by axis: [arrival, position, …]
    this.pointed = null; // where a pointer is that only looks
    this.pointers = new Map();
    this.scale = new Scale(0, 1);
    element.addEventListener("scroll", () => view.changed());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("pointerleave", () => this.point(null));
  }

  get label() {
    return this.element.clientWidth < 600 ? 90 : 190;
  }

  get lane() {
    const isLined = this.view.variable && this.view.axis === "turn";
    return isLined || this.isFlagged ? LINED : LANE;
  }

  get viewport() {
    return Math.min(Math.max(1, this.rows.length) * this.lane, ROWS_SEEN * LANE);
  }

  get isNear() {
    return this.view.axis === "order" && this.view.to - this.view.from <= NEAR;
  }

  /** Takes the lanes of the window; a global variable's and those of the shown path stay on top. */
  take(rows) {
    const pinned = new Map(globalLanes(seriesOf(this.view)).map((row) => [row[0], row]));
    for (const [, lane] of this.path) if (!pinned.has(lane)) pinned.set(lane, null);
    for (const row of [...this.rows, ...rows]) if (pinned.has(row[0])) pinned.set(row[0], row);
    const top = [...pinned.values()].filter((row) => row !== null);
    this.rows = [...top, ...rows.filter((row) => !pinned.has(row[0]))];
    this.row = Math.min(this.row, Math.max(0, this.rows.length - 1));
    this.size();
  }

  size() {
    const below = this.rows.length * this.lane - this.viewport;
    this.element.lastElementChild.style.height = `${below}px`; // so that the rest is scrolled to
  }

  x(position) {
    return this.label + this.scale.share(position) * (this.width - this.label);
  }

  position(x) {
    return this.scale.position((x - this.label) / (this.width - this.label));
  }

  draw() {
    const isFlagged = this.isNear && this.marks().some(({ flags }) => flags.length);
    if (isFlagged !== this.isFlagged) {
      this.isFlagged = isFlagged;
      this.size();
    }
    const { from, to, axis } = this.view;
    this.scale = new Scale(from, to, axis === "time" ? this.view.strip.filled() : null);
    const ratio = Math.min(2, devicePixelRatio || 1);
    const width = (this.width = this.element.clientWidth);
    const height = this.viewport;
    const { canvas } = this;
    if (canvas.width !== width * ratio || canvas.height !== height * ratio) {
      Object.assign(canvas, { width: width * ratio, height: height * ratio });
      Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = false;
    const first = Math.floor(this.element.scrollTop / this.lane);
    const last = Math.min(this.rows.length, first + Math.ceil(height / this.lane) + 1);
    const top = (row) => row * this.lane - this.element.scrollTop;
    this.labels(context, first, last, top);
    context.save();
    context.beginPath();
    context.rect(this.label, 0, width - this.label, height);
    context.clip();
    this.folds(context);
    if (this.isNear) this.near(context, first, last, top);
    else this.far(context, first, last, top);
    this.lines(context, first, last, top);
    this.chosen(context, first, last, top);
    context.restore();
  }

  /** Marks the chosen event in its lane, and draws lines to its causes, on any axis. */
  chosen(context, first, last, top) {
    if (!this.path.length) return;
    const at = new Map(this.rows.map(([id], row) => [id, row]));
    const middle = (row) => top(row) + LANE / 2;
    this.ways(context, at, middle);
    const [arrival, lane] = this.path[0];
    const row = at.get(lane);
    const place = this.placeOf(arrival);
    if (place === undefined || row === undefined || row < first || row >= last) return;
    context.strokeStyle = `rgb(${this.colours("ink")})`;
    context.lineWidth = 2;
    context.strokeRect(this.x(place) - 5, top(row) + 2, 10, LANE - 4);
  }

  /** Returns where an event of the shown path lies on the axis; undefined where it has no place. */
  placeOf(arrival) {
    if (this.view.axis === "order") return arrival - 0.5;
    const places = this.places[this.view.axis] ?? [];
    const at = places.findIndex((one, place) => place % 2 === 0 && one === arrival);
    return at < 0 ? undefined : places[at + 1] + (this.view.axis === "turn" ? 0.5 : 0);
  }

  labels(context, first, last, top) {
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    for (let row = first; row < last; row += 1) {
      const [, name, , failures] = this.rows[row];
      if (row === this.row) {
        context.fillStyle = `rgb(${this.colours("soft")})`;
        context.fillRect(0, top(row), this.width, this.lane);
      }
      context.save();
      context.beginPath();
      context.rect(0, top(row), this.label - 8, LANE);
      context.clip();
      context.fillStyle = `rgb(${this.colours(failures ? "failed" : "ink")})`;
      context.fillText(plain(name.replace(SESSION, "$1 ")) || "(no lane)", 6, top(row) + LANE / 2);
      context.restore();
    }
  }

  far(context, first, last, top) {
    const { from, to, axis } = this.view;
    const pixels = Math.max(1, this.width - this.label);
    const level = Math.max(0, Math.ceil(Math.log2(this.scale.length / pixels)));
    const isFolded = this.scale.parts.length > 1;
    const size = BUCKETS * 2 ** level;
    for (let at = first - (first % TILE_LANES); at < last; at += TILE_LANES) {
      const lanes = this.rows.slice(at, at + TILE_LANES).map(([id]) => id);
      for (let tile = Math.floor(from / size); tile * size < to; tile += 1) {
        const piece = this.source.piece("tiles", { axis, level, tile, lanes: lanes.join(",") });
        if (!piece) continue;
        const [start, end] = [tile * size, (tile + 1) * size];
        const seen = this.scale.parts.filter((part) => !part.isGap && part.from < end && part.to > start);
        lanes.forEach((lane, place) => {
          const painted = this.painter.canvas(piece, lane, ROWS);
          const y = top(at + place) + (LANE - ROWS) / 2;
          for (const part of painted ? seen : []) {
            const [a, b] = isFolded ? [Math.max(start, part.from), Math.min(end, part.to)] : [start, end];
            const [cut, wide] = [(a - start) / 2 ** level, (b - a) / 2 ** level];
            context.drawImage(painted, cut, 0, wide, ROWS, this.x(a), y, this.x(b) - this.x(a), ROWS);
          }
        });
      }
    }
  }

  folds(context) {
    context.fillStyle = `rgb(${this.colours("line")})`;
    for (const { from, to, isGap } of this.scale.parts) {
      if (isGap) context.fillRect(this.x(from), 0, this.x(to) - this.x(from), this.viewport);
    }
  }

  lines(context, first, last, top) {
    const series = seriesOf(this.view);
    const span = series && bounds(series);
    if (!span) return;
    if (globalLanes(series).some(([id], row) => this.rows[row]?.[0] !== id)) {
      this.take(this.rows);
      this.view.changed();
    }
    for (let row = first; row < last; row += 1) {
      const points = series.lanes[this.rows[row][0]];
      const bottom = top(row) + this.lane;
      if (points) {
        drawLine(context, points, span, (turn) => this.x(turn), bottom, this.colours("link"));
        context.fillStyle = `rgb(${this.colours("quiet")})`;
        context.font = "9px system-ui, sans-serif";
        context.fillText(span[1].toLocaleString("en"), this.label + 2, bottom - 20);
        context.fillText(span[0].toLocaleString("en"), this.label + 2, bottom - 5);
      }
    }
  }

  /** Returns the marks of the window, in the pieces in which they are kept. */
  marks() {
    const { from, to } = this.view;
    const pieces = [];
    for (let part = Math.floor(from / MARKS); part * MARKS < to; part += 1) {
      const bounds = { from: part * MARKS, to: (part + 1) * MARKS };
      const piece = this.source.piece("marks", bounds);
      if (piece?.marks) pieces.push(piece);
    }
    return pieces;
  }

  near(context, first, last, top) {
    const at = new Map(this.rows.map(([id], row) => [id, row]));
    const middle = (row) => top(row) + LANE / 2;
    const isSeen = (row) => row !== undefined && row >= first && row < last;
    const commit = this.view.facts.types.find(([, name]) => name === "commit")?.[0];
    const wide = Math.max(3, Math.min(12, this.x(1) - this.x(0) - 1));
    for (const { marks, steps, failures } of this.marks()) {
      for (let place = 0; place < steps.length; place += 3) {
        const row = at.get(steps[place + 2]);
        if (!isSeen(row)) continue;
        const left = this.x(steps[place] - 0.5);
        const right = steps[place + 1] ? this.x(steps[place + 1] - 0.5) : this.x(this.view.end);
        context.fillStyle = `rgb(${this.colours("line")})`;
        context.fillRect(left, middle(row) - 3, Math.max(2, right - left), 6);
      }
      const failed = new Set(failures);
      for (let place = 0; place < marks.length; place += 4) {
        const row = at.get(marks[place + 1]);
        if (!isSeen(row)) continue;
        const isFailed = failed.has(marks[place]);
        const high = isFailed ? ROWS + 4 : ROWS - 4;
        context.fillStyle = `rgb(${this.colours(isFailed ? "failed" : marks[place + 2])})`;
        const x = this.x(marks[place] - 0.5) - wide / 2;
        if (marks[place + 2] === commit) diamond(context, x + wide / 2, middle(row));
        else context.fillRect(x, middle(row) - high / 2, wide, high);
      }
    }
    context.fillStyle = `rgb(${this.colours("ink")})`;
    for (const { lane, words, x, left, end } of this.flags()) {
      const row = at.get(lane);
      if (!isSeen(row)) continue;
      context.fillRect(x - 0.5, top(row) + 4, 1, left < x ? LANE - 4 : LINED - 8);
      context.save();
      context.beginPath();
      context.rect(left, top(row) + LANE, Math.max(0, end - left), LINED - LANE);
      context.clip();
      context.fillText(words, left + 5, top(row) + LANE + 10);
      context.restore();
    }
  }

  /** Returns the prompts in view, each with its words and the room that these have. */
  flags() {
    const flags = this.isFlagged ? this.marks().flatMap((piece) => piece.flags) : [];
    const ends = new Map(); // by lane: where its next flag is
    const placed = [];
    for (let place = flags.length - 3; place >= 0; place -= 3) {
      const [arrival, lane, words] = flags.slice(place, place + 3);
      const x = this.x(arrival - 0.5);
      const end = ends.get(lane) ?? this.width;
      const width = this.canvas.getContext("2d").measureText(words).width + 10;
      const least = end < this.width ? 0 : Math.min(width, WORDS); // of the last one
      const left = Math.min(x, end - least);
      placed.push({ arrival, lane, words, x, left, end });
      ends.set(lane, left - 8);
    }
    return placed;
  }

  ways(context, at, middle) {
    const rows = new Map(this.path.map(([arrival, lane]) => [arrival, at.get(lane)]));
    context.strokeStyle = `rgb(${this.colours("link")})`;
    context.lineWidth = 1.5;
    context.beginPath();
    for (let place = 0; place < this.links.length; place += 2) {
      const [child, parent] = this.links.slice(place, place + 2);
      if (!this.isNear && child !== this.path[0][0]) continue; // all of them would hide the rest
      const [from, to] = [this.placeOf(parent), this.placeOf(child)];
      if (rows.get(child) === undefined || rows.get(parent) === undefined) continue;
      if (from === undefined || to === undefined) continue;
      context.moveTo(this.x(from), middle(rows.get(parent)));
      context.lineTo(this.x(to), middle(rows.get(child)));
    }
    context.stroke();
  }

  /** Returns the arrival of the mark at a place of the canvas, 0 for none. */
  hit(x, y) {
    const below = y + this.element.scrollTop;
    const lane = this.rows[Math.floor(below / this.lane)]?.[0];
    const points = seriesOf(this.view)?.lanes[lane];
    const isBelow = below % this.lane >= LANE;
    if (points && isBelow) return nearestChange(points, (turn) => this.x(turn), x, REACH);
    if (isBelow) {
      const isUnder = (flag) => flag.lane === lane && x >= flag.left && x < flag.end;
      return this.flags().find(isUnder)?.arrival ?? 0;
    }
    let [nearest, distance] = [0, REACH];
    for (const { marks } of this.isNear ? this.marks() : []) {
      for (let place = 0; place < marks.length; place += 4) {
        const away = Math.abs(this.x(marks[place] - 0.5) - x);
        if (marks[place + 1] === lane && away <= distance) {
          [nearest, distance] = [marks[place], away];
        }
      }
    }
    return nearest;
  }

  /** Says what lies at a place of the canvas; "" where nothing does. */
  wordsAt(x, y) {
    if (x < this.label) return "";
    const row = this.rows[Math.floor((y + this.element.scrollTop) / this.lane)];
    if (!row) return "";
    const { view } = this;
    const arrival = this.isNear ? this.hit(x, y) : 0;
    if (arrival) {
      const piece = this.source.piece("marks", { from: arrival - 1, to: arrival, ids: 1 });
      return piece?.words?.[0] ?? "";
    }
    const at = wordsOf(view.axis, this.position(x));
    const points = seriesOf(view)?.lanes[row[0]];
    const value = points && valueAt(points, Math.floor(this.position(x)));
    return `${plain(row[1]) || "(no lane)"}, ${at}${value === undefined ? "" : `: ${view.variable} ${value}`}`;
  }

  point(place) {
    this.pointed = place;
    this.view.hover();
  }

  /** Returns the arrival of the next event of the chosen lane, behind or before one; 0 for none. */
  neighbour(arrival, direction) {
    const lane = this.rows[this.row]?.[0];
    let nearest = 0;
    for (const { marks } of this.isNear ? this.marks() : []) {
      for (let place = 0; place < marks.length; place += 4) {
        const isBehind = (marks[place] - arrival) * direction > 0;
        const isNearer = !nearest || (nearest - marks[place]) * direction > 0;
        if (marks[place + 1] === lane && isBehind && isNearer) nearest = marks[place];
      }
    }
    return nearest;
  }

  /** Chooses another lane, and brings it in sight. */
  step(direction) {
    this.row = Math.min(this.rows.length - 1, Math.max(0, this.row + direction));
    const [top, bottom] = [this.row * this.lane, (this.row + 1) * this.lane];
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    if (bottom > scrollTop + clientHeight) this.element.scrollTop = bottom - clientHeight;
    this.view.changed();
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey && !event.deltaX) return;
    event.preventDefault();
    const { from, to } = this.view;
    if (event.ctrlKey || event.metaKey) {
      this.view.zoom(2 ** (event.deltaY / 100), this.position(event.offsetX));
    } else {
      const moved = (event.deltaX / (this.width - this.label)) * (to - from);
      this.view.show(from + moved, to + moved);
    }
  }

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    const { offsetX, offsetY } = event;
    this.pointers.set(event.pointerId, { x: offsetX, startX: offsetX, startY: offsetY });
  }

  move(event) {
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) return this.point({ x: event.offsetX, y: event.offsetY });
    this.point(null);
    const { from, to } = this.view;
    const others = [...this.pointers.values()].filter((other) => other !== pointer);
    if (others.length) {
      const [other] = others; // two fingers zoom
      const factor = Math.abs(pointer.x - other.x) / Math.max(8, Math.abs(event.offsetX - other.x));
      this.view.zoom(factor, this.position(other.x));
    } else {
      const moved = ((pointer.x - event.offsetX) / (this.width - this.label)) * (to - from);
      this.view.show(from + moved, to + moved);
    }
    pointer.x = event.offsetX;
  }

  up(event) {
    const pointer = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    if (!pointer || Math.abs(event.offsetX - pointer.startX) > 3) return;
    this.row = Math.floor((pointer.startY + this.element.scrollTop) / this.lane);
    const arrival = this.hit(pointer.startX, pointer.startY);
    if (arrival) this.view.chooseArrival(arrival);
    else if (!this.isNear && pointer.startX > this.label) {
      const at = this.position(pointer.startX);
      const isTurn = this.view.axis === "turn" && this.x(1) - this.x(0) >= REACH;
      if (isTurn && this.rows[this.row]) this.view.chooseInTurn(this.rows[this.row][1], Math.floor(at));
      else this.view.zoom(1 / 8, at);
    } else this.view.changed();
  }
}
