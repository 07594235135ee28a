"""The truth of causes, measured: a seeded run is altered, and its effects are compared.

An altered play begins at the checkpoint before the turn of what is altered.

`python -m tests.sim.truth 2000 7 ACTION fishery` prints the figures of 2000 samples, by seed 7.
"""

import asyncio
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from statistics import median

import msgspec
from tests.sim.models.players import EXAMPLES
from tests.sim.toys import one_by_one

from thence.core.diff import VOLATILE
from thence.sim.again.replay_input import ReplayInput
from thence.sim.record.checkpoints import Checkpoint
from thence.sim.record.events import Event, VerbosityLevel
from thence.sim.run.simulation import COVER_TURNS, Components, Simulation, make_components
from thence.sim.scenario.scenario import SimulationConfig

ALTERABLE = ("STATE", "DECISION", "ACTION")
ALTERATIONS_MAX = 8
SHIPPED = ("spatial_trade_network", "fishery", EXAMPLES / "epidemic.yaml")


def played(
    config: SimulationConfig,
    alter: Mapping[str, object] | None = None,
    turns_max: int | None = None,
    verbosity: VerbosityLevel = VerbosityLevel.DETAIL,
    *,
    begins_at: bytes | None = None,
    checkpoints: dict[int, bytes] | None = None,
    parts: Components | None = None,
) -> list[Event]:
    """Runs a scenario in memory and returns its events; adds checkpoints to those of turns."""
    events: list[Event] = []
    simulation = Simulation(
        config,
        parts or make_components(config),
        one_by_one(events.append),
        verbosity=verbosity,
        again=ReplayInput(altered=alter or {}),
    )

    def keep(turn: int, _: int) -> None:
        if checkpoints is None or simulation.reason:  # none goes on behind its end
            return
        if checkpoint := simulation.checkpoint():
            checkpoints[turn] = msgspec.json.encode(checkpoint)

    async def play() -> None:
        if begins_at is not None:
            await simulation.restore(msgspec.json.decode(begins_at, type=Checkpoint))
        await simulation.run(turns_max, keep)
        await simulation.close()

    asyncio.run(play())
    return events


def cone(by_id: Mapping[str, Event], effect: Event) -> set[str]:
    """Returns the ids of all causes of an effect."""
    found: set[str] = set()
    open_ends = list(effect.caused_by)
    while open_ends:
        event_id = open_ends.pop()
        if event_id not in found:
            found.add(event_id)
            open_ends += by_id[event_id].caused_by
    return found


class Run:
    """A seeded run of a scenario, with the methods for the test of truth."""

    def __init__(
        self,
        config: SimulationConfig,
        seed: int,
        verbosity: VerbosityLevel = VerbosityLevel.DETAIL,
    ) -> None:
        settings = msgspec.structs.replace(config.simulation, seed=seed)
        self.config = msgspec.structs.replace(config, simulation=settings)
        self.verbosity = verbosity
        self.checkpoints: dict[int, bytes] = {}
        self.events = played(self.config, verbosity=verbosity, checkpoints=self.checkpoints)
        self.by_id = {event.event_id: event for event in self.events}
        self.position = {event.event_id: at for at, event in enumerate(self.events)}
        self._table = self.config.table([agent.name for agent in self.config.agents])

    @cached_property
    def direct_pairs(self) -> list[tuple[Event, Event]]:
        """Each effect with each alterable event that it names as cause."""
        return [
            (effect, self.by_id[cause])
            for effect in self.events
            for cause in effect.caused_by
            if self.by_id[cause].event_type in ALTERABLE
        ]

    @cached_property
    def _values_seen(self) -> dict[tuple[str, str], list[object]]:
        seen: dict[tuple[str, str], list[object]] = {}
        for event in self.events:
            if event.event_type == "STATE":
                values = seen.setdefault((event.scope, event.variable_name), [])
                values += [v for v in (event.old_value, event.new_value) if v not in values]
        return seen

    def cone(self, effect: Event) -> set[str]:
        return cone(self.by_id, effect)

    def outsiders(self, effect: Event) -> list[Event]:
        """Returns the alterable events before an effect that are no causes of it."""
        cone = self.cone(effect)
        return [
            event
            for event in self.events[: self.position[effect.event_id]]
            if event.event_type in ALTERABLE and event.event_id not in cone
        ]

    def alterations(self, event: Event, rng: random.Random) -> list[object]:
        """Returns up to eight changes of an event.

        A DECISION or ACTION is left out. A number gets its bounds and random values between
        them, any other variable values that it had in this run, in random order.
        """
        if event.event_type != "STATE":
            return [None]
        declared = self._table[self._table.index(event.scope, event.variable_name)].declaration
        low, high = declared.minimum, declared.maximum
        values: list[object]
        if declared.kind == "int":
            values = [int(low), int(high)]
            values += [rng.randint(int(low), int(high)) for _ in range(ALTERATIONS_MAX)]
        elif declared.kind == "float":
            values = [float(low), float(high)]
            values += [round(rng.uniform(low, high), 2) for _ in range(ALTERATIONS_MAX)]
        else:
            values = list(self._values_seen[event.scope, event.variable_name])
            rng.shuffle(values)
        other = [value for value in values if value != event.new_value]
        return list({repr(value): value for value in other}.values())[:ALTERATIONS_MAX]

    def is_changed(self, effect: Event, cause: Event, value: object) -> bool:
        """Reports whether an effect is absent or different after a cause is altered."""
        turn = cause.turn_number - 1
        if effect.step is None:  # it counts causes, of which a run knows all that it began with
            turn -= turn % (self.config.simulation.checkpoint_interval or COVER_TURNS)
        events = played(
            self.config,
            {cause.step: value},
            effect.turn_number,
            self.verbosity,
            begins_at=self.checkpoints.get(turn),
        )
        altered = {event.step: event for event in events}.get(effect.step)
        return altered is None or _lasting(altered) != _lasting(effect)


def _lasting(event: Event) -> dict[str, object]:
    """Returns the details of an event without what differs from run to run."""
    return {name: value for name, value in event.details.items() if name not in VOLATILE}


def sampled_outsiders(
    run: Run, rng: random.Random, samples: int
) -> list[tuple[Event, Event, object]]:
    """Returns the effects that changed after an alteration of an event that is no cause."""
    wrong = []
    taken = 0
    while taken < samples:
        effect = rng.choice(run.events)
        if effect.step is None:
            continue
        outsiders = run.outsiders(effect)
        if not outsiders:
            continue
        taken += 1
        event = rng.choice(outsiders)
        value = rng.choice(run.alterations(event, rng))
        if run.is_changed(effect, event, value):
            wrong.append((effect, event, value))
    return wrong


def sampled_causes(run: Run, rng: random.Random, samples: int) -> list[tuple[Event, Event]]:
    """Returns the pairs of effect and direct cause where no alteration changed the effect."""
    return [
        (effect, cause)
        for effect, cause in rng.choices(run.direct_pairs, k=samples)
        if not any(run.is_changed(effect, cause, value) for value in run.alterations(cause, rng))
    ]


def wrong_causes(
    play: Callable[[Mapping[str, object]], list[Event]],
    other: Callable[[Event, Sequence[Event]], object],
    samples: int,
    rng: random.Random,
) -> list[tuple[str | None, object, str]]:
    """Alters events of a world one by one, each to another value.

    Returns each with its value and with what changed without having it as a cause.
    """
    events = play({})
    by_id = {event.event_id: event for event in events}
    alterable = [event for event in events if event.event_type in ALTERABLE]
    wrong = []
    for event in rng.sample(alterable, min(samples, len(alterable))):
        value = other(event, events)
        altered = {each.step: each.details for each in play({event.step: value})}
        for effect in events:
            is_changed = effect is not event and altered.get(effect.step) != effect.details
            if effect.step and is_changed and event.event_id not in cone(by_id, effect):
                wrong.append((event.step, value, effect.step))
    return wrong


def causes_named(run: Run) -> float:
    """Returns the median number of causes that an event names."""
    return median(len(event.caused_by) for event in run.events)


def main(arguments: Sequence[str]) -> None:
    """Prints the figures of runs with fresh seeds."""
    samples = int(arguments[0]) if arguments else 200
    seed = int(arguments[1]) if len(arguments) > 1 else random.SystemRandom().getrandbits(32)
    verbosity = VerbosityLevel[arguments[2]] if len(arguments) > 2 else VerbosityLevel.DETAIL
    rng = random.Random(seed)
    config = SimulationConfig.from_file(arguments[3] if len(arguments) > 3 else SHIPPED[0])
    run = Run(config, rng.getrandbits(32), verbosity)
    if not run.direct_pairs:
        sys.exit(f"at {verbosity.name} no event names one that can be altered")
    wrong = sampled_outsiders(run, rng, samples)
    idle = sampled_causes(run, rng, samples)
    print(f"seed {seed}: {len(run.events)} events, {causes_named(run)} causes the median event")
    print(f"{len(wrong)} of {samples} effects changed without a cause being altered")
    print(f"{samples - len(idle)} of {samples} effects changed with a direct cause")
    for effect, event, value in wrong:
        print(f"  {effect.step} {effect.details} changed by {event.step} = {value!r}")


if __name__ == "__main__":
    main(sys.argv[1:])
