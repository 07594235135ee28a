"""What writers do before the power goes, played once, every call to the disk remembered.

A trace is a function that acts on a `Scene`. Played, it is a `Trace`: the disk after every
call that changed it, and what had been acknowledged by then.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Event as Signal
from threading import current_thread
from typing import Any, NamedTuple

from tests.crash.crash_states import SECTOR_BYTES
from tests.crash.images import EMPTY, Image, Moment, settled
from tests.crash.simulated_disk import SimulatedDisk

from thence.core.event import Event
from thence.core.new_event import HostEvent
from thence.core.vocabulary import PLAIN
from thence.errors import LogBusy, LogFull, LogReadOnly, OutcomeUnknown, SuppressCodes
from thence.log.files.identity import known_node_id, read_info
from thence.log.files.segment import FILE_BYTES_MAX, current_path
from thence.log.files.sessions import WriterSession
from thence.log.masking import RedactSettings, read_redact_settings
from thence.log.open import Log, LogSettings
from thence.log.read.opening import opened_vocabulary

FOLDER = Path("/disk/logs/one")
HOME = Path("/disk")
WAIT_S = 30.0
SECTOR_LINES = (SECTOR_BYTES - 1, SECTOR_BYTES, SECTOR_BYTES + 1)
Words = dict[str, Any]


class Trace(NamedTuple):
    """A trace as it was played.

    `acknowledged` are lines, each with the number of the moment from which on it must
    survive. `written` are all lines that were ever whole in a file. `kept` are bytes that
    stood in the log from the start and may be moved aside, not lost. `identity` is the log's
    id and its node's; both must survive from `identified_at` on. `has_failed` says that a
    sync failed, so that lines may stand again, and late, in a later segment; `is_again` that
    the power had been cut before.
    """

    name: str
    limit: int
    moments: list[Moment]
    acknowledged: list[tuple[int, bytes]]
    written: frozenset[bytes]
    kept: bytes
    identity: tuple[str, str]
    identified_at: int
    has_failed: bool
    is_again: bool


def quiet(word: str, facts: object) -> None:
    """Hear what a log tells and say nothing."""


def opened(disk: SimulatedDisk, limit: int = FILE_BYTES_MAX, bodies_from: int | None = None) -> Log:
    """Open the log on a simulated disk as `thence.open` does on the real one."""
    vocabulary = opened_vocabulary(disk, FOLDER, PLAIN, True)
    return Log(
        FOLDER,
        vocabulary,
        LogSettings(
            max_file_size=limit, report=quiet, redact=redact_settings(), bodies_from=bodies_from
        ),
        disk=disk,
    )


@cache
def redact_settings() -> RedactSettings:
    """Read the settings of `[redact]` once: they are of the real disk, which does not change."""
    return read_redact_settings(FOLDER)


class Scene:
    """A disk with writers at work; remembers what they were told is durable."""

    def __init__(
        self, disk: SimulatedDisk, limit: int, chance: random.Random, bodies_from: int | None
    ) -> None:
        self.disk = disk
        self.limit = limit
        self.bodies_from = bodies_from
        self.chance = chance
        self.acknowledged: list[tuple[int, bytes]] = []
        self._count = 0

    def open(self) -> Log:
        return opened(self.disk, self.limit, self.bodies_from)

    def append(self, log: Log, size: int = 10, timeout_s: float = 30) -> None:
        """Append one event with so much payload; it is acknowledged when the call returns."""
        self._note(log.append("worked", self._payload(size), timeout_s=timeout_s))

    def batch(self, log: Log, sizes: Sequence[int]) -> None:
        """Emit events of these sizes, all but the first of which are written at once; flush."""
        arrived, gate = Signal(), Signal()
        caller = current_thread()

        def hold(call: str) -> None:
            if call == "write" and current_thread() is not caller:
                arrived.set()
                assert gate.wait(WAIT_S)

        self.disk.before = hold
        first, *others = sizes
        ids = {log.emit("worked", self._payload(first))}
        assert arrived.wait(WAIT_S)
        ids.update(log.emit("worked", self._payload(size)) for size in others)
        self.disk.before = None
        gate.set()
        log.flush()
        for event in log.read():
            if event.event_id in ids:
                self._note(event)

    def write(self, log: Log, sizes: Sequence[int], is_flushed: bool = True) -> None:
        """Write events of these sizes, which a thread syncs; a flush or an append waits for it."""
        news = [HostEvent("worked", self._payload(size)) for size in sizes]
        events = [log._host_append((new,), is_synced=False)[0] for new in news]
        if is_flushed:
            log.flush()
        else:
            self.append(log)
        for event in events:
            self._note(event)

    def _payload(self, size: int) -> Words:
        self._count += 1
        return {"n": self._count, "text": "x" * size}

    def _note(self, event: Event) -> None:
        self.acknowledged.append((len(self.disk.moments) - 1, event.line))


Play = Callable[[Scene], None]


def played(
    name: str,
    play: Play,
    image: Image,
    *,
    limit: int = FILE_BYTES_MAX,
    chance: random.Random | None = None,
    kept: bytes = b"",
    needed: Iterable[bytes] = (),
    is_again: bool = False,
    disk: SimulatedDisk | None = None,
    bodies_from: int | None = None,
) -> Trace:
    """Play a trace on a disk that holds an image.

    What can be read there is on the device, and must stay; `needed` lines must be there too.
    """
    disk = disk or SimulatedDisk(image, is_recording=True)
    scene = Scene(disk, limit, chance or random.Random(0), bodies_from)
    scene.acknowledged += [(0, event.line) for event in opened_to_read(image).read()]
    scene.acknowledged += [(0, line) for line in needed]
    play(scene)
    lines = frozenset(lines_in(disk.moments))
    first = min((at for at, _ in scene.acknowledged if at), default=len(disk.moments))
    identity = identity_of(disk)
    if identity == identity_of(SimulatedDisk(image)):
        first = 0
    told = scene.acknowledged
    return Trace(
        name, limit, disk.moments, told, lines, kept, identity, first, disk.has_failed, is_again
    )


def identity_of(disk: SimulatedDisk) -> tuple[str, str]:
    """Return the ids of log and node, empty if they are not known."""
    info = read_info(disk, FOLDER)
    return info.log_id if info else "", known_node_id(disk, FOLDER)


def opened_to_read(image: Image) -> Log:
    """Open the log of an image for reading."""
    return Log(FOLDER, PLAIN, LogSettings(report=quiet), disk=SimulatedDisk(image))


def lines_of(moment: Moment) -> Iterator[bytes]:
    """Yield all that stands between newlines in the files of a moment."""
    for versions in moment.files.values():
        yield from versions[-1].split(b"\n")


def lines_in(moments: Iterable[Moment]) -> Iterator[bytes]:
    """Yield what stood between newlines at any of these moments; each content is parted once."""
    contents = {versions[-1] for moment in moments for versions in moment.files.values()}
    for data in contents:
        yield from data.split(b"\n")


def home() -> Image:
    """A disk with nothing but the folder of a user's logs."""
    disk = SimulatedDisk(EMPTY)
    disk.make_folder(HOME)
    return settled(disk.moment())


def log_of(count: int, tail: bytes = b"", limit: int = FILE_BYTES_MAX, size: int = 10) -> Image:
    """A disk with a log of so many events, closed in order, and bytes behind them.

    The bytes are those of a session that was killed.
    """
    disk = SimulatedDisk(home())
    with opened(disk, limit) as log:
        for number in range(count):
            log.append("worked", {"n": -number, "text": "x" * size})
    descriptor = disk.open_append(current_path(FOLDER))
    disk.write(descriptor, tail)
    disk.close(descriptor)
    if tail:
        killed = WriterSession(disk, FOLDER)
        killed.begin()
        killed.is_unsynced = True
        killed.end()
    return settled(disk.moment())


def appends(count: int, size: int = 10) -> Play:
    """One writer appends so many events one by one."""

    def play(scene: Scene) -> None:
        with scene.open() as log:
            for _ in range(count):
                scene.append(log, size)

    return play


def batch(count: int, size: int = 10) -> Play:
    """One writer emits so many events and flushes."""

    def play(scene: Scene) -> None:
        with scene.open() as log:
            scene.batch(log, [size] * count)

    return play


def writes(count: int, size: int = 10, failing: int = 0) -> Play:
    """One writer writes so many events, then flushes, then again and appends one.

    So many syncs fail meanwhile.
    """

    def play(scene: Scene) -> None:
        with scene.open() as log:
            scene.append(log)
            scene.disk.failing = failing
            with suppress(OutcomeUnknown, LogReadOnly), SuppressCodes("append_failed", "log_full"):
                scene.write(log, [size] * count)
                scene.write(log, [size] * count, is_flushed=False)
        scene.disk.failing = 0
        with scene.open() as log:
            scene.append(log)

    return play


def batch_of_lines(*lengths: int) -> Play:
    """One writer emits events whose lines are of so many bytes, newlines included."""

    def play(scene: Scene) -> None:
        with scene.open() as log:
            scene.batch(log, list(map(payload_of, lengths)))

    return play


def log_of_line(length: int) -> Image:
    """A disk with a log of one event whose line is of so many bytes, newline included."""
    return log_of(1, size=payload_of(length))


@cache
def payload_of(length: int) -> int:
    """Return the size of the payload that makes a line of so many bytes, newline included."""
    (event,) = opened_to_read(log_of(1, size=0)).read()
    return length - len(event.line) - 1


def only_opens(scene: Scene) -> None:
    """Make a log, write nothing."""
    scene.open().close()


def fails_and_goes_on(scene: Scene) -> None:
    """The disk fills up in the middle of a line, then has room again."""
    with scene.open() as log:
        scene.append(log)
        scene.disk.bytes_left = 100
        with suppress(LogFull):
            scene.append(log, 700)
        scene.disk.bytes_left = None
        scene.append(log)


def failing(count: int, size: int = 10) -> Play:
    """So many syncs fail in a row, between appends that succeed."""

    def play(scene: Scene) -> None:
        with scene.open() as log:
            scene.append(log, size)
            scene.disk.failing = count
            with suppress(OutcomeUnknown), SuppressCodes("append_failed", "log_full"):
                scene.append(log, size + 1)  # another value than the one before
            with suppress(OutcomeUnknown, LogReadOnly), SuppressCodes("append_failed", "log_full"):
                scene.append(log, size + 2)
        scene.disk.failing = 0
        with scene.open() as log:
            scene.append(log, size)

    return play


def two_writers(scene: Scene, size: int = 10) -> None:
    """Two openings append in turn; the second once more whenever the first is in a sync."""
    with scene.open() as first, scene.open() as second:
        scene.append(second, size)
        for _ in range(2):
            interleaved(scene, second, "sync_data", 1)
            scene.append(first, size)
            scene.append(second, size)


def two_writers_of_values(scene: Scene) -> None:
    """Does what `two_writers` does, with large values that both know."""
    two_writers(scene, 600)


def interleaved(scene: Scene, other: Log, call: str, number: int) -> None:
    """Have another opening append right before the n-th call of a name, or of any name."""
    left = [number]

    def step_in(made: str) -> None:
        if call in ("any", made):
            left[0] -= 1
            if left[0] == 0:
                scene.disk.before = None
                with suppress(LogBusy, LogReadOnly, OutcomeUnknown):
                    scene.append(other, timeout_s=0)

    scene.disk.before = step_in


def intruded(play: Play, number: int) -> Play:
    """Another opening appends to the same log right before the n-th call of a trace."""

    def both(scene: Scene) -> None:
        other = Log(
            FOLDER, PLAIN, LogSettings(max_file_size=scene.limit, report=quiet), disk=scene.disk
        )
        interleaved(scene, other, "any", number)
        play(scene)
        scene.disk.before = None
        other.close()

    return both


def wandering(chance: random.Random) -> Play:
    """A few writers do anything in any order; some lines are as long as a sector."""

    def play(scene: Scene) -> None:
        logs = [scene.open()]
        sizes = (0, 10, 100, 400, 900, 5000, *map(payload_of, SECTOR_LINES))
        for _ in range(chance.randrange(1, 4)):
            kind = chance.random()
            size = chance.choice(sizes)
            log = chance.choice(logs)
            if kind < 0.5:
                scene.append(log, size)
            elif kind < 0.58:
                scene.write(log, chance.choices(sizes, k=2), chance.random() < 0.5)
            elif kind < 0.68:
                count = chance.randrange(1, 6)
                scene.batch(log, chance.choice(([size] * count, chance.choices(sizes, k=count))))
            elif kind < 0.75:
                logs.append(scene.open())
            elif kind < 0.85:
                logs.append(scene.open())
                interleaved(scene, logs[-1], "any", chance.randrange(1, 6))
                scene.append(log, size)
                scene.disk.before = None
            else:
                log.close()
                logs.remove(log)
                logs.append(scene.open())
        for log in logs:
            log.close()

    return play
