// The keys of the picture, and what each does.

export const KEYS = [
  ["← →", "move"],
  ["↑ ↓", "choose a lane"],
  ["+ −", "zoom"],
  ["0", "all of it"],
  ["f F", "next, previous failure"],
  ["j k", "next, previous event of the lane"],
  ["Enter", "open the chosen event"],
  ["w t", "nearest cause, nearest effect"],
  ["[ ]", "the board one event back, forward"],
  ["/", "find a lane"],
  ["Esc", "close"],
  ["?", "these keys"],
];

/** Lets keys act on a view anywhere on the page, but where they mean something themselves. */
export function bindKeys(view, actions) {
  const step = () => (view.to - view.from) / 4;
  const acts = {
    ArrowLeft: () => view.show(view.from - step(), view.to - step()),
    ArrowRight: () => view.show(view.from + step(), view.to + step()),
    ArrowUp: () => actions.lane(-1),
    ArrowDown: () => actions.lane(1),
    "+": () => view.zoom(0.5),
    "=": () => view.zoom(0.5),
    "-": () => view.zoom(2),
    0: () => view.show(view.first, view.end),
    f: () => actions.failure(1),
    F: () => actions.failure(-1),
    j: () => actions.event(1),
    k: () => actions.event(-1),
    Enter: () => actions.open(),
    w: () => actions.path("causes"),
    t: () => actions.path("effects"),
    "/": () => actions.find(),
    "?": () => actions.help(),
    Escape: () => actions.close(),
  };
  const typed = "input, textarea, select, [contenteditable]";
  const own = { Enter: "a, button, summary", ArrowUp: "body", ArrowDown: "body" };
  document.addEventListener("keydown", (event) => {
    const act = acts[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    const isPicture = event.target.closest(".look-lanes") !== null;
    if (event.key !== "Escape" && event.target.closest(typed)) return;
    if (!isPicture && own[event.key] && event.target.closest(own[event.key])) return;
    event.preventDefault();
    act();
  });
}
