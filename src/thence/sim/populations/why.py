"""The causes of the value of one row, found by playing turns of its run again.

The log has one decision of a population a turn. A row's part in it comes from the checkpoints: each
turn that is played again must come to the digest that the log has.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Unpack

import msgspec

from thence.errors import ThenceError, needs_extra
from thence.sim.again.replay import altered_steps, complete_turns, failures_by_step, recorded_config
from thence.sim.again.replay_input import ReplayInput
from thence.sim.populations.hooks import populations
from thence.sim.populations.population import NO_ROW, Kept, Population, Traced
from thence.sim.record.checkpoints import read_checkpoints
from thence.sim.record.events import VerbosityLevel, level_of
from thence.sim.record.outcomes import Outcomes, diverged, read_outcomes
from thence.sim.results.recorded import RecordedRun
from thence.sim.run.run import RunParts
from thence.sim.run.simulation import Simulation, make_components, new_loop

with needs_extra("populations", "numpy"):
    import numpy as np

CHAIN_MAX = 64
# of the rows that wrote one value in a turn, those whose reads are listed
WRITERS_MAX = 100


class RowRead(msgspec.Struct, frozen=True):
    """A value that a row's decision read; `turn` is when it was written, 0 before the first one.

    The subject of a whole column is people/*/money; its value is None.
    """

    subject: str
    value: Any
    turn: int


class RowChange(msgspec.Struct, frozen=True):
    """A change of a row's value.

    `by` are the rows that wrote it in this turn, the last one first, none if it was set from
    outside. `reads` are the values that their decisions read, `event_id` is the event of all rows'
    decisions.
    """

    subject: str
    turn: int
    old: Any
    new: Any
    by: tuple[str, ...]
    reads: tuple[RowRead, ...]
    event_id: str


class RowWhy(msgspec.Struct, frozen=True):
    """The value of a row after a turn, and the changes that led to it, the last one first.

    Each change is followed by that of the value, among those it read, that was written last.
    `is_whole` is False where there are more than CHAIN_MAX. `turns_played` counts the turns that
    were played again and came to the digest in the log.
    """

    subject: str
    turn: int
    value: Any
    chain: tuple[RowChange, ...]
    turns_played: int
    is_whole: bool


class RowWeight(msgspec.Struct, frozen=True):
    """Whether the decision of a row, left out, changes the value, and to what."""

    step: str
    matters: bool
    value: Any


class PlayedTurn(NamedTuple):
    """A turn of a population: its decision, if it was asked for one, and the columns after it."""

    traced: Traced | None
    after: Kept


class PlayedRows:
    """The turns of a run, played again from the checkpoint before one that is asked for.

    Those since one checkpoint are in memory at once. `own` is the population as played last.
    """

    own: Population

    def __init__(self, run: RecordedRun, name: str, parts: RunParts) -> None:
        self._run, self._name, self._parts = run, name, parts
        self._config = recorded_config(run, parts)
        events = list(run.log.read())
        self.turns = complete_turns(events)
        self.turns_played = 0
        self._outcomes, self._failures = read_outcomes(run.folder), failures_by_step(events)
        self.event_ids = {event.step: event.event_id for event in events if event.step}
        ends = [event for event in events if ".turn_end." in (event.step or "")]
        self._end_ids = {event.event_id for event in ends}
        self._digests = {event.turn_number: event.payload.get("populations", {}) for event in ends}
        self._window: dict[int, PlayedTurn] = {}

    def at(self, turn: int) -> PlayedTurn:
        """Returns what happened in a turn; raises RunDiverged if that is not what the log says."""
        if turn not in self._window:
            self._window = {}
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(self._play(turn))
        return self._window[turn]

    def value_without(self, step: str, row: int, column: str) -> Any:
        """Returns a row's value after the last turn where the decision at a step is left out."""
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(self._play(self.turns, {step: None}))
        values = self.own.kept().values[column]
        return values[row].item() if row < len(values) else None

    async def _play(self, last: int, alter: Mapping[str, None] = MappingProxyType({})) -> None:
        first = min([last, *(int(step.partition(".")[0]) for step in alter)])
        checkpoints = read_checkpoints(self._run.folder, before=first)
        checkpoint = next((one for one in checkpoints if one.event_id in self._end_ids), None)
        parts = self._parts
        components = make_components(
            self._config, parts.get("agents"), parts.get("engine"), parts.get("validator")
        )
        own = next((one for one in populations(components.agents) if one.name == self._name), None)
        if own is None:
            what, cause = "could not play again", f"the run has no population {self._name!r:.60}"
            hint = "name a row by its population, number and column, as people/817/money"
            raise ThenceError(what, place=self._run.folder, cause=cause, hint=hint)
        own.is_traced, self.own = not alter, own
        simulation = Simulation(
            self._config,
            components,
            lambda piece: None,
            simulation_id=self._run.run_id,
            verbosity=max(level_of(self._config.events.verbosity), VerbosityLevel.DECISION),
            outcomes=Outcomes(recorded=self._outcomes, may_ask=False),
            again=ReplayInput(
                altered={**altered_steps(self._run), **alter}, failures=self._failures
            ),
        )
        try:
            with simulation.watched():
                if checkpoint is not None:
                    await simulation.restore(checkpoint)
                while simulation.recorder.turn < last and not simulation.reason:
                    own.traced = None
                    await simulation.play_turn()
                    if alter:
                        continue
                    turn = simulation.recorder.turn
                    if own.digest != self._digests.get(turn, {}).get(own.name):
                        hint = "its code, its table or the version of NumPy has changed since"
                        reason = f"the columns of {own.name} have another digest now"
                        raise diverged(f"{turn}.turn_end.-.0", reason, hint)
                    self._window[turn] = PlayedTurn(own.traced, own.kept())
                    self.turns_played += 1
        finally:
            await simulation.close()

    def change(self, row: int, column: str, turn: int) -> RowChange:
        """Returns the change of a row's value in a turn that wrote it."""
        traced, after = self.at(turn)
        last, old = int(after.writers[column][row]), None
        writers: dict[int, None] = {}
        reads: dict[RowRead, None] = {}
        if traced is not None and last != NO_ROW:
            writers[last] = None
            values = traced.before.values[column]
            if row < len(values):
                old = values[row].item()
                for write in traced.writes:
                    targets = np.arange(len(values)) if write.of is None else write.of
                    hits = targets == row if write.where is None else write.where & (targets == row)
                    if write.column == column and hits.any():
                        writers |= dict.fromkeys(np.flatnonzero(hits).tolist())
                        if write.kind == "add":  # to what was there
                            since = traced.before.turns[column][row].item()
                            reads[RowRead(f"{self._name}/{row}/{column}", old, since)] = None
            for name, of, is_whole in traced.reads:
                if is_whole and name:
                    reads[RowRead(f"{self._name}/*/{name}", None, 0)] = None
                for by in [*writers][:WRITERS_MAX] if not is_whole else ():
                    at = by if of is None else int(of[by])
                    value, since = (arrays[name][at].item() for arrays in traced.before[:2])
                    reads[RowRead(f"{self._name}/{at}/{name}", value, since)] = None
        steps = [f"{turn}.{phase}.{self._name}.0" for phase in ("act", "decide")]
        steps = [step for step in steps if step in self.event_ids] or [f"{turn}.turn_end.-.0"]
        return RowChange(
            subject=f"{self._name}/{row}/{column}",
            turn=turn,
            old=old,
            new=after.values[column][row].item(),
            by=tuple([f"{self._name}/{by}" for by in writers]),
            reads=tuple(reads),
            event_id=self.event_ids[steps[0]],
        )


def why_row(folder: str | Path, subject: str, **parts: Unpack[RunParts]) -> RowWhy:
    """Returns why a row of a population has its value after the last complete turn.

    `subject` names the population, row and column, as people/817/money. Turns are played again in
    memory, from the checkpoint before each; components that the run was given as objects are given
    again. Blocks. Raises ThenceError, RunDiverged where a turn's columns are not those of the log.
    """
    with RecordedRun(folder) as run:
        played = PlayedRows(run, subject.partition("/")[0], parts)
        if not played.turns:
            cause, hint = "the run has no complete turn", "resume it first"
            raise ThenceError("could not explain", place=subject, cause=cause, hint=hint)
        kept = played.at(played.turns).after
        row, column = played.own.row_of(subject) or (0, "")
        value, turn = kept.values[column][row].item(), kept.turns[column][row].item()
        chain: list[RowChange] = []
        while turn and len(chain) < CHAIN_MAX:
            chain.append(played.change(row, column, turn))
            latest = max(chain[-1].reads, key=lambda read: read.turn, default=None)
            turn = latest.turn if latest else 0
            if latest and turn:
                _, number, column = latest.subject.split("/")
                row = int(number)
    return RowWhy(subject, played.turns, value, tuple(chain), played.turns_played, not turn)


def row_courses(run: RecordedRun, subjects: Iterable[str]) -> dict[str, list[Any]]:
    """Returns the value of each row after each turn, from turn 0; None before it was appended.

    All turns are played again in memory. Raises as `why_row`.
    """
    courses: dict[str, list[Any]] = {subject: [] for subject in subjects}
    for name in {subject.partition("/")[0] for subject in courses}:
        played = PlayedRows(run, name, {})
        for turn in range(played.turns, 0, -1):  # those since a checkpoint are played at once
            traced, after = played.at(turn)
            moments = [after] if turn > 1 or traced is None else [after, traced.before]
            for subject, course in courses.items():
                if (place := played.own.row_of(subject)) is not None:
                    arrays = [kept.values[place[1]] for kept in moments]
                    course += [a[place[0]].item() if place[0] < len(a) else None for a in arrays]
    return {subject: course[::-1] for subject, course in courses.items()}


def measure_row(
    folder: str | Path,
    subject: str,
    *,
    runs: int = 64,
    on_play: Callable[[int, int], None] = lambda plays, runs: None,
    **parts: Unpack[RunParts],
) -> list[RowWeight]:
    """Measures which decisions of rows mattered for a row's value after the last complete turn.

    The run is played again in memory, at most `runs` times, each time without the decision of one
    row in one turn: those whose writes led to the value, the latest first. Else as `why_row`.
    """
    with RecordedRun(folder) as run:
        played = PlayedRows(run, subject.partition("/")[0], parts)
        kept = played.at(played.turns).after
        row, column = played.own.row_of(subject) or (0, "")
        value = kept.values[column][row].item()
        steps: dict[str, None] = {}
        pending: list[tuple[int, int, str]] = [(-kept.turns[column][row].item(), row, column)]
        seen = {*pending}
        while pending and pending[0][0] and len(steps) < runs:
            turn, place, name = heappop(pending)  # the latest first: windows are played once
            change = played.change(place, name, -turn)
            steps |= dict.fromkeys(f"{-turn}.decide.{by}.0" for by in change.by)
            for read in change.reads:
                _, number, name = read.subject.split("/")
                cause = (-read.turn, int(number), name) if read.turn else (0, 0, "")
                if cause not in seen:
                    seen.add(cause)
                    heappush(pending, cause)
        weights: list[RowWeight] = []
        for step in [*steps][:runs]:
            on_play(len(weights), min(runs, len(steps)))
            other = played.value_without(step, row, column)
            weights.append(RowWeight(step, other != value, other))
    return weights
