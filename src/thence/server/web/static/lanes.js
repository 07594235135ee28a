// The lanes of a log on a canvas: buckets from afar, marks, bars and causes from near.

import { BAR, criticalPath, drawBars } from "./bars.js";
import { Scale } from "./gaps.js";
import { wordsOf } from "./ruler.js";
import { BUCKETS } from "./tiles.js";
import { bounds, drawLine, globalLanes, nearestChange, seriesOf, valueAt } from "./turns.js";

export const NEAR = 2000; // positions in view, up to which single events are drawn
const LANE = 24;
const LINE = 22; // of the line of a variable
const SESSION = /^([0-9a-f]{8})-[0-9a-f-]{27}\/(?:[^/]+\/)?/; // how the lane of an agent begins
const ROWS = 16; // of a lane that are painted
const ROWS_SEEN = 18; // lanes that are seen at once
const TILE_LANES = 20; // of one answer
const REACH = 8; // pixels from a mark in which it is meant
const MARKS = 2000; // of one answer

// what changes the order of letters, or is no letter at all, is told by its number
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

function plain(name) {
  if (name === "-") return "(no actor)";
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
    this.bars = null; // what lasted in the window
    this.placed = []; // the bars as they are drawn
    this.path = []; // [arrival, lane, type, depth] of the chosen event and its causes
    this.links = []; // child, parent, … among these
    this.places = {}; // where these lie, by axis: [arrival, position, …]
    this.pointed = null; // where a pointer is that only looks
    this.pointers = new Map();
    this.scale = new Scale(0, 1);
    this.size();
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

  get viewport() {
    return Math.min(Math.max(LANE, this.below), ROWS_SEEN * LANE);
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

  /** Takes the bars of the window, which make room below the marks of their lanes. */
  takeBars(bars) {
    this.bars = bars;
    this.size();
  }

  size() {
    const isLined = this.view.variable && this.view.axis === "turn";
    this.marked = LANE + (isLined ? LINE : 0); // of a lane: what lies above its bars
    this.below = 0;
    this.rowOf = new Map(this.rows.map(([id], row) => [id, row]));
    this.tops = this.rows.map(([id]) => {
      const top = this.below;
      this.below += this.marked + (this.bars?.rows[id] ?? 0) * BAR;
      return top;
    });
    this.element.lastElementChild.style.height = `${this.below - this.viewport}px`; // to scroll to
  }

  /** Returns the number of the row at a place of the canvas; -1 for none. */
  rowAt(y) {
    const below = y + this.element.scrollTop;
    return below < this.below ? this.tops.findLastIndex((top) => top <= below) : -1;
  }

  x(position) {
    return this.label + this.scale.share(position) * (this.width - this.label);
  }

  position(x) {
    return this.scale.position((x - this.label) / (this.width - this.label));
  }

  draw() {
    const { from, to, axis } = this.view;
    this.scale = new Scale(from, to, axis === "time" ? this.busy() : null);
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
    const first = Math.max(0, this.rowAt(0));
    const last = this.rows.length && this.rowAt(Math.min(height, this.below - 1)) + 1;
    const top = (row) => this.tops[row] - this.element.scrollTop;
    this.labels(context, first, last, top);
    context.save();
    context.beginPath();
    context.rect(this.label, 0, width - this.label, height);
    context.clip();
    this.folds(context);
    if (this.isNear) this.near(context, first, last, top);
    else this.far(context, first, last, top);
    this.drawn(context, first, last, top);
    this.lines(context, first, last, top);
    this.chosen(context, top);
    context.restore();
  }

  /** Returns the spans of time in which there are events, or something lasted to its end. */
  busy() {
    const list = this.bars?.list ?? [];
    const parents = new Set(list.map(({ parent }) => parent));
    const parts = list.filter(({ begin, end }) => end && !parents.has(begin));
    const spans = parts.map(({ first, last }) => [first, last]);
    return this.view.strip.filled()?.concat(spans).sort(([one], [other]) => one - other) ?? null;
  }

  /** Marks the chosen event in its lane, and draws lines to its causes, on any axis. */
  chosen(context, top) {
    const places = new Map(); // of the path's events that are in the picture, as x and y
    for (const [arrival, lane] of this.path) {
      const [place, row] = [this.placeOf(arrival), this.rowOf.get(lane)];
      if (place !== undefined && row !== undefined) places.set(arrival, [this.x(place), top(row) + LANE / 2]);
    }
    context.strokeStyle = `rgb(${this.colours("link")})`;
    context.lineWidth = 1.5;
    context.beginPath();
    for (let place = 0; place < this.links.length; place += 2) {
      const [child, parent] = this.links.slice(place, place + 2);
      if (!this.isNear && child !== this.path[0][0]) continue; // all of them would hide the rest
      if (!places.has(child) || !places.has(parent)) continue;
      context.moveTo(...places.get(parent));
      context.lineTo(...places.get(child));
    }
    context.stroke();
    const [x, y] = places.get(this.path[0]?.[0]) ?? [];
    if (x === undefined) return;
    context.strokeStyle = `rgb(${this.colours("ink")})`;
    context.lineWidth = 2;
    context.strokeRect(x - 5, y - LANE / 2 + 2, 10, LANE - 4);
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
        const end = row + 1 < this.rows.length ? this.tops[row + 1] : this.below;
        context.fillRect(0, top(row), this.width, end - this.tops[row]);
      }
      context.save();
      context.beginPath();
      context.rect(0, top(row), this.label - 8, LANE);
      context.clip();
      context.fillStyle = `rgb(${this.colours(failures ? "failed" : "ink")})`;
      context.fillText(plain(name.replace(SESSION, "$1 ")), 6, top(row) + LANE / 2);
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
      const bottom = top(row) + this.marked;
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
    const middle = (row) => top(row) + LANE / 2;
    const isSeen = (row) => row !== undefined && row >= first && row < last;
    const commit = this.view.facts.types.find(([, name]) => name === "commit")?.[0];
    const wide = Math.max(3, Math.min(12, this.x(1) - this.x(0) - 1));
    const isOfBar = new Set(this.bars?.list.flatMap(({ begin, end }) => [begin, end]));
    for (const { marks, failures } of this.marks()) {
      const failed = new Set(failures);
      for (let place = 0; place < marks.length; place += 4) {
        const row = this.rowOf.get(marks[place + 1]);
        if (!isSeen(row) || isOfBar.has(marks[place])) continue;
        const isFailed = failed.has(marks[place]);
        const high = isFailed ? ROWS + 4 : ROWS - 4;
        context.fillStyle = `rgb(${this.colours(isFailed ? "failed" : this.view.kind(marks[place + 2]))})`;
        const x = this.x(marks[place] - 0.5) - wide / 2;
        if (marks[place + 2] === commit) diamond(context, x + wide / 2, middle(row));
        else context.fillRect(x, middle(row) - high / 2, wide, high);
      }
    }
  }

  /** Draws the bars of the window, those on the critical path of the chosen one lit. */
  drawn(context, first, last, top) {
    this.placed = [];
    if (!this.bars) return;
    const half = this.view.axis === "order" ? 0.5 : 0;
    for (const bar of this.bars.list) {
      const row = this.rowOf.get(bar.lane);
      if (row === undefined || row < first || row >= last) continue;
      const right = bar.end ? this.x(bar.last + half) : this.x(this.view.end);
      const [left, y] = [this.x(bar.first + half), top(row) + this.marked + bar.row * BAR];
      if (right >= this.label && left <= this.width) this.placed.push({ ...bar, left, right, y });
    }
    const lit = criticalPath(this.bars.list, this.path[0]?.[0]);
    drawBars(context, this.placed, lit, [this.label, this.width], this.colours);
  }

  /** Returns the arrival of the mark or bar at a place of the canvas, 0 for none. */
  hit(x, y) {
    const row = this.rowAt(y);
    if (row < 0) return 0;
    const lane = this.rows[row][0];
    const below = y + this.element.scrollTop - this.tops[row];
    if (below >= this.marked) {
      const isUnder = (bar) => y >= bar.y && y < bar.y + BAR && x >= bar.left - 1 && x <= bar.right + 1;
      const bar = this.placed.findLast(isUnder);
      return bar ? (bar.failed && bar.end) || bar.begin : 0;
    }
    if (below >= LANE) {
      const points = seriesOf(this.view)?.lanes[lane];
      return points ? nearestChange(points, (turn) => this.x(turn), x, REACH) : 0;
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
    const row = this.rows[this.rowAt(y)];
    if (!row) return "";
    const { view } = this;
    const arrival = this.hit(x, y);
    if (arrival) {
      const piece = this.source.piece("marks", { from: arrival - 1, to: arrival, ids: 1 });
      return piece?.words?.[0] ?? "";
    }
    const at = wordsOf(view.axis, this.position(x));
    const points = seriesOf(view)?.lanes[row[0]];
    const value = points && valueAt(points, Math.floor(this.position(x)));
    return `${plain(row[1])}, ${at}${value === undefined ? "" : `: ${view.variable} ${value}`}`;
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
    const [top, bottom] = [this.tops[this.row], this.tops[this.row + 1] ?? this.below];
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    if (bottom > scrollTop + clientHeight) this.element.scrollTop = bottom - clientHeight;
    this.view.changed();
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey && !event.deltaX) return;
    event.preventDefault();
    if (event.deltaX && !event.ctrlKey && !event.metaKey) this.view.move(this.moved(event.deltaX));
    else this.view.zoom(2 ** (event.deltaY / 100), this.position(event.offsetX));
  }

  /** Returns how many positions so many pixels are. */
  moved(pixels) {
    return (pixels / (this.width - this.label)) * (this.view.to - this.view.from);
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
    const others = [...this.pointers.values()].filter((other) => other !== pointer);
    if (others.length) {
      const [other] = others; // two fingers zoom
      const factor = Math.abs(pointer.x - other.x) / Math.max(8, Math.abs(event.offsetX - other.x));
      this.view.zoom(factor, this.position(other.x));
    } else this.view.move(this.moved(pointer.x - event.offsetX));
    pointer.x = event.offsetX;
  }

  up(event) {
    const pointer = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    if (!pointer || Math.abs(event.offsetX - pointer.startX) > 3) return;
    this.row = Math.max(0, this.rowAt(pointer.startY));
    const arrival = this.hit(pointer.startX, pointer.startY);
    if (arrival) this.view.chooseArrival(arrival);
    else if (!this.isNear && pointer.startX > this.label) {
      const at = this.position(pointer.startX);
      const isTurn = this.view.axis === "turn" && this.x(1) - this.x(0) >= REACH;
      if (isTurn && this.rows[this.row]) this.view.chooseInTurn(this.rows[this.row][0], Math.floor(at));
      else this.view.zoom(1 / 8, at);
    } else this.view.changed();
  }
}
