"""Which causes of an event mattered: its run is played again with single causes altered.

Each play is in memory, and begins at a checkpoint of a first, unaltered play. That one must come to
the recorded events, else a weight would tell of two plays that differ anyway.
"""

import asyncio
import copy
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from math import sqrt
from pathlib import Path
from typing import Any

import msgspec

from thence.core.event import Event, Members
from thence.core.order import Cone
from thence.errors import RunDiverged, ThenceError
from thence.sim.checkpoints import Checkpoint
from thence.sim.events import level_of
from thence.sim.outcomes import Key, Outcomes, RecordedOutcome, read_outcomes
from thence.sim.recorded import RecordedRun
from thence.sim.replay import (
    altered_steps,
    check_objects,
    failures_by_step,
    is_of_process,
    run_settings,
)
from thence.sim.replay_input import RecordedSteps, plain_details
from thence.sim.simulation import Simulation, make_components
from thence.sim.turn import message_of

OnPlay = Callable[[int, int], None]
RUNS_MAX = 64
_FIRST, _MOST = 2, 8  # alterations of one cause, at first and at most
_LOOKING = 0.75  # the share of the plays that looks for causes; the rest measures those that matter
_REPEATS = 3  # of a play that asks for new answers
_CHECKPOINTS_MAX = 64
_Z = 1.96  # of a two-sided interval of 95 %


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """How much a cause mattered for an effect; `event` is the one that was not named.

    Of `n` alterations of the cause the share `weight` changed the effect: the event at its step was
    absent or had other details; `low` to `high` is Wilson's interval of 95 %. `moved` tells how far
    a changed number moved, from 0 to 1 of the larger value; 1 for what is no number, or absent.
    `unknown` are further alterations that made a play fail, or need answers that were not recorded.
    `spread` are the lowest and highest weight over repeated plays, where these asked anew.
    """

    event: Event
    depth: int
    weight: float
    n: int
    low: float
    high: float
    moved: float
    unknown: int
    spread: tuple[float, float] | None


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The weights of an event's causes or effects, the heaviest first, of equal ones the earliest.

    `unmeasured` counts causes that could be altered, had there been more plays. `problem` is the
    reason of an unknown alteration. `interrupted` is True after Ctrl-C.
    """

    event: Event
    weights: tuple[Weight, ...]
    plays: int
    unmeasured: int
    problem: str
    interrupted: bool

    def to_dict(self, name: str) -> dict[str, Any]:
        """Returns the measurement as JSON values, its weights as the member `name`."""
        rows = [{f: getattr(w, f) for f in w.__struct_fields__} for w in self.weights]
        for row, event in [(row, row.pop("event")) for row in rows]:
            row |= {"event_id": event.event_id, "step": event.step}
        members = {field: getattr(self, field) for field in self.__struct_fields__[2:]}
        return {"event_id": self.event.event_id, **members, name: rows}


class _Answers(Outcomes):
    """The recorded answers of a run, which note whether a play needed others."""

    lacks = has_asked = False

    def known(self, key: Key) -> RecordedOutcome | None:
        try:
            return super().known(key)
        except RunDiverged:
            self.lacks = True
            raise

    def record(self, key: Key, value: object = None, error: str | None = None) -> RecordedOutcome:
        self.has_asked = True
        return super().record(key, value, error)


class _Played(msgspec.Struct):
    """One play: the details of the events at the steps of interest; why it is no test, if so."""

    details: dict[str | None, Mapping[str, Any]]
    asked: bool
    problem: str


class _Player:
    """The player of a run up to a turn: once as it was, which is `reference`, then altered."""

    def __init__(
        self, run: RecordedRun, turns: int, steps: Iterable[str | None], objects: Mapping[str, Any]
    ) -> None:
        self._config, settings = run_settings(run, None)
        agents = objects.get("agents") or self._config.agents
        self.table = self._config.table([agent.name for agent in agents])
        check_objects(run, *map(objects.get, ("agents", "engine", "validator")))
        self.run_id, self.events = run.run_id, list(run.log.read())
        self._level = level_of(settings.verbosity)
        self._objects, self._altered = objects, altered_steps(run)
        self._outcomes = read_outcomes(run.folder)
        self._turns, self._steps = turns, frozenset(steps) - {None}
        self._checkpoints: list[tuple[int, bytes]] = []
        self._failures = failures_by_step(self.events)
        past = [e for e in self.events if (e.turn_number or 0) <= turns and not is_of_process(e)]
        self.reference = self.play({}, stored=RecordedSteps(past))
        details = {event.step: plain_details(event.payload) for event in past}
        self.reference.details |= {s: details[s] for s in self._steps & details.keys()}
        # who gave no answer in time is not waited for again; others may fail or not
        late = {s: facts for s, facts in self._failures.items() if facts["kind"] == "timed_out"}
        self._failures = late

    def play(
        self,
        alter: Mapping[str, object],
        *,
        stored: RecordedSteps | None = None,
        may_ask: bool = False,
    ) -> _Played:
        """Plays with one step altered; raises RunDiverged if stored events don't come again."""
        details: dict[str | None, Mapping[str, Any]] = {}

        def take(piece: Sequence[Members]) -> None:
            events = (event for event in piece if event.step in self._steps)
            details.update((event.step, plain_details(event.details or {})) for event in events)

        answers = _Answers(recorded=self._outcomes, may_ask=may_ask)
        simulation = Simulation(
            self._config,
            make_components(self._config, **copy.deepcopy(dict(self._objects))),
            take,
            simulation_id=self.run_id,
            alter={**self._altered, **alter},
            verbosity=self._level,
            outcomes=answers,
            stored=stored,
            known_failures=self._failures,
        )
        problem = ""
        try:
            asyncio.run(self._play_turns(simulation, next(iter(alter), "")))
            if stored is not None:
                stored.check_all_done()
        except Exception as error:  # door: an altered world may be one that a component refuses
            if stored is not None and isinstance(error, RunDiverged):
                raise
            problem = f"the play failed: {type(error).__name__}: {message_of(error)}"
            simulation.recorder.flush()  # what happened before it in the turn
            details[f"{simulation.recorder.turn}.failed.-.0"] = {"error": problem}
        if answers.lacks:
            problem, details = "it needs an answer that was not recorded", {}
        return _Played(details, answers.has_asked, problem)

    async def _play_turns(self, simulation: Simulation, altered_step: str) -> None:
        turn = int(altered_step.partition(".")[0]) if altered_step else 0
        data = next((data for at, data in reversed(self._checkpoints) if at < turn), None)
        interval = -(-self._turns // _CHECKPOINTS_MAX)
        with simulation.watched():
            if data is not None:
                await simulation.restore(msgspec.json.decode(data, type=Checkpoint))
            while not simulation.reason and simulation.recorder.turn < self._turns:
                await simulation.play_turn()
                now = simulation.recorder.turn
                if not altered_step and now % interval == 0 and (kept := simulation.checkpoint()):
                    self._checkpoints.append((now, msgspec.json.encode(kept)))
                await asyncio.sleep(0)  # here a Ctrl-C comes in
        if simulation.reason:
            simulation.end(f"completed: {simulation.reason}")


class _Alterations:
    """The alterations of a run's events, at most `count` of each, drawn from the run itself.

    A DECISION or ACTION is left out; then a DECISION becomes another action that its agent took, or
    one of such a type that another took. A STATE keeps its old value; then it gets its bounds, and
    values that such a variable had in the run.
    """

    def __init__(self, player: _Player, count: int) -> None:
        self._run_id, self._table, self._count = player.run_id, player.table, count
        self._acts = {e.step: e for e in player.events if e.event_type == "ACTION"}
        self._states: dict[str, list[Any]] = {}
        self._drawn: dict[str, list[Any]] = {}
        for details in (e.payload for e in player.events if e.event_type == "STATE"):
            self._states.setdefault(details["variable_name"], []).append(details["new_value"])

    def can(self, event: Event) -> bool:
        """Reports whether an event can be altered; not, if it is the variable of a late agent."""
        if event.event_type != "STATE":
            return event.event_type in ("DECISION", "ACTION") and event.step is not None
        details = event.payload
        return details["variable_name"] in self._table.names(details["scope"])

    def of(self, event: Event) -> list[Any]:
        """Returns the alterations of an event, the same each time."""
        if event.event_id not in self._drawn:
            rng = random.Random(f"{self._run_id} {event.step}")
            draw = {"DECISION": self._actions, "STATE": self._values}.get(event.event_type)
            self._drawn[event.event_id] = draw(event, rng)[: self._count] if draw else [None]
        return self._drawn[event.event_id]

    def _actions(self, event: Event, rng: random.Random) -> list[Any]:
        acts = list(self._acts.values())
        types = {act.payload["action_type"] for act in acts if act.actor == event.actor}
        rng.shuffle(acts)
        acts.sort(key=lambda act: act.actor != event.actor)
        own = self._acts.get(_act_step(event))
        actions = _distinct(map(_action, acts), own and _action(own))
        return [None, *(action for action in actions if action["action_type"] in types)]

    def _values(self, event: Event, rng: random.Random) -> list[Any]:
        details = event.payload
        name = details["variable_name"]
        declared = self._table[self._table.index(details["scope"], name)].declaration
        is_number = declared.kind in ("int", "float")
        bounds = (declared.minimum, declared.maximum) if is_number else ()
        lowest_highest = [declared.nearest(bound) for bound in bounds if bound is not None]
        seen = rng.sample(self._states[name], min(self._count, len(self._states[name])))
        values = [details["old_value"], *lowest_highest, *seen]
        return _distinct([v for v in values if not declared.fault(v)], details["new_value"])


def _act_step(decision: Event) -> str:
    return (decision.step or "").replace(".decide", ".act", 1)


def _action(act: Event) -> dict[str, Any]:
    details = act.payload
    return {"action_type": details["action_type"], "payload": details["action_payload"]}


def _distinct(values: Iterable[Any], own: object) -> list[Any]:
    by_text = {msgspec.json.encode(value, order="sorted"): value for value in values}
    by_text.pop(msgspec.json.encode(own, order="sorted"), None)
    return list(by_text.values())


class _Trials:
    """The altered plays of one measurement, at most `budget`, by the id of the altered event."""

    def __init__(
        self, player: _Player, count: int, budget: int, allow_calls: bool, on_play: OnPlay | None
    ) -> None:
        self.plays, self.budget, self.problem = 0, budget, ""
        self.alterations = _Alterations(player, count)
        self.done: dict[str, list[list[_Played]]] = {}
        self._player, self._on_play = player, on_play
        self._repeats = _REPEATS if allow_calls else 1

    def alter(self, event: Event) -> bool:
        """Plays with the next alteration of an event; False if there is none, or no play left."""
        trials = self.done.setdefault(event.event_id, [])
        drawn = self.alterations.of(event)
        if self.plays >= self.budget or len(trials) >= len(drawn):
            return False
        alter = {event.step or "": drawn[len(trials)]}
        repeated: list[_Played] = []
        while len(repeated) < self._repeats and (not repeated or repeated[-1].asked):
            repeated.append(self._player.play(alter, may_ask=self._repeats > 1))
            self.plays += 1
            if self._on_play is not None:
                self._on_play(min(self.plays, self.budget), self.budget)
        trials.append(repeated)
        return True

    def weight(self, cause: Event, effect: Event, event: Event, depth: int) -> Weight:
        """Returns how much a cause mattered for an effect, told of one of them."""
        before, step = self._player.reference, effect.step
        was, judged, moves = before.details[step], [], []
        for repeated in self.done[cause.event_id]:
            failed = [p.problem for p in repeated if p.problem and step not in p.details]
            if failed and not before.problem:
                self.problem = self.problem or failed[0]
                continue
            judged.append([play.details.get(step) for play in repeated])
            moves += [_moved(was, now) for now in judged[-1] if now != was]
        shares = [
            sum(trial[at % len(trial)] != was for trial in judged) / max(len(judged), 1)
            for at in range(_REPEATS)
        ]
        low, high = wilson(weight := sum(shares) / _REPEATS, len(judged))
        return Weight(
            event=event,
            depth=depth,
            weight=weight,
            n=len(judged),
            low=low,
            high=high,
            moved=sum(moves) / max(len(moves), 1),
            unknown=len(self.done[cause.event_id]) - len(judged),
            spread=(min(shares), max(shares)) if any(trial[1:] for trial in judged) else None,
        )


def wilson(share: float, n: int) -> tuple[float, float]:
    """Returns Wilson's interval of 95 % for a share of `n` trials; (0, 1) for none."""
    if not n:
        return 0.0, 1.0
    centre = share + _Z * _Z / (2 * n)
    half = _Z * sqrt(share * (1 - share) / n + _Z * _Z / (4 * n * n))
    scale = 1 + _Z * _Z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def _moved(was: Mapping[str, Any], now: Mapping[str, Any] | None) -> float:
    old, new = was.get("new_value"), (now or {}).get("new_value")
    if not (isinstance(old, int | float) and isinstance(new, int | float)) or old == new:
        return 1.0
    return min(1.0, abs(old - new) / max(abs(old), abs(new)))


class _Search:
    """The search for the causes of an event that mattered, among those of `cone`."""

    def __init__(self, trials: _Trials, effect: Event, cone: Cone) -> None:
        self._trials, self._effect = trials, effect
        self._cone = {cause.event_id: (n, cause, depth) for n, (cause, depth) in enumerate(cone)}
        acted = {_act_step(cause) for cause, _ in cone if cause.event_type == "DECISION"}
        can = trials.alterations.can
        self.alterable = {  # an ACTION is measured through its DECISION
            cause.event_id for cause, _ in cone if cause.step not in acted and can(cause)
        }
        self._idle: dict[str, int] = {}  # causes that changed nothing, on the best way to each
        self._queue: list[tuple[int, int, str]] = []
        self._queue_causes(effect, 0)

    def weights(self) -> list[Weight]:
        """Returns the weights of the causes that were altered, the heaviest first."""
        altered = [self._cone[cause_id] for cause_id, trials in self._trials.done.items() if trials]
        weights = [self._trials.weight(c, self._effect, c, depth) for _, c, depth in altered]
        return sorted(weights, key=_heaviest_first)

    def go_on(self) -> bool:
        """Looks for a cause that matters, later at one more closely; False if none is left."""
        is_looking = self._trials.plays < self._trials.budget * _LOOKING
        return (is_looking and self._look()) or self._look_closer() or self._look()

    def _queue_causes(self, event: Event, idle: int) -> None:
        """Puts the causes of an event in the queue: last those behind what changed nothing."""
        for cause in event.caused_by:
            if cause in self._cone and idle < self._idle.get(cause, idle + 1):
                self._idle[cause] = idle
                heappush(self._queue, (idle, self._cone[cause][0], cause))

    def _look(self) -> bool:
        while self._queue:
            idle, _, cause_id = heappop(self._queue)
            if idle > self._idle[cause_id]:
                continue
            _, cause, depth = self._cone[cause_id]
            is_altered = cause_id in self.alterable and self._trials.alter(cause)
            if is_altered:
                for _ in range(_FIRST - 1):
                    self._trials.alter(cause)
                weight = self._trials.weight(cause, self._effect, cause, depth)
                idle += weight.n > 0 and not weight.weight
            self._queue_causes(cause, idle)
            if is_altered:
                return True
        return False

    def _look_closer(self) -> bool:
        weights = sorted(self.weights(), key=lambda weight: weight.n + weight.unknown)
        return any(self._trials.alter(weight.event) for weight in weights if weight.weight)


def _heaviest_first(weight: Weight) -> Any:
    return -weight.weight, -weight.moved, weight.event.order_key


def measure(
    folder: str | Path,
    event: str,
    *,
    of_effects: bool = False,
    runs: int = RUNS_MAX,
    allow_calls: bool = False,
    on_play: OnPlay | None = None,
    **components: Any,
) -> Measurement:
    """Measures which causes of an event mattered, or which of its effects it changed.

    The run in the folder is played again in memory, at most `runs` times, each time with one
    DECISION, ACTION or STATE left out or altered: the nearest causes first, those behind a cause
    that changed nothing last; an ACTION through its DECISION. For `of_effects` it is the event
    itself. Recorded answers are used; an alteration that needs another is unknown, or asks, with
    `allow_calls`, in three plays. `on_play` is called with the number of plays and `runs`.
    `components` are the agents, engine and validator that the run was given as objects, as they
    were at its start. Blocks; Ctrl-C ends it with what is measured so far. Raises EventNotFound,
    NotALog for a log that is no run, RunDiverged where the run comes to other events than it has
    recorded, ThenceError where nothing can be altered.
    """
    with RecordedRun(folder) as run:
        ask = run.log.effects if of_effects else run.log.why
        answer = ask(run.log.find(event))
        named = answer.event
        cone = answer.cone if of_effects else ((named, 0),)
        turns = max((effect.turn_number or 0 for effect, _ in cone), default=0)
        player = _Player(run, turns, [effect.step for effect, _ in cone], components)
    trials = _Trials(player, runs if of_effects else _MOST, runs, allow_calls, on_play)
    effects = [(effect, depth) for effect, depth in cone if effect.step in player.reference.details]
    search = _Search(trials, named, () if of_effects else answer.cone)
    if not effects or not (trials.alterations.can(named) if of_effects else search.alterable):
        raise _refused(player, named, of_effects, bool(effects))
    is_interrupted = False
    try:
        while trials.alter(named) if of_effects else search.go_on():
            pass
    except KeyboardInterrupt:
        is_interrupted = True
    if of_effects:
        weights = [trials.weight(named, effect, effect, depth) for effect, depth in effects]
    else:
        weights = search.weights()
    return Measurement(
        event=named,
        weights=tuple(sorted(weights, key=_heaviest_first)),
        plays=trials.plays,
        unmeasured=max(0, len(search.alterable) - len(weights)),
        problem=trials.problem,
        interrupted=is_interrupted,
    )


def _refused(player: _Player, event: Event, of_effects: bool, has_effects: bool) -> ThenceError:
    cause = "none of its causes can be altered" if has_effects else "no play comes to it"
    if of_effects:
        cause = "it can't be altered" if has_effects else "no play comes to an effect of it"
    problem = player.reference.problem
    return ThenceError(
        "could not measure",
        place=f"{event.event_type} {event.step or event.event_id} of {player.run_id}",
        cause=f"{cause}; {problem}" if problem else cause,
        hint="name an event behind a decision, of a run with verbosity DECISION or more",
    )
