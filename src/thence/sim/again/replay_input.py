"""What a run that is played again takes from the recorded one, and what it alters of it."""

import platform
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from thence.core.diff import VOLATILE
from thence.core.event import Event, EventFields
from thence.core.json_values import repair
from thence.core.ready import ready
from thence.core.vocabulary import SIM
from thence.errors import RunDiverged, ThenceError
from thence.sim.record.checkpoints import Checkpoint
from thence.sim.record.outcomes import Key, RecordedOutcome, diverged
from thence.sim.run.agents import Action
from thence.sim.scenario.scenario_file import named_files

# notices of events that got no line, or got it later
_LOSSES = frozenset(("events_dropped", "write_failed"))
# the step, behind its turn, from which on a run draws by another seed
SEED = ".seed.-"
_CHARACTERS_SHOWN = 80
_STEPS_SHOWN = 3
_OWN_CAUSES = (
    "a component depends on more than state, seed and recorded outcomes: its code may have changed,"
    " or it keeps or asks for something without observation.outcome"
)
_LOST_EVENTS = (
    "what has no line can't be compared; `thence sim branch RUN --at TURN` reruns it with"
    " its recorded answers"
)


class RecordedSteps:
    """Recorded events of a run; each stands for the event that is built again at its step.

    Those up to the event with the id `behind` are not built again. Events without a step, and what
    an earlier attempt wrote about its end, are set aside; but a completed run does not end again.
    `config` is the content of the run's config.json; `states` are known states after turns, as
    JSON values by scope and name.
    """

    def __init__(
        self,
        events: Iterable[Event],
        behind: str | None = None,
        config: Mapping[str, Any] = {},
        states: Mapping[int, Mapping[str, Any]] = {},
    ) -> None:
        self._config, self._states = config, states
        self.last_turn = max(states, default=0)
        self._events: dict[str, Event] = {}
        self._recorded: dict[str, Event] = {}
        self._new_steps: dict[str, str] = {}
        self._covers: dict[frozenset[str], str] = {}
        self._cover_ids: set[str] = set()
        self._completed: Event | None = None
        self._refused_count = 0
        self._has_losses = False
        is_behind = behind is None
        for event in events:
            kind = SIM.notice_kind(event)
            self._recorded[event.event_id] = event
            self._has_losses |= kind in _LOSSES
            if kind == "joined":
                self._cover_ids.add(event.event_id)
            if not is_behind:
                is_behind = event.event_id == behind
            elif kind == "joined":
                self._covers[frozenset(event.caused_by)] = event.event_id
            elif kind in _LOSSES:
                count = event.payload.get("count")
                self._refused_count += count if isinstance(count, int) else 1
            elif event.step and not is_of_an_end(event):
                self._events[event.step] = event
            elif (event.description or "").startswith("simulation_completed"):
                self._completed = event

    def __len__(self) -> int:
        return len(self._events)

    def take(self, event: EventFields) -> str | None:
        """Returns the id of the recorded event with the same step; None if there is none.

        For a cover it is that of a recorded one with the same causes. Raises RunDiverged if the
        recorded event is another one.
        """
        if event.step is None:
            cover_id = self._covers.pop(frozenset(event.caused_by), None)
            self._cover_ids.add(cover_id or event.event_id)
            return cover_id
        recorded = self._events.pop(event.step, None)
        if recorded is None:
            end = self._completed
            if end is not None and end.step == event.step and not self._difference(event, end):
                return end.event_id
            self._new_steps[event.event_id] = event.step
            return None
        reason = self._difference(event, recorded)
        if reason:
            raise self._diverged(event.step, reason)
        return recorded.event_id

    def at(self, step: str) -> Event | None:
        """Returns the recorded event with a step, if it has not come again yet."""
        return self._events.get(step)

    def check_state(self, turn: int, state: Callable[[], Mapping[str, Any]]) -> None:
        """Raises RunDiverged if the state after a turn is another one than is known of it."""
        known = self._states.get(turn)
        now = plain_details(state()) if known is not None else {}
        for scope, values in (known or {}).items():
            for name, then in values.items():
                # the map's own is in no state
                if scope in now and (value := now[scope].get(name)) != then:
                    words = (
                        _short(of if isinstance(of, dict) else {name: of}) for of in (value, then)
                    )
                    reason = "after this turn it is {} now, and was {}".format(*words)
                    raise self._diverged(f"{turn}.state.-.{scope}/{name}", reason)

    def check_done(self, new: Iterable[EventFields]) -> None:
        """Raises RunDiverged if a step is new while recorded ones have not come again."""
        steps = [event.step for event in new if event.step]
        if steps:
            self.check_all_done(steps[0])

    def check_all_done(self, other: str = "nothing") -> None:
        """Raises RunDiverged, naming what happened, if recorded events have not come again."""
        for step in self._events:
            raise self._diverged(step, f"it did not happen again; {other} happened instead")

    def _difference(self, event: EventFields, recorded: Event) -> str:
        """Returns what differs between an event and the recorded one; "" if nothing does."""
        if event.event_type != recorded.event_type:
            return f"it is {event.event_type} now, and was {recorded.event_type}"
        if (event.agent_id or None) != (recorded.actor or None):
            return f"agent {event.agent_id} is concerned now, and {recorded.actor} was"
        if not recorded.members.get("repairs"):
            now, then = plain_details(event.details or {}), plain_details(recorded.payload)
            if now != then:
                names = [name for name in {**then, **now} if now.get(name) != then.get(name)]
                now, then = ({name: of.get(name) for name in names} for of in (now, then))
                return f"it says {_short(now)} now, and said {_short(then)}"
        if not self._cover_ids.isdisjoint((*event.caused_by, *recorded.caused_by)):
            return ""  # a cover stands for some of the causes
        new = set(event.caused_by).difference(recorded.caused_by)
        # what a context added when the run was recorded is no event of this run
        gone = self._recorded.keys() & set(recorded.caused_by).difference(event.caused_by)
        # the causes of a lost event were named in its place, also those that others imply
        if not new and (not gone or self._has_losses):
            return ""
        return f"its causes differ: new {self._listed(new)}; gone {self._listed(gone)}"

    def _listed(self, ids: Collection[str]) -> str:
        if not ids:
            return "none"
        steps = sorted(
            (self._recorded[one].step if one in self._recorded else self._new_steps.get(one)) or one
            for one in ids
        )
        rest = len(steps) - _STEPS_SHOWN
        return ", ".join(steps[:_STEPS_SHOWN]) + (f" and {rest} others" if rest > 0 else "")

    def _diverged(self, step: str, reason: str) -> RunDiverged:
        hint = _OWN_CAUSES
        if files := changed_files(self._config):
            reason = f"{', '.join(files)} changed since it was played; {reason}"
            hint = "replay it with the files that it was made with, or branch it"
        if others := other_versions(self._config.get("made_by")):
            reason = f"{others}; {reason}"
            hint = "numbers may differ between versions: replay it with those that made it"
        if self._refused_count:
            refused = f"{self._refused_count} events that a full queue or the disk refused"
            reason = f"{reason}; the log has a notice of {refused}"
            hint = _LOST_EVENTS
        return diverged(step, reason, hint)


def versions() -> dict[str, str]:
    """Returns the versions of what a run's numbers may depend on: Python's, and NumPy's if used."""
    numpy = getattr(sys.modules.get("numpy"), "__version__", None)
    return {"Python": platform.python_version(), **({"NumPy": numpy} if numpy else {})}


def changed_files(config: Mapping[str, Any]) -> list[str]:
    """Returns the files that a run's scenario names and that are not as they were, by its config.

    Prompts and tables are not among them: the run holds what they said.
    """
    files, source = config.get("files"), config.get("source")
    folder = Path(source).parent if isinstance(source, str) else Path()
    fresh = named_files(config.get("scenario"), folder) if isinstance(files, Mapping) else {}
    return [name for name in fresh if fresh[name] != (files or {}).get(name)]


def other_versions(made_by: object) -> str:
    """Returns which versions differ from those that a run was made by, "" if none is known to."""
    if not isinstance(made_by, Mapping):
        return ""
    here = versions()
    told = [
        f"the run was made by {name} {then}, and this is {here[name]}"
        for name, then in made_by.items()
        if name in here and _series(here[name]) != _series(str(then))
    ]
    return "; ".join(told)


def _series(version: str) -> list[str]:
    return version.split(".")[:2]


def is_of_an_end(event: Event) -> bool:
    """Reports whether an attempt to play a run wrote an event about its end."""
    payload = event.cut_payload
    is_end = payload.get("milestone_type") == "simulation_end" or payload.get("ends_run") is True
    return is_end or payload.get("error_type") == "run_failed"


def plain_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """Returns details as JSON holds them, without what differs from run to run."""
    repaired, _ = repair(dict(details))
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(repaired))
    return {name: value for name, value in plain.items() if name not in VOLATILE}


def _short(details: Mapping[str, Any]) -> str:
    text = msgspec.json.encode(details).decode()
    return text if len(text) <= _CHARACTERS_SHOWN else text[: _CHARACTERS_SHOWN - 1] + "…"


class Alterations:
    """The alterations of a run, by step; false if there are none.

    A DECISION or ACTION is mapped to None, which leaves it out, a DECISION to another action too,
    a STATE to another value, a SEED to another seed. `unmet` are the steps that did not occur so
    far.
    """

    def __init__(self, by_step: Mapping[str, object]) -> None:
        self._by_step = by_step
        self.unmet = {step for step in by_step if not step.endswith(SEED)}

    def __bool__(self) -> bool:
        return bool(self._by_step)

    def seed(self, turn: int) -> int | None:
        """Returns the seed of the turns after one, if another one than the scenario's."""
        turns = [int(step.removesuffix(SEED)) for step in self._by_step if step.endswith(SEED)]
        last = max((at for at in turns if at <= turn), default=-1)
        seed = self._by_step.get(f"{last}{SEED}")
        return seed if isinstance(seed, int) else None

    def leave_out(self, step: str) -> bool:
        """Reports whether the event at a step is left out."""
        self.unmet.discard(step)
        return step in self._by_step and self._by_step[step] is None

    def value(self, step: str, value: object) -> object:
        """Returns the value of a STATE: its own, or the altered one."""
        self.unmet.discard(step)
        return self._by_step.get(step, value)

    def actions(self, prefix: str, own: Sequence[Action]) -> list[tuple[int, Action]]:
        """Returns an agent's actions by ordinal, altered ones in place of its own.

        `prefix` is the step of its decisions without the ordinal. Raises ThenceError for what is
        neither an action nor a map of its members.
        """
        actions = dict(enumerate(own))
        for step, value in self._by_step.items():
            ordinal = step.removeprefix(prefix)
            if ordinal == step or not ordinal.isdecimal() or value is None:
                continue
            self.unmet.discard(step)
            try:
                actions[int(ordinal)] = (
                    value if isinstance(value, Action) else msgspec.convert(value, ready(Action))
                )
            except msgspec.ValidationError as error:
                what, place = "could not alter the decision", f"at {step}"
                hint = 'give an action, such as {"action_type": "give", "payload": {"to": "ben"}}'
                raise ThenceError(what, place=place, cause=error, hint=hint) from error
        return sorted(actions.items())

    def values_to_set(self, prefix: str) -> dict[str, object]:
        """Returns the values that are set, by subject; `prefix` is their steps without it."""
        values = {
            step.removeprefix(prefix): value
            for step, value in self._by_step.items()
            if step.startswith(prefix)
        }
        self.unmet.difference_update(prefix + subject for subject in values)
        return values


class ReplayInput(msgspec.Struct, frozen=True, kw_only=True):
    """The input that a run played again takes from the recorded one.

    `folder` is the run's own where it is resumed; then `checkpoint` is where it begins, and
    `stored` are the events behind. Else `parent` holds the run_id and turn that it branches from.
    `altered` is what the run alters, `failures` the facts of agents' failures, both by step.
    """

    outcomes: Mapping[Key, RecordedOutcome] = {}
    altered: Mapping[str, Any] = {}
    folder: Path | None = None
    parent: Mapping[str, Any] | None = None
    stored: RecordedSteps | None = None
    failures: Mapping[str, Mapping[str, Any]] = {}
    checkpoint: Checkpoint | None = None
