"""A person runs the fastest test of each promise, then the cheapest until the budget is spent."""

import os
import re
import subprocess
import sys
from pathlib import Path
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


def test_part_of_the_cases_is_the_same_in_each_run_and_the_soak_tries_all(monkeypatch):
    monkeypatch.setattr(tiers, "IS_WHOLE", False)
    assert tiers.tenth(100, 10) == 10
    found = tiers.some(range(100), 10, "a name")
    assert len(found) == len(set(found)) == 10
    assert found == sorted(found) == tiers.some(range(100), 10, "a name")
    assert found != tiers.some(range(100), 10, "another name")
    assert tiers.some("abc", 4, "a name") == ["a", "b", "c"]
    monkeypatch.setattr(tiers, "IS_WHOLE", True)
    assert tiers.tenth(100, 10) == 100
    assert tiers.some(range(100), 10, "a name") == list(range(100))


def test_seed_is_one_for_a_name_but_each_soak_draws_and_tells_another(monkeypatch, capsys):
    monkeypatch.setattr(tiers, "IS_WHOLE", False)
    assert tiers.seed("a name") == tiers.seed("a name") != tiers.seed("another name")
    monkeypatch.setattr(tiers, "IS_WHOLE", True)
    capsys.readouterr()
    drawn = [tiers.seed("a name") for _ in range(2)]
    assert drawn[0] != drawn[1]
    assert capsys.readouterr().out.splitlines() == [f"seed of a name: {each}" for each in drawn]


def test_some_rows_of_a_test_are_in_the_tiers_whatever_their_order(monkeypatch):
    rows = pytest.mark.whole(rows=3)
    items = [Collected(f"a.py::test_a[{n}]", marks=(rows,)) for n in range(10)]
    items += [Collected(f"a.py::test_b[{n}]") for n in range(4)]
    monkeypatch.setattr(tiers, "IS_WHOLE", False)
    found = tiers.in_tiers(items)
    assert len(found) == 3 + 4
    assert tiers.in_tiers(items[::-1]) == found[::-1]
    assert tiers.in_tiers(items[:2]) == items[:2], "who asks for one row has it"


TESTS = """
import pytest
from hypothesis import given, settings, strategies as st
from tests.tiers import tenth

tried = []

@given(st.binary())
def test_property(drawn):
    tried.append(drawn)

def test_usual():
    print(f"tries {settings.default.max_examples}")

@pytest.mark.whole
def test_thinned():
    print(f"tries {settings.default.max_examples}, {tenth(100, 10)} cases")

@pytest.mark.whole(alone=True)
def test_alone(): ...
"""


@pytest.mark.parametrize(
    ("words", "whole", "ran", "told"),
    [
        (["--tier=rest"], "", {"property"}, ""),
        (["--tier=person"], "", {"property", "usual", "thinned"}, "tries 10, 10 cases"),
        ([], "", {"property", "usual", "thinned", "alone"}, "tries 30, 10 cases"),
        (["-m", "whole"], "1", {"property", "thinned", "alone"}, "tries 100, 100 cases"),
        (["--tier=person"], "1", {"property", "usual", "thinned", "alone"}, "100 cases"),
    ],
)
def test_mark_chooses_what_each_run_tries(tmp_path, words, whole, ran, told):
    (tmp_path / "test_a.py").write_text(TESTS)
    root = Path(__file__).resolve().parents[2]
    plugins = ("tests.conftest", "pytest_timeout", "_hypothesis_pytestplugin", "no:cacheprovider")
    argv = [sys.executable, "-m", "pytest", "-vs", *(f"-p{plugin}" for plugin in plugins)]
    argv += ["-c", root / "pyproject.toml", "--rootdir", tmp_path, "--disable-plugin-autoload"]
    environ = {**os.environ, "THENCE_WHOLE": whole, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [*argv, *words, tmp_path], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(re.findall(r"::test_(\w+)", done.stdout)) == ran
    assert told in done.stdout
