"""The events of a run, each with its step and its causes.

`step` is `<turn>.<phase>.<agent>.<ordinal>`. An ordinal never counts events: it is the index of a
decision among its agent's, or the scope and name of a variable, so that the omission of one event
renames no other.

What the verbosity leaves out is not built. An event that is left out is represented by others:
at ACTION a change by the ACTION whose application made it, at DECISION by the DECISION. Such an
event is written once its action is applied, and names what the application read. At MILESTONE
turns name turns alone.
"""

import copy
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import msgspec

from thence.core.codec import CAUSES_MAX, encode
from thence.core.event import EventFields
from thence.core.json_values import INT_MAX, INT_MIN, is_plain
from thence.core.vocabulary import SIM
from thence.log.open import new_id, now
from thence.sim.again.replay_input import Alterations, ReplayInput
from thence.sim.record.checkpoints import Checkpoint
from thence.sim.record.events import VerbosityLevel
from thence.sim.record.ledger import Ids, Lineage
from thence.sim.record.loggers import logger
from thence.sim.record.writer import RunEvent, UsualEvent
from thence.sim.run.agents import Accepted, RecordedView, Verdict
from thence.sim.scenario.state import IMMUTABLE, Variable

# it takes a sequence of EventFields, of RunEvents from a recorder that is drafting
Emit = Callable[[Sequence[Any]], object]
# so many of the last effective events are covered besides the ids that ask for a cover
_EFFECTIVE_MAX = 4_096
NOBODY = "-"
# of an event that is written as a draft; a larger one may be too long
_BYTES_MAX = 4_096
_OF_AGENTS = frozenset(("DECISION", "ACTION"))
_HEAD_BYTES = len(
    '{"event_id":"01JA0000000000000000000000","event_type":"","event_version":1'
    ',"timestamp":"2026-11-20T07:13:00.123456Z"'
)
# programs look for the words with which the milestones' descriptions begin
_MILESTONES = {
    "simulation_start": "simulation_starting",
    "turn_start": "turn_starting",
    "turn_end": "turn_completed",
}
# wider provenances are represented by a cover; all of today's figures of truth were measured with 8
PROVENANCE_MAX = 8


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The members of a usual event, in the order of EventFields, which takes twice the time."""

    event_id: str
    event_type: str
    event_version: int
    timestamp: str
    caused_by: Ids
    simulation_id: str
    turn_number: int
    agent_id: str | None = None
    step: str | None = None
    details: Mapping[str, Any] | None = None


class RunRecorder:
    """The builder of a run's events up to a verbosity, which passes them to `emit` in pieces.

    `counts` are the events by type. An event that `again` has stored is not passed on again. With
    `is_drafting` those that are usual are passed on as drafts.
    """

    def __init__(
        self,
        simulation_id: str,
        emit: Emit,
        level: VerbosityLevel,
        again: ReplayInput,
        *,
        is_drafting: bool = False,
    ) -> None:
        self.simulation_id = simulation_id
        self.turn = 0
        self.turn_id = ""
        self.counts: Counter[str] = Counter()
        self.lineage = Lineage("")
        self.alterations = Alterations(again.altered)
        self.is_altered = bool(again.altered)
        self.writes_decisions = level >= VerbosityLevel.DECISION
        self._writes_actions = level >= VerbosityLevel.ACTION
        self._writes_states = level >= VerbosityLevel.STATE
        self.decides_late = self.writes_decisions and not self._writes_actions
        self._writes_details = level >= VerbosityLevel.DETAIL
        self._emit = emit
        self._stored = again.stored
        self._ready: list[RunEvent] = []
        self._is_drafting = is_drafting and self._stored is None
        # of this turn: how often a step was asked for, and the last call of an agent in a phase
        self._steps: dict[str, int] = {}
        self._cover_id = ""
        self._covered: set[str] = set()
        self._effective: deque[str] = deque(maxlen=_EFFECTIVE_MAX)
        self.start_id = self._milestone("simulation_start", "0.start.-.0", (), begins=True)
        self.lineage.start_id = self.start_id
        self.last_end_id = self.start_id
        self.turn_has_causes = False
        self._has_failure = False
        self._recorded_calls: dict[str, str] = {}  # again in this turn, by step
        # decisions that agents were asked for, those that failed, and the last such failure
        self.decisions = self.decisions_failed = 0
        self.last_failures: Ids = ()

    def flush(self) -> None:
        """Passes on what was built so far; raises RunDiverged if recorded events did not come."""
        if self._ready:
            if self._stored:
                self._stored.check_done(cast(list[EventFields], self._ready))  # no draft of it
            ready = [*self._ready]
            self._ready.clear()
            self._emit(ready)

    def forget_covers(self) -> None:
        """Starts a new chain of covers, as a run that is resumed here does."""
        self._cover_id = ""
        self._covered.clear()
        self._effective.clear()

    def cover(self, ids: Ids) -> str:
        """Returns the id of a notice that stands for many causes.

        The last such notice serves again if it covers all of them. Else a new one names that one,
        the causes, and the effective events since: what is wide rests on most of them anyway, and
        a notice for each wide set would outnumber the events
        (docs/decisions/0047-one-chain-of-covers-replaces-many-causes.md).
        """
        if not self._covered.issuperset(ids):
            new_ids = dict.fromkeys((*ids, *self._effective))
            names = [event_id for event_id in new_ids if event_id not in self._covered]
            self._covered.update(names)
            self._effective.clear()
            if self._cover_id:
                names.insert(0, self._cover_id)
            while len(names) > CAUSES_MAX:
                starts = range(0, len(names), CAUSES_MAX)
                names = [self.joined(names[start : start + CAUSES_MAX]) for start in starts]
            self._cover_id = self.joined(names)
            self._covered.add(self._cover_id)
        return self._cover_id

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes on behind a checkpoint of the same run, whose simulation_start is in the log."""
        self._ready.clear()
        self.turn = checkpoint.turn
        self.start_id = self.lineage.start_id = checkpoint.start_id
        self.last_end_id = checkpoint.event_id
        self.turn_has_causes = checkpoint.turn_has_causes
        self.lineage.recent = dict(checkpoint.lineage)
        self.decisions = checkpoint.decisions
        self.decisions_failed = checkpoint.decisions_failed

    def begin_turn(self, causes: Iterable[str]) -> None:
        """Starts the next turn; `causes` decided that the run goes on."""
        self.turn += 1
        self.lineage.drop_older()
        self._steps.clear()
        self._recorded_calls.clear()
        all_causes = _unique(self.last_end_id, *causes)
        self.turn_has_causes = self.turn_has_causes or len(all_causes) > 1
        step = self._step("turn_start")
        self.turn_id = self._milestone("turn_start", step, all_causes, begins=True)
        self.lineage.recent[self.turn_id] = all_causes
        self.flush()  # a run that is killed shows the turn that it was in

    def end_turn(self, digests: Mapping[str, str]) -> None:
        """Ends the turn, and passes on its events; `digests` are those of populations by name."""
        step, facts = self._step("turn_end"), {"populations": digests} if digests else {}
        self.last_end_id = self._milestone(
            "turn_end", step, (self.turn_id,), facts, ends=self.turn_id
        )
        self.turn_id = ""
        self.flush()

    def end_run(self, outcome: str, causes: Iterable[str] = ()) -> None:
        """Ends the run, also during a turn; `outcome` is its status, with the reason behind it."""
        all_causes = _unique(self.turn_id or self.last_end_id, *causes)
        end: dict[str, Any] = {"ends": self.start_id, "description": f"simulation_{outcome}"}
        self._milestone("simulation_end", self._step("end"), all_causes, **end)
        self.flush()

    def failure(
        self, facts: Mapping[str, object], causes: Iterable[str], agent: str | None = None
    ) -> str:
        """Records a failure that ends the run, with its causes, at every verbosity."""
        current_id = self.turn_id or self.last_end_id
        all_causes = self.lineage.prune((current_id, *causes))
        step = self._step("failed")
        return self._system("run_failed", "failure", step, all_causes, facts, agent)

    def decided(self, act: Accepted) -> bool:
        """Records the decision of an action; False if `alter` leaves it out.

        Its causes are those of the decision, and then what the action names. Where no ACTION will
        be written, the DECISION is not written yet either: `applied` does that, or `rejection`.
        """
        if self.is_altered and self._leaves_out("decide", act):
            return False
        if self._writes_actions:
            act.causes = (self._deed("DECISION", act),)
        return True

    def accepted(self, act: Accepted, causes: Ids) -> Ids | None:
        """Records an accepted action; returns the causes of its absence if `alter` leaves it out.

        `causes` is what the validator read.
        """
        if self.is_altered and self._leaves_out("act", act):
            decided = (self._deed("DECISION", act),) if self.decides_late else act.causes
            return (*decided, *causes)
        if causes:
            act.causes = _unique(*act.causes, *causes)
        if self._writes_states:
            act.event_id = self._deed("ACTION", act)
        return None

    def applied(self, act: Accepted, causes: Iterable[str] = ()) -> Ids:
        """Returns what effects of an action name, whose application has read `causes`.

        That is the event that represents the action, which is written here below STATE, and names
        them; those that came too late for it are returned too.
        """
        if not self.writes_decisions:
            return ()
        if self._writes_states:
            return _unique(act.event_id, *causes)
        if act.event_id:
            later = [cause for cause in causes if cause not in act.causes]
            return _unique(act.event_id, *later) if later else (act.event_id,)
        if causes:
            act.causes = _unique(*act.causes, *causes)
        act.event_id = self._deed("ACTION" if self._writes_actions else "DECISION", act)
        self._effective.append(act.event_id)
        return (act.event_id,)

    def changed(
        self,
        variable: Variable,
        old: object,
        new: object,
        phase: str,
        agent: str,
        causes: Ids,
        before: Ids,
        *,
        is_of_action: bool,
    ) -> tuple[object, Ids]:
        """Records that a variable was set; returns its value, an altered one maybe, and its causes.

        A STATE records a change; `before` are the causes of the old value. Where none is written,
        its action represents the change; a rule's change is represented by the causes of its STATE.
        """
        if self._writes_states or self.is_altered:
            step = self.next_step(phase, agent, variable.subject)
            if self.is_altered and new != old:
                new = self.alterations.value(step, new)
        if new != old:
            if self._writes_states:
                all_causes = self.with_turn(self.lineage.join(causes, before))
                details, is_usual = _change(variable, old, new), _is_number(old) and _is_number(new)
                event_id = self._add("STATE", None, all_causes, step, details, is_usual)
                self._effective.append(event_id)
                return new, (event_id,)
            if not is_of_action:
                causes = self.with_turn(causes)
        is_one = is_of_action and len(causes) == 1
        return new, causes if is_one else self.provenance(causes)

    def provenance(self, causes: Iterable[str]) -> Ids:
        """Returns the causes that a reader of a variable names, without implied ones.

        Of more than PROVENANCE_MAX it is a cover, see there.
        """
        if not self.writes_decisions:
            return ()
        if type(causes) is tuple and len(causes) == 1:
            return causes
        pruned = self.lineage.prune(causes)
        return pruned if len(pruned) <= PROVENANCE_MAX else (self.cover(pruned),)

    def add_causes(
        self, provenance: list[Ids], indices: Sequence[int], causes: Iterable[str]
    ) -> None:
        """Adds causes to the provenances of the variables with these indices."""
        added = self.lineage.prune(causes) if self.writes_decisions and indices else ()
        if added in ((), (self.start_id,)):  # every provenance has the start as a cause
            return
        implied: set[str] | None = None
        for index in indices:
            old = provenance[index]
            if len(added) == 1 and added[0] in old:
                continue
            implied = self.lineage.ancestors(added) if implied is None else implied
            kept = [cause for cause in old if cause not in implied]
            covered = self._covered if self._cover_id in old else ()
            all_causes = _unique(*kept, *(cause for cause in added if cause not in covered))
            is_wide = len(all_causes) > PROVENANCE_MAX
            provenance[index] = (self.cover(all_causes),) if is_wide else all_causes

    def checkpointed(self) -> None:
        """Records that a checkpoint of the turn that ended was written."""
        if self._writes_details:
            step = self._step("checkpoint")
            self._system("checkpoint", "success", step, (self.last_end_id,), {})

    def rejection(self, refused: Accepted, verdict: Verdict, causes: Ids) -> str:
        """Records a refused action with the reason; returns "" at MILESTONE.

        `causes` is what the validator read.
        """
        if not self.writes_decisions:
            return ""
        action, attempt, ordinal = refused.action, refused.attempt, refused.ordinal
        decided = (self._deed("DECISION", refused),) if self.decides_late else refused.causes
        facts = {
            "action_type": action.action_type,
            "action_payload": dict(action.payload),
            "reason": verdict.reason,
            **verdict.facts,
        }
        step = self._step(f"reject{attempt or ''}", action.agent_id, ordinal)
        agent, all_causes = action.agent_id, _unique(*decided, *causes)
        return self._system("action_rejected", "failure", step, all_causes, facts, agent, attempt)

    def retry(self, agent: str, attempt: int, causes: Iterable[str]) -> str:
        """Records another attempt of an agent in this turn; returns "" at MILESTONE."""
        if not self.writes_decisions:
            return ""
        step = self._step(f"retry{attempt or ''}", agent)
        return self._system("action_retried", "retry", step, tuple(causes), {}, agent, attempt)

    def model_calls(self, view: RecordedView, attempt: int = 0, causes: Ids = ()) -> Ids:
        """Records the calls of models by which a view came by its answers, each once.

        A call names what was read for it, `causes`, and the calls before it. Returns the events;
        none at MILESTONE.
        """
        if not view.calls:
            return ()
        calls, view.calls = view.calls, ()
        if not self.writes_decisions:
            return ()
        for number, call in enumerate(calls):
            if call.event_id:
                continue
            agent, phase = view.agent_id, f"llm-{view.phase}{attempt or ''}"
            own = (*causes, *(earlier.event_id for earlier in calls[:number]))
            calls_of = f"{phase}.{agent}"
            ordinal = self._steps[calls_of] = self._steps.get(calls_of, -1) + 1
            step = self._step(phase, agent, ordinal)
            all_causes = _unique(self.turn_id, *own, *call.causes)
            owner = None if agent == NOBODY else agent
            call.step = step
            call.fill_details()
            call.event_id = self._add("SYSTEM", owner, all_causes, step, call.details)
        return tuple([call.event_id for call in calls])

    def last_calls(self, view: RecordedView, attempt: int = 0, causes: Ids = ()) -> Ids:
        """Records the calls of a view whose failure ends the run; a resume makes them anew."""
        for call in view.calls:
            call.ends_run = True
            if call.event_id:
                call.fill_details()
        return self.model_calls(view, attempt, causes)

    def recorded_calls(self, steps: Iterable[str]) -> Ids:
        """Records calls as the run that is played again has recorded them, and returns them."""
        ids = []
        for step in steps:
            event = self._stored.at(step) if self._stored else None
            if event is not None and step not in self._recorded_calls:
                causes, details = tuple(event.caused_by), event.payload
                event_id = self._add("SYSTEM", event.actor, causes, step, details)
                self._recorded_calls[step] = event_id
            ids += [self._recorded_calls[step]] if step in self._recorded_calls else []
        return tuple(ids)

    def agent_failure(
        self, agent: str, attempt: int, facts: Mapping[str, object], causes: Iterable[str]
    ) -> str:
        """Records a failure of an agent that the run goes on after, at every verbosity.

        Of a new run the first one is also a log record.
        """
        if not (self._has_failure or self.alterations or self._stored):
            self._has_failure = True
            why, hint = {name: facts[name] for name in ("policy", "error")}, "the log has all"
            logger().warning("agent_failed", agent=agent, turn=self.turn, **why, hint=hint)
        step, all_causes = self.failure_step(agent, attempt), _unique(self.turn_id, *causes)
        failed = ("agent_failed", "failure", step, all_causes, facts, agent, attempt)
        self.decisions_failed += 1
        failed_id = self._system(*failed)
        self.last_failures = (failed_id,)
        return failed_id

    def roster_change(
        self, kind: str, agent: str, facts: Mapping[str, object], causes: Iterable[str]
    ) -> Ids:
        """Records that an agent is added, removed, paused or resumed; returns () at MILESTONE."""
        if not self.writes_decisions:
            return ()
        step, all_causes = self.next_step(kind, agent, 0), self.with_turn(causes)
        return (self._system(f"agent_{kind}", "success", step, all_causes, facts, agent),)

    def failure_step(self, agent: str, attempt: int) -> str:
        """Returns the step of an agent's failure in this turn."""
        return self._step("failed", agent, attempt)

    def next_step(self, phase: str, agent: str, ordinal: int | str) -> str:
        """Returns the step of the next event of its kind in a phase of this turn.

        For a second one in a phase the phase gets a number: `price`, `price~2`. The ordinal of a
        change is the variable's subject.
        """
        step = f"{self.turn}.{phase}.{agent}.{ordinal}"
        count = self._steps[step] = self._steps.get(step, 0) + 1
        return step if count == 1 else self._step(f"{phase}~{count}", agent, ordinal)

    def set_value(self, variable: Variable, old: object, new: object, subject: str = "") -> Ids:
        """Records a value that was set from outside, at every verbosity; returns the cause."""
        step = self._step("set", NOBODY, subject or variable.subject)
        causes = (self.turn_id or self.start_id,)
        return (self._add("STATE", None, causes, step, _change(variable, old, new)),)

    def detail(
        self, calculation: str, values: Mapping[str, object], step: str, causes: Iterable[str]
    ) -> None:
        """Records the calculation of a value."""
        if self._writes_details:
            details = {"calculation_type": calculation, "intermediate_values": dict(values)}
            self._add("DETAIL", None, self.with_turn(causes), step, details)

    def with_turn(self, causes: Iterable[str]) -> tuple[str, ...]:
        """Returns the causes, with the turn if there is no other or the turn has causes itself."""
        all_causes = dict.fromkeys(causes)
        all_causes.pop(self.start_id, None)
        if self.turn_has_causes or not all_causes:
            all_causes[self.turn_id] = None
        return tuple(all_causes)

    def joined(self, causes: Sequence[str]) -> str:
        """Records a notice that stands for causes, 32 at most, and for no others."""
        _, members = SIM.notice("joined", {"count": len(causes)}, {})
        return self._add("SYSTEM", None, tuple(causes), None, members["details"])

    def _add(
        self,
        event_type: str,
        agent: str | None,
        causes: Ids,
        step: str | None,
        details: Mapping[str, Any],
        is_usual: bool = False,
        **members: Any,
    ) -> str:
        if len(causes) > CAUSES_MAX:  # the first, such as the decision of an action, stays
            causes = (causes[0], self.cover(self.lineage.prune(causes[1:])))
        event_id, time, item = new_id(), now(), None
        if is_usual and self._is_drafting:
            run, turn = self.simulation_id, self.turn
            try:
                data = encode(
                    _Line(event_id, event_type, 1, time, causes, run, turn, agent, step, details)
                )
            except (TypeError, ValueError, RecursionError):  # a lone surrogate, say
                data = b""
            if 0 < len(data) <= _BYTES_MAX:
                end = _HEAD_BYTES + len(event_type)
                item = UsualEvent(event_id, data[:end], data[end:-1], (), causes)
        if item is not None:
            self._ready.append(item)
        else:
            if event_type in _OF_AGENTS:  # who may change a payload before it is written
                details = {name: _frozen(value) for name, value in details.items()}
            event = EventFields(
                event_id,
                event_type,
                1,
                time,
                causes,
                simulation_id=self.simulation_id,
                turn_number=self.turn,
                agent_id=agent,
                step=step,
                details=details,
                **members,
            )
            if self._stored is not None and (stored_id := self._stored.take(event)):
                event_id = stored_id
            else:
                self._ready.append(event)
        if event_type != "MILESTONE":
            self.lineage.recent[event_id] = causes
        self.counts[event_type] += 1
        return event_id

    def _step(self, phase: str, agent: str = NOBODY, ordinal: int | str = 0) -> str:
        return f"{self.turn}.{phase}.{agent}.{ordinal}"

    def _leaves_out(self, phase: str, item: Accepted) -> bool:
        step = self._step(f"{phase}{item.attempt or ''}", item.action.agent_id, item.ordinal)
        return self.alterations.leave_out(step)

    def _deed(self, event_type: str, act: Accepted) -> str:
        """Records what an agent decided, or did; it may have changed the payload meanwhile."""
        action, payload = act.action, act.action.payload
        details: dict[str, object]
        if event_type == "ACTION":
            phase, is_usual = "act", True
            details = {"action_type": action.action_type, "action_payload": payload}
        else:
            phase, is_usual = "decide", action.decision is None and action.instead_of is None
            details = {
                "decision_type": action.decision_type or action.action_type,
                "old_value": action.instead_of,
                "new_value": payload if action.decision is None else action.decision,
            }
        is_text = type(action.action_type) is type(action.decision_type) is str
        step = f"{self.turn}.{phase}{act.attempt or ''}.{action.agent_id}.{act.ordinal}"
        is_usual = is_usual and is_text and is_plain(payload)
        return self._add(event_type, action.agent_id, act.causes, step, details, is_usual)

    def _milestone(
        self,
        kind: str,
        step: str,
        causes: Ids,
        facts: Mapping[str, object] = MappingProxyType({}),
        **members: Any,
    ) -> str:
        members = {"description": _MILESTONES.get(kind), **members}
        details = {"milestone_type": kind, **facts}
        return self._add("MILESTONE", None, causes, step, details, **members)

    def _system(
        self,
        kind: str,
        status: str,
        step: str,
        causes: Ids,
        facts: Mapping[str, object],
        agent: str | None = None,
        retry_count: int = 0,
    ) -> str:
        details = {"error_type": kind, "status": status, "retry_count": retry_count, **facts}
        return self._add("SYSTEM", agent, causes, step, details)


def _is_number(value: object) -> bool:
    """Reports whether a value is a number that JSON holds as it is."""
    if type(value) is int:
        return INT_MIN <= value <= INT_MAX
    return type(value) is float and value - value == 0  # no infinity, and a number


def _frozen(value: Any) -> Any:
    """Returns a copy of what an agent gave, as deep as it can be had."""
    try:
        return value if type(value) in IMMUTABLE else copy.deepcopy(value)
    except Exception:  # boundary: it may hold anything; what JSON can't hold is repaired
        return {**value} if isinstance(value, Mapping) else value


def _unique(*ids: str) -> Ids:
    return tuple(dict.fromkeys(ids))


def _change(variable: Variable, old: object, new: object) -> dict[str, object]:
    return {
        "variable_name": variable.declaration.name,
        "old_value": old,
        "new_value": new,
        "scope": variable.scope,
    }
