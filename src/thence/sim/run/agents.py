"""What agents and validators see, decide and judge: their bases, actions, recorded views.

Only accesses through a view are recorded: a value kept on an engine, or passed from one rule to
another in a Python variable, has no causes. Read it again where it is used.

Random numbers come in one stream for each purpose of a recorded scope: an attempt of a decision, a
verdict, an action, learning, one entrance of a rule. A number depends on its stream's key (seed,
agent, turn, purpose, phase, site) and its place in the stream alone: not on what another stream
gave, on `hash()`, or on the version of Python.
"""

import copy
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from thence.errors import ThenceError
from thence.sim.record.ledger import Ids, Ledger
from thence.sim.record.outcomes import Key, RecordedOutcome
from thence.sim.scenario.scenario import SimulationConfig
from thence.sim.scenario.state import GLOBAL, IMMUTABLE, NO_NAMES, own_copy
from thence.sim.space.worlds import WorldMap

if TYPE_CHECKING:
    from thence.sim.models.asking import ModelCall

_WORD_BITS = 64
_WORDS = 8  # in one digest of BLAKE2b
_unpack_words = Struct(f"<{_WORDS}Q").unpack
# the place of a scope within its phase: a text, or the site around it, a name, and how-manieth
Site = str | tuple[Any, str, int]


def stream(
    seed: int, agent: str, turn: int, purpose: str, phase: str = "", site: str = ""
) -> "RandomStream":
    """Returns the random stream of one purpose in one scope, always from its beginning."""
    return RandomStream("\x00".join((str(seed), agent, str(turn), purpose, phase, site)))


def _text_of(site: Site) -> str:
    """Returns the text of a site, which only a scope that draws needs."""
    if isinstance(site, str):
        return site
    around, name, nth = site
    return f"{name}~{nth}" if around is None else f"{_text_of(around)}/{name}~{nth}"


class RandomStream(random.Random):
    """Random numbers by a key, with all methods of `random.Random`.

    Block n of a stream is the BLAKE2b digest of n and the key, eight words of 64 bits. Nothing is
    computed before the first draw, and Python's own generator (Mersenne Twister) is never seeded.
    One stream is not for several threads at once.
    """

    __slots__ = ("_block", "_key", "_words")

    gauss_next: float | None = None  # the second number of a pair, kept by gauss()

    def __init__(self, key: str) -> None:
        """Begins the stream of a key; `random.Random.__init__` would seed, so it is not called."""
        self._key = key
        self._block = 0
        self._words: list[int] = []  # of the last block, those still to come, in reverse

    def random(self) -> float:
        """Returns a number from 0.0 up to, not including, 1.0: a multiple of 2**-53."""
        words = self._words or self._next_block()
        return (words.pop() >> 11) * 2.0**-53

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """Returns an int of range(start, stop, step), as `random.Random.randrange` draws it."""
        if stop is not None or type(start) is not int or not 0 < start < 1 << _WORD_BITS:
            return super().randrange(start, stop, step)
        shift = _WORD_BITS - start.bit_length()
        while True:
            number = (self._words or self._next_block()).pop() >> shift
            if number < start:
                return number

    def getrandbits(self, k: int, /) -> int:
        """Returns an int of `k` random bits; ValueError if `k` is negative."""
        if 0 < k <= _WORD_BITS:
            words = self._words or self._next_block()
            return words.pop() >> (_WORD_BITS - k)
        if k < 0:
            raise ValueError("number of bits must be non-negative")
        count = -(-k // _WORD_BITS)
        drawn = ((self._words or self._next_block()).pop() for _ in range(count))
        data = b"".join(word.to_bytes(8, "little") for word in drawn)
        return int.from_bytes(data, "little") >> (count * _WORD_BITS - k)

    def seed(self, *_: object, **__: object) -> Any:
        """Raises TypeError: the key of a stream is its seed, and its scope ends its numbers."""
        raise TypeError("a stream has no seed and no state; draw from that of another purpose")

    getstate = setstate = seed

    def _next_block(self) -> list[int]:
        digest = blake2b(f"{self._block}\x00{self._key}".encode()).digest()
        self._block += 1
        self._words = [*_unpack_words(digest)]
        return self._words


class Action(msgspec.Struct, frozen=True):
    """One action that an agent decided.

    `payload` is the input of the engine, as JSON values. `decision` is the decision in words
    (new_value of the DECISION) and defaults to the payload; `instead_of` is its old_value.
    """

    action_type: str
    payload: Mapping[str, object] = {}
    decision: object = None
    decision_type: str = ""
    instead_of: object = None
    agent_id: str = ""


def of_agent(action: Action, name: str) -> Action:
    """Returns an action as one of the agent with a name."""
    if action.agent_id == name:
        return action
    if type(action) is not Action:
        return replace(action, agent_id=name)
    kind, payload, decision = action.action_type, action.payload, action.decision
    return Action(kind, payload, decision, action.decision_type, action.instead_of, name)


class Accepted(msgspec.Struct, eq=False, gc=False):
    """An action from its decision on, and the event that represents it.

    `causes` are what that event names, at first the decision. Until it is written, `event_id` is
    empty.
    """

    action: Action
    attempt: int
    ordinal: int
    causes: tuple[str, ...]
    event_id: str = ""

    @property
    def phase(self) -> str:
        """The phase of the changes of the action."""
        if not (self.ordinal or self.attempt):
            return "apply0"
        return f"apply{self.ordinal}-{self.attempt}" if self.attempt else f"apply{self.ordinal}"


class Verdict(msgspec.Struct, frozen=True):
    """The validity of an action; `reason` and `facts` go to the agent and the log."""

    is_valid: bool = True
    reason: str = ""
    facts: Mapping[str, object] = {}

    @classmethod
    def accept(cls) -> "Verdict":
        """Returns the verdict that lets an action happen."""
        return cls()

    @classmethod
    def reject(cls, reason: str, **facts: object) -> "Verdict":
        """Returns the verdict that refuses an action; facts help the agent to do better."""
        return cls(False, reason, facts)


class Rejection(msgspec.Struct, frozen=True):
    """A refused action, as its agent sees it at the next attempt of the turn."""

    action: Action
    verdict: Verdict
    event_id: str = ""


class Owned(msgspec.Struct, eq=False):
    """The variables of one owner in one view: `owned["money"]`."""

    __repr__ = object.__repr__

    view: "RecordedView"
    scope: str
    indices: Mapping[str, int]

    def __getitem__(self, name: str) -> Any:
        try:
            index = self.indices[name]
        except KeyError:
            raise self.view.ledger.table.unknown(self.scope, name) from None
        return self.view.value(index)

    def __setitem__(self, name: str, value: object) -> None:
        if name in self.indices:
            self.view.put(self.indices[name], value)
        else:
            self.view.set(self.scope, name, value)

    def set_within(self, name: str, value: float) -> None:
        """Sets a variable to the number within its bounds that is nearest to `value`."""
        self.view.set_within(self.scope, name, value)


class RecordedView(msgspec.Struct, eq=False):
    """A view that records the provenance of each variable read.

    `reads` holds the provenance of what was read, by the index of the variable. Views are made for
    each decision and each action: as Structs, in a third of the time of plain classes. `site` names
    the scope within its phase, and `streams` are its streams of random numbers by their purpose.
    """

    __repr__ = object.__repr__  # a Struct's own would show the whole state

    ledger: Ledger
    turn: int
    agent_id: str = "-"
    reads: dict[int, Ids] = {}
    calls: tuple[Any, ...] = ()  # of models; their class would be loaded for every run
    site: Site = ""
    streams: dict[str, random.Random] | None = None

    phase = "decide"
    """The phase of a turn in which this view reads, as steps name it."""

    @property
    def facts(self) -> Any:
        """The engine's facts that never change, such as a map; they are not causes."""
        return self.ledger.facts

    @property
    def causes(self) -> dict[str, None]:
        """The causes of what depends on all that was read; at MILESTONE the turn's start."""
        causes = {cause: None for ids in self.reads.values() for cause in ids}
        return causes or dict.fromkeys(self.ledger.around)

    def value(self, index: int) -> Any:
        """Returns the value of the variable with an index."""
        ledger = self.ledger
        self.reads[index] = ledger.provenance[index]
        value = ledger.values[index]
        return value if type(value) in IMMUTABLE else own_copy(value)

    def put(self, index: int, value: object) -> None:
        """Raises TypeError: only the view of an engine can change a variable."""
        subject = self.ledger.table[index].subject
        raise TypeError(f"{subject} can't be set here; an engine changes variables")

    def get(self, scope: str, name: str) -> Any:
        """Returns a variable's value; ThenceError if there is no such variable."""
        return self.value(self.ledger.table.index(scope, name))

    def set(self, scope: str, name: str, value: object) -> None:
        """Sets a variable; raises ThenceError if it can't hold the value.

        Raises TypeError where nothing can be set: only the view of an engine changes variables.
        """
        self.put(self.ledger.table.index(scope, name), value)

    def set_within(self, scope: str, name: str, value: float) -> None:
        """Sets a variable to the number within its bounds that is nearest to `value`."""
        index = self.ledger.table.index(scope, name)
        self.put(index, self.ledger.table[index].declaration.nearest(value))

    def agent(self, name: str) -> Owned:
        """Returns the variables of an agent."""
        scope = f"agent/{name}"
        return Owned(self, scope, self.ledger.table.by_scope.get(scope, NO_NAMES))

    def place(self, name: str) -> Owned:
        """Returns the variables of a place."""
        scope = f"place/{name}"
        return Owned(self, scope, self.ledger.table.by_scope.get(scope, NO_NAMES))

    @property
    def world(self) -> Owned:
        """The global variables."""
        return Owned(self, GLOBAL, self.ledger.table.by_scope.get(GLOBAL, NO_NAMES))

    @property
    def world_map(self) -> WorldMap:
        """The map of the grid or network; ThenceError if the scenario has none."""
        return WorldMap(self, self.ledger.world)

    def sees(self, scope: str, name: str) -> bool:
        """Reports whether a variable can be seen in this view; ThenceError if there is none."""
        return self.ledger.table.index(scope, name) >= 0

    def agents(self) -> list[str]:
        """Returns the names of the agents that are present: paused ones are, removed ones not."""
        ledger, index = self.ledger, self.ledger.table.present
        self.reads[index] = ledger.provenance[index]
        return [*ledger.present]

    def pending(self) -> Iterable[int]:
        """Returns the indices of the variables that this call has set so far."""
        return ()

    def outcome(self, request: object, call: Callable[[], object]) -> Any:
        """Returns what `call` answers, a JSON value, and records it under `request`.

        When the run is resumed, replayed or branched, the recorded answer is returned and nothing
        is called. State and seed must determine `request`, a JSON value, such as a model's name
        and the messages to it. Raises `outcome_failed` where the call raises an error, and where
        the recorded one did; InvalidEvent for values that JSON can't hold.
        """
        key, outcome = self._recorded(request)
        if outcome is None:
            with self._failing(key):
                value = call()
            outcome = self.ledger.outcomes.record(key, value)
        return _value_of(outcome)

    async def outcome_async(self, request: object, call: Callable[[], Awaitable[object]]) -> Any:
        """Returns what `call` answers once it is awaited, as `outcome` does.

        Raises `outcome_failed` and InvalidEvent as `outcome` does.
        """
        key, outcome = self._recorded(request)
        if outcome is None:
            with self._failing(key):
                value = await call()
            outcome = self.ledger.outcomes.record(key, value)
        return _value_of(outcome)

    def _recorded(self, request: object) -> tuple[Key, RecordedOutcome | None]:
        outcomes = self.ledger.outcomes
        key = outcomes.key(f"{self.turn}.{self.phase}.{self.agent_id}", request)
        return key, outcomes.known(key)

    @contextmanager
    def _failing(self, key: Key) -> Iterator[None]:
        """Records an error of a call, which is an outcome too, and raises the error for it."""
        try:
            yield
        except Exception as error:  # boundary: the call is the user's
            failed = self.ledger.outcomes.record(key, error=f"{type(error).__name__}: {error}")
            raise _failed(failed) from error

    def _called(self, call: "ModelCall") -> None:
        """Keeps a call of a model, whose event names what this view read."""
        self.calls += (call,)

    def random(self, purpose: str) -> random.Random:
        """Returns the stream of random numbers for one purpose, which advances at each draw.

        It lasts for one scope: an attempt of a decision, a verdict, an action, learning, or one
        entrance of a `view.rule`. Elsewhere the same purpose has other numbers. Draws made side
        by side, such as those for each newborn, take purposes of their own, `birth/{name}`,
        where a branch is to keep the others' numbers. A stream kept beyond its scope has no
        causes, as any value in a Python variable.
        """
        streams = self.streams
        if streams is None:
            streams = self.streams = {}
        if (drawn := streams.get(purpose)) is None:
            seed, phase = self.ledger.seed, self.phase
            drawn = stream(seed, self.agent_id, self.turn, purpose, phase, _text_of(self.site))
            streams[purpose] = drawn
        return drawn

    def begin_scope(self, site: Site) -> None:
        """Begins a scope, where each purpose has a new stream."""
        self.site, self.streams = site, None


class Observation(RecordedView):
    """The state as an agent sees it when it decides; `observation["money"]` is its own variable.

    `rejections` are the agent's refused actions of this turn, at a further attempt. `phase` is
    `learn` where it learns. `asked` are the events of its calls of models that are recorded.
    """

    rejections: tuple[Rejection, ...] = ()
    phase: str = "decide"
    asked: Ids = ()

    def copy(self) -> "Observation":
        """Returns an observation with the same reads, which the original continues without."""
        twin = copy.copy(self)
        twin.reads, twin.streams = self.reads.copy(), None
        return twin

    def __getitem__(self, name: str) -> Any:
        scope, table = f"agent/{self.agent_id}", self.ledger.table
        try:
            index = table.by_scope[scope][name]
        except KeyError:
            raise table.unknown(scope, name) from None
        return self.value(index)


class UnrecordedObservation(Observation):
    """An observation where nothing names what an agent read."""

    def value(self, index: int) -> Any:
        """Returns the value of the variable with an index."""
        value = self.ledger.values[index]
        return value if type(value) in IMMUTABLE else own_copy(value)


class RecordedState(RecordedView):
    """The state at one moment of a turn, as a validator or engine reads it."""

    phase = "look"


def _value_of(outcome: RecordedOutcome) -> Any:
    if outcome.error is not None:
        raise _failed(outcome)
    return outcome.value


def _failed(outcome: RecordedOutcome) -> ThenceError:
    place, cause = f"at {outcome.step}", outcome.error or ""
    return ThenceError(
        "could not learn from outside", place=place, cause=cause, code="outcome_failed"
    )


Decision = Action | Sequence[Action] | None


class TurnOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One agent's turn as it came out.

    `observation` shows the state after the turn. `decided` are the actions of its last answer, and
    `applied` those that were applied: an altered one instead of its own. `refused` are the
    rejected actions of all attempts, `heard` is what it heard in this turn, as (speaker, text).
    """

    turn: int
    observation: Observation
    decided: tuple[Action, ...] = ()
    applied: tuple[Action, ...] = ()
    refused: tuple[Rejection, ...] = ()
    heard: tuple[tuple[str, str], ...] = ()


class BaseAgent:
    """One actor of a simulation.

    Keyword parameters of a child's `__init__` are the keys that its entry under `agents` in
    the scenario may have, with their types.
    """

    remembers = True
    """True if the agent keeps anything between turns, so that its decisions name its earlier
    ones as causes; False if it decides only by its observation."""

    blocks = False
    """True if its plain methods wait, as for a service: each call gets its own thread."""

    talk: Any = False
    """Whether it speaks and hears, as its key `talk` in the scenario."""
    is_many = False
    """True only for a population, whose rows are agents."""

    def __init__(self, name: str) -> None:
        self.name = name

    def decide_action(self, observation: Observation) -> Decision | Awaitable[Decision]:
        """Returns the agent's decision for this turn: an action, several, or None.

        The method may be `async`. Every variable read from the observation becomes a cause of
        the decision. After a rejection the method may be called again in the same turn, with
        `observation.rejections`.
        """
        raise NotImplementedError(f"{type(self).__name__} decides nothing")

    def learn(self, outcome: TurnOutcome) -> Awaitable[None] | None:
        """Takes the outcome of this turn into memory; the method may be `async`.

        It is called once a turn, after the actions and rules and before the checkpoint. The actions
        applied, the rejections, what was heard, and every variable read from
        `outcome.observation` become causes of the next decision. An error ends the run.
        """
        return None


class BaseValidator:
    """The base of every validator, which judges actions; it accepts all of them.

    Keyword parameters of a child's `__init__` are the keys that `validator` in the scenario
    may have besides `type` and `retries`.
    """

    def __init__(self, config: SimulationConfig | None = None) -> None:
        self.config = config

    def validate_action(self, action: Action, state: RecordedState) -> Verdict | Awaitable[Verdict]:
        """Returns the verdict on an action in this state; the method may be `async`.

        Every variable read is a cause of the ACTION or of the rejection.
        """
        return Verdict.accept()
