"""The roots of a difference and what came of each, held to plain, slow means."""

import json
from collections import defaultdict

import msgspec
import pytest
from hypothesis import given
from tests.core.twins import Told, log_of, tolds, twins
from tests.sim.toys import SCENARIO

from thence.core.diff.alignment import ALONE
from thence.core.diff.difference import Difference, difference
from thence.core.diff.difference_json import as_json
from thence.core.diff.log_side import side
from thence.core.diff.roots import roots_of
from thence.sim import SimulationOrchestrator, open_run

TURNS = 12


def compared(a, b) -> Difference:
    return difference(side(a), side(b))


def differing_units(found: Difference) -> set[tuple[int, int]]:
    alone = [(x, ALONE) for x in found.only_a] + [(ALONE, y) for y in found.only_b]
    return {*found.changed, *alone}


def is_led(found: Difference, unit: tuple[int, int], differing: set[tuple[int, int]]) -> bool:
    """Reports whether an event has a cause that differs, in its log on either side."""
    for of, place, odd in (
        (found.a, unit[0], {x for x, _ in differing}),
        (found.b, unit[1], {y for _, y in differing}),
    ):
        stack = [] if place == ALONE else list(of.causes[place])
        while stack:
            cause = stack.pop()
            if cause in odd:
                return True
            stack += of.causes[cause]
    return False


def cones(found: Difference, begun: dict[tuple[int, int], int]) -> dict[tuple[int, int], set[int]]:
    """Returns the roots of each pair or lone event, going on until nothing changes."""
    differing = differing_units(found)
    units = {*found.aligned, *differing}
    by_place: dict[tuple[str, int], set[int]] = defaultdict(set)
    before = -1
    while (size := sum(map(len, by_place.values()))) != before:
        before = size
        for x, y in units:
            sides = [("a", found.a, x), ("b", found.b, y)]
            for name, of, place in sides:
                if place != ALONE:
                    own = by_place[name, place]
                    own |= {begun[x, y]} if (x, y) in begun else set()
                    for cause in of.causes[place]:
                        own |= by_place[name, cause]
            if (x, y) in differing and ALONE not in (x, y):
                both = by_place["a", x] | by_place["b", y]
                by_place["a", x], by_place["b", y] = set(both), set(both)
    return {(x, y): by_place["a", x] | by_place["b", y] for x, y in units}


@given(twins(with_steps=True))
def test_roots_are_those_of_plain_slow_means(logs):
    found = compared(*logs)
    roots = roots_of(found)
    differing = differing_units(found)
    begun = {unit for unit in differing if not is_led(found, unit, differing)}
    assert (roots.total > 0) == bool(differing)
    if not begun:
        return
    assert {root.a for root in roots.roots} - {None} == {x for x, _ in begun} - {ALONE}
    assert {root.b for root in roots.roots} - {None} == {y for _, y in begun} - {ALONE}
    numbers = {
        unit: index
        for index, root in enumerate(roots.roots)
        for unit in begun
        if unit[0] == root.a or unit[1] == root.b
    }
    expected = cones(found, numbers)
    for index, root in enumerate(roots.roots):
        changed = {
            (ALONE if x is None else x, ALONE if y is None else y)
            for x, y in roots.changed_by(index, found)
        }
        cone = {unit for unit, those in expected.items() if index in those} - numbers.keys()
        assert changed == cone & differing
        counts = (root.changed, root.only_a, root.only_b)
        assert sum(counts) == len(changed)
        assert root.only_a == sum(y == ALONE for _, y in changed)
        assert root.unchanged == len(cone - differing)


@given(tolds(with_steps=True))
def test_equal_logs_have_no_root(told):
    roots = roots_of(compared(log_of(told), log_of(told)))
    assert (list(roots.roots), roots.total) == ([], 0)


def test_each_root_has_both_sides_and_what_came_of_it_apart_from_what_stayed():
    told = [
        Told("p", 0),
        Told("p", 1),
        Told("p", 2, (0,)),
        Told("p", 3, (1,)),
        Told("p", 4, (2, 3)),
    ]
    other = [
        Told("p", 9),
        Told("p", 8),
        Told("p", 2, (0,)),
        Told("p", 7, (1,)),
        Told("p", 6, (2, 3)),
    ]
    stepped = [
        [each._replace(step=f"1.{letter}.-.0") for each, letter in zip(log, "abcde", strict=True)]
        for log in (told, other)
    ]
    found = compared(*map(log_of, stepped))
    roots = roots_of(found)
    assert [(root.a, root.b) for root in roots.roots] == [(0, 0), (1, 1)]
    assert [(root.changed, root.unchanged) for root in roots.roots] == [(1, 1), (2, 0)]
    assert [each.path for each in roots.roots[0].differs] == ["payload.n"]
    assert list(roots.changed_by(1, found)) == [(3, 3), (4, 4)]
    written = json.loads(msgspec.json.encode(as_json(found)))
    assert (written["roots_total"], len(written["roots"])) == (2, 2)
    assert [each["roots"] for each in written["changed_events"]] == [[0], [1], [1], [0, 1]]


def test_events_of_one_kind_in_each_log_alone_are_one_root():
    a = log_of([Told("p", 0), Told("q", 1, (0,), "s"), Told("q", 2, (1,), "s")])
    b = log_of([Told("p", 0), Told("q", 5, (0,), "s")])
    (root,) = roots_of(compared(a, b)).roots
    assert (root.a, root.b) == (1, 1)
    assert [(each.path, each.a, each.b) for each in root.differs] == [("payload.n", 1, 5)]
    assert (root.only_a, root.only_b) == (1, 0)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A function that plays the shipped scenario, altered or not, and returns its events."""
    root = tmp_path_factory.mktemp("runs")

    def play(alter=None):
        run = SimulationOrchestrator(
            SCENARIO, output_root=root, verbosity="DETAIL", max_turns=TURNS
        )
        run.run(alter=alter)
        with open_run(run.output_dir) as read:
            return read.log.events()

    return play


@pytest.mark.promise("O6")
def test_altered_state_is_the_one_root_of_all_that_its_run_does_otherwise(played):
    events = played()
    stocks = [
        event
        for event in events
        if event.event_type == "STATE" and event.payload["variable_name"].startswith("stock_")
    ]
    for event in stocks[5:60:18]:
        details = event.payload
        value = next(n for n in (3, 4, 5) if n not in (details["old_value"], details["new_value"]))
        found = compared(events, played({event.step: value}))
        roots = roots_of(found)
        (root,) = roots.roots
        assert roots.total == 1
        assert found.a.contents[root.a].step == found.b.contents[root.b].step == event.step
        assert [(each.path, each.b) for each in root.differs] == [("details.new_value", value)]
        assert (root.changed, root.only_a, root.only_b) == (
            len(found.changed) - 1, len(found.only_a), len(found.only_b),
        )  # fmt: skip
        assert root.unchanged > 0


def test_decision_that_was_left_out_is_a_root_without_another_side(played):
    events = played()
    (event,) = (event for event in events if event.step == "1.decide.ada.0")
    found = compared(events, played({event.step: None}))
    root = roots_of(found).roots[0]
    assert (found.a.contents[root.a].step, root.b, root.differs) == (event.step, None, ())
    assert root.only_a > 0
