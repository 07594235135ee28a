"""The shapes of the answers, for the OpenAPI document.

The answers themselves are written as bytes, events as their stored lines; the tests check the
answers against these shapes.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Code = Literal[
    "simulation_not_found",
    "event_not_found",
    "not_found",
    "method_not_allowed",
    "invalid_parameter",
    "invalid_cursor",
    "unauthorized",
    "forbidden",
    "unavailable",
]


class Problem(BaseModel):
    """An error: a stable code, and a message in words."""

    code: Code
    message: str


class StoredEvent(BaseModel):
    """An event: its stored line, with every other member that the line holds."""

    model_config = ConfigDict(extra="allow")

    event_id: str
    event_type: str
    event_version: int = 1
    timestamp: str = Field("", description="UTC, ISO 8601; for people, it orders nothing.")
    node_id: str = Field(
        "", description="The node that wrote it, or, on an unverified line, that it claims."
    )
    seq: int = 0
    lamport_clock: int = 0
    caused_by: list[str] = Field([], description="The ids of its recorded causes.")
    simulation_id: str | None = None
    turn_number: int | None = None
    agent_id: str | None = None
    description: str | None = None
    step: str | None = None
    stream: str | None = None
    subject: str | None = None
    actor: str | None = None
    details: Any = None
    payload: Any = None


class EventsPage(BaseModel):
    """A page of events in total order."""

    events: list[StoredEvent]
    total: int = Field(ge=0, description="How many events match, before paging.")
    has_more: bool
    next_cursor: str | None = Field(description="Asks for the next page; null on the last one.")


class LogEventsPage(EventsPage):
    """A page of a log's events."""

    hint: str = Field(
        "", description="If nothing matches: the key in `where` that no event has, the nearest."
    )


STATUS = "running, completed, failed, interrupted, or killed: it ended without recording its end."


class Entry(BaseModel):
    """The members of a log in every list."""

    id: str
    name: str
    start_time: str | None = Field(description="The time of its earliest event.")
    event_count: int = Field(ge=0)
    failures: int = Field(ge=0, description="Events that record a failure.")


class SimulationEntry(Entry):
    """A simulation in a list."""

    status: str = Field(description=STATUS)


class SimulationList(BaseModel):
    """The simulations under the root, by id."""

    simulations: list[SimulationEntry]


class LogEntry(Entry):
    """A log in a list."""

    vocabulary: str = Field(description="Its vocabulary, such as plain.")


class LogList(BaseModel):
    """The logs under the root that are no simulations, by id."""

    logs: list[LogEntry]


class DamageFound(BaseModel):
    """Bytes of a file that are no event."""

    file: str
    offset: int = Field(ge=0)
    length: int = Field(ge=0)
    code: str
    reason: str


class Moment(BaseModel):
    """An event by its id and time."""

    event_id: str
    timestamp: str


class LogSummary(LogEntry):
    """The summary of a log: its events and its damage."""

    by_type: dict[str, int]
    by_actor: dict[str, int]
    first: Moment | None = Field(description="The first event in total order.")
    last: Moment | None
    unverified: int = Field(ge=0, description="Events that another tool wrote.")
    damaged_lines: int = Field(ge=0, description="Lines and files that are skipped.")
    damage: list[DamageFound] = Field(description="The first of them.")


class SimulationSummary(LogSummary):
    """The summary of a simulation: its events, its status, its damage."""

    turns: int = Field(ge=0, description="The number of the last turn.")
    status: str = Field(description=STATUS)
    reason: str | None
    error: str | None


class Causality(BaseModel):
    """The causes and effects of an event, nearest first, 10,000 each at most."""

    event_id: str
    event: StoredEvent
    upstream: list[StoredEvent]
    downstream: list[StoredEvent]
    truncated: bool


class Cause(BaseModel):
    """A cause by its id; `depth` is its distance."""

    event_id: str
    depth: int = Field(ge=1)


class WhyAnswer(BaseModel):
    """The reasons of an event: one line of causes, root first, also as sentences."""

    event_id: str
    sentences: list[str]
    chain: list[StoredEvent]
    causes: list[Cause]
    truncated: bool


class Differing(BaseModel):
    """A member in which two events differ; a side without the member is left out."""

    path: str
    a: Any = None
    b: Any = None


class DifferingEvent(BaseModel):
    """An event that differs; null where a log has none."""

    a: StoredEvent | None
    b: StoredEvent | None
    differs: list[Differing]


class Divergence(DifferingEvent):
    """The first difference of two logs; null for the side that has no such event."""

    follow_a: int = Field(ge=0, description="How many later events follow from it.")
    follow_b: int = Field(ge=0)


class DiffAnswer(BaseModel):
    """The comparison of two logs: counts of each kind of event, the first 1,000 of each."""

    same: int = Field(ge=0)
    changed: int = Field(ge=0)
    only_a: int = Field(ge=0)
    only_b: int = Field(ge=0)
    notices_a: int = Field(ge=0, description="The log's notices about itself are not compared.")
    notices_b: int = Field(ge=0)
    roots: int = Field(ge=0, description="Events that differ and that nothing different led to.")
    first: Divergence | None
    root_events: list[DifferingEvent] = Field(description="Nothing different led to them.")
    changed_events: list[DifferingEvent]
    only_a_events: list[StoredEvent]
    only_b_events: list[StoredEvent]
    truncated: bool


class Health(BaseModel):
    """The state of the server, and the totals of the logs that were asked for so far."""

    status: Literal["ok"]
    version: str
    simulations: int = Field(ge=0)
    logs: int = Field(ge=0, description="Those that are not simulations.")
    events: int = Field(ge=0)
    unverified: int = Field(ge=0)
    damaged_lines: int = Field(ge=0, description="Lines and files skipped, of all logs.")
    damaged_logs: int = Field(ge=0)
