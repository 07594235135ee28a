"""What a request for events may ask, read into a filter.

A parameter that is not known is refused: a slip of the pen in a filter must not answer with
everything.
"""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from thence.core.query.filter import Filter, first_moment, invalid, last_moment, names
from thence.index.plan.page import PageBounds as IndexPaging

LIMIT_MAX = 10_000
LIMIT = 1_000
CURSOR_CHARACTERS_MAX = 4_096
NUMBER_MAX = 2**53 - 1
DEPTH_MAX = 20
DEPTH = 5
_DIGITS = re.compile(r"[0-9]{1,16}", re.ASCII)


def _number(value: Any) -> Any:
    """Refuses what Python takes for an integer and a client doesn't mean, such as 1_0."""
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise ValueError("it is not an integer from 0")
    return value


def _bare(schema: dict[str, Any]) -> None:
    """Leaves out the default of a parameter that is simply absent."""
    schema.pop("default", None)


_Number = BeforeValidator(_number)
_Text = Annotated[str | SkipJsonSchema[None], Field(json_schema_extra=_bare)]
# bounds stand at the integer itself: the schema tells none of a union
_Turn = Annotated[
    Annotated[int, Field(ge=0, le=NUMBER_MAX), _Number] | SkipJsonSchema[None],
    Field(json_schema_extra=_bare),
]
_Names = list[Annotated[str, Field(min_length=1)]]

Depth = Annotated[int, Field(ge=1, le=DEPTH_MAX, description="How far from the event."), _Number]


class Asked(BaseModel):
    """What every route takes: nothing that it doesn't name."""

    model_config = ConfigDict(extra="forbid")


class CausalityAsked(Asked):
    """The parameters of a question for causes and effects."""

    depth: Depth = DEPTH


class Paging(Asked):
    """Which page: by offset, or by the cursor of the page before."""

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX, description="Events on a page."), _Number] = (
        LIMIT
    )
    offset: Annotated[int, Field(ge=0, le=NUMBER_MAX), _Number] = 0
    cursor: Annotated[
        str | SkipJsonSchema[None],
        Field(
            max_length=CURSOR_CHARACTERS_MAX,
            description="next_cursor of the page before, with the same filter, without offset.",
            json_schema_extra=_bare,
        ),
    ] = None

    def checked(self) -> None:
        """Raises InvalidFilter for a cursor with an offset."""
        if self.cursor is not None and "offset" in self.model_fields_set:
            raise invalid("offset", "the cursor knows where to go on", "leave one of them out")

    @property
    def page(self) -> IndexPaging:
        """Which page is asked for."""
        return {"limit": self.limit, "offset": self.offset, "cursor": self.cursor}

    @property
    def is_page(self) -> bool:
        """Whether the request asks for a page by name."""
        return not self.model_fields_set.isdisjoint(("limit", "offset", "cursor"))


class SimulationAsked(Asked):
    """The filter of a simulation's events; what is given must all hold."""

    start_timestamp: Annotated[
        _Text, Field(description="ISO 8601, inclusive.", examples=["2026-11-20T07:13:00Z"])
    ] = None
    end_timestamp: Annotated[_Text, Field(description="ISO 8601, inclusive.")] = None
    event_types: Annotated[_Names, Field(description="Any of these; repeat it for several.")] = []
    agent_ids: Annotated[_Names, Field(description="Any of these; repeat it for several.")] = []
    turn_start: Annotated[_Turn, Field(description="Inclusive.")] = None
    turn_end: Annotated[_Turn, Field(description="Inclusive.")] = None

    def filter(self) -> Filter:
        """Returns the filter; raises InvalidFilter that names the parameter."""
        return Filter(
            types=names("event_types", self.event_types),
            actors=names("agent_ids", self.agent_ids),
            since=first_moment("start_timestamp", self.start_timestamp),
            until=last_moment("end_timestamp", self.end_timestamp),
            turn_first=self.turn_start,
            turn_last=self.turn_end,
        )


class LogAsked(Asked):
    """The filter of a log's events, in the words of the command `query`."""

    type: Annotated[_Names, Field(description="Any of these; repeat it for several.")] = []
    actor: _Names = []
    subject: _Names = []
    stream: _Names = []
    since: Annotated[_Text, Field(description="ISO 8601, inclusive; a date is its day.")] = None
    until: Annotated[_Text, Field(description="ISO 8601, inclusive; a date is its day.")] = None
    turn: Annotated[_Text, Field(description="A turn, or a range: 3..7, 3.., ..7.")] = None
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
            where=self.where,
        )


class SimulationPage(SimulationAsked, Paging):
    """A page of a simulation's events."""


class LogPage(LogAsked, Paging):
    """A page of a log's events."""


class Live(Asked):
    """Where a stream begins: behind an event, with the last so many, or with the first."""

    last_event_id: Annotated[
        _Text,
        Field(description="Begin behind this event. The header, if it is sent, goes before."),
    ] = None
    tail: Annotated[
        Annotated[int, Field(ge=0, le=LIMIT_MAX), _Number] | SkipJsonSchema[None],
        Field(
            description="Begin with the last so many that arrived; 0: with the next one.",
            json_schema_extra=_bare,
        ),
    ] = None


class SimulationLive(SimulationAsked, Live):
    """A stream of a simulation's events."""


class LogLive(LogAsked, Live):
    """A stream of a log's events."""
