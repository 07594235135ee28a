"""A comparison judges an event as a plain reading of its line does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import drafted, event_of, json_values, line_of, new_id, stamped, texts

from thence.core.query.comparison import OPERATORS, Comparison
from thence.core.query.where import parse
from thence.core.values.codec import parse as parse_line
from thence.core.values.vocabulary import PLAIN, SIM

NAMES = ("a", "b", "c", "0", "actor", "payload", "unit price")
steps = st.sampled_from(NAMES) | st.integers(-3, 3)
paths = st.tuples(st.sampled_from(NAMES), st.lists(steps, max_size=3)).map(
    lambda pair: (pair[0], *pair[1])
)
leaves = st.sampled_from(
    [None, True, False, 0, 1, 2, -1, 1.0, 0.5, 2**63, 1e300, "", "a", "ab", "1", "b", "é"]
)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=10,
)


def found_in(value, path):
    """Walks a path by recursion; a list of at most one value is found."""
    if not path:
        return [value]
    step, *rest = path
    if isinstance(step, str):
        return found_in(value[step], rest) if isinstance(value, dict) and step in value else []
    try:
        return found_in(value[step], rest) if isinstance(value, list) else []
    except IndexError:
        return []


def kind(value):
    """Names the kind of a JSON value by how it is written."""
    text = json.dumps(value)
    return {"t": "bool", "f": "bool", "n": "null", '"': "text", "[": "list", "{": "map"}.get(
        text[0], "number"
    )


def expected(line, path, op, value):
    """Judges a plain event's line, read anew by the standard library."""
    members = json.loads(line)
    payload = members.get("payload", {})
    words = {name: members.get(name) for name in ("actor", "subject", "stream")}
    root = {**payload, **members, "payload": payload} | words
    for name in [name for name, held in words.items() if held is None]:
        del root[name]  # a payload's own "actor" is reached by payload.actor alone
    for here in found_in(root, list(path)):
        same = kind(here) == kind(value)
        if op == "~":
            if kind(here) == "text":
                return kind(value) == "text" and here.find(value) >= 0
            return kind(here) == "list" and any(
                kind(item) == kind(value) and item == value for item in here
            )
        if op in ("=", "!="):
            return (same and here == value) is (op == "=")
        if not same or kind(here) not in ("number", "text"):
            return False
        return {"<": here < value, "<=": here <= value, ">": here > value, ">=": here >= value}[op]
    return False


@given(
    st.dictionaries(st.sampled_from(NAMES), trees, max_size=5),
    st.none() | st.sampled_from(["a", "ada"]),
    paths,
    st.sampled_from(OPERATORS),
    leaves | texts,
)
def test_judgement_is_that_of_a_plain_reading(payload, actor, path, op, value):
    members = {key: held for key, held in (("payload", payload), ("actor", actor)) if held}
    line = stamped(drafted(new_id(), "noted", members), 1, 1)
    event = event_of(line)
    assert Comparison(path, op, value).matches(event) is expected(line, path, op, value)


@given(json_values, st.sampled_from(OPERATORS), leaves)
def test_any_stored_value_compares_with_any_other(held, op, value):
    line = line_of({"a": held})
    assert Comparison(("a",), op, value).matches(event_of(line)) is expected(
        line, ("a",), op, value
    )


def judged(where, payload=None, vocabulary=PLAIN, **members):
    """Judges an event that another tool wrote."""
    line = {"event_id": "x", "event_type": "STATE", **members}
    if payload is not None:
        line[vocabulary.payload_key] = payload
    event = parse_line(json.dumps(line).encode(), vocabulary)
    return all(each.matches(event) for each in parse(where))


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ("amount = 12", True),
        ("amount = 12.0", True),
        ('amount = "12"', False),
        ('amount != "12"', True),
        ("ok = true", True),
        ("ok = 1", False),
        ("ok != 1", True),
        ("ok < true", False),
        ("nothing = null", True),
        ("nothing != null", False),
        ("amount != null", True),
        ("nothing <= null", False),
        ("missing = null", False),
        ("missing != null", False),
        ("missing != 3", False),
        ("note < o", True),
        ("note < 5", False),
        ("note ~ stock", True),
        ("note ~ Stock", False),
        ('note ~ ""', True),
        ("amount ~ 1", False),
        ("tags ~ urgent", True),
        ("tags ~ urg", False),
        ("tags != urgent", True),
        ("tags = urgent", False),
        ("tags[0] = urgent", True),
        ("tags[-1] = late", True),
        ("tags[-2] = urgent", True),
        ("tags[2] = late", False),
        ("tags[-3] = urgent", False),
        ("tags.0 = urgent", False),
        ("by.0 = zero", True),
        ("by[0] = zero", False),
        ("note[0] = n", False),
        ("amount.x != 1", False),
        ('"unit price" = 3', True),
        ('payload."unit price" = 3', True),
    ],
)
def test_corners_of_comparing(where, matches):
    payload = {
        "amount": 12,
        "ok": True,
        "nothing": None,
        "note": "no stock",
        "tags": ["urgent", "late"],
        "by": {"0": "zero"},
        "unit price": 3,
    }
    assert judged(where, payload) is matches


def test_first_name_is_a_common_word_then_a_member_then_a_name_in_the_payload():
    payload = {"actor": "ben", "event_type": "y", "step": 3, "subject": "inside"}
    assert judged("actor = ada and payload.actor = ben", payload, actor="ada")
    assert judged("event_type = STATE and payload.event_type = y", payload)
    assert judged("step = 3", payload)
    assert judged("step = 5.a", payload, step="5.a")
    assert not judged("subject = inside", payload)
    assert judged("made_up = 4", payload, made_up=4)


def test_common_words_mean_the_same_in_a_simulation():
    members = {"simulation_id": "run", "agent_id": "ada", "turn_number": 3, "timestamp": ""}
    payload = {"scope": "global", "variable_name": "grain", "new_value": 4, "actor": "ben"}
    for where in (
        "stream = run and actor = ada and subject = global/grain",
        "payload.scope = global and details.scope = global and scope = global",
        "agent_id = ada and simulation_id = run and turn_number >= 3",
        "new_value > 3 and payload.actor = ben",
    ):
        assert judged(where, payload, SIM, **members), where


def test_numbers_of_foreign_lines_compare_exactly():
    event = event_of(b'{"event_id":"x","event_type":"y","payload":{"a":%d,"b":1e400}}' % 10**400)
    for where, matches in (
        ("a > 1e308", True),
        ("a = 18446744073709551615", False),
        ("b > 5", False),
        ("b = \"1e400\"", True),
    ):  # fmt: skip
        assert all(each.matches(event) for each in parse(where)) is matches, where


def test_large_integers_are_not_rounded():
    event = event_of(line_of({"a": 2**53 + 1}))
    assert parse(f"a = {2**53 + 1}")[0].matches(event)
    assert not parse(f"a = {2**53}")[0].matches(event)
    assert not parse(f"a = {2.0**53!r}")[0].matches(event)
