"""One turn of a simulation: decisions, validation, actions, rules, learning.

`Turn` is the sequence: who is called, in which order, and what an answer is worth. Who depends on
what, its trace knows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any

from thence.errors import ThenceError
from thence.sim.models.actions import EVERYONE, SAY
from thence.sim.populations.hooks import apply_own
from thence.sim.record.ledger import Ids, Ledger
from thence.sim.run.agents import (
    Accepted,
    Action,
    BaseAgent,
    BaseValidator,
    Decision,
    RecordedState,
    Rejection,
    TurnOutcome,
    Verdict,
    of_agent,
    stream,
)
from thence.sim.run.calls import (
    Caller,
    CallFailure,
    ComponentRef,
    TimeoutOf,
    mark_error,
    overrides,
    wrong_answer,
)
from thence.sim.run.engine import BaseEngine, View, Writes, speaks
from thence.sim.run.roster import Roster, RosterChange
from thence.sim.run.trace import Trace, WriteScope
from thence.sim.scenario.scenario import SimulationConfig
from thence.sim.scenario.state import State

# a function of a view is an order too
Order = str | Callable[[RecordedState], Any]
Verdicts = Iterable[tuple[Accepted, tuple[Verdict, Ids]]]


class Turn:
    """The turns of a run, of which `play` plays the next; `order` is the scenario's."""

    def __init__(
        self,
        ledger: Ledger,
        roster: Roster,
        trace: Trace,
        caller: Caller,
        validator: BaseValidator,
        config: SimulationConfig,
        order: Order,
    ) -> None:
        self._ledger, self._roster, self._trace, self._caller = ledger, roster, trace, caller
        self._validator, self._order = validator, order
        self._retries, self._settings = config.retries, config.simulation
        self._timeouts_s = {one.name: one.timeout_s for one in config.agents if one.timeout_s}
        self._is_judged = overrides(self._validator, BaseValidator, "validate_action")
        # the run goes on after a failure of an agent
        self._collects = self._settings.on_agent_error != "fail"
        self._agents: Sequence[BaseAgent] = ()
        self._accepted: list[Accepted] = []
        # of this turn, by the names of those who learn: members of their TurnOutcomes
        self._told: dict[str, dict[str, Any]] = {}

    async def play(self, engine: BaseEngine) -> State:
        """Plays the next turn and returns the state after it."""
        ledger, roster, trace = self._ledger, self._roster, self._trace
        together = self._order == "together"
        trace.begin_turn()
        turn, self._agents, self._accepted = trace.turn, roster.active, []
        learners = [one for one in self._agents if type(one).learn is not BaseAgent.learn]
        self._told = {one.name: {"observation": trace.lesson(one.name)} for one in learners}
        for agents in (self._agents,) if together else await self._in_order():
            accepted = await self._decide(agents)
            await self._apply(engine, agents, accepted)
            self._accepted += accepted
        if not together:
            trace.idle(trace.absent)  # who could have acted behind the others
        if overrides(engine, BaseEngine, "apply_engine_rules"):
            trace.gather_positions()
            scope = WriteScope("rules")
            view = View(ledger, turn, reads=scope.reads, _trace=trace, _scope=scope, _roster=roster)
            causes = partial(view.last_causes, scope)
            component = ComponentRef("the engine, applying its rules", causes)
            rules = partial(engine.apply_engine_rules, view)
            with view:
                answer = await self._caller.ask_one(component, rules)
                _check_none(component, "apply_engine_rules", answer)
        if learners:
            await self._learn(learners)
        if roster.asked:  # who reaches what is asked anew where one is added
            await self._caller.beside(roster.end_turn)
        return ledger.state(turn)

    def _timeouts(self, agents: Sequence[BaseAgent]) -> TimeoutOf | None:
        """Returns the function of the timeout by an agent's index, None if none needs a thread."""
        timeout_s, timeouts_s = self._settings.timeout_s, self._timeouts_s
        if timeout_s is None and not (timeouts_s or self._roster.has_blocking):
            return None

        def timeout_of(place: int) -> float | None:
            limit_s = timeouts_s.get(agents[place].name, timeout_s)
            return inf if limit_s is None and agents[place].blocks is True else limit_s

        return timeout_of

    async def _in_order(self) -> list[tuple[BaseAgent]]:
        """Returns the agents that act one after another; who is absent might have done so too."""
        trace, order, agents = self._trace, self._order, self._agents
        if order == "random":
            seed = self._ledger.seed
            draws = {one.name: stream(seed, one.name, trace.turn, "order") for one in agents}
            agents = tuple(sorted(agents, key=lambda one: draws[one.name].random()))
        elif not isinstance(order, str):
            view = RecordedState(self._ledger, trace.turn, site="order")
            component = ComponentRef("the order", partial(trace.ended_by, view))
            names: Any = await self._caller.ask_one(component, partial(order, view))
            active = {agent.name: agent for agent in agents}
            present = self._ledger.present
            if not isinstance(names, list) or sum(one in names for one in present) < len(names):
                hint = "return a list of names of view.agents(), each at most once"
                raise wrong_answer(component, "the function", names, "names of agents", hint)
            agents = tuple([active.pop(name) for name in names if name in active])
            trace.ordered(view, active.values())
        trace.idle()
        return [(agent,) for agent in agents]

    async def _decide(self, agents: Sequence[BaseAgent]) -> list[Accepted]:
        """Lets agents decide, once more where an action is refused; returns what is accepted."""
        trace, retries, accepted = self._trace, self._retries, list[Accepted]()
        asked: Sequence[BaseAgent] = agents
        self._ledger.around = trace.around()
        for attempt in range(retries + 1):
            rejections = await self._attempt(asked, attempt, accepted)
            if not rejections:
                break
            if attempt < retries:
                for name, refused in rejections.items():
                    trace.retried(name, refused)
            asked = [agent for agent in asked if agent.name in rejections]
        self._ledger.around = ()
        if attempt:  # each agent's actions at its place, whenever they were accepted
            places = {agent.name: place for place, agent in enumerate(agents)}
            accepted.sort(key=lambda act: places[act.action.agent_id])
        for agent in agents if self._ledger.talks else ():
            words = [(who, text) for _, who, text in trace.heard(agent.name)]
            if agent.name in self._told:
                self._told[agent.name]["heard"] = tuple(words)
        return accepted

    async def _attempt(
        self, agents: Sequence[BaseAgent], attempt: int, accepted: list[Accepted]
    ) -> dict[str, list[Rejection]]:
        """Gets the agents' decisions and their verdicts; returns the rejections by agent."""
        trace, told = self._trace, self._told
        trace.begin_attempt(agents, attempt)
        failures: dict[str, CallFailure] = {}
        for name, facts in trace.known_failures(agents).items():
            error = ThenceError("could not get a decision", place="again", cause=facts["error"])
            mark_error(error, self._component_of(name))
            failures[name] = CallFailure(facts["kind"], error)
        called = [agent for agent in agents if agent.name not in failures] if failures else agents
        answers: Iterable[Decision | CallFailure] = await self._caller.ask(
            ((agent.decide_action, (trace.observation(agent.name),)) for agent in called),
            lambda place: self._component_of(called[place].name),
            len(called),
            timeout_of=self._timeouts(called),
            collects=self._collects,
        )
        if failures:  # where a failure is known, the agent is not called
            rest = iter(answers)
            answers = [failures.get(agent.name) or next(rest) for agent in agents]
        acts: list[Accepted] = []
        for agent, answer in zip(agents, answers, strict=True):
            actions = self._actions(agent.name, answer)
            if isinstance(actions, CallFailure):
                policy, failure_ids = trace.failed(agent.name, actions)
                if policy == "pause":
                    pause = RosterChange("paused", agent.name, causes=failure_ids)
                    self._roster.ask(pause, trace.turn)
                continue
            if agent.name in told:
                decided = [of_agent(action, agent.name) for action in actions]
                told[agent.name]["decided"] = tuple(decided)
            acts += trace.decided(agent.name, actions)
        rejections: dict[str, list[Rejection]] = {}
        if not self._is_judged:
            accepted += trace.all_accepted(acts)
        for act, (verdict, causes) in await self._judge(acts) if self._is_judged else ():
            if not verdict.is_valid:
                rejection = trace.refused(act, verdict, causes)
                rejections.setdefault(act.action.agent_id, []).append(rejection)
            elif trace.accepted(act, causes):
                accepted.append(act)
        trace.remember(agents)
        for name in rejections.keys() & told.keys():
            told[name]["refused"] = (*told[name].get("refused", ()), *rejections[name])
        return rejections

    def _actions(self, name: str, answer: Decision | CallFailure) -> Sequence[Action] | CallFailure:
        """Returns an agent's answer as a list; a CallFailure if it is none and the run goes on."""
        if answer is None:
            return ()
        if type(answer) is Action and type(answer.payload) is dict and answer.action_type != SAY:
            return (answer,)
        if isinstance(answer, CallFailure):
            return answer
        try:
            given = answer if isinstance(answer, Iterable) else (answer,)
            actions: tuple[Any, ...] = tuple(given)
        except Exception as error:  # boundary: a lazy answer runs the agent's code
            failure = CallFailure("raised", error)
        else:
            cause = hint = ""
            for action in actions:
                if not isinstance(action, Action) or not isinstance(action.payload, Mapping):
                    misfit = action if isinstance(answer, list | tuple) else answer
                    cause = f"it returned {misfit!r:.60}"
                    hint = "decide_action returns an Action with a map as payload, a list, or None"
                    break
                to, table = action.payload.get("to"), self._ledger.table
                is_heard = to == EVERYONE or f"agent/{to}" in table.by_scope
                if not is_heard and speaks(table, name, action):
                    cause = f"it speaks to {to!r:.60}, which is not an agent's name"
                    hint = f"to is the name of an agent, or {EVERYONE!r}"
                    break
            else:
                return actions
            what, place = "could not take the decision", f"of agent {name}"
            failure = CallFailure(
                "nonsense", ThenceError(what, place=place, cause=cause, hint=hint)
            )
        mark_error(failure.error, self._component_of(name))
        if not self._collects:
            raise failure.error
        return failure

    def _component_of(self, name: str) -> ComponentRef:
        return ComponentRef(f"agent {name}", partial(self._trace.ended_by_agent, name), name)

    async def _judge(self, acts: Sequence[Accepted]) -> Verdicts:
        """Returns each action's verdict with the causes of the validator's reads."""
        trace, judge = self._trace, self._validator.validate_action
        states = [
            RecordedState(self._ledger, trace.turn, act.action.agent_id, site=act.phase)
            for act in acts
        ]

        def component_at(place: int) -> ComponentRef:
            act = acts[place]
            causes = partial(trace.ended_by, states[place], act.causes)
            return ComponentRef("the validator", causes, act.action.agent_id)

        timeout_s = self._settings.timeout_s
        verdicts = await self._caller.ask(
            [(judge, (act.action, state)) for act, state in zip(acts, states, strict=True)],
            component_at,
            len(acts),
            timeout_of=None if timeout_s is None else lambda place: timeout_s,
            threads_max=1,  # one object judges all: its calls follow each other
        )
        for place, verdict in enumerate(verdicts):
            if not isinstance(verdict, Verdict):
                hint = "validate_action returns Verdict.accept() or Verdict.reject(reason)"
                component = component_at(place)
                raise wrong_answer(component, "validate_action", verdict, "a Verdict", hint)
        return zip(acts, zip(verdicts, trace.judged(acts, states), strict=True), strict=True)

    async def _apply(
        self, engine: BaseEngine, agents: Sequence[BaseAgent], accepted: Sequence[Accepted]
    ) -> None:
        """Lets the engine apply the accepted actions of agents, in their order."""
        trace, roster = self._trace, self._roster
        is_alone = agents is not self._agents
        state = RecordedState(self._ledger, trace.turn)
        writes = Writes(self._ledger, trace, accepted, roster.reach, state)
        idle = [agent.name for agent in agents] if is_alone else None
        trace.idle(idle)  # others' actions may read variables of an inactive agent
        if is_alone and not accepted:
            return
        component = ComponentRef(
            "the engine, applying actions",
            lambda: (*writes.all_ids(), *trace.ended_by(state)),
        )
        actions = apply_own(roster.populations, [act.action for act in accepted], writes)
        if actions or overrides(engine, BaseEngine, "apply_actions"):  # else there is no call
            call = partial(engine.apply_actions, state, actions, writes)
            _check_none(component, "apply_actions", await self._caller.ask_one(component, call))
        trace.asked(state)
        trace.all_applied(accepted, agents)
        trace.idle(idle)  # and the agent might have changed them later

    async def _learn(self, agents: Sequence[BaseAgent]) -> None:
        """Lets the agents learn what came of their turn, which their next decisions name."""
        trace, told = self._trace, self._told
        applied: dict[str, list[Accepted]] = {name: [] for name in told}
        for act in self._accepted:
            if act.action.agent_id in applied:
                applied[act.action.agent_id].append(act)
        outcomes = {
            name: TurnOutcome(
                turn=trace.turn, applied=tuple([act.action for act in applied[name]]), **members
            )
            for name, members in told.items()
        }

        def component_at(place: int) -> ComponentRef:
            name = agents[place].name
            causes = partial(trace.ended_by_learner, name, outcomes[name], applied[name])
            return ComponentRef(f"agent {name}, learning", causes, name)

        await self._caller.ask(
            [(agent.learn, (outcomes[agent.name],)) for agent in agents],
            component_at,
            len(agents),
            timeout_of=self._timeouts(agents),
        )
        for agent in agents:
            trace.learned(agent, outcomes[agent.name], applied[agent.name])


def _check_none(component: ComponentRef, method: str, answer: object) -> None:
    """Raises ThenceError for what an engine returns where it changes the state through a view."""
    if answer is not None:
        hint = "change variables through the view, so that their causes are known"
        raise wrong_answer(component, method, answer, "None", hint)
