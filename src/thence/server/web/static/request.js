// Every request of the pages: an answer, or an error in words that a person can use.

/** What went wrong with a request; `link` is an address that helps, null where none does. */
export class RequestError extends Error {
  constructor(words, link = null) {
    super(words);
    this.link = link;
  }
}

/** Returns the answer to an address; throws a RequestError where there is no good one. */
export async function request(address) {
  const answer = await fetch(address, { credentials: "same-origin" }).catch(() => null);
  if (answer === null) throw new RequestError("The server does not answer.");
  if (answer.ok) return answer;
  if (answer.status === 401) throw new RequestError("Log in again.", location.href);
  const content = await answer.json().catch(() => ({}));
  const words = content.message ?? content.detail;
  throw new RequestError(words ? `${words}.` : `The server answered with status ${answer.status}.`);
}

/** Returns the main part of a page of the server. */
export async function mainOf(address) {
  const text = await (await request(address)).text();
  return new DOMParser().parseFromString(text, "text/html").querySelector("main");
}

/** Says in an element what went wrong, with the link that helps. */
export function tell(element, error) {
  if (!(error instanceof RequestError)) throw error;
  const link = document.createElement("a");
  Object.assign(link, { href: error.link ?? "", textContent: error.message });
  element.replaceChildren(error.link === null ? error.message : link);
}
