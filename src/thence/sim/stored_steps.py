"""The events that a run has written already, by step, while it is played again."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from thence.core.diff.content import VOLATILE
from thence.core.event import Event
from thence.core.values.codec import Members
from thence.core.values.payload import repair
from thence.core.values.vocabulary import SIM
from thence.errors import RunDiverged

# what an earlier attempt wrote about its end is no part of what is played again
_ENDS = frozenset(("simulation_end",))
_OWN_ERRORS = frozenset(("run_failed",))
# notices of events that got no line, or got it later
_LOSSES = frozenset(("events_dropped", "write_failed"))
_CHARACTERS_SHOWN = 80
_OWN_CAUSES = (
    "a component depends on more than state, seed and recorded outcomes: its code may have changed,"
    " or it keeps or asks for something without observation.outcome"
)
_LOST_EVENTS = (
    "what has no line can't be compared; `thence sim branch RUN --at TURN` plays the run anew with"
    " its recorded answers"
)


class StoredSteps:
    """Recorded events of a run; each stands for the event that is built again at its step.

    Events without a step, and what an earlier attempt wrote about its end, are set aside.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self._events: dict[str, Event] = {}
        self._joined: dict[int, dict[frozenset[str], str]] = {}
        self._joined_by: dict[str, tuple[str, ...]] = {}
        self._ids: set[str] = set()
        self._refused_count = 0
        for event in events:
            self._ids.add(event.event_id)
            kind = SIM.notice_kind(event)
            if kind in _LOSSES:
                count = event.payload.get("count")
                self._refused_count += count if isinstance(count, int) else 1
            if kind == "joined":
                of_turn = self._joined.setdefault(event.turn_number or 0, {})
                of_turn[frozenset(event.caused_by)] = event.event_id
                self._joined_by[event.event_id] = event.caused_by
            elif event.step and not _is_of_the_end(event):
                self._events[event.step] = event

    def __len__(self) -> int:
        return len(self._events)

    def set_aside(self, is_aside: Callable[[Event], bool]) -> None:
        """Forgets events that are not built again."""
        self._events = {step: each for step, each in self._events.items() if not is_aside(each)}

    def take(self, made: Members) -> str | None:
        """Returns the id of the recorded event with the same step; None if there is none.

        Raises RunDiverged if the recorded event is another one.
        """
        event = self._events.pop(made.step or "", None)
        if event is None:
            return None
        reason = self._difference(made, event)
        if reason:
            raise self._diverged(event.step or "", reason)
        return event.event_id

    def joined(self, turn: int, causes: tuple[str, ...]) -> str | None:
        """Returns the id of the recorded notice of a turn that names these causes.

        It may name what a context added too, which is no event of this run.
        """
        of_turn, named = self._joined.get(turn, {}), frozenset(causes)
        if named in of_turn:
            return of_turn[named]
        others = [was for was in of_turn if named <= was and not (was - named) & self._ids]
        return of_turn[min(others, key=len)] if others else None

    def note_joined(self, event_id: str, causes: tuple[str, ...]) -> None:
        """Records a notice that was built now."""
        self._joined_by[event_id] = causes

    def check_done(self, new: Iterable[Members]) -> None:
        """Raises RunDiverged if an event is new while recorded ones have not come again."""
        if self._events:
            step = next(iter(self._events))
            other = next((each.step for each in new if each.step), "nothing")
            raise self._diverged(step, f"it did not happen again; {other} happened instead")

    def _difference(self, made: Members, event: Event) -> str:
        """Returns what differs between an event and the recorded one; "" if nothing does."""
        if made.event_type != event.event_type:
            return f"it is {made.event_type} now, and was {event.event_type}"
        if (made.agent_id or None) != (event.actor or None):
            return f"agent {made.agent_id} is concerned now, and {event.actor} was"
        if not event.members.get("repairs"):
            now, then = _plain(made.details or {}), _plain(event.payload)
            if now != then:
                return f"it says {_short(now)} now, and said {_short(then)}"
        named, was = self._expanded(made.caused_by), self._expanded(event.caused_by)
        # what a context added is no event of this run
        if not named <= was or (was - named) & self._ids:
            return "it names other causes now"
        return ""

    def _diverged(self, step: str, reason: str) -> RunDiverged:
        hint = _OWN_CAUSES
        if self._refused_count:
            refused = f"{self._refused_count} events that a full queue or the disk refused"
            reason = f"{reason}; the log has a notice of {refused}"
            hint = _LOST_EVENTS
        error = RunDiverged(
            "could not play the run again as it was recorded",
            place=f"at {step}",
            cause=reason,
            hint=hint,
        )
        error.step = step
        return error

    def _expanded(self, causes: Iterable[str]) -> set[str]:
        """Returns causes with those that notices name in place of the notices."""
        found: set[str] = set()
        waiting = list(causes)
        while waiting:
            cause = waiting.pop()
            behind = self._joined_by.get(cause)
            if behind is None:
                found.add(cause)
            else:
                waiting += behind
        return found


def _is_of_the_end(event: Event) -> bool:
    payload = event.payload
    return payload.get("milestone_type") in _ENDS or payload.get("error_type") in _OWN_ERRORS


def _plain(details: Mapping[str, Any]) -> dict[str, Any]:
    """Returns details as JSON holds them, without what differs from run to run."""
    repaired, _ = repair(dict(details))
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(repaired))
    return {name: value for name, value in found.items() if name not in VOLATILE}


def _short(details: Mapping[str, Any]) -> str:
    text = msgspec.json.encode(details).decode()
    return text if len(text) <= _CHARACTERS_SHOWN else text[: _CHARACTERS_SHOWN - 1] + "…"
