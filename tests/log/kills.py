"""Processes killed on purpose, and what the next opening says of them."""

import signal
from pathlib import Path
from typing import Any

from tests.log.processes import started

import thence
from thence.core.event import Event
from thence.log.files.disk import OS_DISK
from thence.log.files.identity import known_node_id
from thence.log.files.sessions import SessionRecord, WriterSession, session_records

# The committer's thread stands still where the argument says; then the process is killed.
HELD = """
import os, sys, threading
from threading import Event
import thence
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import Disk
from thence.log.open import Log, LogSettings

folder, place, count, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

class Held(Disk):
    armed = has_rotated = False
    reached = Event()

    def rename(self, old, new):
        super().rename(old, new)
        self.has_rotated = place == "after rotation" and "_20" in new.name

    def hold(self):
        self.reached.set()
        Event().wait()

    def write(self, descriptor, data):
        if not self.armed:
            return super().write(descriptor, data)
        if place == "before write":
            self.hold()
        if place == "half-way":
            super().write(descriptor, data[: data.index(b'"n":1}') + 10])
            self.hold()
        return super().write(descriptor, data)

    def sync_data(self, descriptor):
        if self.armed and (place == "before sync" or self.has_rotated):
            self.hold()
        super().sync_data(descriptor)
        if self.armed and place == "after sync":
            self.hold()

disk = Held()
log = Log(thence.open(folder).folder, PLAIN, LogSettings(max_file_size=int(sys.argv[5])), disk=disk)
for _ in range(3):
    log.emit("kept")
log.flush()
disk.armed = True
log._committer._commits._lock.acquire()  # so that the two first go out in one batch
log.emit("first", {"n": 0})
log.emit("first", {"n": 1})
log._committer._commits._lock.release()
assert disk.reached.wait(20)

def work():
    for n in range(count):
        log.emit("queued", {"n": n})

workers = [threading.Thread(target=work) for _ in range(threads)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
if not threads:
    work()
print("ready", flush=True)
sys.stdin.readline()
"""
LIMIT = 500 * 1024 * 1024


def killed(folder: Path, place: str, count: int = 7, threads: int = 0, limit: int = LIMIT) -> int:
    """Run a process that is killed with `count` events queued behind a batch of two."""
    process = started(HELD, folder, place, count, threads, limit)
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.pid


def told(folder: Path, kind: str = "gap") -> list[dict[str, Any]]:
    """Read the facts of all notices of a kind."""
    events = thence.open(folder).read()
    return [dict(event.payload) for event in events if event.event_type == f"log.{kind}"]


def appended(folder: Path) -> Event:
    """Append one event in an opening of its own."""
    with thence.open(folder) as log:
        return log.append("next")


def filled(folder: Path, count: int = 60) -> bytes:
    """Make a log of 60 events, have a session end uncleanly, return its lines."""
    with thence.open(folder) as log:
        for number in range(count):
            log.emit("t", {"n": number, "text": "x" * 300})
    unclean(folder)
    return (folder / "events.jsonl").read_bytes()


def unclean(folder: Path, durable: Path | None = None, offset: int = 0) -> None:
    """Leave what a session leaves that dies with nothing queued.

    It had noted how far a segment is durable, if one is given.
    """
    session = WriterSession(OS_DISK, folder)
    session.begin()
    if durable is not None:
        descriptor = OS_DISK.open_read(durable)
        place = (OS_DISK.file_id(descriptor)[0], offset, descriptor)
        session.durable(known_node_id(OS_DISK, folder), 0, *place)
        OS_DISK.close(descriptor)
    session.is_unsynced = True
    session.end()


def session_of(folder: Path) -> SessionRecord:
    """Read what the only session of a log says."""
    (record,) = session_records(OS_DISK, folder)
    return record


def closed_at(folder: Path, seq: int) -> None:
    """Say that a log was closed when its last number was this one."""
    (mark,) = (folder / ".thence/marks").iterdir()
    mark.rename(mark.with_name(f"{mark.name.partition('-')[0]}-{seq}"))


def zeroed(folder: Path, offset: int, length: int) -> None:
    """Put zeros over bytes of the current segment."""
    with open(folder / "events.jsonl", "r+b") as file:
        file.seek(offset)
        file.write(b"\0" * length)
