"""Events as a pandas DataFrame."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from thence.core.event import Event
from thence.core.table import COLUMNS, row_of
from thence.core.times import microseconds
from thence.errors import ExtraMissing

if TYPE_CHECKING:
    import pandas


def frame(events: Sequence[Event]) -> "pandas.DataFrame":
    """Returns a row for each event, with the columns of `core.table`.

    Timestamps are times in UTC, NaT where one can't be read; turns are nullable integers.
    Causes are tuples of ids, payloads read-only maps, as `Event.payload` is. Raises
    ExtraMissing without pandas.
    """
    try:
        import pandas
    except ImportError as error:
        hint = "pip install 'thence[tables]'"
        raise ExtraMissing("could not make a data frame", cause=error, hint=hint) from error
    made = pandas.DataFrame.from_records([row_of(event) for event in events], columns=COLUMNS)
    times = [microseconds(event.timestamp) for event in events]
    made["timestamp"] = pandas.to_datetime(pandas.array(times, "Int64"), unit="us", utc=True)
    made["turn"] = pandas.array([event.turn_number for event in events], "Int64")
    made["payload"] = [event.payload for event in events]
    return made
