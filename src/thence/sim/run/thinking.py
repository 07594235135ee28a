"""Agents, validators and engines that ask models, and agents that follow a script.

The bases have two methods: the messages to the model, and what its answer means. An answer that
can't be used is asked for once more, with the reason; nothing is guessed.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from inspect import iscoroutinefunction
from json import JSONDecodeError
from typing import Annotated, Any, TypeVar

import msgspec

from thence.errors import ThenceError
from thence.sim.models.actions import (
    HEARD,
    NO_ACTION,
    ActionSet,
    DeclaredAction,
    action_set,
    as_json,
)
from thence.sim.models.client import ModelCallFailed, ModelRequest
from thence.sim.models.completions import readings
from thence.sim.run.agents import (
    Action,
    BaseAgent,
    BaseValidator,
    Decision,
    Observation,
    RecordedState,
    RecordedView,
    Verdict,
)
from thence.sim.run.engine import BaseEngine, View
from thence.sim.scenario.component_classes import ComponentNotFound, load
from thence.sim.scenario.scenario import SimulationConfig

T = TypeVar("T")
MemorySize = Annotated[int, msgspec.Meta(ge=0, le=1_000)]
Message = Mapping[str, str]
_Messages = Annotated[tuple[dict[str, str], ...], msgspec.Meta(min_length=1)]
RECALLED_MAX = 10
_JSON_ALONE = "Write only the JSON object, without a code fence around it and without other text."


async def ask(
    view: RecordedView,
    messages: Sequence[Message],
    take: Callable[[str], T],
    schema: Mapping[str, Any] | None = None,
    *,
    endpoint: str | None = None,
    share: bool = False,
) -> T:
    """Returns what `take` makes of the answer of a model, at the scenario's default endpoint.

    An answer of no use as it is is tried without its thoughts, and without its only code fence.
    Where `take` raises a ValueError, or an error of msgspec, for each of these, the model is asked
    once more, with the error's text. Raises `model_call_failed` where no answer comes, or none that
    can be used.
    """
    models, step = view.ledger.models, f"{view.turn}.{view.phase}.{view.agent_id}"
    place = f"for {'the engine' if view.agent_id == '-' else view.agent_id} in turn {view.turn}"
    if models is None:
        cause, hint = "the scenario has no section llm", "write llm: {endpoints: …}"
        raise ThenceError("could not ask a model", place=place, cause=cause, hint=hint)
    try:
        request = ModelRequest(tuple(messages), schema)
        msgspec.convert(request.messages, _Messages)
    except (TypeError, msgspec.ValidationError) as error:
        cause = f"messages returned {messages!r:.80}, which no model takes: {error}"
        hint = 'return [{"role": "user", "content": text}]'
        raise ThenceError("could not ask a model", place=place, cause=cause, hint=hint) from error
    while True:
        call = await models.ask(step, request, view.causes.keys(), endpoint=endpoint, share=share)
        view._called(call)
        answer = call.outcome.text()
        try:
            result = _taken(take, answer)
        except Exception as error:  # door: whatever the user's code raises, its answer is of no use
            models.judge(call, str(error) or type(error).__name__)
            if not isinstance(error, ValueError | msgspec.MsgspecError):
                raise
            if len(request.messages) > len(messages):
                cause, hint = f"the second one too: {error}", "ask another model, or otherwise"
                operation = "could not use the model's answers"
                raise ModelCallFailed(operation, place=place, cause=cause, hint=hint) from error
            reason = f"That can't be used: {error}. Answer again, as you were told to."
            if isinstance(error, JSONDecodeError) or type(error) is msgspec.DecodeError:
                reason = f"That can't be used. {_JSON_ALONE}"
            repair = (_message("assistant", answer), _message("user", reason))
            request = ModelRequest((*messages, *repair), schema)
        else:
            models.judge(call)
            return result


def _taken(take: Callable[[str], T], answer: str) -> T:
    """Returns what `take` makes of the first reading of an answer that it can use."""
    *earlier, last = readings(answer)
    for reading in earlier:
        with suppress(ValueError, msgspec.MsgspecError):
            return take(reading)
    return take(last)


def read_values(view: RecordedView, patterns: Sequence[str], own: str) -> str:
    """Returns the variables that fit patterns, as lines of text; a bare name is one of `own`.

    What the view can't see is left out. Raises ThenceError for a pattern that no variable fits.
    """
    table, lines = view.ledger.table, []
    for pattern in patterns:
        scope, _, name = pattern.rpartition("/")
        subject = f"{scope or own}/{name}"
        if "*" in subject:
            fitting = [one for one in table if fnmatchcase(one.subject, subject)]
        else:
            fitting = [table[table.index(scope or own, name)]]
        if not fitting:
            raise table.unknown(scope or own, name)
        for one in fitting:
            if view.sees(one.scope, one.declaration.name):
                label = one.subject if scope else name
                lines.append(f"{label} = {as_json(view.value(one.index))}")
    return "\n".join(lines)


class LLMAgent(BaseAgent):
    """An agent that asks a model: a child has `messages` and `action`.

    `endpoint` is one of the scenario's section `llm`, by default its `default`; with `share` agents
    with equal requests of a turn have one answer. `schema` is the JSON Schema of an answer, if any.
    """

    asks_models = True
    schema: Mapping[str, Any] | None = None

    def __init__(self, name: str, *, endpoint: str | None = None, share: bool = False) -> None:
        super().__init__(name)
        self.endpoint = endpoint
        self.share = share

    def messages(self, observation: Observation) -> Sequence[Message]:
        """Returns the messages to the model; what is read for them causes the call."""
        raise NotImplementedError(f"{type(self).__name__} asks nothing")

    def action(self, answer: str, observation: Observation) -> Decision:
        """Returns the decision that an answer means; raises ValueError if it means none."""
        raise NotImplementedError(f"{type(self).__name__} decides nothing")

    async def decide_action(self, observation: Observation) -> Decision:
        """Asks the model and returns the decision; raises `model_call_failed`."""
        messages, where, share = self.messages(observation), self.endpoint, self.share

        def take(answer: str) -> Decision:
            return self.action(answer, observation)

        return await ask(observation, messages, take, self.schema, endpoint=where, share=share)


class MemoryRecord(msgspec.Struct, frozen=True):
    """What an agent noted in a turn; the greatest `importance` is 10."""

    turn: int
    importance: int
    text: str


class PromptedAgent(LLMAgent):
    """An agent that is all scenario: a prompt, declared actions, what it sees.

    `sees` are variables, by default all of its own: `money`, `global/price`, `agent/*/offer`.
    `memory` is how many notes it keeps, the most important ones; with `talk` it hears others and
    may `say` something to them.
    """

    def __init__(
        self,
        name: str,
        config: SimulationConfig | None = None,
        *,
        prompt: str = "",
        actions: tuple[DeclaredAction, ...] = (),
        sees: tuple[str, ...] | None = None,
        memory: MemorySize = 0,
        talk: bool = False,
        endpoint: str | None = None,
        share: bool = False,
    ) -> None:
        super().__init__(name, endpoint=endpoint, share=share)
        self.prompt = prompt
        self.actions = action_set(actions, _receivers(talk, config), has_notes=memory > 0)
        self.schema = self.actions.schema
        self.sees = sees
        self.memory = memory
        self.remembers = memory > 0
        self._records: list[MemoryRecord] = []

    def messages(self, observation: Observation) -> Sequence[Message]:
        """Returns the prompt with the actions, then what the agent sees, hears and remembers."""
        own = f"agent/{self.name}"
        names = observation.ledger.table.names(own)
        sees = [name for name in names if name != HEARD] if self.sees is None else self.sees
        who = "" if self.share else f"You are {self.name}. "  # a name would make no two alike
        parts = [f"{who}It is turn {observation.turn}."]
        if values := read_values(observation, sees, own):
            parts.append(f"You see:\n{values}")
        if HEARD in names:
            lines = [
                f"{speaker}: {text}"
                for turn, speaker, text in observation[HEARD]
                if turn == observation.turn - 1
            ]
            parts += ["\n".join(["You hear:", *lines])] if lines else []
        if recalled := self._recalled(observation.turn):
            parts.append("\n".join(["You remember:", *recalled]))
        for rejection in observation.rejections:
            action = rejection.action
            text = f"{action.action_type} {as_json(dict(action.payload))}"
            parts.append(f"Refused in this turn: {text}: {rejection.verdict.reason}")
        system = "\n\n".join(filter(None, (self.prompt.strip(), self.actions.text)))
        return [_message("system", system), _message("user", "\n\n".join(parts))]

    def action(self, answer: str, observation: Observation) -> Decision:
        """Returns the declared action that an answer holds, or None."""
        name, fields, note, importance = self.actions.answer(answer)
        if self.memory:
            text = f"{note} (I chose {name} {as_json(fields)})"
            self._note(MemoryRecord(observation.turn, importance, text))
        return None if name == NO_ACTION else Action(name, fields)

    def get_state(self) -> list[Any]:
        """Returns the notes."""
        return [msgspec.to_builtins(record) for record in self._records]

    def set_state(self, state: Sequence[Any]) -> None:
        """Takes the notes back."""
        self._records = msgspec.convert(state, list[MemoryRecord])

    def _note(self, note: MemoryRecord) -> None:
        kept = [*(record for record in self._records if record.turn != note.turn), note]
        if len(kept) > self.memory:  # the older of equally important ones goes
            kept.remove(min(kept, key=lambda record: (record.importance, record.turn)))
        self._records = kept

    def _recalled(self, turn: int) -> list[str]:
        earlier = [record for record in self._records if record.turn < turn]
        earlier.sort(key=lambda record: (record.importance, record.turn), reverse=True)
        recalled = sorted((record.turn, record.text) for record in earlier[:RECALLED_MAX])
        return [f"turn {number}: {text}" for number, text in recalled]


class ScriptedAgent(BaseAgent):
    """An agent that follows a script: a list of actions by turn, or a function.

    Entry n of `script` is the action of turn n, as `{do: give, to: ben}`, or none. `function` is
    `./file.py:name` or `package.module:name`: it takes the observation and returns a decision.
    """

    remembers = False

    def __init__(
        self,
        name: str,
        config: SimulationConfig | None = None,
        *,
        script: tuple[dict[str, Any] | None, ...] = (),
        function: str | None = None,
        talk: bool = False,
    ) -> None:
        super().__init__(name)
        self._script = script
        self._function: Any = None
        if any(entry and "do" not in entry for entry in script):
            raise ValueError("script has an entry without do, which names the action")
        if function is not None:
            if ":" not in function:
                raise ValueError("function is written as ./FILE.py:NAME or PACKAGE.MODULE:NAME")
            try:
                folder = config.source.parent if config and config.source else None
                self._function = load(*function.rpartition(":")[::2], folder)
            except ComponentNotFound as error:
                raise ValueError(f"function: {error}") from error
            if not callable(self._function):
                raise ValueError(f"function: there is no function {function}")

    def decide_action(self, observation: Observation) -> Any:
        """Returns what the script has for this turn."""
        if self._function is not None:
            return self._function(observation)
        fields = dict(dict(enumerate(self._script, 1)).get(observation.turn) or {})
        return Action(str(fields.pop("do", NO_ACTION)), fields) if fields else None


def _receivers(talk: bool, config: SimulationConfig | None) -> list[str]:
    return [agent.name for agent in config.agents] if talk and config else []


class DeclaredValidator(BaseValidator):
    """The validator that refuses what an agent has not declared; other agents may do anything."""

    def __init__(self, config: SimulationConfig | None = None) -> None:
        super().__init__(config)
        self._actions: dict[str, ActionSet] = {}
        for agent in config.agents if config else ():
            if "actions" in agent.params:
                declared = msgspec.convert(agent.params["actions"], tuple[DeclaredAction, ...])
                receivers = _receivers(agent.params.get("talk") is True, config)
                self._actions[agent.name] = action_set(declared, receivers)

    def validate_action(self, action: Action, state: RecordedState) -> Verdict:
        """Refuses an action that differs from its declaration, with the reason."""
        actions = self._actions.get(action.agent_id)
        fault = actions.fault(action.action_type, action.payload) if actions else ""
        return Verdict.reject(fault) if fault else Verdict.accept()


class LLMValidator(BaseValidator):
    """A validator that asks a model: a child has `messages` and `verdict`."""

    asks_models = True
    endpoint: str | None = None
    schema: Mapping[str, Any] | None = None

    def messages(self, action: Action, state: RecordedState) -> Sequence[Message]:
        """Returns the messages to the model; what is read for them causes the call."""
        raise NotImplementedError(f"{type(self).__name__} asks nothing")

    def verdict(self, answer: str, action: Action, state: RecordedState) -> Verdict:
        """Returns the verdict that an answer means; raises ValueError if it means none."""
        raise NotImplementedError(f"{type(self).__name__} judges nothing")

    async def validate_action(self, action: Action, state: RecordedState) -> Verdict:
        """Asks the model and returns its verdict; raises `model_call_failed`."""

        def take(answer: str) -> Verdict:
            return self.verdict(answer, action, state)

        messages = self.messages(action, state)
        return await ask(state, messages, take, self.schema, endpoint=self.endpoint)


class LLMEngine(BaseEngine):
    """An engine whose rules a model plays: a child has `messages` and `change`."""

    asks_models = True
    endpoint: str | None = None
    schema: Mapping[str, Any] | None = None

    def messages(self, view: View) -> Sequence[Message]:
        """Returns the messages to the model; what is read for them causes the call."""
        raise NotImplementedError(f"{type(self).__name__} asks nothing")

    def change(self, answer: str, view: View) -> None:
        """Sets, by the view, what an answer says; raises ValueError if it means nothing."""
        raise NotImplementedError(f"{type(self).__name__} changes nothing")

    async def apply_engine_rules(self, view: View) -> None:
        """Asks the model, sets what it answers, all or nothing; raises `model_call_failed`."""

        if iscoroutinefunction(self.change):  # nobody would await it, and nothing be changed
            raise TypeError(f"{type(self).__name__}.change must not be async")

        def take(answer: str) -> None:
            try:
                with view._whole_or_nothing():
                    self.change(answer, view)
            except ThenceError as error:  # such as a value that its variable can't hold
                raise ValueError(str(error)) from error

        await ask(view, self.messages(view), take, self.schema, endpoint=self.endpoint)


def _message(role: str, text: str) -> Message:
    return {"role": role, "content": text}
