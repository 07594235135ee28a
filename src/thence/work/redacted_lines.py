"""The lines of a journal whose bodies were taken back, and what may be shared in their place.

Copies of such a line stand in day files, in commits and in memory. `RedactedLines` returns for any
line what may be written in its place. Lines of other tools that have no numbers have no digest, so
that they can't be taken back.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from thence.core.event import Event
from thence.core.values.codec import BadLine, event_id_of, parse
from thence.core.values.digests import BODY_DIGEST, digests, redacted
from thence.core.values.vocabulary import WORK
from thence.errors import InvalidEvent

_MARK = b'"%b":"' % BODY_DIGEST.encode()


class RedactedLines(NamedTuple):
    """The redactions of a journal: digests (D), and the redacted lines of known events by id.

    `is_complete` is whether each digest is that of a known event.
    """

    digests: frozenset[bytes] = frozenset()
    by_id: Mapping[bytes, bytes] = {}
    is_complete: bool = False

    def instead_of(self, line: bytes) -> bytes:
        """Returns what may be shared of a line, which is given without blanks around it.

        It is the redacted line for one that was taken back, and for a damaged copy of one; any
        other line itself.
        """
        if not self.digests:
            return line
        event_id = event_id_of(line)
        if self.is_complete and event_id not in self.by_id:
            return line
        if _digest(line) in self.digests:
            return redacted(line)
        if event_id in self.by_id and isinstance(parse(line, WORK), BadLine):
            return self.by_id[event_id]
        return line

    def of_events(self, events: Sequence[Event]) -> Sequence[Event]:
        """Returns events as they may be shared."""
        return [self._of_event(event) for event in events] if self.digests else events

    def _of_event(self, event: Event) -> Event:
        line = self.instead_of(event.line)
        redacted_event = event if line == event.line else parse(line, WORK)
        assert isinstance(redacted_event, Event)
        return redacted_event


NO_REDACTIONS = RedactedLines()


def redacted_lines(taken_back: frozenset[bytes], lines: Iterable[bytes]) -> RedactedLines:
    """Returns the redactions of a journal, given their digests and its lines."""
    if not taken_back:
        return NO_REDACTIONS
    held = list(lines)
    by_digest = _by_digest(taken_back, (line for line in held if _MARK in line))
    if len(by_digest) < len(taken_back):  # one may be taken back halfway, or its event is not here
        by_digest = _by_digest(taken_back, held)
    by_id = {event_id_of(line): line for line in by_digest.values()}
    return RedactedLines(taken_back, by_id, len(by_digest) == len(taken_back))


def _by_digest(taken_back: frozenset[bytes], lines: Iterable[bytes]) -> dict[bytes, bytes]:
    """Returns the redacted form of those lines that were taken back, by digest."""
    pairs = ((_digest(line), line) for line in lines)
    return {digest: redacted(line) for digest, line in pairs if digest in taken_back}


def _digest(line: bytes) -> bytes | None:
    """Returns D of a line, None for a line that has none."""
    try:
        return digests(line).line
    except (InvalidEvent, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
