// An event's page beside the picture: a part of the server's own HTML.

import { mainOf, tell } from "./request.js";

/** Shows the page of one event in an element, and follows its links to other events. */
export class Panel {
  constructor(element, view) {
    Object.assign(this, { element, view, address: null, shown: null });
    element.addEventListener("click", (event) => this.follow(event));
  }

  /** Shows the event with an id; null closes the panel. */
  show(id) {
    const address = id === null ? null : `${this.view.pages}/events/${encodeURIComponent(id)}`;
    if (address === this.address) return;
    this.address = address;
    this.element.hidden = address === null;
    this.shown = address && this.fetched(address);
  }

  /** Gives the focus to the first link, once the event that was chosen last is there. */
  async focus() {
    let shown;
    while (shown !== this.shown) await (shown = this.shown);
    this.element.querySelector("a")?.focus();
  }

  async fetched(address) {
    const parts = document.createElement("div");
    try {
      parts.append(...(await mainOf(`${address}?part=main`)).childNodes);
    } catch (error) {
      tell(parts, error);
    }
    if (this.address !== address) return; // another one was chosen meanwhile
    this.element.replaceChildren(this.head(address), ...parts.childNodes);
    this.element.scrollTop = 0;
  }

  head(address) {
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "Close";
    close.addEventListener("click", () => this.view.choose(null));
    const whole = document.createElement("a");
    whole.href = address;
    whole.textContent = "Its own page";
    const bar = document.createElement("p");
    bar.className = "look-bar";
    bar.append(close, whole);
    return bar;
  }

  follow(event) {
    const link = event.target.closest("a[href]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const events = `${this.view.pages}/events/`;
    const { pathname, origin } = new URL(link.href);
    if (origin !== location.origin || !pathname.startsWith(events)) return;
    event.preventDefault();
    this.view.choose(decodeURIComponent(pathname.slice(events.length)));
  }
}
