"""The page of the comparison of two runs: the first difference, and all that differ."""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from thence.core.diff import Difference, DifferingMember, FirstDifference, LogSide
from thence.core.event import Event
from thence.core.markup import (
    Child,
    Column,
    Html,
    el,
    facts,
    joined,
    link,
    path,
    table,
    words,
)
from thence.server.logs.root import FoundLog
from thence.server.web.layout import page
from thence.server.web.run import trail

EVENTS_SHOWN_MAX = 50
PLACES_SHOWN_MAX = 50


def diff_page(a: FoundLog, b: FoundLog, difference: Difference) -> Response:
    """Returns the page of a comparison of two logs."""
    changed = [x for x, _ in difference.changed]
    kind = "runs" if a.is_simulation and b.is_simulation else "logs"
    body = (
        el("h1", f"Two {kind} compared"),
        facts(
            (
                ("A", trail(a)),
                ("B", trail(b)),
                ("The same", f"{len(difference.aligned) - len(changed):,} events"),
                ("Changed", f"{len(changed):,}"),
                ("Only in A", f"{len(difference.only_a):,}"),
                ("Only in B", f"{len(difference.only_b):,}"),
            )
        ),
        _first_difference(a, b, difference.first),
        _event_list("Changed", a, changed, difference.a),
        _event_list("Only in A", a, difference.only_a, difference.a),
        _event_list("Only in B", b, difference.only_b, difference.b),
    )
    current = el("span", "compared with ", words(b.id, 60), aria_current="page")
    return page("Comparison", *body, trail=(trail(a), current))


def _first_difference(a: FoundLog, b: FoundLog, first: FirstDifference | None) -> Html:
    if first is None:
        return el("p", "Both logs have the same content.", class_="empty")
    sides = (("A", _side(a, first.a, first.follow_a)), ("B", _side(b, first.b, first.follow_b)))
    return joined(
        el("h2", "Where they part first"), facts(sides), _differing_members(first.differs)
    )


def _side(log: FoundLog, event: Event | None, follow: int) -> Child:
    if event is None:
        return "has no such event"
    later = "1 later event follows" if follow == 1 else f"{follow:,} later events follow"
    return joined(_event(log, event), f"; {later} from it" if follow else "")


def _differing_members(differs: Sequence[DifferingMember]) -> Html | None:
    if not differs:
        return None
    rows = [
        (el("span", words(member.path), class_="id"), _value(member.a), _value(member.b))
        for member in differs[:PLACES_SHOWN_MAX]
    ]
    caption = "Where the two events differ"
    if len(rows) < len(differs):
        caption += f"; the first {len(rows)} of {len(differs):,} places"
    return table(caption, (Column("Place"), Column("A", name="A"), Column("B", name="B")), rows)


def _value(value: object) -> Html:
    if value is msgspec.UNSET:
        return el("span", "missing", class_="quiet")
    return words(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _event_list(name: str, log: FoundLog, positions: Sequence[int], of: LogSide) -> Html | None:
    if not positions:
        return None
    items = [
        el("li", _event(log, of.events[position])) for position in positions[:EVENTS_SHOWN_MAX]
    ]
    if len(items) < len(positions):
        items.append(el("li", f"and {len(positions) - len(items):,} more", class_="quiet"))
    return el(
        "details", el("summary", f"{name}: {len(positions):,}"), el("ul", *items, class_="events")
    )


def _event(log: FoundLog, event: Event) -> Html:
    sentence = log.vocabulary.summary(event)
    return link(words(sentence), path("runs", log.id, "events", event.event_id))
