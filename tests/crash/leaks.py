"""Logs opened and closed in every way for a time: descriptors, threads and memory stay flat.

`python -m tests.crash.leaks [SECONDS] [SEED]` prints what it counted, and exits with 1 on
growth, or when a process that emits a million events takes over 30 MB more than a bare one.
"""

import ctypes
import gc
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import thence
from thence.core.vocabulary import PLAIN
from thence.errors import ThenceError
from thence.log.open import Log, LogSettings
from thence.sim import EventWriter, create_action_event

SECONDS = 60.0
WARM_UP = 0.3
# Memory once grew by 1.9 MiB with 16 more blocks, perhaps since Python takes it by the MiB. What
# leaks in Python the blocks tell, which come and go by a hundred.
GROWTH_BYTES_MAX = 4 * 1024 * 1024
GROWTH_BLOCKS_MAX = 1_000
LOADED_EVENTS = 1_000_000
LOADED_BYTES_MAX = 30_000_000
ROTATING_BYTES = 2_000
SETTLED_S_MAX = 60.0
_BARE = "import re; print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])"
_LOADED = """\
import sys, thence
log = thence.open(sys.argv[1])
for number in range(int(sys.argv[2])):
    log.emit("worked", {"number": number, "text": "a line of about 335 bytes " * 5})
assert log.close(60)
"""


class Held(NamedTuple):
    """What this process holds of the system."""

    descriptors: int
    threads: int
    memory_bytes: int
    python_blocks: int


def held() -> Held:
    """Count after garbage is collected, when threads that were told to end have ended.

    What the C library keeps of memory that was given back to it belongs to nobody: it wobbles
    by a MB, and a long watch took its growth for ours.
    """
    gc.collect()
    deadline_s = time.monotonic() + SETTLED_S_MAX
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, deadline_s - time.monotonic()))
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # the GNU C library's
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Held(
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
        pages * os.sysconf("SC_PAGE_SIZE"),
        sys.getallocatedblocks(),
    )


def append(folder: Path) -> None:
    with thence.open(folder) as log:
        for number in range(20):
            log.append("worked", {"number": number})
        assert len(log.events()) == 20
        assert log.verify().ok


def rotate(folder: Path) -> None:
    with Log(folder, PLAIN, LogSettings(max_file_size=ROTATING_BYTES)) as log:
        for number in range(50):
            log.emit("worked", {"number": number, "text": "x" * 200})
        log.flush()


def drop(folder: Path) -> None:
    """Leave an open log with a queue to the garbage collector."""
    log = thence.open(folder)
    for number in range(20):
        log.emit("worked", {"number": number})


def fork(folder: Path) -> None:
    """Let a child and its parent append to a log that was open before."""
    with thence.open(folder) as log:
        log.append("begun")
        child = os.fork()
        if child == 0:
            try:
                log.append("worked")
                log.close()
            finally:
                os._exit(0)
        log.append("worked")
        assert os.waitpid(child, 0)[1] == 0
        assert len(log.events()) == 3


def many(folder: Path) -> None:
    """Append from threads, as they come and go."""
    with thence.open(folder) as log:
        hands = [threading.Thread(target=log.append, args=("worked",)) for _ in range(8)]
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join()


def simulate(folder: Path) -> None:
    for mode in ("sync", "async"):
        with EventWriter(folder, "run", mode=mode, max_file_size=ROTATING_BYTES) as writer:
            for turn in range(20):
                assert writer.emit(create_action_event("run", turn, "ada", "worked", {"n": turn}))


def refuse(folder: Path) -> None:
    """Fail to open, and fail to append."""
    for attempt in (
        lambda: thence.open(folder / "none", create=False),
        lambda: thence.open(folder).append("worked", {"bad": object()}),
    ):
        try:
            attempt()
        except ThenceError:
            continue
        raise AssertionError("nothing was refused")


WAYS: tuple[Callable[[Path], None], ...] = (append, rotate, drop, fork, many, simulate, refuse)


def watch(seconds: float, seed: int) -> tuple[list[str], Counter[str], Held, Held]:
    """Use logs for so long; return what grew, how often each way was used, first and last.

    However slow the machine is, each way is used before the first look, and after it.
    """
    chance = random.Random(seed)
    used: Counter[str] = Counter()
    start_s = time.monotonic()
    first: Held | None = None
    is_watched = False
    while (spent_s := time.monotonic() - start_s) < seconds or not is_watched:
        if first is None and used and spent_s >= seconds * WARM_UP:
            first = held()
        is_watched = first is not None
        for way in chance.sample(WAYS, len(WAYS)):
            with tempfile.TemporaryDirectory() as folder:
                way(Path(folder) / "log")
                gc.collect()
            used[way.__name__] += 1
    last = held()
    assert first is not None
    return grown(first, last), used, first, last


def grown(first: Held, last: Held) -> list[str]:
    """Judge what a process holds by what it held before."""
    found = []
    if last.descriptors > first.descriptors:
        found.append(f"descriptors grew from {first.descriptors} to {last.descriptors}")
    if last.threads > first.threads:
        found.append(f"threads grew from {first.threads} to {last.threads}")
    if last.memory_bytes - first.memory_bytes > GROWTH_BYTES_MAX:
        found.append(f"memory grew from {first.memory_bytes:,} to {last.memory_bytes:,} bytes")
    if last.python_blocks - first.python_blocks > GROWTH_BLOCKS_MAX:
        found.append(f"blocks grew from {first.python_blocks:,} to {last.python_blocks:,}")
    return found


def loaded_bytes(events: int) -> int:
    """Return how much more memory a process that emits so many events takes at its peak.

    More than `python -c pass`, both by the system's own high-water mark.
    """
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".leaks-") as folder:
        bare = _peak_bytes(_BARE)
        return _peak_bytes(f"{_LOADED}{_BARE}", folder, str(events)) - bare


def _peak_bytes(script: str, *arguments: str) -> int:
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024


def main(seconds: float, seed: int) -> int:
    """Watch, print, and return the exit code."""
    print(f"seed {seed}", flush=True)
    found, used, first, last = watch(seconds, seed)
    print(f"{used.total()} uses of a log in {seconds:g} s: {dict(used)}")
    print(f"after the first {WARM_UP:.0%}: {first}\nat the end: {last}", flush=True)
    more = loaded_bytes(LOADED_EVENTS)
    print(f"{LOADED_EVENTS:,} events emitted: {more / 1e6:.1f} MB more than python -c pass")
    if more > LOADED_BYTES_MAX:
        found.append(f"a loaded process takes {more:,} bytes more than a bare one")
    print("\n".join(found) or "nothing grew")
    return 1 if found else 0


if __name__ == "__main__":
    given = [float(text) for text in sys.argv[1:]]
    sys.exit(main(given[0] if given else SECONDS, int(given[1]) if len(given) > 1 else 1))
