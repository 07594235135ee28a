"""The court's door: what programs import from it."""

import pytest

import thence.core.merge
from thence.core.clock import LamportClock
from thence.core.merge import find_conflicts, merge_counter, merge_gset, state_machine_merge
from thence.core.order import is_concurrent, topological_sort, total_order_key


@pytest.mark.promise("P3")
def test_names_of_the_clock_the_order_and_the_court_can_be_imported():
    names = [find_conflicts, merge_counter, merge_gset, state_machine_merge]
    assert all(name.__name__ in thence.core.merge.__all__ for name in names)
    assert LamportClock().tick() == 1
    assert all(map(callable, (is_concurrent, topological_sort, total_order_key)))
    assert all(hasattr(thence.core.merge, name) for name in thence.core.merge.__all__)
