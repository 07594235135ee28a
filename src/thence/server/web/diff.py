"""The page of the comparison of two runs: the first difference, and all that differ."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
from starlette.responses import Response

from thence.core.diff import ALONE, Difference, FirstDifference, contrast
from thence.core.event import Event
from thence.core.markup import Child, Column, Html, el, facts, joined, table, words
from thence.core.sentences.events import counted, type_words
from thence.server.logs.root import FoundLog
from thence.server.web.layout import page
from thence.server.web.parts import NUMBER_MAX, choice, event_link, log_link, stairs, strip

ROWS_SHOWN_MAX = 200
PLACES_SHOWN_MAX = 50
VARIABLES_MAX = 200
BUCKETS_MAX = 120
_SIDES = (Column("A", "what", "A"), Column("B", "what", "B"))


def diff_page(a: FoundLog, b: FoundLog, difference: Difference, variable: str = "") -> Response:
    """Returns the page of a comparison of two logs, with a line of each for a variable.

    It is the first one that differs unless another is named.
    """
    changed = len(difference.changed)
    kind = "runs" if a.is_simulation and b.is_simulation else "logs"
    body = (
        el("h1", f"Two {kind} compared"),
        _verdict(difference),
        facts(
            (
                ("A", log_link(a)),
                ("B", log_link(b)),
                ("The same", f"{len(difference.aligned) - changed:,} events"),
                ("Changed", f"{changed:,}"),
                ("Only in A", f"{len(difference.only_a):,}"),
                ("Only in B", f"{len(difference.only_b):,}"),
            )
        ),
        _strips(difference),
        _lines(difference, variable),
        _first_divergence(a, b, difference.first),
        _differing(a, b, difference),
    )
    current = el("span", "compared with ", words(b.id, 60), aria_current="page")
    return page("Comparison", *body, trail=(log_link(a), current))


def _verdict(difference: Difference) -> Html | None:
    """Returns where the two part, and how many roots the difference has."""
    first = difference.first
    event = (first.a or first.b) if first else None
    if event is None:
        return None
    turn = "" if event.turn_number is None else f" in turn {event.turn_number}"
    kind = event.cut_payload.get("error_type") if event.event_type == "SYSTEM" else None
    what = type_words(str(kind or event.event_type), "")
    of = f"{event.actor}'s {what}" if event.actor else what
    roots = counted(len(difference.roots), "root")
    return el("p", f"part{turn} at ", words(of, 100), f"; {roots}", class_="verdict")


def _strips(difference: Difference) -> Html | None:
    """Returns both logs as strips of one scale, with what differs and where they part."""
    if not difference.roots:
        return None
    sides = (difference.a.events, difference.b.events)
    turns = [[event.turn_number for event in events] for events in sides]
    by_turn = all(turn is not None for side in turns for turn in side)
    # the places of events on the axis
    axes = [[turn or 0 for turn in side] if by_turn else [*range(len(side))] for side in turns]
    first, last = (end(place for axis in axes for place in axis) for end in (min, max))
    size = -(-(last - first + 1) // BUCKETS_MAX)

    def bucketed(axis: Sequence[int], places: Iterable[int]) -> list[int]:
        counts = Counter((axis[place] - first) // size for place in places)
        return [counts[bucket] for bucket in range((last - first) // size + 1)]

    differing = (
        (*difference.only_a, *(x for x, _ in difference.changed)),
        (*difference.only_b, *(y for _, y in difference.changed)),
    )
    pairs = zip(axes, difference.roots[0], strict=True)
    root = max(axis[place] for axis, place in pairs if place != ALONE)
    counts = [bucketed(axis, range(len(axis))) for axis in axes]
    charts = []
    for name, all_of, axis, places in zip("AB", counts, axes, differing, strict=True):
        spoken = f"{name}: {len(places):,} of {counted(len(axis), 'event')} differ"
        parts, top, line = bucketed(axis, places), max(map(max, counts)), (root - first) // size
        charts.append((name, strip(all_of, parts, top, line, spoken)))
    what = f"turns {first:,} to {last:,}" if by_turn else f"{last + 1:,} events in total order"
    where = f"turn {root:,}" if by_turn else f"event {root + 1:,}"
    text = f"From left to right {what}; what differs is red, the line at {where} is where they part"
    return el("section", facts(charts), el("p", text, class_="quiet"), class_="strips")


def _lines(difference: Difference, variable: str) -> Html | None:
    """Returns the values of a variable that differs by turn, in both runs."""
    first = difference.first
    event = (first.a or first.b) if first else None
    if event is None or event.turn_number is None:
        return None
    sides = (difference.a.events, difference.b.events)
    differing = [
        *(sides[0][x] for x in (*(x for x, _ in difference.changed), *difference.only_a)),
        *(sides[1][y] for y in difference.only_b),
    ]
    differing.sort(key=lambda one: one.turn_number or 0)
    firsts = dict[str, Event]()
    for one in differing:
        if one.event_type == "STATE" and one.subject:
            firsts.setdefault(one.subject, one)
    names = [name for name, one in firsts.items() if _number_in(one) is not None]
    if not names:
        return None
    subject = variable if variable in names else names[0]
    lines = list[list[tuple[int, float]]]()
    turns = [one.turn_number for one in (*sides[0], *sides[1]) if one.turn_number is not None]
    for events in sides:
        own = [one for one in events if one.subject == subject]
        points = [(one.turn_number, _number_in(one)) for one in own]
        points.insert(0, (min(turns), _number_in((*own, firsts[subject])[0], "old_value")))
        lines.append([(at, value) for at, value in points if at is not None and value is not None])
    if not all(lines):
        return None
    ends = (min(turns), max(turns))
    told = ", ".join(
        f"{name} ends at {line[-1][1]:,.6g}" for name, line in zip("AB", lines, strict=True)
    )
    values = [value for line in lines for _, value in line]
    text = f"{told}; {min(values):,.6g} to {max(values):,.6g} in turns {ends[0]:,} to {ends[1]:,},"
    text += f" they part in turn {event.turn_number:,}"
    chart = stairs(lines, ends, event.turn_number, text)
    keys = [el("span", f"{name} ", class_=f"side-{at}") for at, name in enumerate("AB")]
    shown = [(name, name) for name in names[:VARIABLES_MAX]]
    options = choice("var", "Variable", subject, shown)
    form = el("form", options, el("button", "Show", type="submit"), class_="plain do")
    return el("section", form, chart, el("p", *keys, text, class_="quiet"), class_="strips")


def _number_in(event: Event, key: str = "new_value") -> float | None:
    """Returns a number that a STATE event holds; None of other values."""
    value = event.cut_payload.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < NUMBER_MAX else None


def _differing(a: FoundLog, b: FoundLog, difference: Difference) -> Html | None:
    """Returns what differs, roots behind the first rows too, with both sides in each row."""
    places = _in_order(difference)
    if not places:
        return None
    roots, first = set(difference.roots), difference.roots[0]
    rest = [pair for pair in places[ROWS_SHOWN_MAX:] if pair in roots]
    rows = []
    for pair in (*places[:ROWS_SHOWN_MAX], *rest[:ROWS_SHOWN_MAX]):
        text = "only in A" if pair[1] == ALONE else "only in B" if pair[0] == ALONE else "changed"
        note = "they diverge here" if pair == first else "root" if pair in roots else ""
        what = joined(text, " ", el("span", note, class_="mark")) if note else text
        rows.append((what, *_beside(a, b, difference, *pair)))
    part = f"{len(rows):,} of " if len(rows) < len(places) else ""
    caption = f"{part}{counted(len(places), 'event')} that differ, in total order"
    caption += f"; {counted(len(roots), 'root')}, which follow from no other difference"
    heading = el("h2", "What differs", id="differing")
    return joined(heading, table(caption, (Column("Change", "type"), *_SIDES), rows))


def _in_order(difference: Difference) -> list[tuple[int, int]]:
    """Returns the places of all that differs, what is only in B behind what is before it there."""
    behind = dict[int, int]()
    last = ALONE
    partners = {y: x for x, y in difference.aligned}
    for y in range(len(difference.b.events)):
        last = partners.get(y, last)
        behind[y] = last
    pairs = [*difference.changed, *((x, ALONE) for x in difference.only_a)]
    pairs += [(ALONE, y) for y in difference.only_b]

    def place(pair: tuple[int, int]) -> tuple[int, bool, int]:
        x, y = pair
        return (behind[y], True, y) if x == ALONE else (x, False, y)

    return sorted(pairs, key=place)


def _beside(a: FoundLog, b: FoundLog, difference: Difference, x: int, y: int) -> tuple[Child, ...]:
    """Returns both sides of a row; where their sentences are alike, with the place that differs."""
    of_a, of_b = difference.sides(x, y)
    if of_a is None or of_b is None:
        return event_link(a, of_a) if of_a else None, event_link(b, of_b) if of_b else None
    sides = (event_link(a, of_a), event_link(b, of_b))
    if a.vocabulary.summary(of_a) != b.vocabulary.summary(of_b):
        return sides
    differs = contrast(of_a, of_b)[:1]
    values = [(one.path, _value(value)) for one in differs for value in (one.a, one.b)]
    notes = [el("div", words(at, 60), " ", value, class_="quiet") for at, value in values]
    return tuple(joined(side, note) for side, note in zip(sides, notes, strict=True))


def _first_divergence(a: FoundLog, b: FoundLog, first: FirstDifference | None) -> Html:
    if first is None:
        return el("p", "Both logs have the same content.", class_="empty")
    sides: list[tuple[str, Child]] = []
    for name, log, event, follow in (
        ("A", a, first.a, first.follow_a),
        ("B", b, first.b, first.follow_b),
    ):
        later = f"; {counted(follow, 'later event')} follow{'s' * (follow == 1)} from it"
        side = joined(event_link(log, event), later if follow else "") if event else None
        sides.append((name, side or "has no such event"))
    rows = [
        (el("span", words(member.path), class_="id"), _value(member.a), _value(member.b))
        for member in first.differs[:PLACES_SHOWN_MAX]
    ]
    caption = "Where the two events differ"
    if len(rows) < len(first.differs):
        caption += f"; the first {len(rows)} of {len(first.differs):,} places"
    columns = (Column("Place"), Column("A", name="A"), Column("B", name="B"))
    differing = table(caption, columns, rows) if rows else None
    return joined(el("h2", "First divergence"), facts(sides), differing)


def _value(value: object) -> Html:
    if value is msgspec.UNSET:
        return el("span", "missing", class_="quiet")
    return words(value if isinstance(value, str) else msgspec.json.encode(value).decode())
