"""The events of a run, each with its step and its causes.

`step` is `<turn>.<phase>.<agent>.<ordinal>`. An ordinal never counts events: it is the index of a
decision among its agent's, or the index of a variable, so that the omission of one event
renames no other.
"""

from collections.abc import Callable, Iterable, Mapping

from thence.sim.actions import Action, Verdict
from thence.sim.events import (
    ActionEvent,
    DecisionEvent,
    DetailEvent,
    Event,
    MilestoneEvent,
    StateEvent,
    SystemEvent,
)
from thence.sim.ledger import Lineage
from thence.sim.variables import Variable

Emit = Callable[[Event], object]
NOBODY = "-"


class Record:
    """The builder of a run's events, which passes each to `emit` at once.

    `alter` maps the step of a DECISION or ACTION to None, which leaves the event out, and the
    step of a STATE to another value; `unmet` are its steps that did not occur so far.
    """

    def __init__(self, simulation_id: str, emit: Emit, alter: Mapping[str, object]) -> None:
        self.simulation_id = simulation_id
        self.turn = 0
        self.turn_id = ""
        self.counts: dict[str, int] = {}
        self.unmet = set(alter)
        self._emit = emit
        self._alter = alter
        self.start_id = self._milestone("simulation_start", "0.start.-.0", (), begins=True)
        self.lineage = Lineage(self.start_id)
        self._last_end_id = self.start_id
        self._turn_has_causes = False
        self._steps: dict[str, int] = {}

    def begin_turn(self, causes: Iterable[str]) -> None:
        """Starts the next turn; `causes` decided that the run goes on."""
        self.turn += 1
        self._steps.clear()
        self.lineage.drop_older()
        all_causes = tuple(dict.fromkeys((self._last_end_id, *causes)))
        self._turn_has_causes = self._turn_has_causes or len(all_causes) > 1
        self.turn_id = self._milestone(
            "turn_start", f"{self.turn}.turn_start.-.0", all_causes, begins=True
        )
        self.lineage.add(self.turn_id, all_causes)

    def end_turn(self) -> None:
        """Ends the turn."""
        self._last_end_id = self._milestone(
            "turn_end", f"{self.turn}.turn_end.-.0", (self.turn_id,), ends=self.turn_id
        )
        self.turn_id = ""

    def end_run(self, outcome: str, causes: Iterable[str] = ()) -> None:
        """Ends the run, also during a turn; `outcome` is the description of its end."""
        all_causes = tuple(dict.fromkeys((self.turn_id or self._last_end_id, *causes)))
        self._milestone(
            "simulation_end",
            f"{self.turn}.end.-.0",
            all_causes,
            ends=self.start_id,
            description=outcome,
        )

    def failure(
        self, facts: Mapping[str, object], causes: Iterable[str], agent: str | None = None
    ) -> str:
        """Records a failure that ends the run, with its causes, at every verbosity."""
        current_id = self.turn_id or self._last_end_id
        all_causes = self.lineage.prune((current_id, *causes))
        step = f"{self.turn}.failed.-.0"
        return self._system("run_failed", "failure", step, all_causes, facts, agent_id=agent)

    def decision(
        self, action: Action, attempt: int, ordinal: int, causes: Iterable[str]
    ) -> str | None:
        """Records a decision and returns its id; None if `alter` leaves it out."""
        step = self._step(_phase("decide", attempt), action.agent_id, ordinal)
        if self._is_left_out(step):
            return None
        return self._record(
            DecisionEvent(
                simulation_id=self.simulation_id,
                turn_number=self.turn,
                agent_id=action.agent_id,
                decision_type=action.decision_type or action.action_type,
                old_value=action.instead_of,
                new_value=action.new_value,
                caused_by=tuple(dict.fromkeys((self.turn_id, *causes))),
                step=step,
            )
        )

    def action(
        self, action: Action, attempt: int, ordinal: int, causes: Iterable[str]
    ) -> str | None:
        """Records an accepted action and returns its id; None if `alter` leaves it out."""
        step = self._step(_phase("act", attempt), action.agent_id, ordinal)
        if self._is_left_out(step):
            return None
        return self._record(
            ActionEvent(
                simulation_id=self.simulation_id,
                turn_number=self.turn,
                agent_id=action.agent_id,
                action_type=action.action_type,
                action_payload=dict(action.payload),
                caused_by=tuple(dict.fromkeys(causes)),
                step=step,
            )
        )

    def rejection(
        self, action: Action, attempt: int, ordinal: int, verdict: Verdict, causes: Iterable[str]
    ) -> str:
        """Records a refused action with the reason."""
        return self._system(
            "action_rejected",
            "failure",
            self._step(_phase("reject", attempt), action.agent_id, ordinal),
            tuple(dict.fromkeys(causes)),
            {
                "action_type": action.action_type,
                "action_payload": dict(action.payload),
                "reason": verdict.reason,
                **verdict.facts,
            },
            agent_id=action.agent_id,
            retry_count=attempt,
        )

    def retry(self, agent: str, attempt: int, causes: Iterable[str]) -> str:
        """Records another attempt of an agent in this turn."""
        step = self._step(_phase("retry", attempt), agent, 0)
        return self._system(
            "action_retried", "retry", step, tuple(causes), {}, agent_id=agent, retry_count=attempt
        )

    def state_step(self, phase: str, agent: str, variable: Variable) -> str:
        """Returns the step of the next change of a variable in a phase of this turn.

        For a second change in a phase the phase gets a number: `price`, `price~2`.
        """
        step = self._step(phase, agent, variable.index)
        count = self._steps[step] = self._steps.get(step, 0) + 1
        return step if count == 1 else self._step(f"{phase}~{count}", agent, variable.index)

    def altered_value(self, step: str, value: object) -> object:
        """Returns the value of a STATE: its own, or the one in `alter`."""
        if step not in self._alter:
            return value
        self.unmet.discard(step)
        return self._alter[step]

    def state(
        self, variable: Variable, old: object, new: object, step: str, causes: Iterable[str]
    ) -> str:
        """Records a change of a variable."""
        return self._record(
            StateEvent(
                simulation_id=self.simulation_id,
                turn_number=self.turn,
                variable_name=variable.declaration.name,
                old_value=old,
                new_value=new,
                scope=variable.scope,
                caused_by=self._with_turn(causes),
                step=step,
            )
        )

    def detail(
        self, calculation: str, values: Mapping[str, object], step: str, causes: Iterable[str]
    ) -> str:
        """Records the calculation of a value."""
        return self._record(
            DetailEvent(
                simulation_id=self.simulation_id,
                turn_number=self.turn,
                calculation_type=calculation,
                intermediate_values=dict(values),
                caused_by=self._with_turn(causes),
                step=step,
            )
        )

    def _with_turn(self, causes: Iterable[str]) -> tuple[str, ...]:
        """Returns the causes, with the turn if there is no other or the turn has causes itself."""
        all_causes = dict.fromkeys(causes)
        all_causes.pop(self.start_id, None)
        if self._turn_has_causes or not all_causes:
            all_causes[self.turn_id] = None
        return tuple(all_causes)

    def _step(self, phase: str, agent: str, ordinal: int) -> str:
        return f"{self.turn}.{phase}.{agent}.{ordinal}"

    def _is_left_out(self, step: str) -> bool:
        self.unmet.discard(step)
        return step in self._alter

    def _milestone(
        self,
        kind: str,
        step: str,
        causes: tuple[str, ...],
        *,
        begins: bool = False,
        ends: str | None = None,
        description: str | None = None,
    ) -> str:
        event = MilestoneEvent(
            simulation_id=self.simulation_id,
            turn_number=self.turn,
            milestone_type=kind,
            caused_by=causes,
            step=step,
            begins=begins,
            ends=ends,
            description=description,
        )
        return self._emit_counted(event)

    def _system(
        self,
        kind: str,
        status: str,
        step: str,
        causes: tuple[str, ...],
        facts: Mapping[str, object],
        *,
        agent_id: str | None = None,
        retry_count: int = 0,
    ) -> str:
        return self._record(
            SystemEvent(
                simulation_id=self.simulation_id,
                turn_number=self.turn,
                error_type=kind,
                status=status,
                retry_count=retry_count,
                extra=dict(facts),
                agent_id=agent_id,
                caused_by=causes,
                step=step,
            )
        )

    def _record(self, event: Event) -> str:
        self.lineage.add(event.event_id, event.caused_by)
        return self._emit_counted(event)

    def _emit_counted(self, event: Event) -> str:
        kind = event.event_type
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self._emit(event)
        return event.event_id


def _phase(name: str, attempt: int) -> str:
    return f"{name}{attempt}" if attempt else name
