"""An action is declared once: of that come the prompt's text, the schema and every check."""

import copy
from importlib import import_module

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.sim.models.actions import DeclaredAction, action_set

pytestmark = pytest.mark.promise("O12")

GIVE = {
    "name": "give",
    "description": "You give money.",
    "fields": {
        "to": {"type": "str", "choices": ["ben", "cleo"]},
        "amount": {"type": "int", "min": 0, "max": 5},
        "rate": {"type": "float", "min": 0.5},
        "reason": {"type": "str", "max_length": 6},
        "gladly": {"type": "bool"},
    },
}
GIVEN = {"to": "ben", "amount": 5, "rate": 1.5, "reason": "please", "gladly": True}


def declared(*actions):
    return msgspec.convert(actions, tuple[DeclaredAction, ...])


def answer(**fields):
    return msgspec.json.encode({"action": {"do": "give", **GIVEN, **fields}}).decode()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"to": "dov"}, "Invalid enum value 'dov'"),
        ({"amount": 6}, "Expected `int` <= 5"),
        ({"amount": -1}, "Expected `int` >= 0"),
        ({"amount": 1.5}, "Expected `int`, got `float`"),
        ({"amount": "five"}, "Expected `int`, got `str`"),
        ({"amount": "5.5"}, "Expected `int`, got `float`|Expected `int`, got `str`"),
        ({"amount": True}, "Expected `int`, got `bool`"),
        ({"rate": 0.25}, "Expected `float` >= 0.5"),
        ({"reason": "because"}, "Expected `str` of length <= 6"),
        ({"gladly": 1}, "Expected `bool`, got `int`"),
        ({"more": 1}, "unknown field `more`"),
        ({"do": "steal"}, "Invalid value 'steal'"),
    ],
)
def test_what_is_not_declared_is_refused_by_answer_schema_and_validator(fields, reason):
    actions = action_set(declared(GIVE))
    with pytest.raises(msgspec.DecodeError, match=reason):
        actions.answer(answer(**fields))
    is_valid = jsonschema_rs.is_valid(actions.schema, msgspec.json.decode(answer(**fields)))
    assert is_valid == ("length" in reason)  # vendors take no maxLength: it is said in words
    changed = {**GIVEN, **fields}
    assert actions.fault(changed.pop("do", "give"), changed)


def test_missing_field_is_refused():
    actions = action_set(declared(GIVE))
    text = '{"action": {"do": "give", "to": "ben"}}'
    with pytest.raises(msgspec.DecodeError, match="missing required field"):
        actions.answer(text)
    assert not jsonschema_rs.is_valid(actions.schema, msgspec.json.decode(text))
    assert "nearest is 'give'" in actions.fault("giv", GIVEN)


@pytest.mark.parametrize("text", ["", "I give 5.", answer() + " Done.", "```json\n{}\n```", "[]"])
def test_nothing_is_guessed_of_an_answer(text):
    with pytest.raises(msgspec.DecodeError):
        action_set(declared(GIVE)).answer(text)


def test_answer_holds_one_action_or_none_and_a_note():
    plain, noted = action_set(declared(GIVE)), action_set(declared(GIVE), has_notes=True)
    assert plain.answer(answer()) == ("give", GIVEN, "", 0, ())
    none = {"action": {"do": "none"}, "note": "later", "importance": 10}
    assert noted.answer(msgspec.json.encode(none).decode()) == ("none", {}, "later", 10, ())
    assert jsonschema_rs.is_valid(noted.schema, none)
    shown = msgspec.json.encode({**none, "importance": 11}).decode()
    assert noted.answer(shown)[2:] == ("later", 10, ("importance read as 10",))


def test_text_tells_every_bound_and_shows_valid_answers():
    actions = action_set(declared(GIVE), ["ann", "ben"], has_notes=True)
    for words in (
        "to (one of 'ben', 'cleo')",
        "amount (whole number, at least 0, at most 5)",
        "rate (number, at least 0.5)",
        "reason (text, at most 6 characters)",
        "gladly (true or false)",
        "You give money.",
        "- say: to (one of 'ann', 'ben', 'all')",
    ):
        assert words in actions.text
    shown = actions.text.split("such as ")[1].splitlines()[0].split(" or ")
    assert [actions.answer(text)[0] for text in shown] == ["give", "say", "none"]


bounds = st.none() | st.integers(-9, 9)


@given(kind=st.sampled_from(["int", "float"]), low=bounds, high=bounds, value=st.integers(-12, 12))
def test_schema_and_check_agree_and_the_example_fits(kind, low, high, value):
    field = {"type": kind, "min": low, "max": high}
    action = {"name": "set", "fields": {"x": field}}
    if low is not None and high is not None and low > high:
        with pytest.raises(msgspec.ValidationError, match="min is above max"):
            declared(action)
        return
    actions = action_set(declared(action))
    is_within = (low is None or value >= low) and (high is None or value <= high)
    whole = {"action": {"do": "set", "x": value}}
    assert (actions.fault("set", {"x": value}) == "") == is_within
    assert jsonschema_rs.is_valid(actions.schema, whole) == is_within
    shown = actions.text.split("such as ")[1].split(" or ")[0]
    assert actions.answer(shown)[0] == "set"


# https://platform.openai.com/docs/guides/structured-outputs#supported-schemas; for texts the
# vendors of https://docs.claude.com/en/docs/build-with-claude/structured-outputs take no length
MEMBERS = {
    "object": {"type", "properties", "required", "additionalProperties"},
    "string": {"type", "enum", "description"},
    "integer": {"type", "enum", "minimum", "maximum"},
    "number": {"type", "minimum", "maximum"},
    "boolean": {"type"},
}


def faults(schema, place="$"):
    """Yields where a schema breaks the rules of strict ones."""
    if "anyOf" in schema:
        if place == "$" or schema.keys() != {"anyOf"}:
            yield f"{place}: anyOf beside others, or at the root"
        for number, part in enumerate(schema["anyOf"]):
            yield from faults(part, f"{place}.{number}")
        return
    if not schema.keys() <= MEMBERS.get(schema.get("type"), set()):
        yield f"{place}: {schema}"
    if schema.get("type") == "object":
        names = [*schema["properties"]]
        if schema.get("additionalProperties") is not False or schema.get("required") != names:
            yield f"{place}: open, or with optional members"
        for name in names:
            yield from faults(schema["properties"][name], f"{place}.{name}")


@pytest.mark.parametrize("has_notes", [False, True])
@pytest.mark.parametrize("receivers", [[], ["ann", "ben"]])
def test_schema_is_strict_as_vendors_ask(receivers, has_notes):
    numbered = {"name": "vote", "fields": {"for": {"type": "int", "choices": [1, 2]}}}
    schema = action_set(declared(GIVE, numbered), receivers, has_notes=has_notes).schema
    assert [*faults(schema)] == []
    strict = copy.deepcopy(schema)
    theirs = import_module("openai.lib._pydantic")  # here, for it takes a second
    assert theirs._ensure_strict_json_schema(strict, path=(), root=strict) == schema


def test_whole_number_may_be_written_as_a_float():
    actions = action_set(declared(GIVE))
    _, fields, *_ = actions.answer(answer(amount=5.0, rate=2.0))
    assert (fields["amount"], type(fields["amount"]), type(fields["rate"])) == (5, int, float)
    big = {"name": "count", "fields": {"n": {"type": "int"}}}
    exact = f'{{"action": {{"do": "count", "n": {10**17 + 1}}}}}'
    assert action_set(declared(big)).answer(exact)[1] == {"n": 10**17 + 1}


@pytest.mark.parametrize("fields", [{"amount": "5"}, {"rate": "1.5"}, {"gladly": "True"}])
def test_quotes_around_a_number_lose_nothing_and_are_marked(fields):
    taken = action_set(declared(GIVE)).answer(answer(**fields))
    assert (taken.name, taken.fields) == ("give", GIVEN)
    assert taken.repairs[0].startswith("action read as")


@pytest.mark.parametrize(
    ("when", "values", "is_open"),
    [
        ("global/night = true", {"global/night": True}, True),
        ("global/night = true", {"global/night": False}, False),
        ("global/night != true", {"global/night": None}, False),
        ('coins >= 3 and mood = "good"', {"coins": 3, "mood": "good"}, True),
        ('coins >= 3 and mood = "good"', {"coins": 2, "mood": "good"}, False),
        ("bag.apples > 1", {"bag": {"apples": 2}}, True),
        ("bag.apples != 1", {"bag": {}}, False),
        ('seen ~ "ben"', {"seen": ["ann", "ben"]}, True),
    ],
)
def test_action_is_open_when_all_comparisons_hold_and_never_by_what_is_absent(
    when, values, is_open
):
    (action,) = declared({"name": "go", "when": when})
    assert action.is_open(values.__getitem__) == is_open


def test_when_that_cannot_be_read_is_refused_with_its_column():
    with pytest.raises(msgspec.ValidationError, match=r"^when can't be read: .* at column 8"):
        declared({"name": "go", "when": "coins > "})
    with pytest.raises(msgspec.ValidationError, match=r"^when compares: write night = true"):
        declared({"name": "go", "when": "night"})
