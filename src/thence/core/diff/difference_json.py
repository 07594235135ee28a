"""A difference of two logs as an object for JSON."""

import msgspec

from thence.core.diff.content import contrast
from thence.core.diff.difference import CauseOnSide, Difference, FirstDifference
from thence.core.diff.roots import RootDifference, roots_of
from thence.core.event import Event

# the most differences of each kind in the JSON, the earliest ones
DIFFERENCES_MAX = 1_000


def as_json(found: Difference, limit: int = DIFFERENCES_MAX) -> dict[str, object]:
    """Returns a difference as an object for JSON, its events as the lines that are stored.

    The JSON holds the number of events of each kind; at most `limit` of each kind are listed,
    and `truncated` reports that there are more. With each event stand the roots that it is or
    that led to it, as indices of `roots`.
    """
    a, b = found.a, found.b
    roots = roots_of(found)
    kinds = (found.changed, found.only_a, found.only_b)
    return {
        "same": len(found.aligned) - len(found.changed),
        "changed": len(found.changed),
        "only_a": len(found.only_a),
        "only_b": len(found.only_b),
        "notices_a": a.notices,
        "notices_b": b.notices,
        "first": found.first and _divergence_json(found.first),
        "changed_events": [
            {
                "a": _line(a.event_at(x)),
                "b": _line(b.event_at(y)),
                "differs": contrast(a.contents[x], b.contents[y]),
                "roots": roots.of(x, y),
            }
            for x, y in found.changed[:limit]
        ],
        "only_a_events": [_line(a.event_at(place)) for place in found.only_a[:limit]],
        "only_b_events": [_line(b.event_at(place)) for place in found.only_b[:limit]],
        "only_a_roots": [roots.of(place, None) for place in found.only_a[:limit]],
        "only_b_roots": [roots.of(None, place) for place in found.only_b[:limit]],
        "roots": [_root_json(found, root) for root in roots.roots],
        "roots_total": roots.total,
        "truncated": any(len(kind) > limit for kind in kinds),
    }


def _root_json(found: Difference, root: RootDifference) -> dict[str, object]:
    return {
        "a": None if root.a is None else _line(found.a.event_at(root.a)),
        "b": None if root.b is None else _line(found.b.event_at(root.b)),
        "differs": root.differs,
        "changed": root.changed,
        "only_a": root.only_a,
        "only_b": root.only_b,
        "unchanged": root.unchanged,
    }


def _divergence_json(found: FirstDifference) -> dict[str, object]:
    return {
        "a": found.a and _line(found.a),
        "b": found.b and _line(found.b),
        "differs": found.differs,
        "causes_a": list(map(_cause_json, found.causes_a)),
        "causes_b": list(map(_cause_json, found.causes_b)),
        "follow_a": found.follow_a,
        "follow_b": found.follow_b,
    }


def _cause_json(cause: CauseOnSide) -> dict[str, object]:
    return {
        "event": _line(cause.event),
        "other": cause.other and cause.other.event_id,
        "changed": cause.is_changed,
        "shared": cause.is_shared,
    }


def _line(event: Event) -> msgspec.Raw:
    return msgspec.Raw(event.line)
