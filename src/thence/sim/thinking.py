"""Agents, validators and engines that ask models, and agents that follow a script.

The bases have two methods: the messages to the model, and what its answer means. An answer that
can't be used is asked for once more, with the reason; nothing is guessed.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from thence.errors import ModelCallFailed, ScenarioError, ThenceError
from thence.sim.agents import (
    Action,
    BaseAgent,
    BaseValidator,
    Decision,
    Observation,
    RecordedState,
    RecordedView,
    Verdict,
)
from thence.sim.asking import Message
from thence.sim.component_classes import ComponentNotFound, load
from thence.sim.engine import BaseEngine, View
from thence.sim.models.actions import HEARD, ActionAnswer, ActionSet, DeclaredAction, say_to
from thence.sim.scenario import SimulationConfig

T = TypeVar("T")
MemorySize = Annotated[int, msgspec.Meta(ge=0, le=1_000)]
RECALLED_MAX = 10
_UNUSABLE = (ValueError, msgspec.MsgspecError)


def message(role: str, text: str) -> dict[str, str]:
    """Returns a message of `system`, `user` or `assistant`."""
    return {"role": role, "content": text}


async def ask(
    view: RecordedView,
    messages: Sequence[Message],
    take: Callable[[str], T],
    schema: Mapping[str, Any] | None = None,
    **terms: Any,
) -> T:
    """Returns what `take` makes of a model's answer.

    Where it raises a ValueError or msgspec's error, the model is asked once more, with its text.
    `terms` are those of `Models.ask`. Raises ModelCallFailed after a second such answer.
    """
    models = view.ledger.models
    if models is None:
        raise ThenceError(
            "could not ask a model",
            place=f"for {view.agent_id}",
            cause="the scenario has no section llm",
            hint="write llm: {endpoints: {local: {base_url: …, model: …}}}",
        )
    answer = await models.ask(view, messages, schema, **terms)
    try:
        return take(answer)
    except _UNUSABLE as error:
        reason = f"That can't be used: {error}. Answer again, with JSON and nothing else."
        more = [message("assistant", answer), message("user", reason)]
    answer = await models.ask(view, [*messages, *more], schema, **terms)
    try:
        return take(answer)
    except _UNUSABLE as error:
        raise ModelCallFailed(
            "could not use the model's answers",
            place=f"to {view.agent_id} in turn {view.turn}",
            cause=f"the second one too: {error}",
            hint="state in the prompt what an answer looks like, or ask another model",
        ) from error


def prompt_of(prompt: str, prompt_file: Path | None, config: SimulationConfig | None) -> str:
    """Returns a prompt, or the text of a file beside the scenario; raises ScenarioError."""
    if prompt_file is None:
        return prompt
    folder = config.source.parent if config and config.source else Path()
    try:
        return (folder / prompt_file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError("could not read the prompt", place=prompt_file, cause=error) from error


def read_values(view: RecordedView, patterns: Sequence[str], own: str) -> str:
    """Returns the variables that fit patterns, as lines of text; a bare name is one of `own`.

    Raises ThenceError for a pattern that no variable fits.
    """
    table, lines = view.ledger.table, []
    for pattern in patterns:
        scope, _, name = pattern.rpartition("/")
        subject = pattern if scope else f"{own}/{name}"
        if "*" not in subject:
            lines.append(f"{pattern} = {_shown(view.get(scope or own, name))}")
            continue
        fitting = [variable for variable in table if fnmatchcase(variable.subject, subject)]
        if not fitting:
            raise table.unknown(scope, name)
        lines += [
            f"{variable.subject} = {_shown(view.value(variable.index))}" for variable in fitting
        ]
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
        """Asks the model and returns the decision; raises ModelCallFailed."""
        return await ask(
            observation,
            self.messages(observation),
            lambda answer: self.action(answer, observation),
            self.schema,
            endpoint=self.endpoint,
            share=self.share,
        )


class MemoryRecord(msgspec.Struct, frozen=True):
    """What an agent noted in a turn; `importance` is from 1 to 10."""

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
        prompt_file: Path | None = None,
        actions: tuple[DeclaredAction, ...] = (),
        sees: tuple[str, ...] | None = None,
        memory: MemorySize = 0,
        talk: bool = False,
        endpoint: str | None = None,
        share: bool = False,
    ) -> None:
        super().__init__(name, endpoint=endpoint, share=share)
        self.prompt = prompt_of(prompt, prompt_file, config)
        self.actions = ActionSet(
            declared_actions(name, actions, talk, config), has_notes=memory > 0
        )
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
        parts = [f"You are {self.name}. It is turn {observation.turn}."]
        if values := read_values(observation, sees, own):
            parts.append(f"You see:\n{values}")
        if HEARD in names:
            lines = [
                f"{who}: {text}"
                for turn, who, text in observation[HEARD]
                if turn == observation.turn - 1
            ]
            parts += ["\n".join(["You hear:", *lines])] if lines else []
        if recalled := self._recalled(observation.turn):
            parts.append("\n".join(["You remember:", *recalled]))
        for rejection in observation.rejections:
            action = rejection.action
            text = f"{action.action_type} {_shown(dict(action.payload))}"
            parts.append(f"Refused in this turn: {text}: {rejection.verdict.reason}")
        system = "\n\n".join(filter(None, (self.prompt.strip(), self.actions.text)))
        return [message("system", system), message("user", "\n\n".join(parts))]

    def action(self, answer: str, observation: Observation) -> Decision:
        """Returns the declared action that an answer holds, or None."""
        decided = self.actions.answer(answer)
        self._note(observation.turn, decided)
        if decided.action_type is None:
            return None
        return Action(decided.action_type, decided.fields)

    def get_state(self) -> list[Any]:
        """Returns the notes."""
        return [msgspec.to_builtins(record) for record in self._records]

    def set_state(self, state: Sequence[Any]) -> None:
        """Takes the notes back."""
        self._records = msgspec.convert(state, list[MemoryRecord])

    def _note(self, turn: int, decided: ActionAnswer) -> None:
        if not self.memory:
            return
        chosen = f"{decided.action_type or 'nothing'} {_shown(decided.fields)}"
        note = MemoryRecord(turn, decided.importance, f"{decided.note} (I chose {chosen})")
        kept = [*(record for record in self._records if record.turn != turn), note]
        if len(kept) > self.memory:  # the older of equally important ones goes
            kept.remove(min(kept, key=lambda record: (record.importance, record.turn)))
        self._records = kept

    def _recalled(self, turn: int) -> list[str]:
        earlier = [record for record in self._records if record.turn < turn]
        earlier.sort(key=lambda record: (record.importance, record.turn), reverse=True)
        recalled = sorted(earlier[:RECALLED_MAX], key=lambda record: record.turn)
        return [f"turn {record.turn}: {record.text}" for record in recalled]


class ScriptedAgent(BaseAgent):
    """An agent that follows a script: a list of actions by turn, or a function.

    Entry n of `script` is the action of turn n, as `{do: give, to: ben}` or none; with `repeats`
    the script begins anew behind its last entry. `function` is `./file.py:name` or
    `package.module:name`: it is called with the observation and returns a decision.
    """

    remembers = False

    def __init__(
        self,
        name: str,
        config: SimulationConfig | None = None,
        *,
        script: tuple[dict[str, Any] | None, ...] = (),
        repeats: bool = False,
        function: str | None = None,
        talk: bool = False,
    ) -> None:
        super().__init__(name)
        self._script, self._repeats = script, repeats
        self._function: Any = None
        if function is not None:
            folder = config.source.parent if config and config.source else None
            try:
                self._function = load(*function.rpartition(":")[::2], folder)
            except ComponentNotFound as error:
                raise ValueError(str(error)) from error
            if not callable(self._function):
                raise ValueError(f"there is no function {function}")

    def decide_action(self, observation: Observation) -> Any:
        """Returns what the script has for this turn."""
        if self._function is not None:
            return self._function(observation)
        place = observation.turn - 1
        if self._repeats and self._script:
            place %= len(self._script)
        entry = self._script[place] if place < len(self._script) else None
        if not entry:
            return None
        return Action(str(entry.get("do")), {key: at for key, at in entry.items() if key != "do"})


def declared_actions(
    name: str, actions: Sequence[DeclaredAction], talk: bool, config: SimulationConfig | None
) -> list[DeclaredAction]:
    """Returns the actions of an agent, with the one to speak if it talks and others hear it."""
    others = [agent.name for agent in config.agents if agent.name != name] if config else []
    return [*actions, say_to(others)] if talk and others else list(actions)


class DeclaredValidator(BaseValidator):
    """The validator that refuses what an agent has not declared; other agents may do anything."""

    def __init__(self, config: SimulationConfig | None = None) -> None:
        super().__init__(config)
        self._actions: dict[str, ActionSet] = {}
        for agent in config.agents if config else ():
            if "actions" in agent.params:
                declared = msgspec.convert(agent.params["actions"], tuple[DeclaredAction, ...])
                talks = bool(agent.params.get("talk"))
                actions = declared_actions(agent.name, declared, talks, config)
                self._actions[agent.name] = ActionSet(actions)

    def validate_action(self, action: Action, state: RecordedState) -> Verdict:
        """Refuses an action that differs from its declaration, with the reason."""
        actions = self._actions.get(action.agent_id)
        fault = actions.fault(action.action_type, action.payload) if actions else ""
        return Verdict.reject(fault) if fault else Verdict.accept()


class _Validity(msgspec.Struct, forbid_unknown_fields=True):
    valid: bool
    reason: str = ""


class LLMValidator(BaseValidator):
    """A validator that asks a model whether an action is valid, by a prompt with the rules."""

    asks_models = True

    def __init__(
        self,
        config: SimulationConfig | None = None,
        *,
        prompt: str = "",
        prompt_file: Path | None = None,
        endpoint: str | None = None,
        sees: tuple[str, ...] = (),
    ) -> None:
        super().__init__(config)
        self.prompt = prompt_of(prompt, prompt_file, config)
        self.endpoint, self.sees = endpoint, sees

    def messages(self, action: Action, state: RecordedState) -> Sequence[Message]:
        """Returns the messages to the model; what is read for them causes the call."""
        shape = 'Answer with JSON and nothing else: {"valid": true or false, "reason": "..."}'
        text = f"{action.agent_id}: {action.action_type} {_shown(dict(action.payload))}"
        values = read_values(state, self.sees, f"agent/{action.agent_id}")
        return [
            message("system", f"{self.prompt}\n\n{shape}"),
            message("user", f"{text}\n{values}"),
        ]

    def verdict(self, answer: str, action: Action, state: RecordedState) -> Verdict:
        """Returns the verdict that an answer means; raises ValueError if it means none."""
        validity = msgspec.json.decode(answer, type=_Validity)
        return Verdict(validity.valid, validity.reason)

    async def validate_action(self, action: Action, state: RecordedState) -> Verdict:
        """Asks the model and returns its verdict; raises ModelCallFailed."""
        messages = self.messages(action, state)
        return await ask(
            state,
            messages,
            lambda answer: self.verdict(answer, action, state),
            endpoint=self.endpoint,
        )


class LLMEngine(BaseEngine):
    """An engine whose rules a model plays: it is shown `sees`, and sets variables of `writes`.

    Both are lists of scope and name, such as `global/price`. A child may have rules besides.
    """

    asks_models = True

    def __init__(
        self,
        config: SimulationConfig | None = None,
        *,
        prompt: str = "",
        prompt_file: Path | None = None,
        endpoint: str | None = None,
        sees: tuple[str, ...] = (),
        writes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(config)
        self.prompt = prompt_of(prompt, prompt_file, config)
        self.endpoint, self.sees, self.writes = endpoint, sees, writes

    def messages(self, view: View) -> Sequence[Message]:
        """Returns the messages to the model; what is read for them causes the call."""
        example = dict.fromkeys(self.writes, "...")
        shape = f"Answer with JSON and nothing else, the new values: {_shown(example)}"
        user = f"It is turn {view.turn}.\n{read_values(view, self.sees, 'global')}"
        return [message("system", f"{self.prompt}\n\n{shape}"), message("user", user)]

    def change(self, answer: str, view: View) -> None:
        """Sets what an answer says; raises ValueError if it says nothing that can be set."""
        values = msgspec.json.decode(answer, type=dict[str, Any])
        if unknown := values.keys() - set(self.writes):
            raise ValueError(f"{min(unknown)} is not among {', '.join(self.writes)}")
        table = view.ledger.table
        places = {name: table.index(*name.rpartition("/")[::2]) for name in values}
        for name, index in places.items():
            if fault := table[index].declaration.fault(values[name]):
                raise ValueError(f"{name} {fault}")
        for name, index in places.items():
            view.put(index, values[name])

    async def apply_engine_rules(self, view: View) -> None:
        """Asks the model and sets what it answers; raises ModelCallFailed."""
        messages = self.messages(view)
        await ask(view, messages, lambda answer: self.change(answer, view), endpoint=self.endpoint)


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()
