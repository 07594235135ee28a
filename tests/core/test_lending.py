"""Causes that unwritten events lend: no line names what was never written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.core.codec import CAUSES_MAX
from thence.core.lending import Lending


def back(start, graph):
    """Find everything that can be reached from some events."""
    found, stack = set(), list(start)
    while stack:
        event = stack.pop()
        if event not in found:
            found.add(event)
            stack += graph[event]
    return found


@st.composite
def runs(draw):
    """Draw events in order: what each would name, and whether it is written."""
    size = draw(st.integers(1, 60))
    wanted, is_written = {}, {}
    for number in range(size):
        earlier = [f"{n:04}" for n in range(number)]
        chosen: list[str] = []
        if earlier:
            few = st.lists(st.sampled_from(earlier), max_size=3, unique=True)
            chosen = draw(few | st.just(earlier[-50:]))
        wanted[f"{number:04}"] = tuple(chosen)
        is_written[f"{number:04}"] = draw(st.booleans())
    return wanted, is_written


@pytest.mark.promise("O6")
@given(runs())
def test_written_events_name_written_ones_and_reach_what_they_would_have_reached(run):
    wanted, is_written = run
    lending = Lending()
    named = {}
    for event, causes in wanted.items():
        if not is_written[event]:
            lending.lend(event, causes)
            continue
        named[event] = lending.resolve(causes)
        lending.note_written(event, named[event])
        assert all(is_written[cause] for cause in named[event])
        assert len(set(named[event])) == len(named[event])
    for event, causes in named.items():
        reached = {cause for cause in back([event], wanted) if is_written[cause]}
        assert back([event], named) == reached
        if len(causes) > CAUSES_MAX:  # nothing that another one implies is left among so many
            for cause in causes:
                others = back([other for other in causes if other != cause], named)
                assert cause not in others


def test_nothing_lent_leaves_causes_as_they_are():
    lending = Lending()
    assert lending.is_empty
    assert lending.resolve(["b", "a", "b"]) == ("b", "a")
    lending.lend("x", ())
    assert not lending.is_empty
    assert lending.resolve(["x"]) == ()


def test_oldest_are_forgotten_beyond_the_limit():
    lending = Lending(remembered_max=2)
    for name in ("a", "b", "c"):
        lending.lend(name, [f"cause of {name}"])
    assert lending.resolve(["b", "c"]) == ("cause of b", "cause of c")
