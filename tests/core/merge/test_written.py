"""What was written on a subject: who goes back to whom, asked from either side."""

from itertools import product

import pytest
from tests.core.merge.histories import on

from thence.core.merge.conflicts import swept
from thence.core.order import causes_of, totally_ordered


@pytest.fixture(scope="module")
def forked():
    """A root, two branches that part from it, of two events each, and one that saw one of them."""
    root = on("s", clock=1)
    left = on("s", clock=2, node="a", causes=[root])
    right = on("s", clock=2, node="b", causes=[root])
    further = on("s", clock=3, node="a", causes=[left])
    other = on("t", clock=3, node="b", causes=[right])
    beyond = on("s", clock=4, node="b", causes=[other])
    stranger = on("s", clock=5, node="c")
    return totally_ordered([root, left, right, further, other, beyond, stranger])


@pytest.fixture(scope="module")
def written(forked):
    subjects = [event.subject for event in forked]
    return dict(swept(forked, subjects, {"s"}, (), {}))["s"]


def test_beside_is_neither_before_nor_behind_asked_from_either_side(forked, written):
    known = {event.event_id: event for event in forked}
    pairs = list(product(range(len(written.events)), repeat=2))
    for one, other in pairs:
        first, second = written.events[one], written.events[other]
        behind = second.event_id in causes_of(first, known)
        before = first.event_id in causes_of(second, known)
        expected = first is not second and not behind and not before
        assert written.is_beside(one, other) == expected, (first, second)
    assert 0 < sum(written.is_beside(*pair) for pair in pairs) < len(pairs)
