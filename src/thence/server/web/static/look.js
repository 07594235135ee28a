// The picture of a log before its list: what is seen of it, by which axis, and what is chosen.

import { barsOf } from "./bars.js";
import { slideBoard } from "./board.js";
import { bindKeys } from "./keys.js";
import { Lanes } from "./lanes.js";
import { follow, renew } from "./live.js";
import { Panel } from "./panel.js";
import { RequestError, tell } from "./request.js";
import { drawRuler, wordsOf } from "./ruler.js";
import { Strip } from "./strip.js";
import { Painter, Source } from "./tiles.js";

const AXES = { order: "by order", turn: "by turn", time: "by time" };
const SORTS = { failures: "most failures", events: "most events", first: "first come" };
const PATH_MAX = 200;
const BEGINS = /(^|\.)(begun|began|started|DECISION)$/; // by the names of types
const ENDS = /(^|\.)(ended|done|finished|completed|failed|cancelled|ACTION)$/;
const REST_MS = 150; // without a move, after which the lanes of the window are asked for
const RENEWED_MS = 1000; // between two looks at what the page says of a log that grows
const NUMBER = /^\d+$/;
const TOLD = 8; // types in the legend
const LEAST = 10; // positions that are always seen

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Returns the function of the present colours: [red, green, blue] of a name. */
function readColours() {
  const [style, kept] = [getComputedStyle(document.documentElement), {}];
  const hex = (name) => style.getPropertyValue(`--${name}`).trim(); // #rrggbb
  return (name) => (kept[name] ??= hex(name).match(/\w\w/g).map((part) => parseInt(part, 16)));
}

/** What is seen of a log; all parts of the picture draw by it and change it. */
class View {
  constructor(root, source, facts) {
    Object.assign(this, { root, source, pages: root.dataset.pages });
    source.changed = () => this.changed();
    this.arrival = 0; // that of the chosen event
    this.variables = root.dataset.variables?.split(" ") ?? [];
    this.usual = this.variables[0] ?? ""; // has a line unless another one is chosen
    this.take(facts);
    this.readAddress();
    this.build();
    this.colour();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.colour());
    addEventListener("resize", () => this.changed());
    addEventListener("popstate", () => {
      this.readAddress();
      this.choose(this.chosen, false);
    });
    follow(this.source, (growth) => this.grown(growth));
  }

  /** Takes the facts of a log as they are now. */
  take(facts) {
    this.facts = facts;
    this.axis ??= facts.axes.find((axis) => axis === this.root.dataset.axis) ?? "order";
    [this.first, this.end] = facts.ends[this.axis] ?? [0, facts.events];
    const kindOf = (name) => (BEGINS.test(name) ? "begin" : ENDS.test(name) ? "end" : "other");
    this.kinds = new Map(facts.types.map(([id, name]) => [id, kindOf(name)]));
  }

  /** Returns what events of a type are, by its number: "begin", "end" or "other". */
  kind(type) {
    return this.kinds.get(type) ?? "other";
  }

  build() {
    const choice = (label, name, words, among) => {
      const options = among.map((one) => make("option", { value: one }, words[one] ?? one));
      const select = make("select", { "aria-label": label }, ...options);
      select.value = this[name];
      select.addEventListener("change", () => this.set(name, select.value));
      return select;
    };
    this.search = make("input", { type: "search", placeholder: "Find a lane", "aria-label": "Find a lane" });
    this.search.value = this.find;
    this.search.addEventListener("input", () => this.set("find", this.search.value));
    this.growth = make("button", { type: "button", hidden: "" });
    this.growth.addEventListener("click", () => this.toEnd());
    const lines = choice("Line", "variable", { "": "no line" }, ["", ...this.variables]);
    const button = (label, words, act) => {
      const made = make("button", { type: "button", "aria-label": words, title: words }, label);
      made.addEventListener("click", act);
      return made;
    };
    this.axes = choice("Axis", "axis", AXES, this.facts.axes);
    const bar = make(
      "div",
      { class: "look-bar" },
      this.axes,
      choice("Lanes", "sort", SORTS, Object.keys(SORTS)),
      ...(this.variables.length ? [lines] : []),
      this.search,
      button("+", "Zoom in", () => this.zoom(0.5)),
      button("−", "Zoom out", () => this.zoom(2)),
      button("All", "All of it", () => this.show(this.first, this.end)),
      button("!", "Next failure", () => this.failure(1)),
      button("?", "Keys", () => this.help()),
      this.growth,
    );
    this.legend = make("p", { class: "look-legend quiet" });
    this.explain();
    const strip = make("canvas", { class: "look-strip", role: "img", "aria-label": "All of the log" });
    this.canvas = make("canvas", { tabindex: "0", role: "application" });
    const lanes = make("div", { class: "look-lanes" }, this.canvas, make("div"));
    this.ruler = make("div", { class: "look-ruler", "aria-hidden": "true" });
    this.tip = make("p", { class: "look-tip", role: "tooltip", hidden: "" });
    this.spoken = make("p", { class: "look-spoken", "aria-live": "polite" });
    this.aside = make("aside", { hidden: "", "aria-label": "The chosen event" });
    this.keys = make("dl", { hidden: "" });
    for (const [key, words] of bindKeys(this)) this.keys.append(make("dt", {}, key), make("dd", {}, words));
    const picture = make("div", { class: "look-picture" }, this.ruler, lanes, this.tip, this.spoken);
    this.root.append(bar, strip, this.legend, this.keys, make("div", { class: "look-body" }, picture, this.aside));
    this.root.hidden = false;
    this.panel = new Panel(this.aside, this);
    const colours = (name) => this.colours(name);
    this.strip = new Strip(strip, this, this.source, colours);
    this.lanes = new Lanes(lanes, this.canvas, this, this.source, null, colours);
  }

  /** Says what the colours are, and how many events have each. */
  explain() {
    const { types, failures, is_wide } = this.facts;
    const { list, total } = this.lanes?.bars ?? {};
    const told = types.filter(([, , number]) => number);
    const counts = told.slice(0, TOLD).map(([id, name, number]) => [this.kind(id), name, number]);
    const notes = is_wide ? ["the filter chooses among too many events: all are drawn"] : [];
    if (told.length > TOLD) notes.push(`and ${told.length - TOLD} more types`);
    if (total === null) notes.push("zoom in for bars");
    if (total > list?.length) notes.push(`the ${list.length} longest of ${total} bars`);
    this.legend.textContent = "";
    for (const [kind, name, number] of [["failed", "failed", failures], ...counts]) {
      const mark = make("i", { class: `of-${kind}` });
      if (number) this.legend.append(make("span", {}, mark, `${name} ${number.toLocaleString("en")}`), " ");
    }
    this.legend.append(notes.join("; "));
  }

  colour() {
    this.colours = readColours();
    this.lanes.painter = new Painter(this.colours, (type) => this.kind(type));
    this.changed();
  }

  readAddress() {
    const query = new URLSearchParams(location.search);
    this.sort = Object.hasOwn(SORTS, query.get("lanes") ?? "") ? query.get("lanes") : "failures";
    this.find = query.get("find") ?? "";
    this.variable = query.get("var") ?? this.usual;
    if (this.facts.axes.includes(query.get("axis"))) this.axis = query.get("axis");
    this.take(this.facts);
    const ends = [query.get("from"), query.get("to")];
    const [from, to] = ends.map((end) => (NUMBER.test(end) ? Number(end) : NaN));
    [this.from, this.to] = from < to ? [from, to] : [this.first, this.end];
    if (this.axis === "order" && !ends.includes(null) && !(from < to)) this.seek(ends);
    this.chosen = query.get("at");
  }

  /** Shows the window between two events, wherever a rebuild has put them. */
  async seek(ids) {
    const asked = ids.map((id) => this.source.ask(`path/${encodeURIComponent(id)}`, { limit: 1 }));
    const [first, last] = await Promise.all(asked);
    this.show(first.arrival - 1, last.arrival);
  }

  /** Returns the ends of the window for the address: events by order, as their places may change. */
  ends() {
    const places = [Math.floor(this.from), Math.ceil(this.to)];
    const { key, ids } = this.named ?? {};
    const isNamed = key === `${this.axis} ${places}` && ids.length === 2;
    return isNamed && !ids.some((id) => NUMBER.test(id)) ? ids : places;
  }

  writeAddress(isPushed = false) {
    const query = new URLSearchParams(location.search);
    const isWhole = this.from <= this.first && this.to >= this.end;
    const [from, to] = isWhole ? [null, null] : this.ends();
    const values = {
      axis: this.axis,
      from,
      to,
      lanes: this.sort === "failures" ? null : this.sort,
      find: this.find || null,
      var: this.variable === this.usual ? null : this.variable,
      at: this.chosen,
    };
    if (`${from}` !== `${query.get("from")}`) query.delete("cursor"); // it is of another window
    for (const [name, value] of Object.entries(values)) {
      if (value === null) query.delete(name);
      else query.set(name, value);
    }
    const text = query.toString();
    const address = `${location.pathname}${text && "?"}${text}${location.hash}`;
    history[isPushed ? "pushState" : "replaceState"](null, "", address);
  }

  set(name, value) {
    this[name] = value;
    if (name === "variable" && value && this.facts.axes.includes("turn")) this.axis = "turn";
    if (name === "axis" || name === "variable") {
      this.axes.value = this.axis;
      this.take(this.facts);
      [this.from, this.to] = [this.first, this.end];
    }
    this.lanes.element.scrollTop = 0;
    this.lanes.take(this.lanes.rows);
    this.changed();
  }

  show(from, to) {
    const wide = Math.min(this.end - this.first, Math.max(LEAST, to - from));
    const left = Math.min(this.end - wide, Math.max(this.first, from));
    [this.from, this.to] = [left, left + wide];
    this.changed();
  }

  move(by) {
    this.show(this.from + by, this.to + by);
  }

  zoom(factor, middle = (this.from + this.to) / 2) {
    this.show(middle - (middle - this.from) * factor, middle + (this.to - middle) * factor);
  }

  /** Draws anew at the next frame, and asks for what the window needs once it rests. */
  changed() {
    if (!this.lanes) return;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.strip.draw();
      this.lanes.draw();
      this.rule();
      this.hover();
    });
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.rest(), REST_MS);
  }

  rule() {
    const { lanes, axis, from, to } = this;
    drawRuler(this.ruler, axis, [from, to], [lanes.label, lanes.width], (at) => lanes.x(at));
  }

  /** Says what lies below the pointer: the event with its duration, a value, or the place. */
  hover() {
    const { x, y } = this.lanes.pointed ?? {};
    const words = x === undefined ? "" : this.lanes.wordsAt(x, y);
    this.tip.hidden = !words;
    if (!words) return;
    this.tip.textContent = words;
    const right = Math.max(0, this.lanes.width - this.tip.offsetWidth - 4);
    this.tip.style.left = `${Math.min(x + 12, right)}px`;
    this.tip.style.top = `${this.ruler.offsetHeight + y + 16}px`;
  }

  async rest() {
    const bounds = { axis: this.axis, from: Math.floor(this.from), to: Math.ceil(this.to) };
    const asked = { ...bounds, sort: this.sort, find: this.find };
    const key = JSON.stringify([asked, this.facts.events]);
    if (key !== this.lanesKey) {
      this.lanesKey = key;
      const answer = await this.source.ask("lanes", asked);
      if (key === this.lanesKey) {
        this.named = { key: `${bounds.axis} ${[bounds.from, bounds.to]}`, ids: answer.ends ?? [] };
        this.lanes.take(answer.lanes);
        this.describe(answer.lanes);
        this.changed();
        const isLasting = this.axis !== "turn";
        const bars = isLasting ? await this.source.ask("bars", bounds) : null;
        if (key !== this.lanesKey) return;
        this.lanes.takeBars(bars && barsOf(bars));
        this.explain();
        this.changed();
      }
    }
    this.writeAddress();
    const listed = `${bounds.axis} ${bounds.from} ${bounds.to}`;
    if ((this.listed ??= listed) !== listed) this.renewSoon(); // the list has the window's events
    this.listed = listed;
    if (this.chosen !== null && this.panel.address === null) this.choose(this.chosen, false);
  }

  describe(lanes) {
    const number = (value) => Math.round(value).toLocaleString("en");
    const failed = lanes.reduce((sum, row) => sum + row[3], 0);
    const isTime = this.axis === "time";
    const at = (position) => (isTime ? new Date(position / 1000).toISOString() : wordsOf(this.axis, position));
    const last = Math.ceil(this.to) - (this.axis === "turn" ? 1 : 0);
    const span = `${at(Math.floor(this.from) + (this.axis === "order" ? 1 : 0))} to ${at(last)}`;
    const words = `${number(lanes.length)} ${lanes.length === 1 ? "lane" : "lanes"}, ${span}, ${number(failed)} failed`;
    this.canvas.setAttribute("aria-label", words);
    const nothing = this.find ? `No lane is called “${this.find}”.` : "There is no event here.";
    if (!lanes.length || this.isEmpty) this.spoken.textContent = lanes.length ? "" : nothing;
    this.isEmpty = !lanes.length;
  }

  /** Chooses the event with an id, shows its page, and its causes in the lanes; null: none. */
  async choose(id, isPushed = true, arrival = 0) {
    [this.chosen, this.arrival] = [id, arrival];
    if (id === null) [this.arrival, this.lanes.path, this.lanes.links, this.lanes.places] = [0, [], [], {}];
    if (isPushed) this.writeAddress(true);
    this.panel.show(id);
    await this.panel.shown;
    if (id === null) {
      this.canvas.focus();
      this.changed();
      return;
    }
    this.spoken.textContent = this.aside.querySelector("h1")?.textContent ?? "";
    const address = `path/${encodeURIComponent(id)}`;
    const answer = await this.source.ask(address, { limit: PATH_MAX });
    if (this.chosen !== id) return;
    const { path, causes, places } = answer;
    this.arrival = answer.arrival;
    [this.lanes.path, this.lanes.links, this.lanes.places] = [[], causes, places];
    for (let at = 0; at < path.length; at += 4) this.lanes.path.push(path.slice(at, at + 4));
    if (this.axis === "order" && !(this.from < this.arrival && this.arrival <= this.to)) {
      const half = (this.to - this.from) / 2;
      this.show(this.arrival - half, this.arrival + half);
    }
    this.lanes.take(this.lanes.rows);
    this.changed();
  }

  /** Chooses the event of an arrival. */
  async chooseArrival(arrival) {
    const bounds = { from: arrival - 1, to: arrival };
    const answer = await this.source.ask("marks", { ...bounds, ids: 1 });
    if (answer.ids.length) await this.choose(answer.ids[0], true, arrival);
  }

  /** Chooses what a lane has in a turn: a failure first. */
  async chooseInTurn(lane, turn) {
    const answer = await this.source.ask("failures", { lane, at: turn });
    if (answer.arrival) return this.choose(answer.event_id, true, answer.arrival);
    this.spoken.textContent = `There is nothing to choose in turn ${turn}.`;
  }

  async failure(direction) {
    const isOrder = this.axis === "order"; // on another axis no place is an arrival
    const [first, last] = isOrder ? [Math.floor(this.from), Math.ceil(this.to)] : [0, this.facts.events];
    const asked = direction > 0 ? { after: this.arrival || first } : { before: this.arrival || last + 1 };
    const answer = await this.source.ask("failures", asked);
    if (!answer.arrival) {
      this.spoken.textContent = "There is no further failure.";
      return;
    }
    if (isOrder && !this.lanes.isNear) this.show(answer.arrival - 500, answer.arrival + 500);
    await this.choose(answer.event_id, true, answer.arrival);
  }

  neighbour(direction) {
    const from = this.arrival || (direction > 0 ? this.from : this.to + 1);
    const arrival = this.lanes.neighbour(from, direction);
    if (arrival) return this.chooseArrival(arrival);
    this.spoken.textContent = "The lane has no further event in the window.";
  }

  async nearest(way) {
    if (this.chosen === null) return;
    const asked = { then: way === "effects" ? 1 : null, limit: 2 };
    const answer = await this.source.ask(`path/${encodeURIComponent(this.chosen)}`, asked);
    const arrival = answer.path.filter((_, at) => at % 4 === 0).find((one) => one !== answer.arrival);
    if (arrival) await this.chooseArrival(arrival);
    else this.spoken.textContent = way === "effects" ? "It has no effects." : "It has no causes.";
  }

  help() {
    this.keys.hidden = !this.keys.hidden;
  }

  /** Closes what is open: the list of keys, else the chosen event. */
  close() {
    if (this.keys.hidden) return this.choose(null);
    this.keys.hidden = true;
  }

  /** Takes the growth of a log that is written to: moves along at its right end, else says so. */
  async grown(growth) {
    const before = this.facts;
    if (growth.events === before.events && growth.generation === before.generation) return;
    const facts = await this.source.ask("look");
    this.renewSoon();
    const wasAtEnd = this.to >= this.end;
    const wide = wasAtEnd && this.from <= this.first ? Infinity : this.to - this.from;
    const isAnew = facts.generation !== before.generation;
    this.source.forget((address) => isAnew || !address.includes("/tiles?") || this.reaches(address, growth.from));
    this.take(facts);
    this.explain();
    if (wasAtEnd) this.show(this.end - wide, this.end);
    const number = facts.events - before.events + (this.unseen ?? 0);
    this.unseen = wasAtEnd ? 0 : number;
    this.growth.hidden = !this.unseen;
    this.growth.textContent = `${this.unseen.toLocaleString("en")} new`;
    this.changed();
  }

  renewSoon() {
    this.renewing ??= setTimeout(() => {
      this.renewing = undefined;
      renew().catch((error) => tell(this.spoken, error));
    }, RENEWED_MS);
  }

  /** Reports whether a tile holds arrivals from one on. */
  reaches(address, from) {
    const query = new URLSearchParams(address.split("?")[1]);
    const end = (Number(query.get("tile")) + 1) * 256 * 2 ** Number(query.get("level"));
    return query.get("axis") !== "order" || end >= from;
  }

  toEnd() {
    [this.unseen, this.growth.hidden] = [0, true];
    this.show(this.end - (this.to - this.from), this.end);
  }
}

// what a request that failed has to say is said where all else of the picture is
for (const name of [
  ...["seek", "rest", "choose", "chooseArrival", "chooseInTurn"],
  ...["failure", "nearest", "grown"],
]) {
  const act = View.prototype[name];
  View.prototype[name] = function (...given) {
    return act.apply(this, given).catch((error) => tell(this.spoken, error));
  };
}

const board = document.getElementById("board");
if (board?.dataset.log) slideBoard(board);
const home = document.getElementById("home");
if (home !== null) setInterval(() => document.hidden || renew().catch(() => {}), Number(home.dataset.every) * 1000);
const root = document.getElementById("look");
if (root !== null) {
  try {
    const source = new Source(root.dataset.log, root.dataset.question ?? "", () => {});
    const facts = await source.ask("look");
    if (facts.events) new View(root, source, facts);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    root.hidden = false;
    tell(root, error);
  }
}
