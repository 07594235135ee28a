"""A small log that other people's hands reach, and what must hold after the next append."""

from pathlib import Path

import thence
from thence.core.event import Event
from thence.core.vocabulary import PLAIN
from thence.log.check.verify import verify
from thence.log.files.disk import OS_DISK

COUNT = 6


def made(folder: Path) -> Path:
    """Make a log of six events, closed."""
    with thence.open(folder) as log:
        for n in range(COUNT):
            log.append("noted", {"n": n, "text": "é 鱼"})
    return folder


def current(folder: Path) -> Path:
    """Return the segment that is appended to."""
    return folder / "events.jsonl"


def codes(folder: Path) -> list[str]:
    """Return the codes of all that verify finds."""
    return [finding.code for finding in verify(OS_DISK, folder, PLAIN).findings]


def numbers(folder: Path) -> list[int]:
    """Return the numbers that the events served hold in their payload."""
    return [event.payload["n"] for event in thence.open(folder).read() if "n" in event.payload]


def append_after(folder: Path) -> Event:
    """Append in a new opening: every byte from before is there, or in quarantine."""
    before = current(folder).read_bytes()
    served = [event.line for event in thence.open(folder).read()]
    with thence.open(folder) as log:
        appended = log.append("after")
        log.append("after")
    after = current(folder).read_bytes()
    whole = before.rfind(b"\n") + 1
    aside = b"".join(path.read_bytes() for path in folder.glob(".thence/quarantine/*"))
    if not after.startswith(before):
        assert after.startswith(before[:whole])
        tails = (before[whole:end] for end in range(len(before), whole - 1, -1))
        kept = next(tail for tail in tails if after.startswith(tail, whole))
        assert before[whole + len(kept) :] in aside
    events = list(thence.open(folder).read())
    assert [event.line for event in events][: len(served)] == served
    assert appended in events
    given = [(event.node_id, event.seq) for event in events if event.seq]
    assert len(set(given)) == len(given)
    return appended
