"""Events as a pandas DataFrame."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from thence.core.event import Event
from thence.core.sentences.table import COLUMNS, row_of
from thence.core.times import microseconds
from thence.errors import ExtraMissing

if TYPE_CHECKING:
    import pandas

_TEXTS = ("event_id", "event_type", "node_id", "stream", "subject", "actor", "step", "description")


def frame(events: Sequence[Event]) -> "pandas.DataFrame":
    """Returns a row for each event, with the columns of `core.table`.

    Text has the type "string", turns are "Int64", timestamps are times in UTC; what is
    missing is NA or NaT. Causes are tuples of ids, payloads dicts, as `Event.payload` is.
    Raises ExtraMissing without pandas.
    """
    try:
        import pandas
    except ImportError as error:
        hint = "pip install 'thence[tables]'"
        raise ExtraMissing("could not make a data frame", cause=error, hint=hint) from error
    rows = [row_of(event) for event in events]
    made = pandas.DataFrame.from_records(rows, columns=COLUMNS)
    made = made.astype(dict.fromkeys(_TEXTS, "string"))
    times = [microseconds(event.timestamp) for event in events]
    made["timestamp"] = pandas.to_datetime(pandas.array(times, "Int64"), unit="us", utc=True)
    made["turn"] = pandas.array([row.turn for row in rows], "Int64")
    made["payload"] = [event.payload for event in events]
    return made
