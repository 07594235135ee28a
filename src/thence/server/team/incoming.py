"""The check of lines that a client sends, before anything of them is stored."""

from collections.abc import Sequence
from typing import NamedTuple

from thence.core.clock import CLOCK_MAX
from thence.core.event import Event
from thence.core.values.codec import LINE_BYTES_MAX, BadLine, event_id_of, parse
from thence.core.values.digests import digests, same_event_key
from thence.core.values.vocabulary import PLAIN
from thence.core.wire.blocks import place_of
from thence.errors import BatchRefused, InvalidEvent
from thence.server.team.sqlite_store import NewLine

REASONS_MAX = 100
_ID_BYTES_SHOWN = 128


class CheckedLine(NamedTuple):
    """A line that is an event, with its clock, 0 if it has none."""

    row: NewLine
    clock: int


def checked(lines: Sequence[bytes]) -> list[CheckedLine]:
    """Returns the lines of a batch with their digests, in order.

    Raises BatchRefused if one of them is no event; its `bad` has the first REASONS_MAX of those.
    """
    found: list[CheckedLine] = []
    bad: dict[str, str] = {}
    for line in lines:
        try:
            found.append(_checked(line))
        except InvalidEvent as error:
            bad[event_id_of(line)[:_ID_BYTES_SHOWN].decode(errors="replace")] = error.cause
            if len(bad) == REASONS_MAX:
                break
    if bad:
        raise BatchRefused(
            "could not take the batch",
            cause=f"it holds what is no event: {next(iter(bad.values()))}",
            hint="send the other lines without it",
            bad=bad,
        )
    return found


def _checked(line: bytes) -> CheckedLine:
    if len(line) >= LINE_BYTES_MAX:
        raise _refused(f"the line is longer than {LINE_BYTES_MAX} bytes")
    event = parse(line, PLAIN)
    if isinstance(event, BadLine):
        raise _refused(event.reason)
    header = event.header
    event_id, node, seq, clock = header.event_id, header.node_id, header.seq, header.lamport_clock
    if event.is_foreign:
        content = digest = _foreign_digest(event)
        node = ""
    else:
        _, content, digest = digests(line)
    if seq > CLOCK_MAX:
        raise _refused("its seq is too large")
    try:
        (event_id + node).encode()
    except UnicodeEncodeError:
        raise _refused("its event_id or node_id holds half a surrogate pair") from None
    block = place_of(node, seq, digest).block
    return CheckedLine(NewLine(event_id, node, seq, block, content, digest, line), clock)


def _foreign_digest(event: Event) -> bytes:
    """Returns the digest of another tool's line; raises InvalidEvent."""
    if b"\n" in event.line:
        raise _refused("it holds a newline")
    try:
        return same_event_key(event)
    except (ValueError, RecursionError):
        raise _refused("its members can't be written in UTF-8") from None


def _refused(cause: str) -> InvalidEvent:
    return InvalidEvent("could not take a line", cause=cause)
