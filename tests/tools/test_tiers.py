"""A person runs the fastest test of each promise, then the cheapest until the budget is spent."""

from typing import NamedTuple

import pytest
from tests import tiers


class Collected(NamedTuple):
    """A collected test, as far as it matters here."""

    nodeid: str
    obj: object = None
    marks: tuple = ()

    def iter_markers(self, name):
        return [mark.mark for mark in self.marks if mark.name == name]


def a_property(): ...


a_property.is_hypothesis_test = True


def test_promise_brings_its_fastest_test_and_those_it_names():
    took = {"a": 3.0, "b": 1.0, "c": 2.0, "d": 500.0, "e": 400.0}
    promises = {"W1": [("a", False), ("b", False)], "W2": [("d", True), ("c", False)]}
    assert tiers.chosen(promises, took) == {"b", "d"}
    promises["W2"] = [("d", False), ("c", False)]
    assert tiers.chosen(promises, took) == {"a", "b", "c"}


def test_budget_goes_to_the_cheapest():
    took = {f"test_{number}": float(number) for number in range(100)}
    found = tiers.chosen({}, took)
    assert found == {f"test_{number}" for number in range(len(found))}
    assert sum(took[each] for each in found) <= tiers.BUDGET_S
    assert sum(took[each] for each in found) + len(found) > tiers.BUDGET_S


def test_page_of_durations_is_read_as_it_was_written(tmp_path):
    page = tmp_path / "durations.json"
    assert tiers.measured(page) == {}
    tiers.write({"tests/a.py::TestB::test_c": 1.234, "tests/a.py::test_d": 0.001}, page)
    assert tiers.measured(page) == {"tests/a.py::TestB::test_c": 1.23}


def test_id_of_a_function_has_no_parameters_and_no_group():
    for node_id in ("a.py::test_b[c@d]", "a.py::test_b@group", "a.py::test_b[c]@group"):
        assert tiers.function_of(node_id) == "a.py::test_b"


def test_both_tiers_are_all_tests_and_the_rest_has_every_property():
    slow, named, quick = (
        pytest.mark.promise("W1"),
        pytest.mark.promise("W2", tier="person"),
        pytest.mark.promise("W1", "W2"),
    )
    items = [
        Collected("a.py::test_slow[1]", marks=(slow,)),
        Collected("a.py::test_slow[2]", marks=(slow,)),
        Collected("a.py::test_named", marks=(named,)),
        Collected("a.py::test_quick", marks=(quick,)),
        Collected("a.py::test_property", a_property),
        Collected("a.py::test_new"),
    ]
    took = tiers.times(items) | dict.fromkeys(("a.py::test_slow", "a.py::test_named"), 1e6)
    person = [item for item in items if tiers.kept(items, "person", took)(item)]
    rest = [item for item in items if tiers.kept(items, "rest", took)(item)]
    assert person == items[2:4]  # what is named has spent the budget
    assert rest == [*items[:2], *items[4:]]
    took["a.py::test_named"] = 0.0
    person = [item for item in items if tiers.kept(items, "person", took)(item)]
    rest = [item for item in items if tiers.kept(items, "rest", took)(item)]
    assert person == items[2:]
    assert rest == [*items[:2], items[4]]
