"""One turn of a simulation: decisions, validation, actions, rules.

All reads and changes of agents, validators and engines go through views, so that each event
names the events that it depends on. An action that did *not* happen has effects too: the
variables that an inactive or refused agent might have changed depend from then on the reads of
the agent, and of the validator that refused it. A refused decision itself changed nothing: only
its rejection names it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from thence.errors import ThenceError
from thence.sim.models.actions import EVERYONE, HEARD, SAY
from thence.sim.populations.hooks import apply_own
from thence.sim.record.ledger import Ids, Ledger
from thence.sim.record.recorder import RunRecorder
from thence.sim.run.agents import (
    Accepted,
    Action,
    BaseAgent,
    BaseValidator,
    Decision,
    Observation,
    Observed,
    RecordedState,
    RecordedView,
    Rejection,
    TurnOutcome,
    UnrecordedObservation,
    Verdict,
)
from thence.sim.run.calls import (
    BlocksOf,
    Caller,
    CallFailure,
    ComponentRef,
    TimeoutOf,
    mark_error,
    wrong_answer,
)
from thence.sim.run.engine import BaseEngine, View, Writes, WriteScope, hearers, record_returned
from thence.sim.run.roster import Roster, RosterChange
from thence.sim.scenario.sections import RunSettings
from thence.sim.scenario.state import State
from thence.sim.space.sight import SightedObservation

if TYPE_CHECKING:
    from thence.sim.models.asking import ModelCall

# an error's text in an event, which names the component's problem and is no transcript
_ERROR_CHARACTERS_MAX = 1_000


def message_of(error: Exception) -> str:
    """Returns the text of an error, "" if it can't be read."""
    try:
        return str(error)
    except Exception:  # boundary: a user's error, whose code runs here
        return ""


def described(error: Exception) -> str:
    """Returns the text of an error behind its type; that of our own errors needs none."""
    text = message_of(error)
    return text if isinstance(error, ThenceError) else f"{type(error).__name__}: {text}"


class TurnContext(msgspec.Struct, frozen=True):
    """What every turn needs.

    `timeouts_s` are the seconds of agents that have limits of their own. `memory` are the causes
    that a remembering agent's next decision names. `known_failures` are the facts of recorded
    failures by their step: an agent is not called where one stands, and the same is recorded.
    """

    roster: Roster
    validator: BaseValidator
    caller: Caller
    retries: int
    settings: RunSettings
    timeouts_s: Mapping[str, float]
    known_failures: Mapping[str, Mapping[str, Any]]
    memory: dict[str, tuple[str, ...]]

    @property
    def collects(self) -> bool:
        """True if the run goes on after a failure of an agent."""
        return self.settings.on_agent_error != "fail"

    def timeouts(self, agents: Sequence[BaseAgent]) -> TimeoutOf | None:
        """Returns the function of the timeout by an agent's index, None if none has one."""
        timeout_s = self.settings.timeout_s
        if timeout_s is None and not self.timeouts_s:
            return None
        return lambda place: self.timeouts_s.get(agents[place].name, timeout_s)

    def blocking(self, agents: Sequence[BaseAgent]) -> BlocksOf | None:
        """Returns whether an agent blocks, by its index, None if none does."""
        return (lambda place: agents[place].blocks is True) if self.roster.has_blocking else None


class Turn:
    """The current turn of a run."""

    def __init__(self, context: TurnContext, ledger: Ledger, recorder: RunRecorder) -> None:
        self.number = recorder.turn
        self._context = context
        self._ledger = ledger
        self._recorder = recorder
        # a failure that the run goes on after is recorded with what its agent had read
        goes_on = context.collects or bool(context.known_failures)
        is_read = recorder.writes_decisions or goes_on
        observation = Observation if is_read else UnrecordedObservation
        if ledger.sights is not None:
            observation = SightedObservation
        self._observation = partial(observation, ledger, recorder.turn)
        self._observed = Observed(self._observation)
        self._accepted: list[Accepted] = []
        self._calls: dict[str, Ids] = {}
        self._attempt_number = 0
        roster = context.roster
        # the events by which agents do nothing, and those that their decisions name, by agent
        self._inaction, self._notices = roster.begin_turn(self.number, recorder.roster_change)
        self._agents = roster.active
        self._accepts_all = _takes_all(context.validator)
        self._learners = [one for one in self._agents if type(one).learn is not BaseAgent.learn]
        self._outcomes = {agent.name: self._begin_outcome(agent.name) for agent in self._learners}
        is_read = is_read or bool(self._learners)
        self._is_unread = self._accepts_all and not (is_read or recorder.is_altered)

    async def play(self, engine: BaseEngine) -> State:
        """Plays the turn and returns the state after it."""
        ledger, recorder = self._ledger, self._recorder
        agents: Sequence[BaseAgent] = self._agents
        ledger.around = () if recorder.writes_decisions else (recorder.turn_id,)
        for attempt in range(self._context.retries + 1):
            refused_names = await self._attempt(agents, attempt)
            if not refused_names:
                break
            agents = [agent for agent in agents if agent.name in refused_names]
        ledger.around = ()
        await self._apply(engine)
        await self._apply_rules(engine)
        if self._learners:
            await self._learn(self._learners)
        self._context.roster.end_turn()
        return ledger.state(self.number)

    async def _attempt(self, agents: Sequence[BaseAgent], attempt: int) -> set[str]:
        """Gets the agents' decisions and their verdicts; returns the names of refused agents."""
        self._attempt_number = attempt
        self._recorder.decisions += len(agents)
        answers = await self._ask(agents, attempt)
        if self._is_unread:
            self._accept_all(agents, answers)
            return set()
        proposals = self._proposals(agents, answers, attempt)
        verdicts = None if self._accepts_all else await self._judge(proposals)
        rejections: dict[str, list[Rejection]] = {}
        remembered: dict[str, Ids] = {}
        accepting: dict[str, Ids] = {}  # by which others of an agent's actions were not refused too
        for place, proposal in enumerate(proposals):
            name = proposal.action.agent_id
            verdict, causes = verdicts[place] if verdicts else (None, ())
            if verdict is None or verdict.is_valid:
                decided = proposal.causes
                remembered[name] = remembered[name] + decided if name in remembered else decided
                accepting[name] = (*accepting.get(name, ()), *decided, *causes)
                self._accept(proposal, causes)
            else:
                rejections.setdefault(name, []).append(self._reject(proposal, verdict, causes))
        if self._recorder.writes_decisions:
            for agent in agents:
                if agent.remembers:
                    self._remember(agent.name, remembered.get(agent.name))
        if attempt < self._context.retries:
            for name, refused in rejections.items():
                self._start_retry(name, refused, attempt, accepting.get(name, ()))
        return set(rejections)

    def _accept_all(
        self, agents: Sequence[BaseAgent], answers: Sequence[Decision | CallFailure]
    ) -> None:
        """Accepts every action where no event names it: nothing is built for its decision."""
        accepted = self._accepted
        for agent, answer in zip(agents, answers, strict=True):
            if answer is None:
                continue
            name = agent.name
            actions = self._actions(name, answer)
            assert not isinstance(actions, CallFailure), "a failure ends such a run"
            for ordinal, action in enumerate(actions):
                accepted.append(Accepted(_of_agent(action, name), 0, ordinal, ()))

    async def _ask(self, agents: Sequence[BaseAgent], attempt: int) -> list[Decision | CallFailure]:
        """Returns each agent's answer; where a failure is known, the agent is not called."""
        context = self._context
        # an observation that nothing looks at again ends with its call, and leaves its memory
        # to the next one
        observation = self._observed.make if self._is_unread else self._observed.__getitem__
        recorded = self._recorded_failures(agents, attempt) if context.known_failures else {}
        called = [agent for agent in agents if agent.name not in recorded] if recorded else agents
        answers: list[Decision | CallFailure] = await context.caller.ask(
            ((agent.decide_action, (observation(agent.name),)) for agent in called),
            lambda place: self._component_of_agent(called[place].name),
            len(called),
            timeout_of=context.timeouts(called),
            blocks_of=context.blocking(called),
            collects=context.collects,
        )
        if not recorded:
            return answers
        rest = iter(answers)
        return [recorded.get(agent.name) or next(rest) for agent in agents]

    def _recorded_failures(
        self, agents: Sequence[BaseAgent], attempt: int
    ) -> dict[str, CallFailure]:
        """Returns the recorded failures by agent; what the agent had read is read again."""
        failures = {}
        for name in [agent.name for agent in agents]:
            step = self._recorder.failure_step(name, attempt)
            if (facts := self._context.known_failures.get(step)) is None:
                continue
            for subject in facts.get("reads", ()):
                scope, _, variable = subject.rpartition("/")
                index = self._ledger.table.index(scope, variable)
                RecordedView.value(self._observed[name], index)  # however far it can see
            steps = [call["step"] for call in facts.get("calls", ()) if "step" in call]
            self._calls[name] = (*self._calls.get(name, ()), *self._recorder.recorded_calls(steps))
            error = ThenceError("could not get a decision", place="again", cause=facts["error"])
            mark_error(error, self._component_of_agent(name))
            failures[name] = CallFailure(facts["kind"], error)
        return failures

    def _actions(self, name: str, answer: Decision | CallFailure) -> Sequence[Action] | CallFailure:
        """Returns an agent's answer as a list; a CallFailure if it is none and the run goes on."""
        if answer is None:
            return ()
        if type(answer) is Action and type(answer.payload) is dict and answer.action_type != SAY:
            return (answer,)
        if isinstance(answer, CallFailure):
            return answer
        try:
            actions = tuple(answer) if isinstance(answer, Iterable) else (answer,)
        except Exception as error:  # boundary: a lazy answer runs the agent's code
            failure = CallFailure("raised", error)
        else:
            fault = next(
                filter(None, (self._fault(name, action, answer) for action in actions)), None
            )
            if fault is None:
                return actions
            failure = CallFailure("nonsense", fault)
        mark_error(failure.error, self._component_of_agent(name))
        if not self._context.collects:
            raise failure.error
        return failure

    def _fault(self, name: str, action: object, answer: object) -> ThenceError | None:
        """Returns the error if an action in an answer is none, or speaks to an unknown agent."""
        if not isinstance(action, Action) or not isinstance(action.payload, Mapping):
            misfit = action if isinstance(answer, list | tuple) else answer
            cause = f"it returned {misfit!r:.60}"
            hint = "decide_action returns an Action with a map as payload, a list, or None"
        else:
            to = action.payload.get("to")
            if to == EVERYONE or hearers(self._ledger.table, name, action) != []:
                return None
            cause = f"it speaks to {to!r:.60}, which is not an agent's name"
            hint = f"to is the name of an agent, or {EVERYONE!r}"
        return ThenceError(
            "could not take the decision", place=f"of agent {name}", cause=cause, hint=hint
        )

    def _fail(self, name: str, failure: CallFailure, attempt: int) -> None:
        """Records an agent's failure; its inaction and its next decision depend on it."""
        observation, context, recorder = self._observed[name], self._context, self._recorder
        if failure.kind == "timed_out":  # the abandoned call goes on to read, maybe
            observation = self._observed[name] = observation.copy()
        calls = observation.calls
        self._record_calls(name, attempt)
        facts = context.known_failures.get(recorder.failure_step(name, attempt)) or {
            "kind": failure.kind,
            "error": described(failure.error)[:_ERROR_CHARACTERS_MAX],
            "policy": context.settings.on_agent_error,
            "reads": [self._ledger.table[index].subject for index in observation.reads],
            **({"calls": [_call_facts(call) for call in calls]} if calls else {}),
        }
        failed_id = recorder.agent_failure(name, attempt, facts, self._decision_causes(name))
        if recorder.writes_decisions:
            self._inaction.setdefault(name, []).append(failed_id)
            self._notices.setdefault(name, []).append(failed_id)
        if facts["policy"] == "pause":
            causes = (failed_id,) if recorder.writes_decisions else ()
            context.roster.ask(RosterChange("paused", name, causes=causes), self.number)

    def _component_of_agent(self, name: str) -> ComponentRef:
        return ComponentRef(f"agent {name}", partial(self._failure_causes, name), name)

    def _failure_causes(self, name: str) -> Ids:
        """Returns the causes of an agent's failure that ends the run, with its calls of models."""
        observation, attempt = self._observed[name], self._attempt_number
        ids = self._recorder.last_calls(observation, attempt, self._call_causes(name))
        return (*ids, *self._decision_causes(name))

    def _record_calls(self, name: str, attempt: int) -> None:
        """Records the calls of models of an agent's attempt, which what came of them names."""
        if (observation := self._observed[name]).calls:
            ids = self._recorder.model_calls(observation, attempt, self._call_causes(name))
            self._calls[name] = (*self._calls.get(name, ()), *ids)

    def _call_causes(self, name: str) -> Ids:
        """Returns the causes of an agent's calls besides its reads: its memory, its refusals."""
        return (*self._context.memory.get(name, ()), *self._notices.get(name, ()))

    def _remember(self, name: str, decisions: Iterable[str] | None) -> None:
        """Keeps what a remembering agent's next decision names: its decisions, or why none."""
        causes = decisions or self._decision_causes(name)
        self._context.memory[name] = self._recorder.provenance(causes)

    def _proposals(
        self, agents: Sequence[BaseAgent], answers: Sequence[Decision | CallFailure], attempt: int
    ) -> list[Accepted]:
        """Records the agents' decisions; without any, an agent's inaction has causes."""
        recorder, observed = self._recorder, self._observed
        calls, memory, notices = self._calls, self._context.memory, self._notices
        outcomes = self._outcomes
        turn, writes, is_altered = (
            (recorder.turn_id,),
            recorder.writes_decisions,
            recorder.is_altered,
        )
        proposals: list[Accepted] = []
        for agent, answer in zip(agents, answers, strict=True):
            name = agent.name
            actions = self._actions(name, answer)
            if isinstance(actions, CallFailure):
                self._fail(name, actions, attempt)
                continue
            observation = observed[name]
            if name in outcomes:
                decided = tuple([_of_agent(action, name) for action in actions])
                messages = observation.calls[-1].facts["messages"] if observation.calls else ()
                outcomes[name] = replace(outcomes[name], decided=decided, asked=messages)
            if observation.calls:
                self._record_calls(name, attempt)  # which its decision names
            causes: Ids = ()
            if writes:
                causes = turn + calls[name] if name in calls else turn
                for ids in observation.reads.values():
                    causes += ids
                if name in memory:
                    causes += memory[name]
                if name in notices:
                    causes += (*notices[name],)
                causes = tuple(dict.fromkeys(causes))
            by_ordinal: Iterable[tuple[int, Action]] = enumerate(actions)
            if is_altered:
                by_ordinal = recorder.altered_actions(name, attempt, actions)
            count = len(proposals)
            for ordinal, action in by_ordinal:
                proposal = Accepted(_of_agent(action, name), attempt, ordinal, causes)
                if recorder.decision(proposal):
                    proposals.append(proposal)
            if writes and len(proposals) == count:
                self._inaction.setdefault(name, []).extend(self._observed_causes(name))
        return proposals

    def _observed_causes(self, name: str) -> Ids:
        """Returns the causes of an agent's reads in this turn, and of its memory."""
        memory = self._context.memory
        causes = tuple(self._observed[name].causes)
        if name in memory:
            causes += memory[name]
        return (*self._calls[name], *causes) if name in self._calls else causes

    def _decision_causes(self, name: str) -> Ids:
        """Returns the causes of an agent's decision now, with those of another attempt."""
        causes = self._observed_causes(name)
        return (*causes, *self._notices[name]) if name in self._notices else causes

    async def _judge(self, proposals: Sequence[Accepted]) -> list[tuple[Verdict, Ids]]:
        """Returns each proposal's verdict with the causes of the validator's reads."""
        judge = self._context.validator.validate_action
        states = [
            RecordedState(self._ledger, self.number, proposal.action.agent_id, site=proposal.phase)
            for proposal in proposals
        ]

        def component_at(place: int) -> ComponentRef:
            proposal, state = proposals[place], states[place]
            agent = proposal.action.agent_id

            def causes() -> Ids:
                ids = self._recorder.last_calls(state, 0, proposal.causes)
                return (*proposal.causes, *ids, *state.causes)

            return ComponentRef("the validator", causes, agent)

        calls = [
            (judge, (proposal.action, state))
            for proposal, state in zip(proposals, states, strict=True)
        ]
        timeout_s = self._context.settings.timeout_s
        verdicts = await self._context.caller.ask(
            calls,
            component_at,
            len(calls),
            timeout_of=None if timeout_s is None else lambda place: timeout_s,
            blocks_of=(lambda place: True) if self._context.validator.blocks is True else None,
            threads_max=1,  # one object judges all: its calls follow each other
        )
        for place, verdict in enumerate(verdicts):
            if not isinstance(verdict, Verdict):
                hint = "validate_action returns Verdict.accept() or Verdict.reject(reason)"
                component = component_at(place)
                raise wrong_answer(component, "validate_action", verdict, "a Verdict", hint)
        model_calls = self._recorder.model_calls
        return [
            (verdict, (*model_calls(state, 0, proposal.causes), *state.causes))
            for verdict, proposal, state in zip(verdicts, proposals, states, strict=True)
        ]

    def _accept(self, proposal: Accepted, causes: Ids) -> None:
        absence = self._recorder.accept(proposal, causes)
        if absence is None:
            self._accepted.append(proposal)
        else:
            self._inaction.setdefault(proposal.action.agent_id, []).extend(absence)

    def _reject(self, proposal: Accepted, verdict: Verdict, causes: Ids) -> Rejection:
        action = proposal.action
        rejection_id = self._recorder.rejection(proposal, verdict, causes)
        inaction = self._inaction.setdefault(action.agent_id, [])
        inaction += (*self._observed_causes(action.agent_id), *causes)
        rejection = Rejection(action, verdict, rejection_id)
        if (outcome := self._outcomes.get(action.agent_id)) is not None:
            refused = (*outcome.refused, rejection)
            self._outcomes[action.agent_id] = replace(outcome, refused=refused)
        return rejection

    def _start_retry(
        self, name: str, rejections: Sequence[Rejection], attempt: int, accepting: Ids
    ) -> None:
        """Starts the next attempt of an agent, which sees what was refused, and what was not."""
        all_causes = dict.fromkeys((*(one.event_id for one in rejections), *accepting))
        if retried_id := self._recorder.retry(name, attempt + 1, all_causes):
            self._notices.setdefault(name, []).append(retried_id)
        self._observed[name].rejections += tuple(rejections)
        self._observed[name].begin_scope(str(attempt + 1))

    async def _apply(self, engine: BaseEngine) -> None:
        """Lets the engine apply the accepted actions, in the order of the agents."""
        accepted = self._accepted
        if self._attempt_number:  # each agent's at its place, whenever they were accepted
            places = {agent.name: place for place, agent in enumerate(self._agents)}
            accepted.sort(key=lambda applied: places[applied.action.agent_id])
        state = RecordedState(self._ledger, self.number)
        reach = self._context.roster.reach
        writes = Writes(self._ledger, self._recorder, accepted, reach, state)
        actions: Sequence[Action] = [applied.action for applied in accepted]
        before = self._ledger.state(self.number)
        self._record_inaction()  # others' actions may read variables of an inactive agent
        component = ComponentRef(
            "the engine, applying actions",
            lambda: (*writes.all_ids(), *self._recorder.last_calls(state), *state.causes),
        )
        actions = apply_own(self._context.roster.populations, actions, writes)
        call = partial(engine.apply_actions, state, actions, writes)
        result = await self._context.caller.ask_one(component, call)
        self._recorder.model_calls(state)
        if self._recorder.writes_decisions:
            for applied in accepted:
                if not applied.event_id:
                    self._recorder.write(applied)
            if not self._recorder.writes_actions:
                self._remember_actions()
        record_returned(self._ledger, self._recorder, (before, result), "apply", accepted)
        self._record_inaction()  # and the agent might have changed them later

    def _remember_actions(self) -> None:
        """Lets agents remember the events of their actions, which had none when they decided."""
        ids_of: dict[str, list[str]] = {}
        for applied in self._accepted:
            ids_of.setdefault(applied.action.agent_id, []).append(applied.event_id)
        for agent in self._agents:
            if agent.remembers and agent.name in ids_of:
                self._remember(agent.name, ids_of[agent.name])

    def _record_inaction(self) -> None:
        """Adds the causes of inaction to what agents might have changed, once for each reach."""
        reach, provenance = self._context.roster.reach, self._ledger.provenance
        causes_of: dict[tuple[int, ...], dict[str, None]] = {}
        for name, causes in self._inaction.items():
            indices = reach.get(name, ())
            if indices in causes_of:
                causes_of[indices].update(dict.fromkeys(causes))
            else:
                causes_of[indices] = dict.fromkeys(causes)
        for indices, all_causes in causes_of.items():
            if len(all_causes) == 1:
                (cause,) = all_causes
                if all(cause in provenance[index] for index in indices):
                    continue  # as of an agent that read but what is its own
            self._recorder.add_causes(provenance, indices, all_causes)

    def _begin_outcome(self, name: str) -> TurnOutcome:
        """Returns the outcome of a turn that begins, with what its agent hears."""
        observation = self._observation(name, phase="learn")
        entries = observation[HEARD] if self._ledger.talks else ()
        heard = tuple([(who, text) for turn, who, text in entries if turn == self.number - 1])
        return TurnOutcome(turn=self.number, observation=observation, heard=heard)

    async def _learn(self, agents: Sequence[BaseAgent]) -> None:
        """Lets the agents learn what came of their turn, which their next decisions name."""
        outcomes, context, recorder = self._outcomes, self._context, self._recorder
        applied: dict[str, list[Accepted]] = {}
        for accepted in self._accepted:
            applied.setdefault(accepted.action.agent_id, []).append(accepted)
        for name in outcomes.keys() & applied.keys():
            actions = tuple([accepted.action for accepted in applied[name]])
            outcomes[name] = replace(outcomes[name], applied=actions)

        def causes_of(name: str, calls: Callable[..., Ids]) -> Ids:
            outcome, memory = outcomes[name], context.memory.get(name, ())
            ids = [accepted.event_id for accepted in applied.get(name, ())] or memory
            refused = [rejection.event_id for rejection in outcome.refused]
            reads = chain.from_iterable(outcome.observation.reads.values())
            causes = (*filter(None, (*ids, *refused)), *reads)
            return (*causes, *calls(outcome.observation, 0, causes))

        def component_at(place: int) -> ComponentRef:
            name = agents[place].name
            causes = partial(causes_of, name, recorder.last_calls)
            return ComponentRef(f"agent {name}, learning", causes, name)

        await context.caller.ask(
            [(agent.learn, (outcomes[agent.name],)) for agent in agents],
            component_at,
            len(agents),
            timeout_of=context.timeouts(agents),
            blocks_of=context.blocking(agents),
        )
        for agent in agents:
            causes = causes_of(agent.name, recorder.model_calls)
            if recorder.writes_decisions and agent.remembers:
                context.memory[agent.name] = recorder.provenance(causes)

    async def _apply_rules(self, engine: BaseEngine) -> None:
        call = WriteScope("rules")
        roster = self._context.roster
        recorder = self._recorder
        view = View(self._ledger, self.number, _recorder=recorder, _scope=call, _roster=roster)
        before = self._ledger.state(self.number)
        component = ComponentRef("the engine, applying its rules", partial(view.last_causes, call))
        caller = self._context.caller
        result = await caller.ask_one(component, partial(engine.apply_engine_rules, view))
        view.close()
        states = before, result
        record_returned(self._ledger, self._recorder, states, "rules", self._accepted)


def _takes_all(validator: BaseValidator) -> bool:
    judge = validator.validate_action
    return getattr(judge, "__func__", None) is BaseValidator.validate_action


def _call_facts(call: "ModelCall") -> dict[str, Any]:
    """Returns the facts of a call in the failure of its agent, with the step of its event."""
    return {**({"step": call.step} if call.step else {}), **call.sums}


def _of_agent(action: Action, name: str) -> Action:
    if action.agent_id == name:
        return action
    if type(action) is not Action:
        return replace(action, agent_id=name)
    kind, payload, decision = action.action_type, action.payload, action.decision
    return Action(kind, payload, decision, action.decision_type, action.instead_of, name)
