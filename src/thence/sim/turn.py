"""One turn of a simulation: decisions, validation, actions, rules.

All reads and changes of agents, validators and engines go through views, so that each event
names the events that it depends on. An action that did *not* happen has effects too: the
variables that an inactive or refused agent might have changed depend from then on the reads of
the agent, and of the validator that refused it. A refused decision itself changed nothing: only
its rejection names it.
"""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol, cast

import msgspec

from thence.errors import ThenceError
from thence.sim.actions import Action, Rejection, Verdict
from thence.sim.agents import BaseAgent, Decision
from thence.sim.concurrency import Part, await_result, await_results, mark_error
from thence.sim.ledger import Ledger
from thence.sim.run_events import NOBODY, Record
from thence.sim.state import State
from thence.sim.validator import BaseValidator
from thence.sim.views import Call, Observation, RecordedState, View, Writes


class Rules(Protocol):
    """The part of an engine that a turn uses."""

    def apply_actions(
        self, state: RecordedState, actions: Sequence[Action], writes: Writes, /
    ) -> State | Awaitable[State | None] | None:
        """Applies the actions of the turn."""

    def apply_engine_rules(self, view: View, /) -> State | Awaitable[State | None] | None:
        """Applies the rules of the world."""


class Participants(msgspec.Struct, frozen=True):
    """The participants of every turn, with the run's data about each agent.

    `reach` are the indices of the variables that an agent's actions may change; `memory`
    are the causes that a remembering agent's next decision names.
    """

    agents: tuple[BaseAgent, ...]
    validator: BaseValidator
    retries: int
    seed: int
    reach: Mapping[str, tuple[int, ...]]
    memory: dict[str, tuple[str, ...]]


class Proposal(msgspec.Struct, frozen=True):
    """An action that an agent decided, before the validator's verdict."""

    action: Action
    attempt: int
    ordinal: int
    decision_id: str


class Turn:
    """The current turn of a run."""

    def __init__(self, participants: Participants, ledger: Ledger, record: Record) -> None:
        self.number = record.turn
        self._participants = participants
        self._ledger = ledger
        self._record = record
        self._observed = {
            agent.name: Observation(ledger, record.turn, participants.seed, agent.name)
            for agent in participants.agents
        }
        self._accepted: dict[str, list[tuple[Action, str, str]]] = {}
        self._inaction: dict[str, list[str]] = {}
        self._retries: dict[str, list[str]] = {}

    async def play(self, rules: Rules) -> State:
        """Plays the turn and returns the state after it."""
        agents: Sequence[BaseAgent] = self._participants.agents
        for attempt in range(self._participants.retries + 1):
            refused_names = await self._attempt(agents, attempt)
            agents = [agent for agent in agents if agent.name in refused_names]
        await self._apply(rules)
        await self._apply_rules(rules)
        return self._ledger.state(self.number)

    async def _attempt(self, agents: Sequence[BaseAgent], attempt: int) -> set[str]:
        """Gets the agents' decisions and their verdicts; returns the names of refused agents."""
        parts = [
            Part(f"agent {each.name}", partial(self._decision_causes, each.name), each.name)
            for each in agents
        ]
        calls = [partial(agent.decide_action, self._observed[agent.name]) for agent in agents]
        answers = await await_results(list(zip(parts, calls, strict=True)))
        proposals: list[Proposal] = []
        for agent, part, answer in zip(agents, parts, answers, strict=True):
            try:
                actions = _as_actions(agent.name, answer)
            except ThenceError as error:
                mark_error(error, part)
                raise
            proposals += self._decide(agent, actions, attempt)
        verdicts = await self._judge(proposals)
        rejections_by_agent: dict[str, list[Rejection]] = {}
        decisions_by_agent: dict[str, list[str]] = {}
        for proposal, (verdict, causes) in zip(proposals, verdicts, strict=True):
            name = proposal.action.agent_id
            if not verdict.is_valid:
                rejections_by_agent.setdefault(name, []).append(
                    self._reject(proposal, verdict, causes)
                )
            else:
                decisions_by_agent.setdefault(name, []).append(proposal.decision_id)
                self._accept(proposal, causes)
        for agent in agents:
            if agent.remembers:
                remembered = decisions_by_agent.get(agent.name) or self._decision_causes(agent.name)
                self._participants.memory[agent.name] = self._record.lineage.prune(remembered)
        if attempt < self._participants.retries:
            for name, rejections in rejections_by_agent.items():
                self._start_retry(name, rejections, attempt)
        return set(rejections_by_agent)

    def _decide(self, agent: BaseAgent, actions: Sequence[Action], attempt: int) -> list[Proposal]:
        """Records an agent's decisions; without any, its inaction has causes."""
        name = agent.name
        causes = self._decision_causes(name)
        proposals = []
        for ordinal, answer in enumerate(actions):
            action = msgspec.structs.replace(answer, agent_id=name)
            decision_id = self._record.decision(action, attempt, ordinal, causes)
            if decision_id is not None:
                proposals.append(Proposal(action, attempt, ordinal, decision_id))
        if not proposals:
            self._inaction.setdefault(name, []).extend(self._observed_causes(name))
        return proposals

    def _observed_causes(self, name: str) -> tuple[str, ...]:
        """Returns the causes of an agent's reads in this turn, and of its memory."""
        return (*self._observed[name].causes, *self._participants.memory.get(name, ()))

    def _decision_causes(self, name: str) -> tuple[str, ...]:
        """Returns the causes of an agent's decision now, with those of another attempt."""
        return (*self._observed_causes(name), *self._retries.get(name, ()))

    async def _judge(self, proposals: Sequence[Proposal]) -> list[tuple[Verdict, tuple[str, ...]]]:
        """Returns each proposal's verdict with the causes of the validator's reads."""
        states = [
            RecordedState(
                self._ledger, self.number, self._participants.seed, proposal.action.agent_id
            )
            for proposal in proposals
        ]
        judge = self._participants.validator.validate_action
        pairs = list(zip(proposals, states, strict=True))
        parts = [
            Part("the validator", partial(_verdict_causes, each, state), each.action.agent_id)
            for each, state in pairs
        ]
        calls = [partial(judge, each.action, state) for each, state in pairs]
        verdicts = await await_results(list(zip(parts, calls, strict=True)))
        for part, verdict in zip(parts, verdicts, strict=True):
            _check_verdict(verdict, part)
        return [
            (verdict, tuple(state.causes)) for verdict, state in zip(verdicts, states, strict=True)
        ]

    def _accept(self, proposal: Proposal, causes: Iterable[str]) -> None:
        action, ordinal = proposal.action, proposal.ordinal
        all_causes = (proposal.decision_id, *causes)
        action_id = self._record.action(action, proposal.attempt, ordinal, all_causes)
        if action_id is None:
            self._inaction.setdefault(action.agent_id, []).extend(all_causes)
            return
        phase = f"apply{ordinal}"
        if proposal.attempt:
            phase = f"apply{ordinal}-{proposal.attempt}"
        self._accepted.setdefault(action.agent_id, []).append((action, phase, action_id))

    def _reject(self, proposal: Proposal, verdict: Verdict, causes: Iterable[str]) -> Rejection:
        action = proposal.action
        rejection_id = self._record.rejection(
            action, proposal.attempt, proposal.ordinal, verdict, (proposal.decision_id, *causes)
        )
        inaction = self._inaction.setdefault(action.agent_id, [])
        inaction += (*self._observed_causes(action.agent_id), *causes)
        return Rejection(action, verdict, rejection_id)

    def _start_retry(self, name: str, rejections: Sequence[Rejection], attempt: int) -> None:
        """Starts the next attempt of an agent, whose decisions will name the rejections."""
        all_causes = [rejection.event_id for rejection in rejections]
        retried_id = self._record.retry(name, attempt + 1, all_causes)
        self._retries.setdefault(name, []).append(retried_id)
        self._observed[name].rejections += tuple(rejections)

    async def _apply(self, rules: Rules) -> None:
        """Lets the engine apply the accepted actions, in the order of the agents."""
        accepted = [
            each
            for agent in self._participants.agents
            for each in self._accepted.get(agent.name, ())
        ]
        applied = {id(action): (phase, action_id) for action, phase, action_id in accepted}
        state = RecordedState(self._ledger, self.number, self._participants.seed)
        writes = Writes(
            self._ledger,
            self._record,
            self._participants.seed,
            applied,
            self._participants.reach,
            state,
        )
        actions = [action for action, _, _ in accepted]
        before = self._ledger.state(self.number)
        self._record_inaction()  # others' actions may read variables of an inactive agent
        action_ids = [action_id for _, _, action_id in accepted]
        part = Part("the engine, applying actions", lambda: (*action_ids, *state.causes))
        result = await await_result(part, partial(rules.apply_actions, state, actions, writes))
        self._record_returned_state(before, result, "apply")
        self._record_inaction()  # and the agent might have changed them later

    def _record_inaction(self) -> None:
        """Adds the causes of inaction to the variables that the agent might have changed."""
        for name, causes in self._inaction.items():
            for index in self._participants.reach.get(name, ()):
                self._ledger.add_causes(index, causes)

    async def _apply_rules(self, rules: Rules) -> None:
        call = Call("rules", ())
        view = View(self._ledger, self._record, self._participants.seed, call)
        before = self._ledger.state(self.number)
        part = Part("the engine, applying its rules", lambda: call.reads)
        result = await await_result(part, partial(rules.apply_engine_rules, view))
        view.close()
        self._record_returned_state(before, result, "rules")

    def _record_returned_state(self, before: State, result: State | None, phase: str) -> None:
        """Records changes that an engine made outside a view, as effects of all actions."""
        if result is None:
            return
        if not isinstance(result, State):
            raise ThenceError(
                "could not take over the state",
                place=f"of turn {self.number}",
                cause=f"the engine returned {type(result).__name__}, not a State or None",
                hint="change variables through the view, or return state.replace(…)",
            )
        values = zip(before.values(), self._ledger.values, result.values(), strict=True)
        changed = [index for index, (was, now, new) in enumerate(values) if new not in (was, now)]
        if not changed:
            return
        _warn_of_unrecorded(self._ledger, self.number, changed)
        causes = [action_id for each in self._accepted.values() for _, _, action_id in each]
        call = Call(f"{phase}-unrecorded", (causes,))
        call.writes.update({index: result.values()[index] for index in changed})
        View(self._ledger, self._record, self._participants.seed, call, NOBODY).close()


def _as_actions(name: str, answer: Decision) -> Sequence[Action]:
    """Returns an agent's answer as a list; raises ThenceError for any other type."""
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


def _verdict_causes(proposal: Proposal, state: RecordedState) -> tuple[str, ...]:
    return (proposal.decision_id, *state.causes)


def _check_verdict(verdict: object, part: Part) -> None:
    if not isinstance(verdict, Verdict):
        error = ThenceError(
            "could not take the verdict",
            place="of the validator",
            cause=f"it returned {verdict!r:.60}",
            hint="validate_action returns Verdict.accept() or Verdict.reject(reason)",
        )
        mark_error(error, part)
        raise error


def _warn_of_unrecorded(ledger: Ledger, turn: int, changed: Sequence[int]) -> None:
    from thence.sim.log_messages import logger

    logger().warning(
        "state_changed_outside_view",
        turn=turn,
        variables=[ledger.table[index].subject for index in changed],
        hint="change variables through the view, so that their causes are known",
    )
