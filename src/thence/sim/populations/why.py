"""The causes of the value of one row, found by playing turns of its run again.

The log has one decision of a population a turn. A row's part in it comes from the checkpoints: each
turn that is played again must come to the events, and so to the digest, that the log has.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Unpack

import msgspec

from thence.errors import ThenceError
from thence.sim.again.replay import (
    again_in_memory,
    complete_turns,
    newest_checkpoint,
    recorded_config,
)
from thence.sim.populations.hooks import row_named
from thence.sim.populations.population import NO_ROW, Column, Population, Rows
from thence.sim.results.recorded import RecordedRun
from thence.sim.run.run import RunParts

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

    Each change is followed by that of the value, among those it read, that was written last, up to
    CHAIN_MAX.
    """

    subject: str
    turn: int
    value: Any
    chain: tuple[RowChange, ...]


class RowWeight(msgspec.Struct, frozen=True):
    """Whether the decision of a row, left out, changes the value, and to what."""

    step: str
    matters: bool
    value: Any


class PlayedTurn(NamedTuple):
    """The rows as they decided in a turn, None if they did not, and the columns around it."""

    rows: Rows | None
    before: Mapping[str, Column]
    after: Mapping[str, Column]


class PlayedRow:
    """A row in the turns of a run, which are played again from the checkpoint before one asked for.

    Those since one checkpoint are in memory at once. `value` is that after the last of the `turns`.
    """

    def __init__(self, run: RecordedRun, subject: str, parts: RunParts) -> None:
        self._run, self._subject, self._parts = run, subject, parts
        self._config, self._events = recorded_config(run, parts), list(run.log.read())
        self._ids = {event.step: event.event_id for event in self._events}
        self._played: dict[int, PlayedTurn] = {}
        self.turns = complete_turns(self._events)
        own = self._play(self.turns, self.turns)
        self._row, self._column = own.row_of(subject)
        self._last = own.columns[self._column].turns[self._row].item()
        self.value = self.of(own.columns)

    def of(self, columns: Mapping[str, Column]) -> Any:
        """Returns the row's value in some columns, None before it was appended."""
        return columns[self._column].of_row(self._row)

    def turn(self, turn: int) -> PlayedTurn:
        """Returns a turn as it was played; raises RunDiverged unless the log says so."""
        if turn not in self._played:
            self._played = {}
            self._play(turn, turn)
        return self._played[turn]

    def without(self, step: str) -> Mapping[str, Column]:
        """Returns the columns after the last turn, where the decision at a step is left out."""
        return self._play(int(step.partition(".")[0]), self.turns, {step: None}).columns

    def _play(
        self, first: int, last: int, alter: Mapping[str, None] = MappingProxyType({})
    ) -> Population:
        """Plays up to a turn from the newest checkpoint before another; returns the population."""
        checkpoint = newest_checkpoint(self._run.folder, self._events, before=first)
        past = -1 if checkpoint is None else checkpoint.turn
        events = [event for event in self._events if past < (event.turn_number or 0) <= last]
        simulation, _ = again_in_memory(self._run, self._config, self._parts, events, alter)
        named = row_named(simulation.components.agents, self._subject)
        if named is None:
            what, cause = "could not replay", f"the run has no population of {self._subject!r:.60}"
            hint = "name a row by its population, number and column, as people/817/money"
            raise ThenceError(what, place=self._run.folder, cause=cause, hint=hint)
        own = named[0]

        async def play() -> None:
            if checkpoint is not None:
                await simulation.restore(checkpoint)
            else:
                await simulation.observation(own.name)  # which makes the rows
            before = own.columns

            def keep(turn: int, _: int) -> None:
                nonlocal before
                if not alter:
                    self._played[turn] = PlayedTurn(own.decided, before, own.columns)
                before, own.decided = own.columns, None

            await simulation.run(last, keep)

        asyncio.run(play())
        return own

    def changes(self, *, all_reads: bool) -> Iterator[RowChange]:
        """Yields the last change of the row's value and those behind it, the latest first.

        Of what a change has read it follows the value that was written last, or all values.
        """
        pending = {(self._last, self._row, self._column)}
        while pending and max(pending)[0]:
            pending.remove(latest := max(pending))
            yield (change := self.change(*latest))
            latest_read = max(change.reads, key=lambda read: read.turn, default=None)
            for read in change.reads if all_reads else filter(None, (latest_read,)):
                _, number, name = read.subject.split("/")
                if read.turn:
                    pending.add((read.turn, int(number), name))

    def change(self, turn: int, row: int, column: str) -> RowChange:
        """Returns the change of a row's value in the turn that wrote it."""
        rows, before, after = self.turn(turn)
        name = self._subject.partition("/")[0]
        last = int(after[column].writers[row])
        by: dict[int, None] = {}
        reads: dict[RowRead, None] = {}

        def read(of: str, at: int) -> None:
            value, written = before[of].of_row(at), int(before[of].turns[at])
            reads[RowRead(f"{name}/{at}/{of}", value, written)] = None

        if rows is not None and last != NO_ROW:
            by[last] = None
            for kind, values, where, of in rows.writes:
                if column in values and kind != "append":
                    hits = (where & (of == row)).nonzero()[0].tolist()
                    by |= dict.fromkeys(hits)
                    if hits and kind == "add":  # to what was there
                        read(column, row)
            for of_column, others in rows.reads:
                if others is None:
                    reads[RowRead(f"{name}/*/{of_column}", None, 0)] = None
                    continue
                for writer in [*by][:WRITERS_MAX]:
                    read(of_column, int(others[writer]))
        steps = [f"{turn}.{part}.0" for part in (f"act.{name}", f"decide.{name}", "turn_end.-")]
        return RowChange(
            subject=f"{name}/{row}/{column}",
            turn=turn,
            old=before[column].of_row(row),
            new=after[column].of_row(row),
            by=tuple([f"{name}/{writer}" for writer in by]),
            reads=tuple(reads),
            event_id=next(self._ids[step] for step in steps if step in self._ids),
        )


def why_row(folder: str | Path, subject: str, **parts: Unpack[RunParts]) -> RowWhy:
    """Returns why a row of a population has its value after the last complete turn.

    `subject` names the population, row and column, as people/817/money. Turns are played again in
    memory, from the checkpoint before each; components that the run was given as objects are given
    again. Blocks. Raises ThenceError, RunDiverged where a turn's columns are not those of the log.
    """
    with RecordedRun(folder) as run:
        played = PlayedRow(run, subject, parts)
        chain = tuple(islice(played.changes(all_reads=False), CHAIN_MAX))
    return RowWhy(subject, played.turns, played.value, chain)


def row_courses(run: RecordedRun, subjects: Iterable[str]) -> dict[str, list[Any]]:
    """Returns the value of each row after each turn, from turn 0; None before it was appended.

    All turns are played again in memory, once for each. Raises as `why_row`.
    """
    courses: dict[str, list[Any]] = {}
    for subject in subjects:
        played = PlayedRow(run, subject, {})
        turns = range(played.turns, 0, -1)  # those since a checkpoint are played at once
        values = [played.of(played.turn(turn).after) for turn in turns]
        first = played.of(played.turn(1).before) if values else played.value
        courses[subject] = [first, *reversed(values)]
    return courses


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
        played = PlayedRow(run, subject, parts)
        weights: dict[str, RowWeight] = {}
        for change in played.changes(all_reads=True):
            steps = [f"{change.turn}.decide.{by}.0" for by in change.by]
            for step in [step for step in steps if step not in weights][: runs - len(weights)]:
                on_play(len(weights), runs)
                other = played.of(played.without(step))
                weights[step] = RowWeight(step, other != played.value, other)
            if len(weights) >= runs:
                break
    return [*weights.values()]
