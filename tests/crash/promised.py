"""What a log promised while its disk failed, noted verb by verb.

A scene of the sweep works through the verbs of its `Run`: an event was acknowledged, refused,
or left open. Whatever else comes out of a verb is a problem.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from tests.crash.faulty import FaultyDisk

from thence.core.bodies import BODIES_FROM
from thence.core.event import Event
from thence.core.new_event import HostEvent
from thence.errors import LogFull, OutcomeUnknown, ThenceError
from thence.log.files.disk import DENIED_ERRNOS, FULL_ERRNOS
from thence.log.files.segment import FILE_BYTES_MAX
from thence.log.open import Log, LogSettings
from thence.log.read.opening import opened_vocabulary
from thence.sim.record.events import create_action_event
from thence.sim.record.writer import EventWriter, WriteMode

CLOSE_S = 0.1

# The codes of the errors that each verb may raise; a full disk must give log_full.
_REFUSED = ("append_failed", "log_full")
_APPEND = (*_REFUSED, "log_read_only", "outcome_unknown")
RIGHT: dict[str, tuple[str, ...]] = {
    "open": ("read_failed", *_REFUSED),
    "append": _APPEND,
    "append to a taken log": (*_APPEND, "log_busy"),
    "append with a guard": (*_APPEND, "heads_moved"),
    "flush": _APPEND,
    "read": ("read_failed",),
    "hand on": (*_APPEND, "read_failed"),
}


@dataclass
class Run:
    """One run of a scene on one disk: what was promised, and what went wrong at once."""

    folder: Path
    disk: FaultyDisk
    kept: dict[int, str] = field(default_factory=dict)
    refused: dict[int, ThenceError] = field(default_factory=dict)
    unknown: dict[int, OutcomeUnknown] = field(default_factory=dict)
    queued: dict[int, str] = field(default_factory=dict)
    pieces: list[tuple[list[int], ThenceError]] = field(default_factory=list)
    # of a SYNC writer: its answer for each event, in order
    answers: dict[str, bool] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    log: Log | None = None
    writer: EventWriter | None = None
    is_drained: bool | None = None
    elsewhere: set[int] = field(default_factory=set)  # acknowledged in another process
    is_struck_elsewhere: bool = False
    strangers: list[Thread] = field(default_factory=list)  # that ran before, of other tests
    text_words: int = 0

    @property
    def may_count_too_many(self) -> bool:
        """Whether what stands in a file may still count as failed.

        It may if a sync failed, or if a write failed and the disk did not tell what it took.
        """
        failed = self.disk.failed
        return bool(failed["sync_data"] or (failed["write"] and failed["file_id"]))

    @contextmanager
    def allowed(self, verb: str) -> Iterator[None]:
        """Let the right errors of a verb through; note every other one as a problem."""
        try:
            yield
        except ThenceError as error:
            if wrong := self.misfit(verb, error):
                self.problems.append(f"{verb} raised {error!r}: {wrong}")
            raise
        except Exception as error:
            self.problems.append(f"{verb} raised a bare {error!r} from {origin(error)}")

    def misfit(self, verb: str, error: ThenceError) -> str:
        """Say why an error is not the right one, nothing if it is."""
        if error.code not in RIGHT[verb]:
            return "it is none that this verb raises"
        root = root_of(error)
        if error.code in _REFUSED and root is not None:
            is_full = root.errno in FULL_ERRNOS
            if is_full != isinstance(error, LogFull):
                return f"errno {root.errno} is {'' if is_full else 'not '}a full disk"
            if root.errno in DENIED_ERRNOS:
                return "there was no right to write"
        if not error.hint:
            return "it gives no hint"
        return ""

    def open(self, limit: int = FILE_BYTES_MAX, create: bool = True) -> None:
        """Open the log as `thence.open` does; without one, the scene ends here."""
        with self.ending("open"):
            found = opened_vocabulary(self.disk, self.folder, None, create)
            self.log = Log(
                self.folder,
                found,
                LogSettings(
                    max_file_size=limit,
                    bodies_from=BODIES_FROM if self.text_words else None,
                    report=silent,
                ),
                disk=self.disk,
            )

    def open_writer(self, mode: WriteMode) -> None:
        """Open an event writer; without one, the scene ends here."""
        with self.ending("open"):
            self.writer = EventWriter(self.folder, "run", mode=mode, disk=self.disk)

    @contextmanager
    def ending(self, verb: str) -> Iterator[None]:
        before = len(self.problems)
        try:
            with self.allowed(verb):
                yield
        except ThenceError as error:
            raise Ended from error
        if len(self.problems) > before:
            raise Ended

    def payload(self, number: int) -> dict[str, Any]:
        """Return a payload of this number, with a text if the scene is one of large values."""
        text = f"{number // 2} " * self.text_words  # each two have the same
        return {"n": number, "text": text} if text else {"n": number}

    def append(self, number: int, verb: str = "append", **more: Any) -> None:
        """Append an event of this number; note what the log says of it."""
        assert self.log is not None
        with self.noted(number, verb):
            self.keep([number], self.log.append("worked", self.payload(number), **more))

    @contextmanager
    def noted(self, number: int, verb: str = "append") -> Iterator[None]:
        """Note what an allowed error of a verb leaves of an event: refused, or not known."""
        try:
            with self.allowed(verb):
                yield
        except OutcomeUnknown as error:
            self.unknown[number] = error
        except ThenceError as error:
            self.refused[number] = error

    def append_many(self, numbers: list[int]) -> None:
        """Append events in one piece; of those refused the first may stand."""
        assert self.log is not None
        events = [{"event_type": "worked", "payload": self.payload(number)} for number in numbers]
        try:
            with self.allowed("append"):
                found = self.log.append_many(events)
                self.keep(numbers, found)
        except OutcomeUnknown as error:
            self.unknown |= dict.fromkeys(numbers, error)
        except ThenceError as error:
            self.pieces.append((numbers, error))

    async def append_async(self, number: int) -> None:
        """Append an event of this number from a task."""
        assert self.log is not None
        with self.noted(number):
            event = await self.log.append_async("worked", {"n": number})
            self.kept[number] = event.event_id

    def keep(self, numbers: list[int], found: object) -> None:
        """Note what an append or a retry of it returned."""
        events = found if isinstance(found, list) else [found]
        for number, event in zip(numbers, events, strict=True):
            assert isinstance(event, Event)
            assert event.cut_payload["n"] == number
            self.kept[number] = event.event_id

    def retry(self) -> None:
        """Retry what was left open, on a disk that is well again: it must succeed."""
        for error in dict.fromkeys(self.unknown.values()):
            numbers = [number for number, e in self.unknown.items() if e is error]
            try:
                with self.allowed("append"):
                    self.keep(numbers, error.retry())
            except ThenceError as failure:
                self.problems.append(f"the disk is well again, and retry() raised {failure!r}")

    def emit(self, number: int) -> None:
        """Emit an event of this number into the queue."""
        assert self.log is not None
        with self.noted(number):
            self.queued[number] = self.log.emit("worked", self.payload(number))

    def write(self, number: int) -> None:
        """Write an event of this number, which is synced later: a flush or close promises it."""
        assert self.log is not None
        with self.noted(number):
            new = HostEvent("worked", self.payload(number))
            (event,) = self.log._host_append((new,), is_synced=False)
            self.queued[number] = event.event_id

    def tell(self, number: int) -> None:
        """Emit an event of this number by the event writer."""
        assert self.writer is not None
        event = create_action_event("run", number, "ada", "worked")
        with self.allowed("append"):
            answer = self.writer.emit(event)
            if self.writer.mode is WriteMode.ASYNC:
                self.queued[number] = event.event_id
            else:
                self.answers[event.event_id] = answer
                if answer:
                    self.kept[number] = event.event_id

    def flush(self) -> None:
        """Flush; all that is queued is promised when it returns."""
        opened = self.log or self.writer
        assert opened is not None
        before = dict(self.queued)
        with suppress(ThenceError), self.allowed("flush"):
            opened.flush()
            self.kept |= before

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Close; True promises all that was queued."""
        with self.allowed("append"):
            if self.log is not None:
                self.is_drained = self.log.close(timeout_s)
            elif self.writer is not None:
                self.is_drained = self.writer.close(timeout_s)

    def look(self, work: Callable[[Log], Any], verb: str = "read") -> None:
        """Read in some way; whole events or an error must come of it."""
        assert self.log is not None
        with suppress(ThenceError), self.allowed(verb):
            work(self.log)


class Ended(Exception):
    """There is no log to go on with."""


def silent(word: str, facts: object) -> None:
    """Tell nobody."""


def root_of(error: BaseException) -> OSError | None:
    """Return the system's error that an error comes from."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, OSError):
        found = found.__cause__
    return found


def origin(error: BaseException) -> str:
    """Name the last places of ours that an error came through."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "thence" in code.co_filename:
            places.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " > ".join(places[-4:])
