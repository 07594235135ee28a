"""What a payload may hold: refused strictly, or repaired with every change named."""

import enum
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import json_values, texts

from thence.core.payload import (
    DEPTH_MAX,
    REPAIRS_MAX,
    is_plain,
    refuse,
    repair,
    shorten,
)
from thence.errors import InvalidEvent


class Colour(str, enum.Enum):  # noqa: UP042 a StrEnum would write itself as its value
    RED = "red"


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


wild_scalars = (
    st.floats()
    | st.integers()
    | st.integers(2**64, 2**80)
    | st.text(max_size=8)
    | st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3)
    | st.binary(max_size=4)
    | st.sampled_from([Colour.RED, object, datetime(2026, 1, 1, tzinfo=UTC)])
    | st.none()
    | st.complex_numbers()
)
hashable = wild_scalars | st.tuples(wild_scalars) | st.frozensets(wild_scalars, max_size=3)
wild_values: st.SearchStrategy[Any] = st.recursive(
    wild_scalars | st.sets(hashable, max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=10,
)


def decoded(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


@pytest.mark.promise("W10")
@given(wild_values)
def test_whatever_goes_in_comes_out_as_json(value):
    repaired, repairs = repair(value)
    refuse(repaired)
    assert decoded(repaired) == repaired
    assert all(set(entry) == {"path", "was"} for entry in repairs)


@given(json_values)
def test_json_values_pass_unchanged_and_unnamed(value):
    repaired, repairs = repair(value)
    assert repaired == value
    assert repairs == []
    refuse(value)


@given(wild_values)
def test_what_is_not_named_was_not_changed(value):
    repaired, repairs = repair({"v": value})
    if not repairs:
        assert repaired == {"v": as_lists(value)}
    else:
        with pytest.raises(InvalidEvent):
            refuse({"v": value})


def as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_lists(item) for key, item in value.items()}
    return [as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


@given(st.dictionaries(texts, wild_values, max_size=4), wild_scalars)
def test_other_members_are_untouched_by_a_repair(others, value):
    clean, _ = repair(others)
    repaired, _ = repair({**clean, "bad ": [value]})
    assert {key: repaired[key] for key in clean} == clean


@pytest.mark.parametrize(
    ("value", "now", "was"),
    [
        (math.nan, "NaN", "the number NaN"),
        (math.inf, "Infinity", "the number Infinity"),
        (-math.inf, "-Infinity", "the number -Infinity"),
        ({3, 1, 2}, [1, 2, 3], "set"),
        (frozenset({"b", "a"}), ["a", "b"], "frozenset"),
        (b"ab", "b'ab'", "bytes"),
        ("a\udc80", "a\\udc80", "a lone surrogate"),
        (2**70, "1180591620717411303424", "an integer of more than 64 bits"),
        ({7: "x"}, {"7": "x"}, "a key of type int: 7"),
        ({True: "x"}, {"True": "x"}, "a key of type bool: True"),
        pytest.param(
            10**5000,
            "<int whose repr raised ValueError>",
            "an integer of more than 64 bits",
            id="endless",
        ),
        (Rude(), "<Rude whose repr raised RuntimeError>", "Rude"),
    ],
)
def test_each_repair_is_named_with_its_path(value, now, was):
    repaired, repairs = repair({"a": [0, value]})
    assert repaired == {"a": [0, now]}
    assert repairs == [{"path": "a[1]", "was": was}]


def test_text_of_an_enumeration_stays_the_text_it_is():
    repaired, repairs = repair({"c": Colour.RED})
    assert repaired == {"c": "red"}
    assert type(repaired["c"]) is str
    assert repairs == []


def test_two_keys_that_would_become_one_text_both_stay():
    repaired, repairs = repair({1: "a", "1": "b", "\udc80": "c", "\\udc80": "d"})
    assert repaired == {"1": "b", "1_": "a", "\\udc80": "d", "\\udc80_": "c"}
    assert [entry["was"] for entry in repairs] == ["a key of type int: 1", "a lone surrogate"]


def test_circles_are_cut_and_what_is_shared_is_written_twice():
    circle: dict[str, Any] = {}
    circle["self"] = circle
    assert repair(circle) == ({"self": "<cycle>"}, [{"path": "self", "was": "a cycle"}])
    shared = [1]
    assert repair([shared, shared]) == ([[1], [1]], [])


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"a": v}, lambda v: (v,)])
def test_depth_has_a_limit_that_repair_and_refuse_share(wrap):
    value: Any = 1
    for _ in range(DEPTH_MAX):
        value = wrap(value)
    refuse(value)
    assert repair(value)[1] == []
    value = wrap(value)
    with pytest.raises(InvalidEvent, match="64 levels"):
        refuse(value)
    repaired, repairs = repair(value)
    refuse(repaired)
    assert len(repairs) == 1
    for _ in range(2_000):
        value = wrap(value)
    refuse(repair(value)[0])


def test_set_at_the_last_level_is_a_list_of_its_items():
    value: Any = {2, 1}
    for _ in range(DEPTH_MAX - 1):
        value = [value]
    repaired, _ = repair(value)
    for _ in range(DEPTH_MAX - 1):
        (repaired,) = repaired
    assert repaired == [1, 2]


def test_long_list_of_repairs_ends_in_a_count():
    repaired, repairs = repair([math.nan] * (REPAIRS_MAX + 5))
    assert repaired == ["NaN"] * (REPAIRS_MAX + 5)
    assert len(repairs) == REPAIRS_MAX + 1
    assert repairs[-1]["was"] == "5 more repairs"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": {"b": math.nan}}, "payload.a.b"),
        ({"a": [1, math.inf]}, "payload.a[1]"),
        ({"a": 2**64}, "payload.a"),
        ({"a": -(2**63) - 1}, "payload.a"),
        ({1: 2}, "payload: key 1"),
        ({"\ud800": 2}, "payload: key '\\ud800'"),
        ({"a": "\udfff"}, "payload.a"),
        ({"a": b""}, "payload.a"),
        ({"a": {1}}, "payload.a"),
    ],
)
def test_refusal_names_the_field(value, place):
    with pytest.raises(InvalidEvent) as caught:
        refuse(value)
    assert caught.value.place == f"field {place}"
    assert caught.value.hint


@given(st.dictionaries(texts | st.integers(), wild_values, max_size=4))
def test_plain_map_needs_no_repair(mapping):
    if is_plain(mapping):
        try:
            msgspec.json.encode(mapping)
        except UnicodeEncodeError:  # the encoder refuses lone surrogates: that is its part
            return
        assert repair(mapping) == (mapping, [])


def test_plain_maps_are_told_from_others():
    deep: Any = {"a": 1}
    for _ in range(5):
        deep = {"a": deep}
    for mapping in ({}, {"a": 1, "b": "x", "c": None, "d": 1.5, "e": {"f": True}}):
        assert is_plain(mapping), mapping
    for mapping in ({1: 1}, {"a": math.nan}, {"a": 2**64}, {"a": [1]}, {"a": {"b": {1}}}, deep):
        assert not is_plain(mapping), mapping


def test_long_texts_are_cut_and_named():
    value = {"a": "x" * 9, "b": ["y" * 7, "z", 1], "c": {"d": "w" * 6}}
    cut, cuts = shorten(value, 5)
    assert cut == {"a": "xxxxx", "b": ["yyyyy", "z", 1], "c": {"d": "wwwww"}}
    assert [entry["path"] for entry in cuts] == ["a", "b[0]", "c.d"]
    assert cuts[0]["was"] == "9 characters"
    assert shorten(cut, 5) == (cut, [])
