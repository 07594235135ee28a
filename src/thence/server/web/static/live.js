// What a log that grows sends: how far it is, and from which arrival on its picture changed.

import { mainOf } from "./request.js";

/** Follows the growth of a log while its page is seen; `grown` gets each answer. */
export function follow(source, grown) {
  let stream = null;
  const open = () => {
    stream ??= new EventSource(source.address("growth"));
    stream.onmessage = (message) => grown(JSON.parse(message.data));
  };
  const look = () => {
    if (!document.hidden) open();
    else if (stream) {
      stream.close();
      stream = null;
    }
  };
  document.addEventListener("visibilitychange", look);
  look();
}

/** Brings the parts of a page that follow its logs up to date: those with `data-live`. */
export async function renew() {
  const query = new URLSearchParams(location.search);
  query.set("part", "main");
  const page = await mainOf(`${location.pathname}?${query}`);
  const fresh = page.querySelectorAll("[data-live]");
  document.querySelectorAll("[data-live]").forEach((old, at) => {
    const isUsed = old.contains(document.activeElement) || old.querySelector(":checked");
    if (!isUsed && fresh[at] && old.innerHTML !== fresh[at].innerHTML) old.replaceWith(fresh[at]);
  });
}
