"""Spans that programs of any language send: kept as they arrive, recorded behind their parents.

A span is sent when it has ended, so children come before their parents. Each request is a file in
the log's folder, durable before it is answered. Its spans become events when their parent is in the
log, or arrives; after `WAIT_S` seconds, or at the next start, without. Then the file is removed.
"""

from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Event as Signal
from threading import Lock, Thread
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from thence.core.json_values import repair
from thence.errors import LogFull, ThenceError
from thence.files import file_lock, replace_file
from thence.log.files.segment import own_folder
from thence.log.open import Log, new_id
from thence.log.write.drafting import warn
from thence.trace.otlp.decoding import Arrivals, ReadSpan, SpanReader

WAIT_S = 30.0
BODY_BYTES_MAX = 64 * 1024 * 1024
# of spans whose parent has not come; more are refused until some are recorded
WAITING_MAX = 50_000
# spans whose ids stay in memory: a parent before them is looked up in the log
HELD_MAX = 200_000
_LOOK_EVERY_S = 0.5
_BATCH_EVENTS = 256
_REASON_CHARACTERS_MAX = 500


class Received(NamedTuple):
    """How many spans of a request were refused, and why."""

    refused: int
    reason: str


class _Waiting(NamedTuple):
    """A span that is kept in a file and has no events yet; `until_s` is on the monotonic clock."""

    span: ReadSpan
    file: Path
    until_s: float


class SpanIntake:
    """The spans that are sent to one open log, which no other process may import into meanwhile.

    A context manager; its thread records what waits. Raises FileBusy at the entry.
    """

    def __init__(self, log: Log, wait_s: float = WAIT_S) -> None:
        self._log, self._wait_s = log, wait_s
        self._folder = own_folder(log.folder) / "otlp"
        self._lock, self._ended = Lock(), Signal()
        self._waiting: dict[str, _Waiting] = {}
        self._files: dict[Path, int] = {}
        self._number, self._is_stale = 0, False

    def __enter__(self) -> "SpanIntake":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._import_lock = file_lock(own_folder(self._log.folder) / "import.lock")
        self._seen, self._arrivals = self._log.position(), Arrivals({}, self._log.read())
        for file in sorted(self._folder.glob("[0-9]*.json")):
            self._number = max(self._number, int(file.stem))
            kept: Any = None
            with suppress(msgspec.MsgspecError):
                kept = msgspec.json.decode(file.read_bytes())
            spans = SpanReader(self._log.log_id).read([kept and kept.get("request")])
            self._keep(file, spans, wait_s=0)
        self.settle()

        def settle_until_end() -> None:
            while not self._ended.wait(_LOOK_EVERY_S):
                try:
                    self.settle()
                except (ThenceError, OSError) as error:  # they stay in their files: once more
                    warn("spans_not_recorded", {"error": error})

        self._thread = Thread(target=settle_until_end, name="thence-otlp", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._import_lock.close()

    def take(self, document: Any) -> Received:
        """Keeps the spans of a request, durable on return; raises LogFull for too many that wait.

        `document` is an ExportTraceServiceRequest as OTLP/JSON has it.
        """
        reader = SpanReader(self._log.log_id)
        spans = reader.read([document])
        with self._lock:
            if len(self._waiting) + len(spans) > WAITING_MAX:
                raise LogFull(
                    "could not receive spans",
                    place=self._log.folder,
                    cause=f"{len(self._waiting):,} wait for their parents",
                    hint="send them again later",
                )
            if spans:
                self._number += 1
                file = self._folder / f"{self._number:012}.json"
                replace_file(file, msgspec.json.encode(repair({"request": document})[0]))
                self._keep(file, spans, self._wait_s)
        reasons = [f"{number:,} × {reason}" for reason, number in reader.refused.items()]
        return Received(reader.refused.total(), ", ".join(reasons)[:_REASON_CHARACTERS_MAX])

    def settle(self) -> None:
        """Records spans whose parent is there or that have waited, unless a SpanProcessor does."""
        with self._lock:
            if not self._waiting:
                return
            if self._is_stale:
                self._arrivals = Arrivals({}, self._log.read())
                self._is_stale = False
            seen = self._log.position()
            for event in self._log.read(after=self._seen):
                self._arrivals.note(event)
            self._seen = seen
            ready: dict[str, ReadSpan] = {}
            missing: set[str] = set()

            def is_ready(span: ReadSpan) -> bool:
                if self._arrivals.holds(span.key):  # who recorded its begin records its end
                    return self._arrivals.has_all_of(span)
                if not span.parent or span.parent in ready or self._arrivals.holds(span.parent):
                    return True
                if span.parent in self._waiting or span.parent in missing:
                    return False
                begin = self._log.span_begin(*span.parent.split(":"))
                if begin is None:
                    missing.add(span.parent)
                else:  # it is no longer in memory
                    self._arrivals.note(begin)
                return begin is not None

            now_s, is_more = monotonic(), True
            while is_more:
                fresh = {
                    key: waiting.span
                    for key, waiting in self._waiting.items()
                    if key not in ready and (waiting.until_s <= now_s or is_ready(waiting.span))
                }
                ready |= fresh
                is_more = bool(fresh)
            self._arrivals.add(ready)
            events = self._arrivals.events(new_id)
            self._is_stale = True  # unless all that it yields is in the log
            while batch := list(islice(events, _BATCH_EVENTS)):
                self._log._host_append(batch)
            self._is_stale = False
            self._arrivals.forget(HELD_MAX)
            for key in ready:
                file = self._waiting.pop(key).file
                self._files[file] -= 1
                if not self._files[file]:
                    del self._files[file]
                    file.unlink(missing_ok=True)

    def _keep(self, file: Path, spans: dict[str, ReadSpan], wait_s: float) -> None:
        """Has spans wait; of a span that is sent twice the first one counts."""
        fresh = [
            span
            for key, span in spans.items()
            if key not in self._waiting and not self._arrivals.has_all_of(span)
        ]
        if not fresh:
            file.unlink(missing_ok=True)
            return
        self._files[file] = len(fresh)
        until_s = monotonic() + wait_s
        self._waiting |= {span.key: _Waiting(span, file, until_s) for span in fresh}
