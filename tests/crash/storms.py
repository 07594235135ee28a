"""Random storms on one log: writers whose disk fails, who die, and a power cut at any moment.

`python -m tests.crash.storms STORMS [SEED]` plays so many, each with a seed of its own, which it
prints where a promise was broken; `python -m tests.crash.storms 1 SEED` plays that one again.

Each writer is a process of its own as far as the disk can tell: it has descriptors and faults of
its own, and when it dies the system closes its files and nothing of it reaches the disk any more.
"""

import errno
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event as Signal
from typing import Any
from unittest.mock import patch

from tests.crash.crash_states import Crashes, worst
from tests.crash.images import Image, failure, settled
from tests.crash.power_cuts import after_crash, missing
from tests.crash.repertoire import SMALL_LIMIT, made_only
from tests.crash.simulated_disk import SimulatedDisk
from tests.crash.traces import (
    Trace,
    home,
    identity_of,
    lines_in,
    log_of,
    opened,
)

from thence.core.event import Event
from thence.core.new_event import HostEvent
from thence.errors import ThenceError
from thence.log.files.disk import Disk
from thence.log.open import Log
from thence.log.write import committer

STEPS_MAX = 12
WRITERS_MAX = 3
BODIES_FROM = 256
MOMENTS, STATES = 6, 4
FIRST = 1_000  # the numbers of the events that stood there before are lower
# a few texts, so that the same large value comes again and again
TEXTS = ("y" * 600, "z" * 700, "é" * 5_000)
WAIT_S, CLOSE_S = 20.0, 0.1
# what a fault makes fail, and with what; a full disk takes what still fits
FAULTS = {
    "sync_data": errno.EIO,
    "sync_folder": errno.EIO,
    "write": errno.ENOSPC,
    "write_new": errno.ENOSPC,
    "truncate": errno.EIO,
    "rename": errno.EIO,
    "link": errno.EIO,
    "open_append": errno.EMFILE,
    "open_read": errno.EMFILE,
}
TIMES = (1, 1, 2, 1_000_000)
CHANGED = ("write", "rename", "link")


class Process(Disk):
    """A disk that is shared with other processes, as one of them sees it."""

    def __init__(self, shared: SimulatedDisk, chance: random.Random) -> None:
        self._shared = shared
        self._chance = chance
        self._descriptors: set[int] = set()
        self.failing: Counter[str] = Counter()
        self.dies_in: int | None = None
        self.is_dead = False
        self.steps_in: Callable[[], None] | None = None
        self.steps_in_at = 0

    def die(self) -> None:
        """Have the system close what the process has open; nothing of it gets there any more."""
        self.is_dead = True
        for descriptor in self._descriptors:
            self._shared.close(descriptor)
        self._descriptors.clear()

    def _call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if self.is_dead:
            raise failure(errno.EIO)
        if name in CHANGING:
            self._before()
        if self.failing[name] > 0:
            self.failing[name] -= 1
            return self._failed(name, arguments)
        found = getattr(self._shared, name)(*arguments)
        if name.startswith("open_"):
            self._descriptors.add(found)
        elif name == "close":
            self._descriptors.discard(arguments[0])
        return found

    def _before(self) -> None:
        """Let another process step in, or die, before a call that changes the disk."""
        if self.steps_in is not None:
            self.steps_in_at -= 1
            if self.steps_in_at == 0:
                step, self.steps_in = self.steps_in, None
                step()
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in < 0 and not self.is_dead:
                self.die()
        if self.is_dead:
            raise failure(errno.EIO)

    def _failed(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == "sync_data":  # what is under way counts as clean
            self._shared.failing = 1
            return self._shared.sync_data(*arguments)
        if name == "write" and len(arguments[1]) > 1 and self._chance.random() < 0.5:
            descriptor, data = arguments
            return self._shared.write(descriptor, data[: self._chance.randrange(1, len(data))])
        raise failure(FAULTS[name])


CHANGING = {*FAULTS, "write_at", "unlink", "make_folder", "open_lock"}


def _forwarded(name: str) -> Callable[..., Any]:
    def call(self: Process, *arguments: Any) -> Any:
        return self._call(name, arguments)

    return call


for _name, _made in vars(SimulatedDisk).items():
    if callable(_made) and not _name.startswith("_") and hasattr(Disk, _name):
        setattr(Process, _name, _forwarded(_name))


class Writer:
    """One opening of the log, and what it was told."""

    def __init__(self, storm: "Storm") -> None:
        self.storm = storm
        self.disk = Process(storm.disk, storm.chance)
        self.log: Log = opened(self.disk, storm.limit, BODIES_FROM)  # type: ignore[arg-type]
        self.written: list[bytes] = []
        self.queued: list[str] = []

    def append(self, text: str, timeout_s: float = WAIT_S) -> None:
        event = self.log.append("worked", self.storm.payload(text), timeout_s=timeout_s)
        self._note([event.line, *self._take_written()])

    def append_many(self, texts: list[str]) -> None:
        news = [HostEvent("worked", self.storm.payload(text)) for text in texts]
        events = self.log.append_many(news)
        self._note([*(event.line for event in events), *self._take_written()])

    def write(self, text: str) -> None:
        new = HostEvent("worked", self.storm.payload(text))
        (event,) = self.log._host_append((new,), is_synced=False)
        self.written.append(event.line)

    def emit(self, text: str) -> None:
        self.queued.append(self.log.emit("worked", self.storm.payload(text)))
        self._settle()

    def flush(self) -> None:
        ids, self.queued = self.queued, []
        self.log.flush(WAIT_S)
        lines = self._take_written()
        if ids and not self.disk.is_dead:
            events = {event.event_id: event.line for event in opened_anew(self.storm.disk)}
            lines += [events.get(event_id, f"flushed: {event_id}".encode()) for event_id in ids]
        self._note(lines)

    def let_sync(self) -> None:
        """Let the thread sync what is only written, which else waits for a flush or an append."""
        with self.storm.gate.opened():
            deadline = committer.monotonic_ns() + int(WAIT_S * 1e9)
            while self._is_sync_due and committer.monotonic_ns() < deadline:
                committer.yield_processor()

    @property
    def _is_sync_due(self) -> bool:
        """Whether the thread has something to sync that it has not tried in vain."""
        has_failed = self.log._writer._unsynced.error is not None
        return bool(self.log._committer._written) and not has_failed

    def close(self) -> None:
        with self.storm.gate.opened():
            self.log.close(CLOSE_S)

    def _take_written(self) -> list[bytes]:
        lines, self.written = self.written, []
        return lines

    def _note(self, lines: list[bytes]) -> None:
        if not self.disk.is_dead:
            self.storm.note(lines)

    def _settle(self) -> None:
        """Wait until the thread has taken what is queued, so that a seed has one course."""
        deadline = committer.monotonic_ns() + int(WAIT_S * 1e9)
        while self.log._committer._queue and committer.monotonic_ns() < deadline:
            committer.yield_processor()
        self.log._committer._commits.run(lambda: None)


class Gate:
    """What holds the threads that sync what is written, so that a seed has one course.

    A thread goes on where something is queued for it.
    """

    def __init__(self) -> None:
        self._signal = Signal()
        self.is_wanted: Callable[[], bool] = lambda: False

    def wait(self, seconds: float) -> None:
        while seconds == committer._GATHER_S and not self.is_wanted():
            if self._signal.wait(0.001):
                break

    @contextmanager
    def opened(self) -> Iterator[None]:
        self._signal.set()
        try:
            yield
        finally:
            self._signal.clear()


class Storm:
    """A log, a few writers, and what they do by one seed; unless told, no call of theirs fails."""

    def __init__(self, seed: int, *, is_failing: bool = False) -> None:
        self.seed = seed
        self.chance = chance = random.Random(seed)
        image = chance.choice((home, made_only, lambda: log_of(2)))()
        self.limit = chance.choices((1, SMALL_LIMIT, 2_000, 1_000_000), (1, 2, 3, 6))[0]
        # what comes in this storm: few kinds of it come often enough to meet
        self._texts = chance.choice((("small",), TEXTS, (*TEXTS, "small", "small")))
        self._faults = chance.choice((tuple(FAULTS), ("sync_data",), ("sync_data", *CHANGED)))
        self._is_failing = is_failing
        self.disk = SimulatedDisk(image, is_recording=True)
        self.gate = Gate()
        self.acknowledged: list[tuple[int, bytes]] = []
        self.texts: dict[int, str] = {}
        self.course: list[str] = []
        self._before = [event.line for event in opened_anew(SimulatedDisk(image))]
        self._identity = identity_of(SimulatedDisk(image))
        self._writers: list[Writer] = []
        self.gate.is_wanted = lambda: any(w.log._committer._queue for w in self._writers)

    def payload(self, text: str) -> dict[str, object]:
        """Return a payload by whose number its text is known."""
        number = FIRST + len(self.texts)
        self.texts[number] = text
        return {"n": number, "text": text}

    def note(self, lines: list[bytes]) -> None:
        self.acknowledged += [(len(self.disk.moments) - 1, line) for line in lines]

    def play(self) -> Trace:
        """Do a random number of random things; return what the disk saw and who was told what."""
        self.acknowledged += [(0, line) for line in self._before]
        count = self.chance.randrange(1, WRITERS_MAX + 1)
        for _ in range(self.chance.randrange(3, STEPS_MAX)):
            if len(self._writers) < count:
                self._attempt("open", self._open)
            else:
                self._step(self.chance.choice(self._writers))
        for writer in self._writers:
            writer.disk.failing.clear()
            writer.disk.dies_in = writer.disk.steps_in = None
            self._attempt("close", writer.close)
        first = min((at for at, _ in self.acknowledged if at), default=len(self.disk.moments))
        identity = identity_of(self.disk)
        return Trace(
            f"storm {self.seed}",
            self.limit,
            self.disk.moments,
            self.acknowledged,
            frozenset(lines_in(self.disk.moments)),
            b"",
            identity,
            0 if identity == self._identity else first,
            True,
            False,
        )

    def _open(self) -> None:
        self._writers.append(Writer(self))

    def _step(self, writer: Writer) -> None:
        kind = self.chance.random()
        number = self._writers.index(writer)
        if kind < 0.2 and self._is_failing:
            fault = self.chance.choice(("sync_data", *self._faults))
            times = self.chance.choice(TIMES)
            self.course.append(f"{number}: {fault} fails {times} times")
            writer.disk.failing[fault] = times
        elif kind < 0.26:
            self.course.append(f"{number}: the disk is well")
            writer.disk.failing.clear()
        elif kind < 0.36:
            writer.disk.dies_in = self.chance.randrange(8)
            if self._is_failing and self.chance.random() < 0.5:
                writer.disk.failing["sync_data"] = 1
            self.course.append(f"{number}: dies in {writer.disk.dies_in} calls")
        elif kind < 0.44:
            self._attempt(f"{number}: its thread syncs", writer.let_sync)
        elif kind < 0.5:
            self._attempt(f"{number}: close", writer.close)
            self._writers.remove(writer)
        else:
            others = [other for other in self._writers if other is not writer]
            if others and self.chance.random() < 0.3:
                other, text = self.chance.choice(others), self.chance.choice(self._texts)
                told = f"{self._writers.index(other)} within: append {text[0]}"
                # it gets the log where the writer has no lock, and does not wait for it
                writer.disk.steps_in = lambda: self._attempt(
                    told, lambda: other.append(text, timeout_s=0)
                )
                writer.disk.steps_in_at = self.chance.randrange(1, 10)
            name, do = self._work()
            self._attempt(f"{number}: {name}", lambda: do(writer))
            writer.disk.steps_in = None
        if writer.disk.is_dead and writer in self._writers:
            self._attempt(f"{number}: is dead", writer.close)
            self._writers.remove(writer)

    def _work(self) -> tuple[str, Callable[[Writer], None]]:
        chance = self.chance
        text = chance.choice(self._texts)
        texts = chance.choices(self._texts, k=chance.randrange(2, 4))
        works: list[tuple[str, Callable[[Writer], None]]] = [
            ("append", lambda writer: writer.append(text)),
            ("append", lambda writer: writer.append(text)),
            ("append_many", lambda writer: writer.append_many(texts)),
            ("write", lambda writer: writer.write(text)),
            ("write", lambda writer: writer.write(text)),
            ("emit", lambda writer: writer.emit(text)),
            ("flush", lambda writer: writer.flush()),
        ]
        name, work = chance.choice(works)
        return f"{name} {text[:1]}{len(text)}", work

    def _attempt(self, told: str, work: Callable[[], None]) -> None:
        """Do what a failing disk may refuse."""
        try:
            work()
        except (ThenceError, OSError) as error:
            self.course.append(f"{told}: {getattr(error, 'code', error)}")
        else:
            self.course.append(told)


def opened_anew(disk: SimulatedDisk) -> list[Event]:
    """Return what a new opening reads."""
    log = opened(disk)
    try:
        return list(log.read())
    finally:
        log.close()


def images(trace: Trace, chance: random.Random) -> Iterator[tuple[int, Image]]:
    """Yield a few states of the disk, each with its moment: killed, power cut, cut at the worst."""
    last = len(trace.moments) - 1
    moments = {last, *(chance.randrange(last + 1) for _ in range(MOMENTS - 1))}
    for at in sorted(moments):
        moment = trace.moments[at]
        yield at, settled(moment)
        yield at, worst(moment)
        crashes = Crashes(moment)
        for _ in range(STATES):
            yield at, crashes.some(chance)


def judged(storm: Storm, trace: Trace) -> list[str]:
    """Tell which promises were broken in any of a few states."""
    problems: list[str] = []
    for at, image in images(trace, storm.chance):
        outcome = after_crash(SimulatedDisk(image), trace)
        needed = [line for since, line in trace.acknowledged if since <= at]
        found = outcome.problems + missing(needed, outcome.served)
        found += doubled(outcome.served) + altered(storm, image)
        problems += [f"{trace.name}, moment {at} of {len(trace.moments)}: {text}" for text in found]
    return problems


def doubled(served: list[Event]) -> list[str]:
    """Tell which events a reader got twice."""
    counts = Counter(event.event_id for event in served)
    return [f"{event_id} is served {n} times" for event_id, n in counts.items() if n > 1]


def altered(storm: Storm, image: Image) -> list[str]:
    """Tell which events are served without their value, or with another."""
    found = []
    for event in opened_anew(SimulatedDisk(image)):
        try:
            number = event.payload.get("n", 0)
            if number in storm.texts and event.payload["text"] != storm.texts[number]:
                found.append(f"the value of {number} is another")
        except ThenceError as error:
            found.append(f"{event.event_id} has lost its value: {error.code}")
    return found


@contextmanager
def steady(gate: Gate) -> Iterator[None]:
    """Have what is refused tried again soon, and threads wait at a gate."""
    with patch.object(committer, "pause", gate.wait), patch.object(committer, "RETRY_S", 0.01):
        yield


def run(seed: int, *, is_failing: bool = False) -> tuple[Storm, list[str]]:
    """Play and judge one storm."""
    storm = Storm(seed, is_failing=is_failing)
    with steady(storm.gate):
        trace = storm.play()
    return storm, judged(storm, trace)


def main(count: int, first: int) -> int:
    broken = 0
    for seed in range(first, first + count):
        storm, problems = run(seed, is_failing=True)
        if problems:
            broken += 1
            print(f"seed {seed}:", *storm.course, *problems[:5], sep="\n    ", flush=True)
    print(f"{broken} of {count} storms broke a promise")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
