"""Which causes of an event mattered: its run is played again with single causes altered.

Each play is in memory, and begins at a checkpoint of a first, unaltered play. That one must come to
the recorded events, else a weight would tell of two plays that differ anyway.
"""

import asyncio
import copy
import random
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from itertools import chain, zip_longest
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from thence.core.event import Event, EventFields
from thence.core.order import Cone
from thence.core.ready import ready
from thence.errors import RunDiverged, ThenceError
from thence.sim.again.replay import altered_steps, failures_by_step, is_of_process, recorded_config
from thence.sim.again.replay_input import RecordedSteps, ReplayInput, plain_details
from thence.sim.models.limits import ModelsUnavailable
from thence.sim.populations.hooks import is_summary
from thence.sim.record.checkpoints import Checkpoint, is_whole
from thence.sim.record.events import level_of
from thence.sim.record.outcomes import Key, Outcomes, RecordedOutcome, read_outcomes
from thence.sim.results.recorded import RecordedRun
from thence.sim.run.calls import message_of
from thence.sim.run.simulation import Simulation, make_components
from thence.sim.scenario.scenario import SimulationConfig

OnPlay = Callable[[int, int], None]
RUNS_MAX = 64
_MOST = 8  # alterations of one cause
_LOOKING = 2 / 3  # the share of the plays that looks for causes; the rest measures what is heavy
_CHECKPOINTS_MAX = 64
_LACKS = "it needs an answer that was not recorded"
_Z = 1.96  # of a two-sided interval of 95 %


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """How much a cause mattered for an effect; `event` is the one that was not named.

    `weight` is the share of `n` alterations of the cause that changed the effect: the event at its
    step was absent or had other details; `low` to `high` is Wilson's interval of 95 %. `moved` is
    the change of a changed number, from 0 to 1 of the larger value; 1 for what is not a number, or
    absent. `unknown` are further alterations that made a play fail, or need answers that were not
    recorded. A weight is None where nothing is known.
    """

    event: Event
    depth: int
    weight: float | None
    n: int
    low: float
    high: float
    moved: float
    unknown: int


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
        members = msgspec.structs.asdict(self)
        weights = [(w.event, msgspec.structs.asdict(w)) for w in members.pop("weights")]
        rows = [{**row, "event": event.event_id, "step": event.step} for event, row in weights]
        return {**members, "event": self.event.event_id, name: rows}


class _Answers(Outcomes):
    """The recorded answers of a run, which note whether a play needed others.

    `by_request` are answers of models that will do for the same request at any step. What a play
    comes to is known for its first turns, up to `turns`: in the next one it lacks an answer.
    """

    def __init__(
        self, by_request: Mapping[str, Sequence[RecordedOutcome]], turns: int, **outcomes: Any
    ) -> None:
        super().__init__(**outcomes)
        self._by_request, self.turns = by_request, turns

    def known(self, key: Key) -> RecordedOutcome | None:
        alike = self._by_request.get(key[1], ())
        outcome = self._known.get(key) or (alike[key[2] % len(alike)] if alike else None)
        if outcome is None:
            self.turns = min(self.turns, _turn_of(key[0]) - 1)
        return outcome or super().known(key)


class _Played(NamedTuple):
    """One play: the details of the events at the steps of interest.

    Behind the first `turns` it is no test, for the reason `problem`.
    """

    details: dict[str | None, Mapping[str, Any]]
    problem: str
    turns: int

    def problem_of(self, step: str) -> str:
        """Returns why this play says nothing of the event at a step; "" if it does."""
        return self.problem if step not in self.details and _turn_of(step) > self.turns else ""


class _Player:
    """The player of a run up to a turn: once as it was, which is `reference`, then altered."""

    def __init__(
        self, run: RecordedRun, turns: int, steps: Iterable[str | None], objects: Mapping[str, Any]
    ) -> None:
        config = recorded_config(run, objects)
        # the cassette's answers are taken as the recorded ones are
        self._config = replace(config, llm=replace(config.llm, cassette=None))
        agents = objects.get("agents") or self._config.agents
        self.table = self._config.table([agent.name for agent in agents])
        self.run_id, self.events = run.run_id, list(run.log.read())
        self._level = level_of(config.events.verbosity)
        self._objects, self._altered = objects, altered_steps(run)
        self._outcomes = read_outcomes(run.folder)
        self._by_request = _answers_of_models(self._outcomes, config)
        self._turns, self._steps = turns, frozenset(steps) - {None}
        self._checkpoints: list[tuple[int, bytes]] = []
        self._may_fail, self._failures = False, failures_by_step(self.events)
        past = [e for e in self.events if (e.turn_number or 0) <= turns and not is_of_process(e)]
        self.reference = self.play({}, stored=RecordedSteps(past))
        self._may_fail = bool(self.reference.problem)
        details = {event.step: plain_details(event.payload) for event in past}
        self.reference.details.update((s, details[s]) for s in self._steps & details.keys())
        # who gave no answer in time is not waited for again; others may fail or not
        self._failures = {s: f for s, f in self._failures.items() if f["kind"] == "timed_out"}

    def play(self, alter: Mapping[str, object], *, stored: RecordedSteps | None = None) -> _Played:
        """Plays with one step altered; raises RunDiverged if stored events don't come again."""
        details: dict[str | None, Mapping[str, Any]] = {}
        problem, turns, altered_step = "", self._turns, next(iter(alter), "")
        refused_step = altered_step.replace(".decide", ".reject", 1)

        def take(piece: Sequence[EventFields]) -> None:
            for event in piece:
                if event.step in self._steps or event.step == refused_step:
                    details[event.step] = plain_details(event.details or {})

        answers = _Answers(self._by_request, self._turns, recorded=self._outcomes, may_ask=False)
        simulation = Simulation(
            self._config,
            make_components(self._config, **copy.deepcopy(dict(self._objects))),
            take,
            simulation_id=self.run_id,
            verbosity=self._level,
            outcomes=answers,
            again=ReplayInput(
                altered={**self._altered, **alter}, stored=stored, failures=self._failures
            ),
        )
        try:
            asyncio.run(self._play_turns(simulation, altered_step))
            if stored is not None:
                stored.check_all_done()
        except Exception as error:  # boundary: an altered world may be one that a component refuses
            if isinstance(error, RunDiverged) and stored is not None:
                raise
            simulation.recorder.flush()  # what happened before it in the turn
            failure = f"the play failed: {type(error).__name__}: {message_of(error)}"
            details[f"{simulation.recorder.turn}.failed.-.0"] = {"error": failure}
            if not self._may_fail:
                problem, turns = failure, simulation.recorder.turn - 1
        if refused_step in details and refused_step != altered_step:
            problem, turns, details = "the validator refuses the other action", 0, {}
        elif answers.turns < self._turns:
            problem, turns = _LACKS, answers.turns
            details = {step: of for step, of in details.items() if _turn_of(step) <= turns}
        return _Played(details, problem, turns)

    async def _play_turns(self, simulation: Simulation, altered_step: str) -> None:
        turn = _turn_of(altered_step)
        data = next((data for at, data in reversed(self._checkpoints) if at < turn), None)
        interval = -(-self._turns // _CHECKPOINTS_MAX)

        def keep(now: int, _: int) -> None:
            is_kept = not altered_step and now % interval == 0
            if is_kept and (kept := simulation.checkpoint()) and is_whole(kept):
                self._checkpoints.append((now, msgspec.json.encode(kept)))

        try:
            if data is not None:
                await simulation.restore(msgspec.json.decode(data, type=ready(Checkpoint)))
            await simulation.run(self._turns, keep)
        finally:
            await simulation.close()


def _answers_of_models(
    outcomes: Mapping[Key, RecordedOutcome], config: SimulationConfig
) -> dict[str, list[RecordedOutcome]]:
    """Returns a run's answers of models by request, with those of its cassette."""
    if not config.llm.endpoints:
        return {}
    from thence.sim.models.asking import answered, read_cassette

    answers, cassette = answered(outcomes.values()), dict[str, dict[Key, RecordedOutcome]]()
    if config.llm.cassette:
        folder = config.source.parent if config.source else Path()
        with suppress(ModelsUnavailable):  # the recorded answers alone will do, too
            cassette = read_cassette(folder / config.llm.cassette)
    by_request: dict[str, list[RecordedOutcome]] = {}
    for answer in chain(answers, *(alike.values() for alike in cassette.values())):
        by_request.setdefault(answer.request, []).append(answer)
    return by_request


def _turn_of(step: str | None) -> int:
    """Returns the turn of a step, 0 for none."""
    return int((step or "0").partition(".")[0])


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
    """The altered plays of one measurement, at most `budget`, by the id of the altered event.

    A DECISION or ACTION is left out; then a DECISION becomes another action that its agent took, or
    one of such a type that another took. A STATE gets the bound that is farther away, then its old
    value, the other bound, and values that such a variable had in the run. At most `most` of them
    are played, the same each time.
    """

    def __init__(self, player: _Player, budget: int, most: int, on_play: OnPlay | None) -> None:
        self.plays, self.budget, self.problem = 0, budget, ""
        self._player, self._most = player, most
        self._on_play: OnPlay = on_play or (lambda plays, runs: None)
        self._done: dict[str, list[_Played]] = {}
        self._drawn: dict[str, list[Any]] = {}
        self._acts = {e.step: e for e in player.events if e.event_type == "ACTION"}
        self._values: dict[str, list[Any]] = {}
        for details in (e.payload for e in player.events if e.event_type == "STATE"):
            self._values.setdefault(details["variable_name"], []).append(details["new_value"])
        self._spans: dict[str, float] = {}
        for name, values in self._values.items():
            numbers = [value for value in values if isinstance(value, int | float)]
            self._spans[name] = max(numbers, default=0) - min(numbers, default=0)

    def can_alter(self, event: Event) -> bool:
        """Reports whether an event can be altered; not, if it is the variable of a late agent."""
        if event.event_type != "STATE":
            return event.event_type in ("DECISION", "ACTION") and event.step is not None
        details = event.payload
        is_known = details["variable_name"] in self._player.table.names(details["scope"])
        return is_known and not is_summary(details["new_value"])

    def size(self, details: Mapping[str, Any]) -> float:
        """Returns how much of its range in the run a STATE's number changed by, else 0."""
        old, new = details["old_value"], details["new_value"]
        if not (isinstance(old, int | float) and isinstance(new, int | float)):
            return 0.0
        return float(abs(old - new) / (self._spans[details["variable_name"]] or 1))

    def alter(self, event: Event) -> bool:
        """Plays with the next alteration of an event; False if there is none, or no play left."""
        trials = self._done.setdefault(event.event_id, [])
        if event.event_id not in self._drawn:
            rng = random.Random(f"{self._player.run_id} {event.step}")
            draw = {"DECISION": self._other_actions, "STATE": self._other_values}
            drawn = draw[event.event_type](event, rng) if event.event_type in draw else [None]
            self._drawn[event.event_id] = drawn[: self._most]
        drawn = self._drawn[event.event_id]
        if self.plays >= self.budget or len(trials) >= len(drawn):
            return False
        trials.append(self._player.play({event.step or "": drawn[len(trials)]}))
        self.plays += 1
        self._on_play(self.plays, self.budget)
        return True

    def search(self, causes: Sequence[Event], effect: Event, cone: Cone) -> None:
        """Alters one cause after the other, in turn the next of `causes` and the nearest one.

        After two thirds of the plays, the heaviest ones are altered again.
        """
        nearest = self._nearest({cause.event_id for cause in causes}, effect, cone)
        in_turn = filter(None, chain.from_iterable(zip_longest(nearest, causes)))
        looking = (self.alter(c) for c in in_turn if not self._done.get(c.event_id))

        def again(least: float) -> bool:
            weights = self.weights(cone, effect)
            return any(self.alter(one.event) for one in weights if (one.weight or 0.0) >= least)

        while (
            (self.plays < self.budget * _LOOKING and any(looking))
            or again(sys.float_info.min)
            or any(looking)
            or again(0.0)
        ):
            pass

    def _nearest(self, ids: Container[str], effect: Event, cone: Cone) -> Iterator[Event]:
        """Yields decisions with some ids, the nearest first, along the trail of the heaviest.

        Last come those behind one that changed nothing, or a notice that stands for many causes.
        """
        places = {cause.event_id: place for place, (cause, _) in enumerate(cone)}
        queue: list[tuple[float, float, int]] = []
        event, idle, weight = effect, 0.0, 1.0
        while True:
            for cause_id in event.caused_by:
                if cause_id in places:
                    heappush(queue, (idle, -weight, places.pop(cause_id)))
            if not queue:
                return
            idle, weight, place = heappop(queue)
            event, weight = cone[place][0], -weight
            if event.event_id in ids and event.event_type == "DECISION":
                yield event
                tried = self.weight(event, effect, event, 0)
                idle, weight = idle + (tried.weight == 0), tried.weight or 0.0
            idle += event.step is None

    def _other_actions(self, event: Event, rng: random.Random) -> list[Any]:
        acts = list(self._acts.values())
        types = {act.payload["action_type"] for act in acts if act.actor == event.actor}
        rng.shuffle(acts)
        acts.sort(key=lambda act: act.actor != event.actor)
        own = self._acts.get(_act_step(event))
        actions = _distinct(map(_action, acts), own and _action(own))
        return [None, *(action for action in actions if action["action_type"] in types)]

    def _other_values(self, event: Event, rng: random.Random) -> list[Any]:
        details, table = event.payload, self._player.table
        name, own = details["variable_name"], details["new_value"]
        declared = table[table.index(details["scope"], name)].declaration
        ends = [end for end in (declared.minimum, declared.maximum) if end is not None]
        if declared.kind not in ("int", "float"):
            ends = []
        ends.sort(key=lambda end: -abs(end - own))
        bounds = [declared.nearest(end) for end in ends]
        seen = rng.sample(self._values[name], min(self._most, len(self._values[name])))
        values = [*bounds[:1], details["old_value"], *bounds[1:], *seen]
        return _distinct([v for v in values if not declared.fault(v)], own)

    def weights(self, causes: Iterable[tuple[Event, int]], effect: Event) -> list[Weight]:
        """Returns the weights of the causes that were altered, the heaviest first."""
        altered = [(cause, depth) for cause, depth in causes if self._done.get(cause.event_id)]
        return sorted((self.weight(c, effect, c, d) for c, d in altered), key=_heaviest_first)

    def weight(self, cause: Event, effect: Event, event: Event, depth: int) -> Weight:
        """Returns how much a cause mattered for an effect, told of one of them."""
        step, trials = effect.step or "", self._done[cause.event_id]
        was, judged = self._player.reference.details[step], []
        for play in trials:
            if problem := play.problem_of(step):
                self.problem = self.problem or problem
            else:
                judged.append(play.details.get(step))
        moves = [_moved(was, now) for now in judged if now != was]
        low, high = wilson(weight := len(moves) / max(len(judged), 1), len(judged))
        return Weight(
            event=event,
            depth=depth,
            weight=weight if judged else None,
            n=len(judged),
            low=low,
            high=high,
            moved=sum(moves) / max(len(moves), 1),
            unknown=len(trials) - len(judged),
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
    if not (isinstance(old, int | float) and isinstance(new, int | float)):
        return 1.0
    return min(1.0, abs(old - new) / (max(abs(old), abs(new)) or 1))


def _largest_first(trials: _Trials, cone: Cone) -> list[Event]:
    """Returns the causes to alter: decisions, the largest changes first, then changes by rules.

    An ACTION and what it changed are measured through its DECISION.
    """
    steps = {_act_step(cause) for cause, _ in cone if cause.event_type == "DECISION"}
    acts = {cause.event_id: cause.step for cause, _ in cone if cause.step in steps}
    sizes: dict[str | None, float] = {}
    causes: list[Event] = []
    for cause, _ in cone:
        of_acts = [acts[act_id] for act_id in cause.caused_by if act_id in acts]
        if cause.event_type == "STATE" and ".apply" in (cause.step or "") and of_acts:
            sizes[of_acts[0]] = max(trials.size(cause.payload), sizes.get(of_acts[0], 0.0))
        elif cause.event_id not in acts and trials.can_alter(cause):
            causes.append(cause)
    return sorted(
        causes, key=lambda cause: (cause.event_type == "STATE", -sizes.get(_act_step(cause), 0.0))
    )


def _heaviest_first(weight: Weight) -> Any:
    is_known = weight.weight is not None
    return -(weight.weight or 0.0), is_known, -weight.moved, weight.event.order_key


def measure(
    folder: str | Path,
    event: str,
    *,
    of_effects: bool = False,
    runs: int = RUNS_MAX,
    on_play: OnPlay | None = None,
    **components: Any,
) -> Measurement:
    """Measures which causes of an event mattered, or which of its effects it changed.

    The run in the folder is rerun in memory, at most `runs` times, each time with one DECISION,
    ACTION or STATE left out or altered: in turn the nearest cause, and the decision that changed a
    number most; an ACTION and what it changed through their DECISION; changes by rules last. For
    `of_effects` it is the event itself. Recorded answers are used, and nothing is asked; an
    alteration that needs another is unknown. `on_play` is called with the number of plays and
    `runs`. `components` are the agents, engine and validator that the run was given as objects, as
    they were at its start. Blocks; Ctrl-C ends it with what is measured so far. Raises
    EventNotFound, NotALog for a log that is not a run, RunDiverged where the run comes to other
    events than it has recorded, ThenceError where nothing can be altered.
    """
    with RecordedRun(folder) as run:
        ask = run.log.effects if of_effects else run.log.why
        answer = ask(run.log.resolve(event))
        named = answer.event
        cone = answer.cone if of_effects else ((named, 0),)
        turns = max((effect.turn_number or 0 for effect, _ in cone), default=0)
        player = _Player(run, turns, [effect.step for effect, _ in cone], components)
    effects = [(effect, depth) for effect, depth in cone if effect.step in player.reference.details]
    most = runs if of_effects else _MOST
    trials = _Trials(player, runs, most, on_play)
    causes = [named] if of_effects else _largest_first(trials, answer.cone)
    if not effects or not any(map(trials.can_alter, causes)):
        raise _refused(player, named, of_effects, bool(effects))
    is_interrupted = False
    try:
        if not of_effects:
            trials.search(causes, named, answer.cone)
        while of_effects and trials.alter(named):
            pass
    except KeyboardInterrupt:
        is_interrupted = True
    if of_effects:
        weights = [trials.weight(named, effect, effect, depth) for effect, depth in effects]
    else:
        weights = trials.weights(answer.cone, named)
    return Measurement(
        event=named,
        weights=tuple(sorted(weights, key=_heaviest_first)),
        plays=trials.plays,
        unmeasured=max(0, len(causes) - len(weights)),
        problem=trials.problem,
        interrupted=is_interrupted,
    )


def _refused(player: _Player, event: Event, of_effects: bool, has_effects: bool) -> ThenceError:
    lacks = "nothing that can be altered led to it" if has_effects else "no play comes to it"
    if of_effects:
        lacks = "it can't be altered" if has_effects else "no play comes to an effect of it"
    place = f"{event.event_type} {event.step or event.event_id} of {player.run_id}"
    cause = "; ".join(filter(None, (lacks, player.reference.problem)))
    hint = "name an event after a decision, in a run with verbosity DECISION or more"
    return ThenceError("could not measure", place=place, cause=cause, hint=hint)
