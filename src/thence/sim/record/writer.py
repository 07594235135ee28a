"""The event writer of a simulation: typed events, one call each, durable or queued.

In SYNC mode `emit` returns True when the event's line is on the device. In ASYNC mode it
returns True when the event is queued; a thread writes and syncs what is queued, and a kill
may lose the queue. Neither mode ever raises because of the disk: a failure is logged,
counted, and recorded by a notice in the log itself as soon as the disk takes writes again.

An event is encoded as a draft, and values that JSON can't hold are repaired; every repair is
recorded in the event.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from threading import RLock
from typing import Any

import msgspec

from thence.core.bodies import BODIES_FROM
from thence.core.codec import CAUSES_MAX, Draft, draft
from thence.core.event import Cause, EventFields, id_of
from thence.core.json_values import (
    REPAIRS_MAX,
    TYPE_CHARACTERS_MAX,
    Repair,
    is_plain,
    is_type_name,
    printable,
    repair,
    shorten,
)
from thence.core.ready import ready
from thence.core.vocabulary import SIM
from thence.errors import EventTooLarge, InvalidEvent, ThenceError, WriterClosed
from thence.log.causes import current_causes
from thence.log.open import (
    FILE_BYTES_MAX,
    OS_DISK,
    QUEUE_EVENTS_MAX,
    Disk,
    LogSettings,
    OnFull,
    guarded,
    open_host_log,
    stays_here,
    watch_forks,
)
from thence.sim.record.events import Event, SystemEvent, VerbosityLevel, level_of
from thence.sim.record.loggers import logger

STOP_S = 10.0
_APPEND_S = 30.0
_PART_EVENTS = 256
# error types of SYSTEM events that are written at every verbosity, and from DECISION up
_FAILURES = frozenset(("run_failed", "agent_failed"))
_REFUSALS = frozenset(("action_rejected", "action_retried", "llm_call"))
_ROSTER_CHANGES = frozenset(("agent_added", "agent_removed", "agent_paused", "agent_resumed"))
_CUTS_CHARACTERS = (65_536, 4_096, 256)
_LAST_CUT_CHARACTERS = 10_000
# the types of most events; a set look-up costs a tenth of the full check
_NEVER_RESERVED = frozenset(("ACTION", "DECISION", "DETAIL", "MILESTONE", "STATE"))
_MEMBERS = ("ends", "simulation_id", "agent_id", "description", "step", "details")
REMEMBERED_MAX = 65_536
_STEPS_MAX = 4_096
# the words of log records that are no errors
_INFOS = frozenset(("started", "stopped", "rotated", "resumed"))
_WARNINGS = frozenset(("dropped", "remaining", "unproven", "clock_ignored"))


class UsualEvent(Draft, frozen=True, gc=False):
    """An event as a draft, with the causes that are written in it."""

    caused_by: tuple[str, ...] = ()

    def members(self) -> EventFields:
        """Returns the event as members, so that its causes can be replaced."""
        return msgspec.json.decode(self.head + self.tail + b"}", type=ready(EventFields))


RunEvent = EventFields | UsualEvent


class WriteMode(StrEnum):
    """The moment at which `emit` returns: the event is queued, or it is on the device."""

    ASYNC = "async"
    SYNC = "sync"


class EventWriter:
    """The writer of a run's events to `<output_dir>/events.jsonl`.

    `verbosity`, a level or its name in any case, decides which typed events are written. In
    ASYNC mode at most `max_queue_size` events wait; then `on_full` drops the newest, counted
    and recorded by a notice, or blocks. A file that has reached `max_file_size` bytes is rotated.
    Thread-safe; several writers, in one process or many, may use one directory. A wrong argument
    raises a ValueError, settings that can't be used raise `bad_settings`.
    """

    __reduce__ = stays_here

    def __init__(
        self,
        output_dir: str | Path,
        simulation_id: str,
        verbosity: VerbosityLevel | str = VerbosityLevel.ACTION,
        max_queue_size: int = QUEUE_EVENTS_MAX,
        max_file_size: int = FILE_BYTES_MAX,
        mode: WriteMode | str = WriteMode.ASYNC,
        *,
        on_full: OnFull = "drop",
        disk: Disk = OS_DISK,
    ) -> None:
        self.mode = WriteMode(mode)
        self.simulation_id = simulation_id
        self.verbosity = level_of(verbosity)
        self.output_dir = Path(output_dir)
        self.max_queue_size = max_queue_size
        self.max_file_size = max_file_size
        self._report = guarded(_reporter(self.mode.value, simulation_id))
        self._context: dict[str, Any] = {"simulation_id": simulation_id, "turn_number": 0}
        settings = LogSettings(
            max_queue_size=max_queue_size,
            on_full=on_full,
            max_file_size=max_file_size,
            report=self._report,
            context=self._context,
            bodies_from=BODIES_FROM,
        )
        self._log = open_host_log(output_dir, SIM, settings, disk=disk)
        self._inherited_causes = self._log.received_causes
        self._level = int(self.verbosity)
        self._system_events = _FAILURES
        if self.verbosity >= VerbosityLevel.DECISION:
            self._system_events |= _REFUSALS | _ROSTER_CHANGES
        wait_s = _APPEND_S if self.mode is WriteMode.SYNC else None
        self._append, self._put = self._log._host_appender(draft_of, wait_s)
        self._forwarding = CauseForwarding()
        self._failed_count = 0
        self._is_started = False
        self._is_stopped = False
        watch_forks(self)

    @property
    def dropped_count(self) -> int:
        """The number of events that a full queue dropped."""
        return self._log.dropped_count

    @property
    def failed_count(self) -> int:
        """The number of events that the disk refused for good, or of which a sync failed."""
        return self._failed_count + self._log.failed_count

    @property
    def current_file(self) -> Path:
        """The file to which events are appended."""
        return self._log.current_file

    @property
    def current_size(self) -> int:
        """The size of `current_file` in bytes, as far as this process has written or seen it."""
        return self._log.current_size

    @property
    def running(self) -> bool:
        """True from the first emit or `start()` until the end of the writer."""
        return self._is_started and not self._is_stopped

    def emit(self, event: Event) -> bool:
        """Writes or queues one event; the mode defines True and False.

        SYNC: True when the event is on the device, False when the disk refused it, or when its
        sync failed: then it is written again before the next event. ASYNC: True when the event
        is queued, False when it was dropped. For an event that the verbosity leaves out, True is
        returned; queue and file are not touched. Raises WriterClosed, and InvalidEvent for a
        notice, which only the log itself may write.
        """
        if not self._is_started or self._is_stopped:
            self._begin()
        if event.event_type not in _NEVER_RESERVED:
            SIM.refuse_reserved(event.event_type, event.details)
        causes = event.caused_by
        if context_causes := current_causes() or (() if causes else self._inherited_causes):
            causes += context_causes
        if event.level > self._level and not (
            isinstance(event, SystemEvent) and event.error_type in self._system_events
        ):
            self._forwarding.forward(event.event_id, causes)
            return True
        self._context["turn_number"] = event.turn_number
        members = members_of(event, self.simulation_id)
        if len(causes) > CAUSES_MAX:
            causes = self._forwarding.written(event.event_id, causes)
        elif self.mode is WriteMode.ASYNC and not self._forwarding.is_needed:
            try:
                if self._put(members, causes):
                    return True
            except ThenceError:
                pass  # it is reported below
            else:
                self._forwarding.forward(event.event_id, causes)
                return False
        return self._emit_pairs([(members, causes)])

    def emit_piece(self, piece: Sequence[RunEvent]) -> None:
        """Writes, with one sync, or queues the events that a run built in a turn."""
        if not self._is_started or self._is_stopped:
            self._begin()
        if isinstance(last := piece[-1], EventFields):
            self._context["turn_number"] = last.turn_number
        around, inherited = current_causes(), self._inherited_causes
        size = len(piece) if self.mode is WriteMode.SYNC else _PART_EVENTS
        for start in range(0, len(piece), size):
            part = piece[start : start + size]
            pairs = [(event, event.caused_by) for event in part]
            if around or inherited:
                pairs = [
                    (event, ids + (around or (() if ids else inherited))) for event, ids in pairs
                ]
            self._emit_pairs(pairs)

    def _emit_pairs(self, pairs: list[tuple[RunEvent, tuple[str, ...]]]) -> bool:
        """Writes or queues events with their causes; False if one of them was refused."""
        if self._forwarding.is_needed:  # else many stay, so that a replay finds them
            written = self._forwarding.written
            pairs = [(event, written(event.event_id, causes)) for event, causes in pairs]
        try:
            refused = self._append(pairs)
        except WriterClosed:
            raise
        except ThenceError as error:
            if self.mode is WriteMode.ASYNC and len(pairs) > 1:  # none of them was queued
                return self._emit_singly(pairs)
            refused = [event for event, _ in pairs]
            self._failed_count += len(refused)
            ids = [event.event_id for event in refused]
            which = {"event_ids": ids} if len(ids) > 1 else {"event_id": ids[0]}
            self._report("failed", {**which, "error": error})
        if refused is None:
            return self._emit_singly(pairs)
        if not refused:
            return True
        refused_ids = {event.event_id for event in refused}
        for event, causes in pairs:
            if event.event_id in refused_ids:
                self._forwarding.forward(event.event_id, causes)
        return False

    def _emit_singly(self, pairs: list[tuple[RunEvent, tuple[str, ...]]]) -> bool:
        """Queues each event that can be; an effect names the causes of those that are dropped."""
        verdicts = [self._emit_pairs([pair]) for pair in pairs]
        return all(verdicts)

    async def start(self) -> None:
        """Starts the thread of ASYNC mode, as the first emit does; does nothing in SYNC."""
        if not self._is_started:
            self._begin()
        if self.mode is WriteMode.ASYNC:
            self._log.start()

    async def stop(self, timeout: float = STOP_S) -> bool:  # noqa: ASYNC109 the promised name
        """Closes the writer as `close` does, without blocking the event loop."""
        return await asyncio.get_running_loop().run_in_executor(None, self.close, timeout)

    def close(self, timeout: float = STOP_S) -> bool:
        """Writes and syncs all queued events, then closes; a second call does nothing.

        Returns True when all events are on the device. After `timeout` seconds the number of
        remaining events is logged and False is returned; the thread continues to drain.
        """
        is_first = not self._is_stopped
        self._is_stopped = True
        is_drained = self._log.close(timeout)
        if is_first:
            counts = {"dropped": self.dropped_count, "failed": self.failed_count}
            self._report("stopped", {"drained": is_drained, **counts})
        return is_drained

    def flush(self, timeout: float = _APPEND_S) -> None:
        """Waits until all emitted events are on the device; raises the error that prevents it."""
        self._log.flush(timeout)

    def environment(self, event: Cause) -> dict[str, str]:
        """Returns the variable that lets another process name an event as a cause.

        The event is made durable first. An event that was not written is replaced by the last
        one of the causes that it would have named. Raises EventNotFound if there is none.
        """
        written = self._forwarding.resolve((id_of(event),))
        return self._log.environment(max(written, default=event))

    def written_causes(self, causes: tuple[str, ...]) -> tuple[str, ...]:
        """Returns the written events that an effect of these causes names in their place."""
        return self._forwarding.resolve(causes)

    def after_fork(self) -> None:
        """Creates the lock and the counter that a forked child must have for itself."""
        self._forwarding.lock = RLock()
        self._failed_count = 0

    def __enter__(self) -> "EventWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> "EventWriter":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _begin(self) -> None:
        if self._is_stopped:
            cause, hint = "it was closed before", "open it again, or close it later"
            folder = self._log.folder
            raise WriterClosed("could not append to", place=folder, cause=cause, hint=hint)
        self._is_started = True
        facts = {"file": str(self.current_file), "verbosity": self.verbosity.name}
        self._report("started", facts)


def members_of(event: Event, simulation_id: str = "") -> EventFields:
    """Returns the members of an event's line, with a run's id where the event names none."""
    return EventFields(
        event.event_id,
        event.event_type,
        1,
        event.timestamp,
        begins=event.begins,
        ends=event.ends,
        repairs=event.repairs,
        simulation_id=event.simulation_id or simulation_id,
        turn_number=event.turn_number,
        agent_id=event.agent_id or None,
        description=event.description or None,
        step=event.step or None,
        details=event.details or None,
    )


def draft_of(event: RunEvent, causes: tuple[str, ...], external: tuple[str, ...] = ()) -> Draft:
    """Encodes an event with its causes; values that JSON can't hold are repaired.

    `external` are causes in other logs, each as `PassedCause.text`. The long texts of
    an event over 1 MiB are cut, shorter and shorter, until it fits.
    """
    if isinstance(event, UsualEvent):
        if event.caused_by is causes and not external:
            return event
        event = event.members()
    members = event
    members.caused_by = causes
    members.external_causes = external
    is_usual = members.event_type in _NEVER_RESERVED or is_type_name(members.event_type)
    if is_usual and is_plain(members.details or {}):
        try:  # `suppress` would cost half a microsecond
            return draft(members)
        except InvalidEvent:
            pass
    event_type, earlier = members.event_type, list(members.repairs)
    if not is_type_name(event_type):  # a long one is cut, what moves a cursor is escaped
        members.event_type = printable(event_type)[:TYPE_CHARACTERS_MAX]
        earlier.append({"path": "event_type", "was": f"{len(event_type)} characters"})
    own = {name: value for name in _MEMBERS if (value := getattr(members, name))}
    own, repairs = repair(own)

    def repaired(own: dict[str, Any], repairs: list[Repair]) -> Draft:
        listed = tuple([*earlier, *repairs][:REPAIRS_MAX])
        return draft(msgspec.structs.replace(members, repairs=listed, **own))

    for characters_max in (0, *_CUTS_CHARACTERS):
        cut, cuts = shorten(own, characters_max) if characters_max else (own, [])
        with suppress(EventTooLarge):
            return repaired(cut, repairs + cuts)
    text = str(own.get("details", ""))
    own["details"] = {"cut": text[:_LAST_CUT_CHARACTERS]}
    return repaired(own, [{"path": "details", "was": f"{len(text)} characters"}])


def _reporter(mode: str, simulation_id: str) -> Callable[[str, Mapping[str, Any]], None]:
    """Returns the function that writes a log record, such as ("rotated", {"file": …})."""
    import structlog  # noqa: F401 not first in a thread: a fork amid it would bind the child

    def report(word: str, facts: Mapping[str, Any]) -> None:
        members = {**facts, "mode": mode, "simulation_id": simulation_id}
        for key, value in members.items():
            if isinstance(value, BaseException):
                members[key] = str(value)
            elif isinstance(value, list) and len(value) > 10:  # of many ids the first
                members[key] = [*value[:10], f"and {len(value) - 10} more"]
        level = "info" if word in _INFOS else "warning" if word in _WARNINGS else "error"
        getattr(logger(), level)(f"event_writer_{word}", **members)

    return report


class CauseForwarding:
    """The causes of the last 65,536 unwritten events; safe across threads.

    An event that was filtered, dropped or refused must not be named in a line. An effect of such
    an event names the event's causes instead, and so on back to written events. The direct causes
    of written events are remembered too, so that a set of causes can be reduced to those that no
    other member already implies. `is_needed` is True once there was an unwritten event.
    """

    def __init__(self, remembered_max: int = REMEMBERED_MAX) -> None:
        self.lock = RLock()
        self.is_needed = False
        self._remembered_max = remembered_max
        self._forwarded: dict[str, tuple[str, ...]] = {}
        self._named: dict[str, tuple[str, ...]] = {}

    def forward(self, event_id: str, causes: Iterable[str]) -> None:
        """Records an unwritten event with the causes that it would have named."""
        with self.lock:
            self._put(self._forwarded, event_id, self.resolve(causes))
            self.is_needed = True

    def written(self, event_id: str, causes: Iterable[str]) -> tuple[str, ...]:
        """Returns the written events that replace the causes of an event, and records them."""
        with self.lock:
            resolved = self.resolve(causes)
            self._put(self._named, event_id, resolved)
            return resolved

    def resolve(self, causes: Iterable[str]) -> tuple[str, ...]:
        """Returns the written events to name, each once, in the order first met.

        More than 32 are reduced to those that are causes of no other one of them, as far as a
        search of 4,096 events finds.
        """
        written_ids: dict[str, None] = {}
        with self.lock:
            for cause in causes:
                written_ids.update(dict.fromkeys(self._forwarded.get(cause, (cause,))))
            if len(written_ids) <= CAUSES_MAX:
                return tuple(written_ids)
            kept, seen = written_ids.copy(), set[str]()
            stack = sorted(written_ids)
            oldest = stack[0]
            while stack and len(seen) < _STEPS_MAX:
                for cause in self._named.get(stack.pop(), ()):
                    kept.pop(cause, None)
                    if cause not in seen and cause >= oldest:
                        seen.add(cause)
                        stack.append(cause)
            return tuple(kept)

    def _put(
        self, memory: dict[str, tuple[str, ...]], event_id: str, causes: tuple[str, ...]
    ) -> None:
        memory[event_id] = causes
        if len(memory) > self._remembered_max:
            del memory[next(iter(memory))]
