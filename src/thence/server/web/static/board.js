// The board of a project through time: a slider over its events, with the server's own HTML below.

import { mainOf, tell } from "./request.js";
import { Source } from "./tiles.js";

/** Puts a slider above a board, and lets `[` and `]` take it one event back and forward. */
export function slideBoard(section) {
  const { log, pages } = section.dataset;
  const source = new Source(log, "", () => {});
  const slider = document.createElement("input");
  const problem = document.createElement("p");
  problem.setAttribute("role", "status");
  const board = () => section.querySelector(".board-at");
  let [wanted, isLoading] = [null, false];

  function take() {
    const { at, events } = board().dataset;
    Object.assign(slider, { min: 1, max: events, value: wanted ?? at });
    slider.setAttribute("aria-valuetext", board().querySelector("nav")?.textContent ?? "");
  }

  async function load(at) {
    const isNow = at >= slider.max;
    const { ids } = isNow ? { ids: [""] } : await source.ask("marks", { from: at - 1, to: at, ids: 1 });
    const query = new URLSearchParams(location.search);
    query.delete("board");
    if (!isNow) query.set("board", ids[0]);
    const asked = new URLSearchParams(isNow ? {} : { board: ids[0] });
    const page = await mainOf(`${pages}?${asked}&part=main`);
    problem.replaceChildren();
    board().replaceWith(page.querySelector(".board-at"));
    document.querySelector(".verdict").replaceWith(page.querySelector(".verdict"));
    history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}#board`);
    take();
  }

  /** Shows the board after so many events; while one is loading, the latest asked for waits. */
  async function show(at) {
    slider.value = wanted = Math.min(slider.max, Math.max(1, at));
    if (isLoading) return;
    isLoading = true;
    while (wanted !== null) {
      const next = wanted;
      wanted = null;
      await load(next).catch((error) => tell(problem, error)); // the board stays
    }
    isLoading = false;
  }

  Object.assign(slider, { type: "range", ariaLabel: "The board after so many events" });
  slider.addEventListener("input", () => show(Number(slider.value)));
  document.addEventListener("keydown", (event) => {
    const step = { "[": -1, "]": 1 }[event.key];
    if (!step || !event.target.closest("#board, .look-lanes")) return;
    event.preventDefault();
    show(Number(slider.value) + step);
  });
  take();
  board().before(slider, problem);
}
