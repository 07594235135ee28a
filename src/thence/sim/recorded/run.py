"""A run that is read back from its folder: its settings, its result, its tables."""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

from thence.core.event import Event
from thence.core.nearest import nearest
from thence.core.query.filter import Names, names
from thence.errors import InvalidFilter, NotALog, NotRecorded
from thence.replica import Log, open_log
from thence.sim.events import TYPED
from thence.sim.recorded import event_rows, variable_rows
from thence.sim.recorded.table import Table
from thence.sim.verbosity import VerbosityLevel, level_of

# a page of events is in memory at once
_PAGE_EVENTS = 1_000
_PAGE_EVENTS_MAX = 10_000
_PAGE_BYTES = 8 * 1024 * 1024


def open_run(path: str | Path) -> "RecordedRun":
    """Opens the run in a folder for reading, while it grows as well as after its end.

    Raises NotALog where there is no run of a simulation, ReadFailed.
    """
    return RecordedRun(path)


class RecordedRun:
    """The run in a folder, read back; nothing is appended. Close it, or use `with`.

    `config` is the content of config.json, {} where there is none. `log` is the open log, with
    `query`, `why` and `effects`.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = Path(path)
        self.log: Log = open_log(self.folder, create=False)
        if self.log.vocabulary.name != "sim":
            kind = self.log.vocabulary.name
            self.log.close()
            raise NotALog(
                "could not open the run",
                place=self.folder,
                cause=f"it is a {kind} log, no simulation's run",
                hint="`thence sim list` lists the runs, `thence log` the events of any log",
            )
        self.config = read_object(self.folder / "config.json")

    @property
    def run_id(self) -> str:
        """The id of the run: the name that its folder got."""
        return str(self.config.get("run_id") or self.folder.resolve().name)

    @property
    def result(self) -> dict[str, Any]:
        """The content of result.json; {} until the run's end, and after a kill."""
        return read_object(self.folder / "result.json")

    @property
    def verbosity(self) -> VerbosityLevel | None:
        """The verbosity of the run; None where config.json does not hold it."""
        events = self.config.get("events")
        try:
            return level_of(events["verbosity"]) if isinstance(events, dict) else None
        except (KeyError, TypeError, ValueError):
            return None

    def events(self, type: Names = None) -> Table:
        """Returns the table of all events, or of those of one type or several.

        A row is an event, in total order, with event_id, event_type, turn, step, agent,
        timestamp, caused_by, and the details as columns of their own: variable, scope, old and
        new of a STATE; decision_type, old and new of a DECISION; action_type and the members of
        the payload of an ACTION. Raises NotRecorded for a type that the verbosity left out.
        """
        types = names("type", type)
        for each in types:
            self._check_recorded(each)
        table = event_rows.event_table(partial(self._read, types), types)
        if not len(table):
            self._warn_unknown(types)
        return table

    def variables(self, scope: Names = None, name: Names = None) -> Table:
        """Returns the table of the variables' values after each complete turn.

        A row is a turn, from 0, before the first; the columns are `turn` and
        `<scope>/<name>` for each variable. `scope` and `name` choose among these, each one
        text or several, `*` for any characters. Until result.json is written, only variables
        that have changed are known. Warns if events with changes are missing. Raises
        NotRecorded if the run's verbosity left out STATE events, InvalidFilter if no variable
        fits.
        """
        scopes, chosen = names("scope", scope), names("name", name)
        self._check_recorded("STATE")
        count = self.log.query(type=variable_rows.TYPES, limit=1).total
        read: Callable[[], Iterator[Event]] = lambda: islice(  # noqa: E731
            self._read(variable_rows.TYPES), count
        )
        final_state = self.result.get("final_state")
        final_state = final_state if isinstance(final_state, dict) else {}
        history = variable_rows.read_history(read(), final_state)
        if not history.initial and self.verbosity is None:
            raise self._not_recorded("STATE", "the log holds none")
        if history.gaps:
            text = f"{history.gaps:,} changes follow on others that the log lacks, the first at"
            text += f" {history.first_gap}; until there a variable stands at its last known value"
            warnings.warn(text, stacklevel=2)

        def selects(scope: str, name: str) -> bool:
            return _fits(scope, scopes) and _fits(name, chosen)

        known = list(history.initial)
        if (scopes or chosen) and not any(selects(*key) for key in known):
            raise _no_variable(scopes, chosen, known)
        return variable_rows.variable_table(read, history, selects)

    def close(self) -> None:
        """Closes the run's log."""
        self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, types: Sequence[str]) -> Iterator[Event]:
        """Yields the events of some types, of all without any, a page in memory at once."""
        cursor, limit = None, _PAGE_EVENTS
        while True:
            page = self.log.query(type=types, limit=limit, cursor=cursor)
            yield from page.events
            cursor = page.next_cursor
            if cursor is None:
                return
            size = sum(len(event.line) for event in page.events)
            limit = max(1, min(_PAGE_EVENTS_MAX, _PAGE_BYTES * len(page) // max(1, size)))

    def _check_recorded(self, event_type: str) -> None:
        """Raises NotRecorded for a type above the run's verbosity; SYSTEM comes at any."""
        written, typed = self.verbosity, TYPED.get(event_type)
        if written is None or typed is None or event_type == "SYSTEM":
            return
        if typed.level > written:
            raise self._not_recorded(event_type, f"it ran with verbosity {written.name}")

    def _not_recorded(self, event_type: str, cause: str) -> NotRecorded:
        return NotRecorded(
            f"could not read {event_type} events of the run",
            place=self.folder,
            cause=cause,
            hint=f"run it anew: thence sim run SCENARIO --verbosity {event_type}",
        )

    def _warn_unknown(self, types: Sequence[str]) -> None:
        for each in types:
            if each not in TYPED:
                near = nearest(each, TYPED)
                more = f"; did you mean {near[0]}?" if near else ""
                warnings.warn(f"the run holds no event of type {each}{more}", stacklevel=3)


def read_object(path: Path) -> dict[str, Any]:
    """Reads a JSON object that the run wrote; {} where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _fits(text: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(text == each or fnmatchcase(text, each) for each in patterns)


def _no_variable(
    scopes: Sequence[str], chosen: Sequence[str], known: Sequence[variable_rows.Key]
) -> InvalidFilter:
    key, asked, place = ("scope", scopes, 0)
    if (scopes and any(_fits(scope, scopes) for scope, _ in known)) or not scopes:
        key, asked, place = ("name", chosen, 1)
    near = nearest(asked[0], dict.fromkeys(each[place] for each in known), likeness=0)
    return InvalidFilter(
        "could not choose variables",
        key=key,
        cause=f"no variable of the run has the {key} {', '.join(asked)}",
        hint=f"the nearest is {near[0]}" if near else "the run has no variables",
    )
