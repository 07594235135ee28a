"""Causes that a caller names become ids, or are refused by name."""

from types import SimpleNamespace

import pytest

from thence.core.values.new_event import cause_ids, id_of
from thence.errors import InvalidEvent

A, B = "0" * 25 + "A", "0" * 25 + "B"
EVENT = SimpleNamespace(event_id="other-tool-7")


@pytest.mark.promise("P1")
@pytest.mark.parametrize(
    ("causes", "ids"),
    [
        (None, ()),
        ((), ()),
        (A, (A,)),
        (EVENT, ("other-tool-7",)),
        ([A, EVENT, B], (A, "other-tool-7", B)),
        (iter([B, A]), (B, A)),
        ({A: 1}, (A,)),
        ("held", ("held",)),
        (["held", A], ("held", A)),
    ],
)
def test_causes_are_events_ids_several_or_none(causes, ids):
    assert cause_ids(causes, lambda event_id: event_id == "held") == ids


@pytest.mark.parametrize(
    "wrong", ["", "held", A.lower(), A[:-1], 7, b"x", [7], [None], [[A]], [""]]
)
def test_anything_else_is_refused_by_name(wrong):
    with pytest.raises(InvalidEvent) as refused:
        cause_ids(wrong)
    inner = wrong[0] if isinstance(wrong, list) else wrong
    assert refused.value.place == "field caused_by"
    assert repr(inner) in refused.value.cause or wrong == b"x"


def test_a_ulid_is_not_looked_up():
    assert cause_ids([A], lambda event_id: pytest.fail(event_id)) == (A,)


@pytest.mark.parametrize("cause", [None, "", 7, object(), b"x", [A]])
def test_id_of_one_event(cause):
    assert (id_of(A), id_of(EVENT), id_of("any text")) == (A, "other-tool-7", "any text")
    with pytest.raises(InvalidEvent, match="neither an event nor"):
        id_of(cause)
