"""Events as a stream of server-sent events holds them.

A frame is `id:` with the event's id, `data:` with its line, and an empty line, as the HTML
standard (section 9.2) has it. An id that another tool made may hold what would break a header
or a line of the stream: such characters, and `%`, stand percent-encoded.
"""

import re
from urllib.parse import quote, unquote

from thence.core.event import Event

MEDIA_TYPE = "text/event-stream"
# a client that is cut off comes back after this time
BEGINNING = b"retry: 1000\n\n"
HEARTBEAT = b":\n\n"

_PLAIN_ID = re.compile(r"[!-$&-~]+", re.ASCII)
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")
_LINE_ENDS = re.compile(rb"\r\n|\r|\n")


def framed(event: Event) -> bytes:
    """Returns an event as a frame."""
    line = event.line
    if b"\r" in line:
        line = _LINE_ENDS.sub(b"\ndata: ", line)
    return b"id: %b\ndata: %b\n\n" % (id_text(event.event_id).encode(), line)


def id_text(event_id: str) -> str:
    """Returns an id as a frame names it."""
    if _PLAIN_ID.fullmatch(event_id):
        return event_id
    return quote(event_id, safe=_SAFE, errors="surrogatepass")


def event_id(text: str) -> str:
    """Returns the id that a frame named so."""
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:  # no frame named one so
        return text
