"""The causes of the value of one row, found by playing turns of its run again.

The log has one decision of a population a turn. A row's part in it comes from the checkpoints: each
turn that is played again must come to the events, and so to the digest, that the log has.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Unpack

import msgspec

from thence.errors import ThenceError, needs_extra
from thence.sim.again.replay import again_in_memory, complete_turns, recorded_config
from thence.sim.populations.hooks import populations
from thence.sim.populations.population import NO_ROW, Column, Population, Rows
from thence.sim.record.checkpoints import read_checkpoints
from thence.sim.results.recorded import RecordedRun
from thence.sim.run.run import RunParts

with needs_extra("populations", "numpy"):
    import numpy as np

CHAIN_MAX = 64
# of the rows that wrote one value in a turn, those whose reads are listed
WRITERS_MAX = 100
# a row's value, and the turn that wrote it: (turn, row, column)
Place = tuple[int, int, str]


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
    CHAIN_MAX. `turns_played` counts the turns that were played again and came to the digest in the
    log.
    """

    subject: str
    turn: int
    value: Any
    chain: tuple[RowChange, ...]
    turns_played: int


class RowWeight(msgspec.Struct, frozen=True):
    """Whether the decision of a row, left out, changes the value, and to what."""

    step: str
    matters: bool
    value: Any


class PlayedRows:
    """The turns of a run, played again from the checkpoint before one that is asked for.

    Those since one checkpoint are in memory at once. `own` is the population as played last.
    """

    own: Population

    def __init__(self, run: RecordedRun, name: str, parts: RunParts) -> None:
        self._run, self._name, self._parts = run, name, parts
        self._config, self._events = recorded_config(run, parts), list(run.log.read())
        self.turns, self.turns_played = complete_turns(self._events), 0
        self._ids = {event.step: event.event_id for event in self._events}
        self._decided: dict[int, Rows | None] = {}
        self._after: dict[int, Mapping[str, Column]] = {}
        if not self.turns:
            cause, hint = "the run has no complete turn", "resume it first"
            raise ThenceError("could not explain", place=name, cause=cause, hint=hint)
        self.columns(self.turns)

    def rows(self, turn: int) -> Rows | None:
        """Returns the rows as they decided in a turn; raises RunDiverged unless the log says so."""
        if turn not in self._decided:
            self._decided, self._after = {}, {}
            self._play(turn, {})
        return self._decided[turn]

    def columns(self, turn: int) -> Mapping[str, Column]:
        """Returns the columns after a turn; else as `rows`."""
        if turn not in self._after:
            self.rows(turn)
        return self._after[turn]

    def without(self, step: str) -> Mapping[str, Column]:
        """Returns the columns after the last turn, where the decision at a step is left out."""
        self._play(self.turns, {step: None})
        return self.own.columns

    def _play(self, last: int, alter: Mapping[str, None]) -> None:
        first = min([last, *(int(step.partition(".")[0]) for step in alter)])
        ends = {self._ids.get(f"{turn}.turn_end.-.0") for turn in range(first)}
        checkpoints = read_checkpoints(self._run.folder, before=first)
        checkpoint = next((one for one in checkpoints if one.event_id in ends), None)
        past = -1 if checkpoint is None else checkpoint.turn
        events = [event for event in self._events if past < (event.turn_number or 0) <= last]
        simulation, _ = again_in_memory(self._run, self._config, self._parts, events, alter)
        own = [one for one in populations(simulation.components.agents) if one.name == self._name]
        if not own:
            what, cause = "could not replay", f"the run has no population {self._name!r:.60}"
            hint = "name a row by its population, number and column, as people/817/money"
            raise ThenceError(what, place=self._run.folder, cause=cause, hint=hint)
        self.own = own[0]

        def keep(turn: int, _: int) -> None:
            if not alter:
                self._decided[turn], self._after[turn] = self.own.decided, self.own.columns
                self.turns_played += 1
            self.own.decided = None

        async def play() -> None:
            if checkpoint is not None:
                await simulation.restore(checkpoint)
            else:
                await simulation.observation(self._name)  # which makes the rows
                self._decided[0] = None
            if not alter:
                self._after[max(past, 0)] = self.own.columns
            await simulation.run(last, keep)

        asyncio.run(play())

    def change(self, place: Place) -> RowChange:
        """Returns the change of a row's value in the turn that wrote it."""
        turn, row, column = place
        rows, before, after = self.rows(turn), self.columns(turn - 1), self.columns(turn)
        last = int(after[column].writers[row])
        by: dict[int, None] = {}
        reads: dict[RowRead, None] = {}

        def read(name: str, at: int) -> None:
            written = int(before[name].turns[at])
            reads[RowRead(self._subject(at, name), before[name].of_row(at), written)] = None

        if rows is not None and last != NO_ROW:
            by[last] = None
            for kind, values, where, of in rows.writes:
                if column in values and kind != "append":
                    hits = np.flatnonzero(where & (of == row)).tolist()
                    by |= dict.fromkeys(hits)
                    if hits and kind == "add":  # to what was there
                        read(column, row)
            for name, others in rows.reads:
                if others is None:
                    reads[RowRead(self._subject("*", name), None, 0)] = None
                    continue
                for writer in [*by][:WRITERS_MAX]:
                    read(name, int(others[writer]))
        steps = [f"{turn}.act.{self._name}.0", f"{turn}.decide.{self._name}.0"]
        steps = [step for step in steps if step in self._ids] or [f"{turn}.turn_end.-.0"]
        return RowChange(
            subject=self._subject(row, column),
            turn=turn,
            old=before[column].of_row(row),
            new=after[column].of_row(row),
            by=tuple([f"{self._name}/{writer}" for writer in by]),
            reads=tuple(reads),
            event_id=self._ids[steps[0]],
        )

    def changes(self, place: tuple[int, str], *, all_reads: bool) -> Iterator[RowChange]:
        """Yields the last change of a row's value and those behind it, the latest first.

        Of what a change has read it follows the value that was written last, or all values.
        """
        row, column = place
        pending = {(int(self.columns(self.turns)[column].turns[row]), row, column)}
        while pending and max(pending)[0]:
            pending.remove(latest := max(pending))
            yield (change := self.change(latest))
            latest_read = max(change.reads, key=lambda read: read.turn, default=None)
            for read in change.reads if all_reads else filter(None, (latest_read,)):
                _, number, name = read.subject.split("/")
                if read.turn:
                    pending.add((read.turn, int(number), name))

    def _subject(self, row: object, column: str) -> str:
        return f"{self._name}/{row}/{column}"


def why_row(folder: str | Path, subject: str, **parts: Unpack[RunParts]) -> RowWhy:
    """Returns why a row of a population has its value after the last complete turn.

    `subject` names the population, row and column, as people/817/money. Turns are played again in
    memory, from the checkpoint before each; components that the run was given as objects are given
    again. Blocks. Raises ThenceError, RunDiverged where a turn's columns are not those of the log.
    """
    with RecordedRun(folder) as run:
        played = PlayedRows(run, subject.partition("/")[0], parts)
        row, column = played.own.row_of(subject)
        value = played.own.columns[column].of_row(row)
        chain = tuple(islice(played.changes((row, column), all_reads=False), CHAIN_MAX))
    return RowWhy(subject, played.turns, value, chain, played.turns_played)


def row_courses(run: RecordedRun, subjects: Iterable[str]) -> dict[str, list[Any]]:
    """Returns the value of each row after each turn, from turn 0; None before it was appended.

    All turns are played again in memory. Raises as `why_row`.
    """
    courses: dict[str, list[Any]] = {subject: [] for subject in subjects}
    for name in {subject.partition("/")[0] for subject in courses}:
        played = PlayedRows(run, name, {})
        own = [subject for subject in courses if subject.startswith(f"{name}/")]
        places = {subject: played.own.row_of(subject) for subject in own}
        for turn in range(played.turns, -1, -1):  # those since a checkpoint are played at once
            for subject, (row, column) in places.items():
                courses[subject].insert(0, played.columns(turn)[column].of_row(row))
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
        played = PlayedRows(run, subject.partition("/")[0], parts)
        row, column = played.own.row_of(subject)
        value = played.own.columns[column].of_row(row)
        steps: dict[str, None] = {}
        for change in played.changes((row, column), all_reads=True):
            steps |= dict.fromkeys(f"{change.turn}.decide.{by}.0" for by in change.by)
            if len(steps) >= runs:
                break
        weights: list[RowWeight] = []
        for step in [*steps][:runs]:
            on_play(len(weights), min(runs, len(steps)))
            other = played.without(step)[column].of_row(row)
            weights.append(RowWeight(step, other != value, other))
    return weights
