// The keys of the picture, and what each does.

/** Returns the keys of a view: how they are told, what they do, and the acts by their names. */
function keysOf(view) {
  const step = () => (view.to - view.from) / 4;
  let last = Promise.resolve(); // a key waits for the one before: both may ask the server
  const inTurn = (act) => () => (last = last.then(act));
  return [
    ["← →", "move", { ArrowLeft: () => view.move(-step()), ArrowRight: () => view.move(step()) }],
    ["↑ ↓", "choose a lane", { ArrowUp: () => view.lanes.step(-1), ArrowDown: () => view.lanes.step(1) }],
    ["+ −", "zoom", { "+": () => view.zoom(0.5), "=": () => view.zoom(0.5), "-": () => view.zoom(2) }],
    ["0", "all of it", { 0: () => view.show(view.first, view.end) }],
    ["f F", "next, previous failure", { f: inTurn(() => view.failure(1)), F: inTurn(() => view.failure(-1)) }],
    [
      ...["j k", "next, previous event of the lane"],
      { j: inTurn(() => view.neighbour(1)), k: inTurn(() => view.neighbour(-1)) },
    ],
    ["Enter", "open the chosen event", { Enter: () => view.panel.focus() }],
    [
      ...["w t", "nearest cause, nearest effect"],
      { w: inTurn(() => view.nearest("causes")), t: inTurn(() => view.nearest("effects")) },
    ],
    ["[ ]", "the board one event back, forward", {}],
    ["/", "find a lane", { "/": () => view.search.focus() }],
    ["Esc", "close", { Escape: () => view.close() }],
    ["?", "these keys", { "?": () => view.help() }],
  ];
}

/** Lets keys act on a view, but where they mean something themselves; returns each in words. */
export function bindKeys(view) {
  const keys = keysOf(view);
  const acts = Object.assign({}, ...keys.map(([, , its]) => its));
  const typed = "input, textarea, select, [contenteditable]";
  const own = { Enter: "a, button, summary", ArrowUp: "body", ArrowDown: "body" };
  document.addEventListener("keydown", (event) => {
    const act = Object.hasOwn(acts, event.key) && acts[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    const isPicture = event.target.closest(".look-lanes") !== null;
    if (event.key !== "Escape" && event.target.closest(typed)) return;
    if (!isPicture && own[event.key] && event.target.closest(own[event.key])) return;
    event.preventDefault();
    act();
  });
  return keys;
}
