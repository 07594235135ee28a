"""Causes that unwritten events forward: no line names what was never written."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.core.values.codec import CAUSES_MAX
from thence.sim.writer import CauseForwarding


def back(start, graph):
    """Find everything that can be reached from some events."""
    found, stack = set(), list(start)
    while stack:
        event = stack.pop()
        if event not in found:
            found.add(event)
            stack += graph[event]
    return found


def run_of(chance):
    """Make events in order: what each would name, and whether it is written."""
    wanted: dict[str, tuple[str, ...]] = {}
    is_written = {}
    share_written = chance.choice([0.2, 0.5, 0.95])
    for number in range(chance.randrange(1, 120)):
        earlier = list(wanted)
        count = min(len(earlier), chance.choice([0, 1, 3, 60]))
        wanted[f"{number:04}"] = tuple(chance.sample(earlier, count))
        is_written[f"{number:04}"] = chance.random() < share_written
    return wanted, is_written


@pytest.mark.promise("O6")
@given(st.integers(0, 2**32))
def test_written_events_name_written_ones_and_reach_what_they_would_have_reached(seed):
    wanted, is_written = run_of(random.Random(seed))
    forwarding = CauseForwarding()
    named = {}
    for event, causes in wanted.items():
        if not is_written[event]:
            forwarding.forward(event, causes)
            continue
        named[event] = forwarding.resolve(causes)
        forwarding.note_written(event, named[event])
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
    forwarding = CauseForwarding()
    assert forwarding.resolve(["b", "a", "b"]) == ("b", "a")
    forwarding.forward("x", ())
    assert forwarding.resolve(["x"]) == ()


def test_oldest_are_forgotten_beyond_the_limit():
    forwarding = CauseForwarding(remembered_max=2)
    for name in ("a", "b", "c"):
        forwarding.forward(name, [f"cause of {name}"])
    assert forwarding.resolve(["b", "c"]) == ("cause of b", "cause of c")


def test_many_causes_are_cut_down_to_those_that_no_other_implies():
    forwarding = CauseForwarding()
    chain = [f"{number:04}" for number in range(50)]
    for before, event in pairwise(chain):
        forwarding.note_written(event, (before,))
    assert forwarding.resolve(chain) == (chain[-1],)
    assert forwarding.resolve(chain[:CAUSES_MAX]) == tuple(chain[:CAUSES_MAX])
    apart = [f"a{number:04}" for number in range(40)]
    assert forwarding.resolve([*chain, *apart]) == (chain[-1], *apart)


def test_as_many_are_remembered_as_told():
    forwarding = CauseForwarding(remembered_max=2)
    for name in ("a", "b", "c"):
        forwarding.forward(name, [f"cause of {name}"])
    assert forwarding.resolve(["a"]) == ("a",)
    for name in ("d", "e", "f"):
        forwarding.note_written(name, ())
    assert forwarding.resolve(["b", "c"]) == ("cause of b", "cause of c")


def test_direct_causes_of_the_oldest_written_events_are_forgotten_too():
    many = tuple(f"{number:04}" for number in range(CAUSES_MAX))
    implied = CauseForwarding(remembered_max=2)
    implied.note_written("a", many[:1])
    implied.note_written("b", ())
    assert implied.resolve([*many, "a"]) == (*many[1:], "a")
    implied.note_written("c", ())
    assert implied.resolve([*many, "a"]) == (*many, "a")


def test_causes_behind_the_oldest_one_named_are_not_looked_at():
    forwarding = CauseForwarding()
    named = [f"b{number:04}" for number in range(CAUSES_MAX + 1)]
    forwarding.note_written("a", (named[0],))
    forwarding.note_written(named[1], ("a",))
    assert forwarding.resolve(named) == tuple(named)
    forwarding.note_written("c", (named[0],))
    forwarding.note_written(named[1], ("c",))
    assert forwarding.resolve(named) == tuple(named[1:])


def test_search_for_implied_causes_ends_after_four_thousand_steps():
    forwarding = CauseForwarding()
    chain = [f"{number:06}" for number in range(6_000)]
    for before, event in pairwise(chain):
        forwarding.note_written(event, (before,))
    apart = [f"a{number:04}" for number in range(CAUSES_MAX)]
    near, far = chain[-4_000], chain[0]
    assert far in forwarding.resolve([far, chain[-1], *apart])
    assert near not in forwarding.resolve([near, chain[-1], *apart])
