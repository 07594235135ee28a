// Long times without any event, which take little room in the lanes.

const SHARE = 0.1; // of the window: a longer gap is folded
const KEPT = 0.03; // of what is not folded: the room of a folded gap

/** Where the positions of a window lie: a number from 0 to 1, and back. */
export class Scale {
  /** `filled` are spans that hold events, in order; without them nothing is folded. */
  constructor(from, to, filled = null) {
    this.parts = []; // { from, to, isGap, room, before }
    let end = from;
    const add = (until, isGap) => {
      if (until > end) this.parts.push({ from: end, to: until, isGap });
      end = Math.max(end, until);
    };
    for (const [first, last] of filled ?? []) {
      if (first - end > SHARE * (to - from)) add(Math.min(first, to), true);
      add(Math.min(last, to), false);
    }
    add(to, filled?.length && to - end > SHARE * (to - from));
    this.length = this.parts.reduce((sum, { from, to, isGap }) => sum + (isGap ? 0 : to - from), 0);
    if (!this.length) this.length = to - from;
    let before = 0;
    for (const part of this.parts) {
      part.room = part.isGap && this.parts.length > 1 ? KEPT * this.length : part.to - part.from;
      part.before = before;
      before += part.room;
    }
    this.room = before;
  }

  share(position) {
    const part = this.parts.find(({ to }) => position <= to) ?? this.parts.at(-1);
    const within = ((position - part.from) / (part.to - part.from)) * part.room;
    return (part.before + within) / this.room;
  }

  position(share) {
    const at = share * this.room;
    const part = this.parts.find(({ before, room }) => at <= before + room) ?? this.parts.at(-1);
    return part.from + ((at - part.before) / part.room) * (part.to - part.from);
  }
}
