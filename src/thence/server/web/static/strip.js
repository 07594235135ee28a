// The overview: all of a log in one strip, with the part that is seen; dragging chooses another.

import { columns } from "./tiles.js";

const HEIGHT = 48;

/** Draws the strip of a view, and lets a pointer move what is seen. */
export class Strip {
  constructor(canvas, view, source, colours) {
    Object.assign(this, { canvas, view, source, colours, drag: null });
    canvas.height = HEIGHT;
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.end(event));
    canvas.addEventListener("pointercancel", () => (this.drag = null));
  }

  get asked() {
    return { axis: this.view.axis };
  }

  position(event) {
    const box = this.canvas.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    return this.view.first + share * (this.view.end - this.view.first);
  }

  begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = this.position(event);
  }

  move(event) {
    if (this.drag === null) return;
    const to = this.position(event);
    if (Math.abs(to - this.drag) > (this.view.end - this.view.first) / 200) {
      this.view.show(Math.min(this.drag, to), Math.max(this.drag, to));
    }
  }

  end(event) {
    if (this.drag === null) return;
    const to = this.position(event);
    const half = (this.view.to - this.view.from) / 2;
    if (Math.abs(to - this.drag) <= (this.view.end - this.view.first) / 200) {
      this.view.show(to - half, to + half);
    }
    this.drag = null;
  }

  draw() {
    const { canvas, view } = this;
    const width = (canvas.width = canvas.clientWidth);
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, HEIGHT);
    const overview = this.source.piece("overview", this.asked);
    if (overview?.counts) this.columns(context, overview, width);
    const scale = width / (view.end - view.first || 1);
    context.strokeStyle = `rgb(${this.colours("ink")})`;
    context.lineWidth = 2;
    const left = (view.from - view.first) * scale;
    context.strokeRect(left + 1, 1, Math.max(4, (view.to - view.from) * scale) - 2, HEIGHT - 2);
  }

  /** Returns the spans of positions that hold events, in order; null until they are known. */
  filled() {
    const { counts, first, level } = this.source.piece("overview", this.asked) ?? {};
    if (!counts) return null;
    const buckets = new Set(counts.filter((_, at) => at % 3 === 0));
    const at = (bucket) => first + bucket * 2 ** level;
    return [...buckets].sort((a, b) => a - b).map((bucket) => [at(bucket), at(bucket + 1)]);
  }

  columns(context, { counts, failures, first, level }, width) {
    const scale = width / (this.view.end - this.view.first || 1);
    const wide = Math.max(1, 2 ** level * scale);
    for (const [bucket, from, to, name] of columns(counts, failures, HEIGHT, (type) => this.view.kind(type))) {
      context.fillStyle = `rgb(${this.colours(name)})`;
      context.fillRect((first + bucket * 2 ** level - this.view.first) * scale, HEIGHT - to, wide, to - from);
    }
  }
}
