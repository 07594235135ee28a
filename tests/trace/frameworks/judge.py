"""Judges a log by what the tracer sent: which spans it has, and which causes.

The expectations are computed here from the tape alone, by the rules that the guide states.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.trace.frameworks.played import Played, Span
from tests.trace.frameworks.scenes import Scene

from thence.core.event import Event
from thence.core.ids import NOISE_CHARACTERS

COLUMNS = (
    "spans",
    "ends",
    "parents",
    "asked",
    "read",
    "handed",
    "inside",
    "outside",
    "fields",
    "open",
    "why",
    "diff",
)
AGENT = "gen_ai.agent.name"
# what programs append around spans, and between the pieces of a stream
OUTSIDE = ("after", "between", "dropped")
CALL_ID, RESULTS, OUTPUT = "gen_ai.tool.call.id", "gen_ai.input.messages", "gen_ai.output.messages"


@dataclass
class Tally:
    """How many of some promises were kept, and the sentences of those that were not."""

    right: int = 0
    total: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, is_right: bool, fault: str) -> None:
        self.right += is_right
        self.total += 1
        if not is_right:
            self.faults.append(fault)


def _named(play: Played, ids: Iterable[str]) -> list[str]:
    return [play.events[play.place[one]].event_type if one in play.place else one for one in ids]


def parts(text: object, kind: str) -> list[str]:
    """Returns the ids of the parts of one kind, in messages as the conventions write them.

    Of responses only those behind the last message of the assistant count.
    """
    messages = json.loads(text) if isinstance(text, str) else []
    if kind == "tool_call_response":
        of_model = [at for at, one in enumerate(messages) if one["role"] == "assistant"]
        messages = messages[of_model[-1] + 1 :] if of_model else []
    return [part["id"] for one in messages for part in one["parts"] if part["type"] == kind]


def asking(play: Played, span: Span) -> Event | None:
    """Returns the end of the model call that asked for a tool's span."""
    call, begin = span.start["attributes"].get(CALL_ID), play.begins[span.key]
    candidates = [
        end
        for other in play.spans.values()
        if other.end and call in parts(other.end["attributes"].get(OUTPUT), "tool_call")
        if other.key[0] == span.key[0] and other.parent in {*play.lineage(span.parent)}
        if (end := play.end_of(other)) and play.place[end.event_id] < play.place[begin.event_id]
    ]
    return (
        max(candidates, key=lambda end: play.place[end.event_id]) if call and candidates else None
    )


def newest(play: Played, candidates: Iterable[Span], before: Event) -> Event | None:
    """Returns the last of some spans' ends before an event."""
    ends = [end for span in candidates if (end := play.end_of(span))]
    earlier = [end for end in ends if play.place[end.event_id] < play.place[before.event_id]]
    return max(earlier, key=lambda end: play.place[end.event_id], default=None)


def _spans(play: Played, tally: Mapping[str, Tally]) -> None:
    for span in play.spans.values():
        begin = play.begins.get(span.key)
        tally["spans"].add(begin is not None, f"{span.name} has no begin")
        if begin is None:
            continue
        if span.end:
            end = play.end_of(span)
            is_failed = span.end["status"][0] == "ERROR"
            fits = end is not None and end.event_type.endswith(".failed") == is_failed
            tally["ends"].add(fits, f"{span.name} has no right end")
        if span.parent in play.begins:
            expected = play.begins[span.parent].event_id
            fits = expected in begin.caused_by
            causes = _named(play, begin.caused_by)
            far = " in another process" if span.start["parent"].get("is_remote") else ""
            name = play.spans[span.parent].name
            tally["parents"].add(fits, f"{span.name} is of {name}{far}, but caused by {causes}")
        asked = asking(play, span)
        ends = [one for one in begin.caused_by if play.events[play.place[one]].ends]
        if asked or ends:
            fits = ends == ([asked.event_id] if asked else [])
            wanted = asked.event_type if asked else "none"
            fault = (
                f"{span.name} was asked for by {wanted}, but ends cause it: {_named(play, ends)}"
            )
            tally["asked"].add(fits, fault)


def _ends(play: Played, tally: Mapping[str, Tally]) -> None:
    for span in play.spans.values():
        end = play.end_of(span)
        if not span.end or end is None:
            continue
        attributes, same = (
            span.end["attributes"],
            [
                other
                for other in play.spans.values()
                if other.key[0] == span.key[0] and other is not span
            ],
        )
        expected: dict[str, str] = {}
        for call in parts(attributes.get(RESULTS), "tool_call_response"):
            tools = [
                one
                for one in same
                if one.start["attributes"].get(CALL_ID) == call
                and span.parent in play.lineage(one.parent)
            ]
            if tool := newest(play, tools, end):
                expected[tool.event_id] = "read"
        giver = attributes.get("graph.node.parent_id")
        givers = [one for one in same if giver and one.name == giver and one.parent == span.parent]
        if earlier := newest(play, givers, end):
            expected[earlier.event_id] = "handed"
        for cause, column in expected.items():
            fault = f"{end.event_type} lacks {_named(play, [cause])}"
            tally[column].add(cause in end.caused_by, fault)
        is_known = not play.is_other_dialect
        if is_known and (extra := {*end.caused_by} - {*expected, end.ends}):
            tally["read"].add(False, f"{end.event_type} is caused by {_named(play, extra)} too")


def _own(play: Played, span: Span, names: Iterable[str], *, is_late: bool = False) -> str | None:
    """Returns a span's first attribute of some names, or that of the span it is in.

    Late are those that spans around it have at their ends: they may have got them before it began.
    """
    first = span
    while True:
        attributes = span.start["attributes"]
        if is_late and span is not first and span.end:
            attributes = span.end["attributes"]
        if value := next((attributes[name] for name in names if attributes.get(name)), None):
            return str(value)
        kinds = "openinference.span.kind", "langfuse.observation.type"
        if AGENT in names and {*map(attributes.get, kinds)} & {"AGENT", "agent"}:
            return str(attributes.get("graph.node.id") or span.name)
        parent = play.spans.get(span.parent) if span.parent else None
        is_open = parent and (not parent.end or parent.end["time"] > span.start["time"])
        if not is_open or parent.process != span.process:
            return None
        span = parent


def _fields(play: Played, tally: Mapping[str, Tally]) -> None:
    for span in play.spans.values():
        if begin := play.begins.get(span.key):
            fitting = [
                (
                    _own(play, span, (AGENT, "agent.name"), is_late=late) or span.start["service"],
                    _own(play, span, ("gen_ai.conversation.id", "session.id"), is_late=late),
                )
                for late in (False, True)
            ]
            seen = (begin.actor, begin.stream)
            fault = f"{begin.event_type} has {seen}, not {fitting}"
            tally["fields"].add(seen in fitting, fault)


def inside(play: Played, tally: Tally, expected: Mapping[str, str]) -> None:
    """Judges events that were appended in a span: `{payload[key]}` of a name is filled in."""
    for place, event in enumerate(play.events):
        if event.event_type in expected:
            name = expected[event.event_type].format_map(event.payload)
            process = event.event_id[-NOISE_CHARACTERS:]
            begins = [
                one
                for one in play.events[:place]
                if one.event_type == f"{name}.begun" and one.event_id.endswith(process)
            ]
            fits = bool(begins) and event.caused_by == (begins[-1].event_id,)
            causes = _named(play, event.caused_by)
            tally.add(fits, f"{event.event_type} in {name} is caused by {causes}")


def judge(play: Played, scene: Scene) -> dict[str, Tally]:
    """Judges a scene that was played."""
    tally: dict[str, Tally] = defaultdict(Tally)
    _spans(play, tally)
    _ends(play, tally)
    _fields(play, tally)
    inside(play, tally["inside"], scene.inside)
    for event in play.events:
        if event.event_type in OUTSIDE:
            fault = f"{event.event_type} is caused by {_named(play, event.caused_by)}"
            tally["outside"].add(not event.caused_by, fault)
    for name in scene.open:
        fits = f"{name}.begun" in play.unfinished
        tally["open"].add(fits, f"unfinished does not list {name}, but {play.unfinished}")
    if not scene.open:
        tally["open"].add(not play.unfinished, f"unfinished lists {play.unfinished}")
    for kind, chain in scene.why.items():
        fault = f"why {kind} leads through {play.chains[kind]}"
        tally["why"].add(play.chains[kind] == [*chain, kind], fault)
    if play.findings:
        tally["spans"].add(False, f"verify has {play.findings} findings")
    for check in scene.checks:
        column, is_right, fault = check(play)
        tally[column].add(is_right, fault)
    return tally
