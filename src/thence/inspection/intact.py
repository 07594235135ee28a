"""An intact log read in one pass for a comparison with another."""

from pathlib import Path

from thence.core.diff.content import EventContent, decode_content
from thence.core.diff.log_side import LogSide, is_in_order, laid_out
from thence.core.event import Event
from thence.core.values.codec import have_valid_crcs, parse, taken
from thence.core.values.vocabulary import Vocabulary
from thence.log.read.reader import blocks
from thence.log.storage.disk import Disk


def intact_side(disk: Disk, folder: Path, vocabulary: Vocabulary) -> LogSide | None:
    """Returns the side that `core.diff.log_side.side` makes of a log's events, but faster.

    Returns None where a line is damaged, unfinished, written by another tool, has a member
    of a wrong type among those that are compared, or an id that another line has too.
    """
    lines: list[bytes] = []
    contents: list[EventContent] = []
    for block in blocks(disk, folder):
        found = block.data.split(b"\n")
        if not block.is_whole or block.length or not have_valid_crcs(found):
            return None
        fresh = taken(block.data, found, decode_content)
        if fresh is None:
            return None
        lines += found
        contents += fresh

    if not is_in_order(contents):
        if len({each.event_id for each in contents}) < len(contents):
            return None
        places = sorted(range(len(contents)), key=lambda place: _order_key(contents[place]))
        lines, contents = [lines[place] for place in places], [contents[place] for place in places]

    def event_at(place: int) -> Event:
        event = parse(lines[place], vocabulary)
        assert isinstance(event, Event)
        return event

    return laid_out(contents, event_at, vocabulary)


def _order_key(of: EventContent) -> tuple[int, str, str]:
    """Returns the key in the total order of an event of thence."""
    return of.lamport_clock, of.node_id, of.event_id
