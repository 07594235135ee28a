"""The order of packages, and the circles that prevent one."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.errors import PlanningError
from thence.work.board.dependencies import cycle_in, describe, in_order


class Package(NamedTuple):
    wp_id: str
    dependencies: tuple[str, ...] = ()


def packages(**depending):
    return [Package(wp_id, tuple(ids.split())) for wp_id, ids in depending.items()]


def ids(found):
    return [each.wp_id for each in found]


graphs = st.dictionaries(
    st.sampled_from([f"WP{number:02}" for number in range(8)]),
    st.lists(st.sampled_from([f"WP{number:02}" for number in range(9)]), max_size=3),
).map(lambda graph: [Package(wp_id, tuple(needed)) for wp_id, needed in graph.items()])


def test_package_stands_behind_what_it_depends_on():
    given_packages = packages(WP01="WP03", WP02="", WP03="WP04", WP04="", WP05="WP01 WP02")
    assert ids(in_order(given_packages)) == ["WP02", "WP04", "WP03", "WP01", "WP05"]


def test_circles_are_named_from_their_first_package():
    given_packages = packages(
        WP01="WP03", WP02="WP01 WP04", WP03="WP02", WP04="", WP05="WP05", WP06="WP03", WP07="WP06"
    )
    assert cycle_in(given_packages) == ("WP01", "WP03", "WP02")
    assert describe(("WP01", "WP03", "WP02")) == "WP01 → WP03 → WP02 → WP01"
    with pytest.raises(PlanningError, match="WP01 → WP03 → WP02 → WP01"):
        in_order(given_packages)


@given(graphs)
def test_either_all_have_an_order_or_there_is_a_circle(graph):
    known = {each.wp_id: each.dependencies for each in graph}
    found = cycle_in(graph)
    if not found:
        ordered = ids(in_order(graph))
        assert sorted(ordered) == sorted(known)
        for wp_id in ordered:
            before = ordered[: ordered.index(wp_id)]
            assert all(needed in before for needed in known[wp_id] if needed in known)
        return
    with pytest.raises(PlanningError):
        in_order(graph)
    assert len(found) == len(set(found))
    for wp_id, needed in zip(found, found[1:] + found[:1], strict=True):
        assert needed in known[wp_id]
