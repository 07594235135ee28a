"""How fast a log is verified and read, beside a typed decode of the same file."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from bench.rounds import per_second
from thence.core.codec import draft, stamper
from thence.core.event import EventFields, EventHeader
from thence.core.vocabulary import PLAIN
from thence.log.check.verify import verify
from thence.log.files.disk import OS_DISK
from thence.log.files.process_state import new_id, now
from thence.log.files.segment import current_path
from thence.log.read.reader import events

EVENTS = 150_000
EVENTS_BIG = 1_000_000
_BATCH_EVENTS = 10_000
_PAYLOAD = {"good": "grain", "amount": 3, "price": 4.25}
_MEMORY = """
import resource, sys
from pathlib import Path
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK
from thence.log.check.verify import verify
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = verify(OS_DISK, Path(sys.argv[1]), PLAIN)
assert found.ok, found.findings[:3]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class Typed(EventHeader):
    """All members of an event, its payload decoded."""

    payload: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(Typed).decode


def made(folder: Path, count: int = EVENTS, node_id: str = "3f9ac1d2e4b5") -> int:
    """Makes a log of events of about 335 bytes, each caused by the one before; its bytes."""
    stamp = stamper(node_id)
    cause: tuple[str, ...] = ()
    seq = 1
    with current_path(folder).open("wb") as file:
        while seq <= count:
            drafts = []
            for _ in range(min(_BATCH_EVENTS, count - seq + 1)):
                members = {"subject": "order/1", "actor": "ada", "payload": _PAYLOAD}
                drafts.append(
                    draft(EventFields(new_id(), "trade.done", 1, now(), cause, **members))
                )
                cause = (drafts[-1].event_id,)
            file.write(b"".join(stamp(drafts, seq, seq)))
            seq += len(drafts)
    return current_path(folder).stat().st_size


def typed(folder: Path) -> float:
    """Decodes each line into a typed struct, as a reader that checks nothing; events/s."""
    made(folder)

    def work() -> None:
        for line in current_path(folder).read_bytes().split(b"\n"):
            if line:
                _decode(line)

    return per_second(EVENTS, work)


def verified(folder: Path) -> float:
    """Verifies the log; events a second."""
    made(folder)
    return per_second(EVENTS, lambda: verify(OS_DISK, folder, PLAIN))


def read(folder: Path) -> float:
    """Reads the log's events, each once; events a second."""
    made(folder)
    return per_second(EVENTS, lambda: sum(1 for _ in events(OS_DISK, folder, PLAIN)))


CONTENDERS = {"typed decode": typed, "verify": verified, "read": read}


def memory_mb(folder: Path) -> float:
    """Returns the memory of a process that verifies 1,000,000 events, Python included."""
    made(folder, EVENTS_BIG)
    command = [sys.executable, "-c", _MEMORY, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024
