"""Batches of lines from elsewhere, relayed into a large log and into an empty one."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import thence
from thence.core.codec import draft, stamper
from thence.core.event import EventFields
from thence.core.ids import IdSource

EVENTS = 300_000
BATCH = 1_000
BATCHES = 20
WHEN = "2026-11-20T07:13:00.123456Z"


Row = Callable[[str, str, str, bool], None]


def rows(place: Path, row: Row) -> None:
    """Prints rows that show whether the last batches cost what the first ones do."""
    for name, work in (
        ("a log of 300,000 events", into_a_large_log),
        ("an empty log", into_an_empty_log),
    ):
        with tempfile.TemporaryDirectory(dir=place) as folder:
            first, *found = work(Path(folder))
        last = statistics.median(found[-5:]) / statistics.median(found[:5])
        row(f"relay into {name}, the last batches / the first", f"{last:.1f}", "2", last <= 2)
        print(f"    the first: {first:,.0f} ms, the last: {found[-1]:.0f} ms")


def batches(node_id: str, count: int, first_clock: int, seed: int) -> list[list[bytes]]:
    """Returns the lines of a node in batches of 1,000, as another log holds them."""
    new_id = IdSource(1_700_000_000_000_000_000, lambda: 0, seed).new_id
    stamp = stamper(node_id)
    found = []
    for first in range(0, count * BATCH, BATCH):
        drafts = [draft(_members(new_id(), first + number)) for number in range(BATCH)]
        lines = stamp(drafts, first + 1, first_clock + first)
        found.append([line[:-1] for line in lines])
    return found


def _members(event_id: str, number: int) -> EventFields:
    payload: dict[str, Any] = {"amount": number, "text": "x" * 60}
    about = f"order/{number % 5_000}"
    return EventFields(event_id, "order.placed", 1, WHEN, subject=about, payload=payload)


def into_a_large_log(folder: Path) -> list[float]:
    """Returns the milliseconds of each of 20 batches relayed into a log of 300,000 events.

    The first one makes the index of the log.
    """
    with thence.open(folder) as log:
        log.append("begun")
        with log.current_file.open("ab") as segment:
            for lines in batches("a" * 12, EVENTS // BATCH, 2, 1):
                segment.write(b"\n".join([*lines, b""]))
        return _relayed(log, batches("b" * 12, BATCHES, EVENTS, 2))


def into_an_empty_log(folder: Path) -> list[float]:
    """Returns the milliseconds of each of 100 batches relayed into a log without events."""
    with thence.open(folder) as log:
        return _relayed(log, batches("b" * 12, 100, 1, 2))


def _relayed(log: thence.Log, lines: list[list[bytes]]) -> list[float]:
    found = []
    for batch in lines:
        start = time.perf_counter()
        taken = log.relay(batch).taken
        found.append((time.perf_counter() - start) * 1e3)
        assert len(taken) == BATCH
    return found
