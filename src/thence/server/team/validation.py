"""The check of lines that a client sends, before anything of them is stored."""

from collections.abc import Sequence
from typing import NamedTuple

from thence.core.clock import CLOCK_MAX
from thence.core.codec import (
    LINE_BYTES_MAX,
    BadLine,
    decode_required,
    event_id_of,
    have_valid_crcs,
    is_too_deep,
    parse,
)
from thence.core.redaction import digests, same_event_key
from thence.core.vocabulary import PLAIN
from thence.errors import InvalidEvent
from thence.server.team.database import NewLine, is_storable
from thence.sync.wire.messages import BatchRefused

REASONS_MAX = 100
_ID_BYTES_SHOWN = 128


class CheckedLines(NamedTuple):
    """The lines of a batch, which are events, and the clock of each, 0 if it has none."""

    rows: list[NewLine]
    clocks: list[int]


def checked(lines: Sequence[bytes]) -> CheckedLines:
    """Returns the lines of a batch with their digests, in order.

    Raises BatchRefused if one of them is no event; its `bad` has the first REASONS_MAX of those.
    """
    checked_lines = CheckedLines([], [])
    bad: dict[str, str] = {}
    read = _verified if lines and have_valid_crcs(lines) else _parsed
    for line in lines:
        try:
            row, clock = read(line)
        except InvalidEvent as error:
            bad[event_id_of(line)[:_ID_BYTES_SHOWN].decode(errors="replace")] = error.cause
            if len(bad) == REASONS_MAX:
                break
        else:
            checked_lines.rows.append(row)
            checked_lines.clocks.append(clock)
    if bad:
        raise BatchRefused(
            "could not take the batch",
            cause=f"a line in it is not an event: {next(iter(bad.values()))}",
            hint="send the other lines without it",
            bad=bad,
        )
    return checked_lines


def _verified(line: bytes) -> tuple[NewLine, int]:
    """Returns what `_parsed` does of a line whose checksum fits, in less time."""
    try:
        essence = decode_required(line)
    except (ValueError, RecursionError):
        return _parsed(line)
    seq, clock = essence.seq, essence.lamport_clock
    # the decoder does not check the texts that it skips
    if not (line.isascii() and 1 <= seq <= CLOCK_MAX and 1 <= clock <= CLOCK_MAX):
        return _parsed(line)
    if len(line) >= LINE_BYTES_MAX or is_too_deep(line):
        return _parsed(line)
    return _row(line, essence.event_id, essence.node_id, seq), clock


def _parsed(line: bytes) -> tuple[NewLine, int]:
    """Returns the row of a line and its clock; raises InvalidEvent."""
    if len(line) >= LINE_BYTES_MAX:
        raise _refused(f"the line is longer than {LINE_BYTES_MAX} bytes")
    event = parse(line, PLAIN)
    if isinstance(event, BadLine):
        raise _refused(event.reason)
    if event.seq > CLOCK_MAX:
        raise _refused("its seq is too large")
    if not event.is_foreign:
        return _row(line, event.event_id, event.node_id, event.seq), event.lamport_clock
    if b"\n" in event.line:
        raise _refused("it holds a newline")
    try:
        digest = same_event_key(event)
    except (ValueError, RecursionError):
        raise _refused("its members can't be written in UTF-8") from None
    return NewLine(_text(event.event_id), "", 0, digest, line), event.lamport_clock


def _row(line: bytes, event_id: str, node: str, seq: int) -> NewLine:
    return NewLine(_text(event_id), _text(node), seq, digests(line).line, line)


def _text(text: str) -> str:
    if not is_storable(text):
        raise _refused("its event_id or node_id holds U+0000 or half a surrogate pair")
    return text


def _refused(cause: str) -> InvalidEvent:
    return InvalidEvent("could not take a line", cause=cause)
