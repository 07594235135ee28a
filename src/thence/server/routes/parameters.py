"""The parameters of requests for events, read into a filter.

An unknown parameter is refused: a misspelled filter must not be answered with all events.
"""

import re
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.exceptions import HTTPException

from thence.core.query.filter import Filter, invalid, moments, names
from thence.log.index import words
from thence.log.index.page import PageBounds
from thence.log.index.query import Within
from thence.log.index.spending import Key
from thence.server.logs.root import OpenLog

LIMIT_MAX = 10_000
LIMIT = 1_000
CURSOR_CHARACTERS_MAX = 4_096
NUMBER_MAX = 2**53 - 1
DEPTH_MAX = 20
DEPTH = 5
# how long words for searches are added before an answer says how far that is
WORDS_S = 1.5
_DIGITS = re.compile(r"[0-9]{1,16}", re.ASCII)


def _number(value: Any) -> Any:
    """Refuses text that only Python reads as an integer, such as 1_0."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("it is not an integer from 0")
    return value


def _bare(schema: dict[str, Any]) -> None:
    """Removes the default of an optional parameter from its schema."""
    schema.pop("default", None)


Number = BeforeValidator(_number)
_Text = Annotated[str | SkipJsonSchema[None], Field(json_schema_extra=_bare)]
# bounds stand at the integer itself: the schema has none for a union
_Turn = Annotated[
    Annotated[int, Field(ge=0, le=NUMBER_MAX), Number] | SkipJsonSchema[None],
    Field(json_schema_extra=_bare),
]
_Flag = Annotated[bool | SkipJsonSchema[None], Field(json_schema_extra=_bare)]
_Names = list[Annotated[str, Field(min_length=1)]]

Depth = Annotated[int, Field(ge=1, le=DEPTH_MAX, description="Steps from the event."), Number]


class Parameters(BaseModel):
    """The base of all parameters: those that are not named are refused."""

    model_config = ConfigDict(extra="forbid")


class CausalityParameters(Parameters):
    """The parameters of a request for causes and effects."""

    depth: Depth = DEPTH


class Paging(Parameters):
    """The choice of a page: by offset, or by the cursor of the page before."""

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX, description="Events on a page."), Number] = (
        LIMIT
    )
    offset: Annotated[int, Field(ge=0, le=NUMBER_MAX), Number] = 0
    cursor: Annotated[
        str | SkipJsonSchema[None],
        Field(
            max_length=CURSOR_CHARACTERS_MAX,
            description="next_cursor of the page before, with the same filter, without offset.",
            json_schema_extra=_bare,
        ),
    ] = None

    def checked(self) -> PageBounds:
        """Returns the bounds of the requested page; raises InvalidFilter for cursor and offset."""
        if self.cursor is not None and "offset" in self.model_fields_set:
            raise invalid("offset", "the cursor knows where to continue", "leave one of them out")
        return {"limit": self.limit, "offset": self.offset, "cursor": self.cursor}


class SimulationFilter(Parameters):
    """The filter of a simulation's events; all given conditions must hold."""

    start_timestamp: Annotated[
        _Text, Field(description="ISO 8601, inclusive.", examples=["2026-11-20T07:13:00Z"])
    ] = None
    end_timestamp: Annotated[_Text, Field(description="ISO 8601, inclusive.")] = None
    event_types: Annotated[_Names, Field(description="Any of these; repeat it for several.")] = []
    agent_ids: Annotated[_Names, Field(description="Any of these; repeat it for several.")] = []
    turn_start: Annotated[_Turn, Field(description="Inclusive.")] = None
    turn_end: Annotated[_Turn, Field(description="Inclusive.")] = None
    failed: Annotated[_Flag, Field(description="Only failures; false: all others.")] = None

    def filter(self) -> Filter:
        """Returns the filter; raises InvalidFilter that names the parameter."""
        return Filter(
            types=names("event_types", self.event_types),
            actors=names("agent_ids", self.agent_ids),
            since=moments("start_timestamp", self.start_timestamp)[0],
            until=moments("end_timestamp", self.end_timestamp)[1],
            turn_first=self.turn_start,
            turn_last=self.turn_end,
            failed=self.failed,
        )


class LogFilter(Parameters):
    """The filter of a log's events, in the words of the command `query`."""

    type: Annotated[_Names, Field(description="Any of these; repeat it for several.")] = []
    actor: _Names = []
    subject: _Names = []
    stream: _Names = []
    since: Annotated[_Text, Field(description="ISO 8601, inclusive; a date is its day.")] = None
    until: Annotated[_Text, Field(description="ISO 8601, inclusive; a date is its day.")] = None
    turn: Annotated[_Text, Field(description="A turn, or a range: 3..7, 3.., ..7.")] = None
    failed: Annotated[_Flag, Field(description="Only failures; false: all others.")] = None
    where: Annotated[
        _Names,
        Field(description="`path op value`, joined by `and`.", examples=[["payload.amount > 10"]]),
    ] = []

    def filter(self) -> Filter:
        """Returns the filter; raises InvalidFilter that names the parameter."""
        return Filter.of(
            type=self.type,
            actor=self.actor,
            subject=self.subject,
            stream=self.stream,
            since=self.since,
            until=self.until,
            turn=self.turn,
            failed=self.failed,
            where=self.where,
        )


class PageFilter(LogFilter):
    """What a page finds in a log: the filter, words, and a row of where it went.

    `words` begin as words of an event do, `calls` are those of an agent, model, tool or type,
    `said` is what failures said.
    """

    words: str = ""
    calls: Annotated[str, Field(pattern=rf"(?s)^({'|'.join(get_args(Key))}):.+")] = ""
    said: str = ""

    def within(self, log: OpenLog) -> Within:
        """Returns the events among which the filter chooses, once all words are there.

        Raises HTTPException while they are being added.
        """
        if match := words.question(self.words):
            had, events = words.follow(log.index, WORDS_S)
            if had < events:
                text = f"the words of {log.id} are being read: {had:,} of {events:,} events"
                raise HTTPException(503, text, {"Retry-After": "0"})
        return Within(match, calls=self.calls, said=self.said)


class SimulationPage(SimulationFilter, Paging):
    """A page of a simulation's events."""


class LogPage(LogFilter, Paging):
    """A page of a log's events."""


class Live(Parameters):
    """The start of a stream: after an event, with the last N events, or with the first."""

    last_event_id: Annotated[
        _Text,
        Field(description="Begin after this event. The header, if sent, takes precedence."),
    ] = None
    tail: Annotated[
        Annotated[int, Field(ge=0, le=LIMIT_MAX), Number] | SkipJsonSchema[None],
        Field(
            description="Begin with this many of the last to arrive; 0: with the next one.",
            json_schema_extra=_bare,
        ),
    ] = None


class SimulationLive(SimulationFilter, Live):
    """A stream of a simulation's events."""


class LogLive(LogFilter, Live):
    """A stream of a log's events."""
