"""One turn of a simulation: decisions, validation, actions, rules.

All that agents, validators and engines read or change goes through views, so that each
event names what it depends on. What did *not* happen leaves its mark too: the variables
that a silent or refused agent might have changed depend from then on what the agent, and the
validator that refused it, had read. A refused decision itself changed nothing: only its
rejection names it.
"""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol, cast

import msgspec

from thence.errors import ThenceError
from thence.sim.actions import Action, Rejection, Verdict
from thence.sim.concurrency import Part, blame, settled, together
from thence.sim.ledger import Ledger
from thence.sim.record import NOBODY, Record
from thence.sim.state import State
from thence.sim.views import Call, Observation, RecordedState, View, Writes

Decision = Action | Sequence[Action] | None


class Agent(Protocol):
    """What a turn needs of an agent."""

    name: str
    remembers: bool

    def decide_action(self, observation: Observation, /) -> Decision | Awaitable[Decision]:
        """Returns what the agent does in this turn."""


class Validator(Protocol):
    """What a turn needs of a validator."""

    def validate_action(
        self, action: Action, state: RecordedState, /
    ) -> Verdict | Awaitable[Verdict]:
        """Returns whether an action may happen."""


class Rules(Protocol):
    """What a turn needs of an engine."""

    def apply_actions(
        self, state: RecordedState, actions: Sequence[Action], writes: Writes, /
    ) -> State | Awaitable[State | None] | None:
        """Applies the actions of the turn."""

    def apply_engine_rules(self, view: View, /) -> State | Awaitable[State | None] | None:
        """Changes what the world changes by itself."""


class Cast(msgspec.Struct, frozen=True):
    """Who takes part in every turn, with what the run keeps of each agent.

    `reach` are the indices of the variables that an agent's actions may change; `memory`
    is what a remembering agent's next decision depends on.
    """

    agents: tuple[Agent, ...]
    validator: Validator
    retries: int
    seed: int
    reach: Mapping[str, tuple[int, ...]]
    memory: dict[str, tuple[str, ...]]


class Proposal(msgspec.Struct, frozen=True):
    """An action that an agent wants, before it is judged."""

    action: Action
    attempt: int
    ordinal: int
    decision_id: str


class Turn:
    """The turn that is being played."""

    def __init__(self, cast: Cast, ledger: Ledger, record: Record) -> None:
        self.number = record.turn
        self._cast = cast
        self._ledger = ledger
        self._record = record
        self._observed = {
            agent.name: Observation(ledger, record.turn, cast.seed, agent.name)
            for agent in cast.agents
        }
        self._accepted: dict[str, list[tuple[Action, str, str]]] = {}
        self._silence: dict[str, list[str]] = {}
        self._retries: dict[str, list[str]] = {}

    async def play(self, rules: Rules) -> State:
        """Plays the turn and returns the state after it."""
        asked: Sequence[Agent] = self._cast.agents
        for attempt in range(self._cast.retries + 1):
            refused = await self._ask(asked, attempt)
            asked = [agent for agent in asked if agent.name in refused]
        await self._apply(rules)
        await self._change_world(rules)
        return self._ledger.state(self.number)

    async def _ask(self, asked: Sequence[Agent], attempt: int) -> set[str]:
        """Lets agents decide, judges what they want, returns the names of those refused."""
        parts = [
            Part(f"agent {each.name}", partial(self._decision_causes, each.name), each.name)
            for each in asked
        ]
        calls = [partial(agent.decide_action, self._observed[agent.name]) for agent in asked]
        answers = await together(list(zip(parts, calls, strict=True)))
        proposals: list[Proposal] = []
        for agent, part, answer in zip(asked, parts, answers, strict=True):
            try:
                actions = _as_actions(agent.name, answer)
            except ThenceError as error:
                blame(error, part)
                raise
            proposals += self._decide(agent, actions, attempt)
        verdicts = await self._judge(proposals)
        refused: dict[str, list[Rejection]] = {}
        decided: dict[str, list[str]] = {}
        for proposal, (verdict, causes) in zip(proposals, verdicts, strict=True):
            name = proposal.action.agent_id
            if not verdict.is_valid:
                refused.setdefault(name, []).append(self._refuse(proposal, verdict, causes))
            else:
                decided.setdefault(name, []).append(proposal.decision_id)
                self._accept(proposal, causes)
        for agent in asked:
            if agent.remembers:
                kept = decided.get(agent.name) or self._decision_causes(agent.name)
                self._cast.memory[agent.name] = self._record.lineage.pruned(kept)
        if attempt < self._cast.retries:
            for name, rejections in refused.items():
                self._ask_again(name, rejections, attempt)
        return set(refused)

    def _decide(self, agent: Agent, actions: Sequence[Action], attempt: int) -> list[Proposal]:
        """Tells of an agent's decisions; without any, its silence is what counts."""
        name = agent.name
        causes = self._decision_causes(name)
        proposals = []
        for ordinal, answer in enumerate(actions):
            action = msgspec.structs.replace(answer, agent_id=name)
            decision_id = self._record.decision(action, attempt, ordinal, causes)
            if decision_id is not None:
                proposals.append(Proposal(action, attempt, ordinal, decision_id))
        if not proposals:
            self._silence.setdefault(name, []).extend(self._known_to(name))
        return proposals

    def _known_to(self, name: str) -> tuple[str, ...]:
        """Returns the causes of what an agent has read in this turn, or remembers."""
        return (*self._observed[name].causes, *self._cast.memory.get(name, ()))

    def _decision_causes(self, name: str) -> tuple[str, ...]:
        """Returns the causes of what an agent decides now: also that it is asked once more."""
        return (*self._known_to(name), *self._retries.get(name, ()))

    async def _judge(self, proposals: Sequence[Proposal]) -> list[tuple[Verdict, tuple[str, ...]]]:
        """Returns each proposal's verdict with what the validator read for it."""
        states = [
            RecordedState(self._ledger, self.number, self._cast.seed, proposal.action.agent_id)
            for proposal in proposals
        ]
        judge = self._cast.validator.validate_action
        pairs = list(zip(proposals, states, strict=True))
        parts = [
            Part("the validator", partial(_judged_by, each, state), each.action.agent_id)
            for each, state in pairs
        ]
        calls = [partial(judge, each.action, state) for each, state in pairs]
        verdicts = await together(list(zip(parts, calls, strict=True)))
        for part, verdict in zip(parts, verdicts, strict=True):
            _check_verdict(verdict, part)
        return [
            (verdict, tuple(state.causes)) for verdict, state in zip(verdicts, states, strict=True)
        ]

    def _accept(self, proposal: Proposal, causes: Iterable[str]) -> None:
        action, ordinal = proposal.action, proposal.ordinal
        named = (proposal.decision_id, *causes)
        action_id = self._record.action(action, proposal.attempt, ordinal, named)
        if action_id is None:
            self._silence.setdefault(action.agent_id, []).extend(named)
            return
        phase = f"apply{ordinal}"
        if proposal.attempt:
            phase = f"apply{ordinal}-{proposal.attempt}"
        self._accepted.setdefault(action.agent_id, []).append((action, phase, action_id))

    def _refuse(self, proposal: Proposal, verdict: Verdict, causes: Iterable[str]) -> Rejection:
        action = proposal.action
        rejection_id = self._record.rejected(
            action, proposal.attempt, proposal.ordinal, verdict, (proposal.decision_id, *causes)
        )
        silence = self._silence.setdefault(action.agent_id, [])
        silence += (*self._known_to(action.agent_id), *causes)
        return Rejection(action, verdict, rejection_id)

    def _ask_again(self, name: str, rejections: Sequence[Rejection], attempt: int) -> None:
        """Opens the next attempt of an agent, whose decisions will name why there is one."""
        named = [rejection.event_id for rejection in rejections]
        retried_id = self._record.retried(name, attempt + 1, named)
        self._retries.setdefault(name, []).append(retried_id)
        self._observed[name].rejections += tuple(rejections)

    async def _apply(self, rules: Rules) -> None:
        """Lets the engine apply what was accepted, in the order of the agents."""
        taken = [each for agent in self._cast.agents for each in self._accepted.get(agent.name, ())]
        applied = {id(action): (phase, action_id) for action, phase, action_id in taken}
        state = RecordedState(self._ledger, self.number, self._cast.seed)
        writes = Writes(
            self._ledger, self._record, self._cast.seed, applied, self._cast.reach, state
        )
        actions = [action for action, _, _ in taken]
        before = self._ledger.state(self.number)
        self._leave_silences()  # others' actions may read what a silent agent might have changed
        action_ids = [action_id for _, _, action_id in taken]
        part = Part("the engine, applying actions", lambda: (*action_ids, *state.causes))
        result = await settled(part, partial(rules.apply_actions, state, actions, writes))
        self._take_over(before, result, "apply")
        self._leave_silences()  # and it might have changed it after they did

    def _leave_silences(self) -> None:
        """Makes what a silent agent might have changed depend on why it is silent."""
        for name, causes in self._silence.items():
            for index in self._cast.reach.get(name, ()):
                self._ledger.lend(index, causes)

    async def _change_world(self, rules: Rules) -> None:
        call = Call("rules", ())
        view = View(self._ledger, self._record, self._cast.seed, call)
        before = self._ledger.state(self.number)
        part = Part("the engine, applying its rules", lambda: call.reads)
        result = await settled(part, partial(rules.apply_engine_rules, view))
        view.close()
        self._take_over(before, result, "rules")

    def _take_over(self, before: State, result: State | None, phase: str) -> None:
        """Takes over what an engine changed outside a view, put down to the whole turn."""
        if result is None:
            return
        if not isinstance(result, State):
            raise ThenceError(
                "could not take over the state",
                place=f"of turn {self.number}",
                cause=f"the engine returned {type(result).__name__}, not a State or None",
                hint="change variables through the view, or return state.replace(…)",
            )
        known = zip(before.values(), self._ledger.values, result.values(), strict=True)
        changed = [index for index, (was, now, new) in enumerate(known) if new not in (was, now)]
        if not changed:
            return
        _warn_of_unrecorded(self._ledger, self.number, changed)
        causes = [action_id for each in self._accepted.values() for _, _, action_id in each]
        call = Call(f"{phase}-unrecorded", (causes,))
        call.writes.update({index: result.values()[index] for index in changed})
        View(self._ledger, self._record, self._cast.seed, call, NOBODY).close()


def _as_actions(name: str, answer: Decision) -> Sequence[Action]:
    """Returns what an agent answered as a list; ThenceError if it is nothing of the kind."""
    if answer is None or isinstance(answer, Action):
        actions: Sequence[object] = () if answer is None else (answer,)
    else:
        actions = tuple(answer) if isinstance(answer, Iterable) else (answer,)
    for action in actions:
        if not isinstance(action, Action) or not isinstance(action.payload, Mapping):
            raise ThenceError(
                "could not take the decision",
                place=f"of agent {name}",
                cause=f"it returned {action!r:.60}",
                hint="decide_action returns an Action with a map as payload, a list, or None",
            )
    return cast(Sequence[Action], actions)


def _judged_by(proposal: Proposal, state: RecordedState) -> tuple[str, ...]:
    return (proposal.decision_id, *state.causes)


def _check_verdict(verdict: object, part: Part) -> None:
    if not isinstance(verdict, Verdict):
        error = ThenceError(
            "could not take the verdict",
            place="of the validator",
            cause=f"it returned {verdict!r:.60}",
            hint="validate_action returns Verdict.accept() or Verdict.reject(reason)",
        )
        blame(error, part)
        raise error


def _warn_of_unrecorded(ledger: Ledger, turn: int, changed: Sequence[int]) -> None:
    from thence.sim.records import logger

    logger().warning(
        "state_changed_outside_view",
        turn=turn,
        variables=[ledger.table[index].subject for index in changed],
        hint="change variables through the view, so that their causes are known",
    )
