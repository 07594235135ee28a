"""Committers with a queue of their own, and what a test can see of a committer from outside."""

import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

from tests.disks import GatedDisk
from tests.events import drafted, new_id
from tests.log.faults import WAIT_S

import thence
from thence.core.codec import Draft
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK, Disk
from thence.log.open import QUEUE_EVENTS_MAX, Log, LogSettings
from thence.log.write.batch import Latch
from thence.log.write.committer import Committer, OnFull
from thence.log.write.drafting import NoticeMaker
from thence.log.write.writer import Notice, Report, SegmentWriter

NOTICE = NoticeMaker(PLAIN, {})


class Reports:
    """What a log reports while it works; a word can be waited for."""

    def __init__(self) -> None:
        self.words: list[tuple[str, Mapping[str, Any]]] = []
        self._changed = threading.Condition()

    def __call__(self, word: str, facts: Mapping[str, Any]) -> None:
        with self._changed:
            self.words.append((word, facts))
            self._changed.notify_all()

    def wait_for(self, word: str, count: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.all(word)) >= count, WAIT_S)

    def all(self, word: str) -> list[Mapping[str, Any]]:
        return [facts for reported, facts in self.words if reported == word]


class StartedThreads:
    """The threads of committers that started since this object was made, and run still."""

    def __init__(self) -> None:
        self._before = set(threading.enumerate())

    def __call__(self) -> list[Thread]:
        threads = set(threading.enumerate()) - self._before
        return [thread for thread in threads if thread.name == "thence-committer"]


def committer_of(
    folder: Path,
    disk: Disk = OS_DISK,
    reports: Report | None = None,
    bound: int = QUEUE_EVENTS_MAX,
    on_full: OnFull = "block",
    notice: Notice = NOTICE,
) -> Committer:
    """Make a committer for a log as an open log makes its own."""
    report = reports or Reports()
    writer = SegmentWriter(disk, folder, PLAIN, notice, report)
    return Committer(writer, notice, bound, on_full, report)


def append_notice(folder: Path, kind: str, facts: Mapping[str, Any]) -> str:
    """Append a notice of the log about itself, as an opening of its own would; return its id."""
    committer, notice = committer_of(folder), NOTICE(kind, facts)
    committer.append([notice], WAIT_S)
    assert committer.close(WAIT_S)
    return notice.event_id


def held(folder: Path, **options: Any) -> tuple[Log, GatedDisk, Reports]:
    """Open a log whose thread stands in its first sync, one event written and not yet durable."""
    disk, reports = GatedDisk(), Reports()
    log = Log(folder, PLAIN, LogSettings(report=reports, **options), disk=disk)
    log.emit("first")
    assert disk.arrived.wait(WAIT_S)
    return log, disk, reports


def made(event_type: str = "t", size: int = 0) -> Draft:
    """Draft an event with a new id, and with a text of so many bytes if a size is given."""
    return drafted(new_id(), event_type, {"payload": {"text": "x" * size}} if size else {})


def types(folder: Path) -> list[str]:
    """Read the types of a log's events, in the order of their lines."""
    return [event.event_type for event in thence.open(folder).read()]


def until(is_so: Callable[[], object]) -> None:
    """Look again and again until something is so."""
    for _ in range(int(WAIT_S * 1_000)):
        if is_so():
            return
        sleep(0.001)
    raise AssertionError("it never came so")


def waiting(threads: Iterable[Thread]) -> list[Thread]:
    """Return those of some threads that wait for another thread.

    A producer waits for room while a queue is full, a caller until its events are durable, and
    a committer's thread while it has nothing to do or until it tries again.
    """
    places = (Latch.wait.__code__, Committer._put_when_full.__code__)
    frames = sys._current_frames()
    codes = {thread: getattr(frames.get(thread.ident or 0), "f_code", None) for thread in threads}
    return [thread for thread, code in codes.items() if code in places]
