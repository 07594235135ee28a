"""The language of `where`: what a text means, and what is said of one that means nothing."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.events import drafted, event_of, json_values, line_of, new_id, stamped, texts

from thence.core.codec import parse as parse_line
from thence.core.query.where import (
    OPERATORS,
    PATH_NAMES_MAX,
    WHERE_CHARACTERS_MAX,
    Comparison,
    parse,
)
from thence.core.vocabulary import PLAIN, SIM
from thence.errors import InvalidFilter

blanks = st.text(" \t\n\r", max_size=2)
bare = st.from_regex(r"[a-zA-Zéß_$][\w/:@+*-]{0,8}", fullmatch=True).filter(
    lambda word: (
        word.isprintable()
        and word.lower()
        not in ("and", "or", "not", "true", "false", "null", "none", "nil", "undefined")
        and word.lower() not in ("nan", "inf", "infinity")
    )
)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.none() | st.booleans() | numbers | texts | bare
paths = st.lists(texts | bare, min_size=1, max_size=6).map(tuple)


def is_bare(text: str) -> bool:
    return text.isascii() and text.isidentifier() and text not in ("and", "or", "not")


@st.composite
def written(draw, comparison):
    """Writes a comparison in one of its many forms."""
    path, op, value = comparison
    text = draw(blanks)
    for place, part in enumerate(path):
        quoted = not is_bare(part) or draw(st.booleans())
        text += "." * (place > 0) + (json.dumps(part, ensure_ascii=draw(st.booleans())) * quoted)
        text += part * (not quoted)
    text += draw(blanks) + op + draw(blanks)
    is_word = isinstance(value, str) and is_bare(value) and draw(st.booleans())
    literals = ("true", "false", "null", "none", "nil", "undefined", "nan", "inf", "infinity")
    if is_word and value.lower() not in literals:
        return text + value
    return text + json.dumps(value, ensure_ascii=draw(st.booleans()))


@given(st.data())
def test_comparison_is_read_from_every_form_of_it(data):
    op = st.sampled_from(OPERATORS[:-1])
    drawn = data.draw(st.lists(st.tuples(paths, op, values), min_size=1, max_size=4))
    forms = [data.draw(written(comparison)) for comparison in drawn]
    joint = data.draw(st.sampled_from((" and ", "\nand\t", "  and  ")))
    read = parse(joint.join(forms) + data.draw(blanks))
    assert [(one.path, one.op, one.value) for one in read] == drawn
    assert [type(one.value) for one in read] == [type(value) for _, _, value in drawn]


@given(st.integers(0, 4), st.sampled_from(("n = 1", "n != 2", "n > 2 and n ~ 3", "n", "payload.*")))
def test_every_line_that_matches_holds_the_needles(number, text):
    line = line_of({"n": number})
    for comparison in parse(text):
        if comparison.matches(event_of(line)):
            assert all(needle in line for needle in comparison.needles())


def test_needles_are_the_last_name_and_the_text_that_is_contained():
    needles = [
        needle for one in parse("type = a and b.* ~ c and d > 1") for needle in one.needles()
    ]
    assert needles == [b'type"', b"a", b'b"', b"c", b'd"']


signs = st.lists(
    st.sampled_from(
        [*OPERATORS, "and", "or", "a", "not", ")", "payload.b", '"', "\\", '"x"', "[0]",
         "[", ".", "(", " ", "1e400", "NaN", "-0", "9" * 30, "\x00", "\u202e", "\ud800", "'", "“",
         "==", "é", "\\u00"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@example("a" * 20_000)
@example("a = " + "9" * 9_000)
@example("a." * 4_000)
@example("(" * 9_000)
@example("not " * 2_000)
@example('a = "' + "\\" * 9_000)
@example('a = "' + "x\\u0041" * 1_200 + '"')
@example(" and ".join(["a = 1"] * 1_300))
@example(" " * 10_000)
@example("a = 1e" + "9" * 5_000)
@example("a = 0." + "0" * 9_000 + "1")
@given(st.text(max_size=60) | signs | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
def test_any_text_is_read_or_refused_with_its_column(text):
    refused = refusal(text)
    if refused is None:
        event = event_of(line_of({"a": 1, "é": "x"}))
        assert {one.matches(event) for one in parse(text)} <= {True, False}
        return
    assert refused.key == "where"
    assert 1 <= refused.column <= len(text) + 1
    assert refused.cause
    assert refused.hint
    assert f"where, column {refused.column}: " in str(refused)
    assert len(str(refused)) < 300


def refusal(text):
    """Returns the error of a text that can't be read; no other error may come out."""
    try:
        assert parse(text)
    except InvalidFilter as error:
        return error
    return None


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("-0", 0),
        ("12.0", 12.0),
        ("-1e3", -1000.0),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("5e-324", 5e-324),
        ("2026-11-20T07:13:00Z", "2026-11-20T07:13:00Z"),
        ("a=b", "a=b"),
        ("don't", "don't"),
        ("prix→", "prix→"),
        ('"and"', "and"),
        ('"a\\n\\"b\\\\\\u00e9\\ud83e\\udd80"', 'a\n"b\\é🦀'),
    ],
)
def test_value_is_what_its_word_says(word, value):
    (read,) = parse(f"a = {word}")
    assert (read.value, type(read.value)) == (value, type(value))


@pytest.mark.parametrize("word", ["12", "true", "null", "NaN", "1e400", "007", "None", "+5"])
def test_word_behind_contains_is_a_text_whatever_it_looks_like(word):
    assert parse(f"a ~ {word}") == (Comparison(("a",), "~", word),)


NAME = "a name, as a word or in double quotes, is missing here"
OPERATOR = "one of = != < <= > >= ~ is missing here"
VALUE = "a value, as a word or in double quotes, is missing here"
AND = "`and` or the end is missing here"
ONES = "1" * WHERE_CHARACTERS_MAX


def unclear(word):
    return f"{word[:40]!r} is text only in double quotes"


@pytest.mark.parametrize(
    ("text", "column", "cause"),
    [
        ("", 1, NAME),
        ("   ", 4, NAME),
        ("amount.*.x > 1", 7, OPERATOR),
        ("amount >", 9, VALUE),
        ("amount > and b = 1", 14, AND),
        ("amount == 12", 8, OPERATOR),
        ("amount => 12", 8, OPERATOR),
        ("note contains x", 6, OPERATOR),
        ("!a = 1", 1, NAME),
        ("a = 1 and", 10, NAME),
        ("a = 1 and and b = 2", 15, OPERATOR),
        (".a = 1", 1, NAME),
        ("a. = 1", 2, OPERATOR),
        ("a[x] = 1", 2, OPERATOR),
        ('a = "x', 4, VALUE),
        ('"a = 1', 1, NAME),
        ('a = "x\\q"', 5, """'"x\\\\q"' is not a JSON string"""),
        ('"\\ud800" = 1', 1, """'"\\\\ud800"' is not a JSON string"""),
        ('a = "x"y', 4, VALUE),
        ('a = x"y"', 4, VALUE),
        ("a = 'x'", 5, unclear("'x'")),
        ("a = “x”", 5, unclear("“x”")),
        ("a = None", 5, unclear("None")),
        ("a = NaN", 5, unclear("NaN")),
        ("a = .5", 5, unclear(".5")),
        ("a = 1_000", 5, unclear("1_000")),
        ("a = 1e400", 5, unclear("1e400")),
        ("a = 1 or b = 2", 7, AND),
        ("not a = 1", 5, OPERATOR),
        ("a." * PATH_NAMES_MAX + "a = 1", 1, "the path has more than 64 names"),
        (f"a = {ONES}", 10001, "it is longer than 10,000 characters"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_text_that_means_nothing_is_refused_with_column_reason_and_example(text, column, cause):
    error = refusal(text)
    assert (error.key, error.column, error.cause) == ("where", column, cause)
    assert error.operation == "could not read the filter's"
    example, alternatives = error.hint.split("; ")
    assert len(parse(example.removeprefix("join comparisons by and: "))) == 2
    assert alternatives == "for alternatives name several types, actors or subjects"


def test_path_may_have_as_many_names_as_told():
    path = ".".join("a" * PATH_NAMES_MAX)
    assert parse(f"{path} = 1")[0].path == ("a",) * PATH_NAMES_MAX
    assert refusal(f"{path}.a = 1").column == 1


NAMES = ("a", "b", "c", "0", "actor", "payload", "unit price")
shallow_paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(tuple)
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
    return found_in(value[step], rest) if isinstance(value, dict) and step in value else []


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
    shallow_paths,
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
    return all(one.matches(event) for one in parse(where))


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ('note ~ ""', True),
        ("tags.0 = urgent", False),
        ("by.0 = zero", True),
        ("amount.x != 1", False),
        ('"unit price" = 3', True),
        ("amount", True),
        ("nothing", True),
        ("tags and note", True),
        ("missing", False),
        ("payload.* = 12", True),
        ("payload.* ~ urgent", True),
        ("tags.* = late", True),
        ("tags.*", True),
        ("by.* ~ er", True),
        ('by."*" ~ er', False),
        ("empty.*", False),
        ("amount.* = 12", False),
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
        "empty": [],
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


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ("attributes.gen_ai.system = openai", True),
        ('attributes."gen_ai.system" = openai', True),
        ("payload.attributes.gen_ai.system = openai", True),
        ("attributes.gen_ai.usage.* = 3", True),
        ("attributes.gen_ai.tool.name = pay", True),
        ("a.b.c = 2", True),
        ("attributes.gen_ai != 1", False),
        ("attributes.gen_ai.system.x != 1", False),
        ("attributes.system = openai", False),
    ],
)
def test_name_with_dots_is_found_as_it_is(where, matches):
    inner = {"gen_ai.system": "openai", "gen_ai.usage": [3], "gen_ai.tool": {"name": "pay"}}
    payload = {"attributes": inner, "a": {"b.c": 2}}
    assert judged(where, payload) is matches
    assert judged("a.b = 1", {"a.b": 1})
    if matches:
        needles = [needle for one in parse(where) for needle in one.needles()]
        assert all(needle in line_of(payload) for needle in needles)


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
        assert all(one.matches(event) for one in parse(where)) is matches, where


def test_large_integers_are_not_rounded():
    event = event_of(line_of({"a": 2**53 + 1}))
    assert parse(f"a = {2**53 + 1}")[0].matches(event)
    assert not parse(f"a = {2**53}")[0].matches(event)
    assert not parse(f"a = {2.0**53!r}")[0].matches(event)
