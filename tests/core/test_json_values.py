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

from thence.core.json_values import (
    DEPTH_MAX,
    REPAIRS_MAX,
    Plain,
    is_plain,
    repair,
    shorten,
)
from thence.errors import InvalidEvent

refuse = Plain(is_strict=True)


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
    _, many = repair([math.nan] * (REPAIRS_MAX + 1), "details")
    assert many[-1] == {"path": "details", "was": "1 more repairs"}
    _, fitting = repair([math.nan] * REPAIRS_MAX)
    assert (len(fitting), fitting[-1]["was"]) == (REPAIRS_MAX, "the number NaN")


@given(st.dictionaries(texts | st.integers(), wild_values, max_size=4))
def test_plain_map_needs_no_repair(mapping):
    if is_plain(mapping):
        try:
            msgspec.json.encode(mapping)
        except UnicodeEncodeError:  # the encoder refuses lone surrogates: that is its part
            return
        assert repair(mapping) == (mapping, [])


def test_plain_maps_are_told_from_others():
    class Kind(dict):  # type: ignore[type-arg]
        pass

    class Key(str):
        __slots__ = ()

    fine = {"a": 1, "b": "x", "c": None, "d": 1.5, "e": {"f": True}}
    nested: Any = {"a": 1}
    for _ in range(4):
        nested = {"a": nested}
        assert is_plain(nested)
    assert is_plain({})
    assert is_plain(fine)
    for mapping in (
        {"a": nested},
        {1: 1},
        {"a": math.nan},
        {"a": 2**64},
        {"a": -(2**63) - 1},
        {"a": b""},
        {"a": ()},
        {"a": [1]},
        {"first": 1, "then": {"a": {"b": [1]}}, "last": 2},
        Kind(a=1),
        {Key("a"): 1},
        {"a": Colour.RED},
        [("a", 1)],
    ):
        assert not is_plain(mapping), mapping


WIDE = "an integer of more than 64 bits"


@pytest.mark.parametrize(
    ("value", "place", "what"),
    [
        ({"a": {"b": math.nan}}, ".a.b", "the number NaN"),
        ({"a": [1, math.inf]}, ".a[1]", "the number Infinity"),
        ({"a": 2**64}, ".a", WIDE),
        ({"a": -(2**63) - 1}, ".a", WIDE),
        ({1: 2}, "", "a key of type int: 1"),
        ({"\ud800": 2}, "", "a lone surrogate"),
        ({"a": "\udfff"}, ".a", "a lone surrogate"),
        ({"a": b""}, ".a", "the type bytes"),
        ({"a": {1}}, ".a", "the type set"),
    ],
)
def test_refusal_names_the_field_says_why_and_what_may_be_passed(value, place, what):
    with pytest.raises(InvalidEvent) as caught:
        refuse(value)
    told = f"could not store the event field payload{place}: JSON has no form for {what}"
    assert str(caught.value) == told
    hint = "pass text, finite numbers up to 64 bits, booleans, None, lists, maps and what "
    assert caught.value.hint.startswith(hint)


def test_refusal_finds_the_fault_behind_what_is_fine():
    value = {"a": ["x", (1, {"b": None, "c": [True, object()]})]}
    with pytest.raises(InvalidEvent) as caught:
        refuse(value, "details")
    assert caught.value.place == "field details.a[1][1].c[1]"


@pytest.mark.parametrize(("kind", "name"), [(list, "list"), (tuple, "tuple"), (set, "set")])
def test_what_lies_too_deep_is_named_by_its_type(kind, name):
    value: Any = kind()
    for _ in range(DEPTH_MAX):
        value = [value]
    repaired, repairs = repair(value)
    path = "[0]" * DEPTH_MAX
    assert repairs == [{"path": path, "was": f"{name} deeper than 64 levels"}]
    for _ in range(DEPTH_MAX):
        (repaired,) = repaired
    assert repaired == f"<{name}>"


def test_set_of_all_kinds_is_a_list_of_numbers_then_texts_then_others():
    repaired, repairs = repair({"b'", 2, "a", 1.5, (1, 0), (1,), None, 10, "é", -3})
    assert repaired == [-3, 1.5, 2, 10, "a", "b'", "é", None, [1, 0], [1]]
    assert repairs == [{"path": "", "was": "set"}]


def test_kinds_of_numbers_are_written_as_the_numbers_they_are():
    class Level(enum.IntEnum):
        HIGH = 3

    class Ratio(float):
        pass

    repaired, repairs = repair({"l": Level.HIGH, "r": Ratio(0.5), Level.HIGH: 1})
    assert repaired == {"l": 3, "r": 0.5, "3": 1}
    assert [type(item) for item in repaired.values()] == [int, float, int]
    assert repairs == [{"path": "", "was": "a key of type Level: 3"}]


def test_keys_that_would_become_one_text_all_stay():
    repaired, repairs = repair({1: "a", "1": "b", "\udc80": "c", "\\udc80": "d"})
    assert repaired == {"1": "b", "1_": "a", "\\udc80": "d", "\\udc80_": "c"}
    assert [entry["was"] for entry in repairs] == ["a key of type int: 1", "a lone surrogate"]
    repaired, _ = repair({1: "a", "1": "b", "1_": "c", (1,): "d"})
    assert repaired == {"1__": "a", "1": "b", "1_": "c", "(1,)": "d"}


def test_texts_are_cut_beyond_the_length_with_their_paths():
    assert shorten("12345", 5) == ("12345", [])
    assert shorten("123456", 5, "note") == ("12345", [{"path": "note", "was": "6 characters"}])
    assert shorten({"a": ["123456"]}, 5)[1] == [{"path": "a[0]", "was": "6 characters"}]
    cut, cuts = shorten({"a": [1, ["123456"]], "b": "1234567"}, 5, "details")
    assert cut == {"a": [1, ["12345"]], "b": "12345"}
    assert cuts == [
        {"path": "details.a[1][0]", "was": "6 characters"},
        {"path": "details.b", "was": "7 characters"},
    ]
    assert shorten(cut, 5) == (cut, [])


def test_repair_inside_of_what_is_repaired_has_its_path():
    class Odd:
        def __repr__(self) -> str:
            return "odd \udc80"

    repaired, repairs = repair({"a": {math.nan}, "b": Odd()})
    assert repaired == {"a": ["NaN"], "b": "odd \\udc80"}
    assert repairs == [
        {"path": "a", "was": "the number NaN"},
        {"path": "a", "was": "set"},
        {"path": "b", "was": "Odd"},
    ]
