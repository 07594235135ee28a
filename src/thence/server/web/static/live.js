// What a log that grows sends: how far it is, and from which arrival on its picture changed.

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
