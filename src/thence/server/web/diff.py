"""The page of two runs compared: where they part first, and what differs."""

from collections.abc import Sequence

import msgspec
from starlette.responses import Response

from thence.core.diff.content import DifferingPlace
from thence.core.diff.difference import Difference, FirstDifference
from thence.core.diff.log_side import LogSide
from thence.core.event import Event
from thence.server.logs.root import FoundLog
from thence.server.web.layout import page
from thence.server.web.markup import Child, Html, el, joined, link, path
from thence.server.web.run import trail
from thence.server.web.tables import cell, facts, row, table, words

EVENTS_SHOWN_MAX = 50
PLACES_SHOWN_MAX = 50


def diff_page(a: FoundLog, b: FoundLog, found: Difference) -> Response:
    """Returns the page of a comparison of two logs."""
    changed = [x for x, _ in found.changed]
    body = (
        el("h1", "Two runs compared"),
        facts(
            (
                ("A", trail(a)),
                ("B", trail(b)),
                ("The same", f"{len(found.aligned) - len(changed):,} events"),
                ("Changed", f"{len(changed):,}"),
                ("Only in A", f"{len(found.only_a):,}"),
                ("Only in B", f"{len(found.only_b):,}"),
            )
        ),
        _parting(a, b, found.first),
        _listed("Changed", a, changed, found.a),
        _listed("Only in A", a, found.only_a, found.a),
        _listed("Only in B", b, found.only_b, found.b),
    )
    here = el("span", "compared with ", words(b.id, 60), aria_current="page")
    return page("Comparison", *body, trail=(trail(a), here))


def _parting(a: FoundLog, b: FoundLog, first: FirstDifference | None) -> Html:
    if first is None:
        return el("p", "They say the same.", class_="empty")
    told = (("A", _side(a, first.a, first.follow_a)), ("B", _side(b, first.b, first.follow_b)))
    return joined(el("h2", "Where they part first"), facts(told), _places(first.differs))


def _side(log: FoundLog, event: Event | None, follow: int) -> Child:
    if event is None:
        return "has no such event"
    return joined(_event(log, event), f"; {follow:,} later events follow from it")


def _places(differs: Sequence[DifferingPlace]) -> Html | None:
    if not differs:
        return None
    rows = [
        row(
            cell(words(place.path), "id"),
            cell(_value(place.a), name="A"),
            cell(_value(place.b), name="B"),
        )
        for place in differs[:PLACES_SHOWN_MAX]
    ]
    caption = "What the two say otherwise"
    if len(rows) < len(differs):
        caption += f"; the first {len(rows)} of {len(differs):,} places"
    return table(caption, (("Place", ""), ("A", ""), ("B", "")), rows)


def _value(value: object) -> Html:
    if value is msgspec.UNSET:
        return el("span", "missing", class_="quiet")
    return words(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _listed(name: str, log: FoundLog, places: Sequence[int], of: LogSide) -> Html | None:
    if not places:
        return None
    items = [el("li", _event(log, of.event_at(place))) for place in places[:EVENTS_SHOWN_MAX]]
    if len(items) < len(places):
        items.append(el("li", f"and {len(places) - len(items):,} more", class_="quiet"))
    return el(
        "details", el("summary", f"{name}: {len(places):,}"), el("ul", *items, class_="events")
    )


def _event(log: FoundLog, event: Event) -> Html:
    said = log.vocabulary.said(event)
    return link(words(said), path("runs", log.id, "events", event.event_id))
