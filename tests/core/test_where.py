"""The language of `where`: what a text means, and what is said of one that means nothing."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.events import event_of, line_of, texts

from thence.core.query.comparison import OPERATORS, Comparison
from thence.core.query.where import (
    COMPARISONS_MAX,
    PATH_NAMES_MAX,
    WHERE_CHARACTERS_MAX,
    parse,
)
from thence.errors import InvalidFilter

blanks = st.text(" \t\n\r", max_size=2)
bare = st.from_regex(r"[a-zA-Zéß_$][\w/:@+*-]{0,8}", fullmatch=True).filter(
    lambda word: (
        word.isprintable()
        and word.lower() not in ("and", "true", "false", "null", "none", "nil", "undefined")
        and word.lower() not in ("nan", "inf", "infinity")
    )
)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.none() | st.booleans() | numbers | texts | bare
paths = st.tuples(
    texts | bare, st.lists(texts | bare | st.integers(-999_999_999, 999_999_999), max_size=5)
).map(lambda pair: (pair[0], *pair[1]))


def is_bare(text: str) -> bool:
    return text.isascii() and text.isidentifier() and text != "and"


@st.composite
def written(draw, comparison):
    """Writes a comparison in one of its many forms."""
    path, op, value = comparison
    text = draw(blanks)
    for place, part in enumerate(path):
        if isinstance(part, int):
            text += f"[{part}]"
            continue
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
    assert [(each.path, each.op, each.value) for each in read] == drawn
    assert [type(each.value) for each in read] == [type(value) for _, _, value in drawn]


signs = st.lists(
    st.sampled_from(
        [*OPERATORS, "and", "or", "a", "payload.b", '"', "\\", '"x"', "[0]", "[", ".", "(", " ",
         "1e400", "NaN", "-0", "9" * 30, "\x00", "\u202e", "\ud800", "'", "“", "==", "é", "\\u00"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@example("a" * 20_000)
@example("a = " + "9" * 9_000)
@example("a" + "[0]" * 3_000 + " = 1")
@example("a." * 4_000)
@example("(" * 9_000)
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
        assert {each.matches(event) for each in parse(text)} <= {True, False}
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
        ("12", 12),
        ("-0", 0),
        ("0.5", 0.5),
        ("12.0", 12.0),
        ("-1e3", -1000.0),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("5e-324", 5e-324),
        ("true", True),
        ("false", False),
        ("null", None),
        ("failed", "failed"),
        ("order/881", "order/881"),
        ("2026-11-20T07:13:00Z", "2026-11-20T07:13:00Z"),
        ("1.2.3", "1.2.3"),
        ("0x10", "0x10"),
        ("a=b", "a=b"),
        ("don't", "don't"),
        ("prix→", "prix→"),
        ('""', ""),
        ('"12"', "12"),
        ('"and"', "and"),
        ('"a\\n\\"b\\\\\\u00e9\\ud83e\\udd80"', 'a\n"b\\é🦀'),
        ('"raw\ttab\nline"', "raw\ttab\nline"),
    ],
)
def test_value_is_what_its_word_says(word, value):
    (read,) = parse(f"a = {word}")
    assert (read.value, type(read.value)) == (value, type(value))


@pytest.mark.parametrize("word", ["12", "true", "null", "NaN", "1e400", "007", "None", "+5"])
def test_word_behind_contains_is_a_text_whatever_it_looks_like(word):
    assert parse(f"a ~ {word}") == (Comparison(("a",), "~", word),)


@pytest.mark.parametrize(
    ("text", "column", "cause", "hint"),
    [
        ("", 1, "missing here", "payload.amount > 10"),
        ("   ", 4, "missing here", ""),
        ("amount", 7, "an operator is missing", "= != < <= > >= ~"),
        ("amount >", 9, "a value is missing", '""'),
        ("amount > and b = 1", 10, "a value is missing", ""),
        ("amount == 12", 8, "'==' is no operator", "the nearest known word is ="),
        ("amount => 12", 8, "'=>' is no operator", "the nearest known word is >="),
        ("amount <> 12", 8, "'<>' is no operator", "the nearest known word is !="),
        ("note =~ x", 6, "'=~' is no operator", "the nearest known word is ~"),
        ("note contains x", 6, "'contains' is no operator", "the nearest known word is ~"),
        ("note LIKE x", 6, "'LIKE' is no operator", "the nearest known word is ~"),
        ("unit price = 3", 6, "'price' is no operator", "= != < <= > >= ~"),
        ("a ><= 3", 3, "'><=' is no operator", ""),
        ("a = 1 or b = 2", 7, "'or' joins nothing", "word is and; there is no or"),
        ("a = 1 && b = 2", 7, "'&&' joins nothing", "the nearest known word is and"),
        ("a = 1 AND b = 2", 7, "'AND' joins nothing", "the nearest known word is and"),
        ('a = 1 "b"', 7, "'\"' joins nothing", "and"),
        ("a = 1 and", 10, "a comparison is missing", ""),
        ("and = 1", 1, "missing before 'and'", "quotes"),
        ("a = 1 and and b = 2", 11, "missing before 'and'", ""),
        ("(a = 1)", 1, "'(' begins no name", ""),
        (".a = 1", 1, "'.' begins no name", ""),
        ("a. = 1", 3, "' ' begins no name", ""),
        ("a.", 3, "the end begins no name", ""),
        ("a[x] = 1", 2, "a bracket holds the number", "[0]"),
        ("a[0 = 1", 2, "a bracket holds the number", "[-1]"),
        ("a[٣] = 1", 2, "a bracket holds the number", ""),
        ("= 1", 1, "'=' begins no name", ""),
        ('a = "x', 5, "never closed", '"'),
        ('"a = 1', 1, "never closed", ""),
        ('a = "x\\', 7, "is no escape", ""),
        ('a = "x\\q"', 7, "'\\\\q' is no escape", "\\n"),
        ('a = "x\\u12"', 7, "is no escape", ""),
        ('a = "x"y', 8, "'y' follows the quote", "space"),
        ('a = x"y"', 6, "a quote begins inside a word", "quotes"),
        ("a = 'x'", 5, "' is no quote here", '"'),
        ("a = “x”", 5, "“ is no quote here", '"'),
        ("'a' = 1", 1, "' is no quote here", '"'),
        ("a = True", 5, "'True' is no value", "is true; the text is written \"True\""),
        ("a = None", 5, "'None' is no value", "is null; the text"),
        ("a = NaN", 5, "'NaN' is no number", '"NaN"'),
        ("a = -Infinity", 5, "'-Infinity' is no number", "JSON"),
        ("a = .5", 5, "'.5' is no number", "0.5"),
        ("a = 007", 5, "'007' is no number", '"007"'),
        ("a = 1_000", 5, "'1_000' is no number", ""),
        ("a = ١٢", 5, "is no number", ""),
        ("a = 1e400", 5, "'1e400' is larger than any number", ""),
        ("a = 18446744073709551616", 5, "more than 64 bits", '"18446744073709551616"'),
        ("a = -9223372036854775809", 5, "more than 64 bits", ""),
        ("a = x\x1by", 6, "'\\x1b' can't be seen", "quotes"),
        ("a\u00a0= 1", 2, "'\\xa0' can't be seen", ""),
        ("a = x\u202ey", 6, "'\\u202e' can't be seen", ""),
        ("a = \ud800", 5, "'\\ud800' can't be seen", ""),
        ('a = "\\ud800"', 5, "a lone surrogate", ""),
    ],
)  # fmt: skip
def test_text_that_means_nothing_is_refused_with_column_reason_and_what_is_near(
    text, column, cause, hint
):
    with pytest.raises(InvalidFilter) as caught:
        parse(text)
    assert (caught.value.column, caught.value.key) == (column, "where")
    assert cause in caught.value.cause
    assert hint in caught.value.hint


def test_limits_are_told_at_the_place_where_they_are_passed():
    assert len(parse(" and ".join(["a = 1"] * COMPARISONS_MAX))) == COMPARISONS_MAX
    path = ".".join("a" * PATH_NAMES_MAX)
    assert parse(f"{path} = 1")[0].path == ("a",) * PATH_NAMES_MAX
    for text, column in (
        (" and ".join(["a = 1"] * (COMPARISONS_MAX + 1)), COMPARISONS_MAX * 10 - 3),
        (f"{path}.a = 1", 2 * PATH_NAMES_MAX),
        (f"{path}[0] = 1", 2 * PATH_NAMES_MAX),
        ("a = " + "1" * WHERE_CHARACTERS_MAX, WHERE_CHARACTERS_MAX + 1),
    ):
        with pytest.raises(InvalidFilter) as caught:
            parse(text)
        assert caught.value.column == column
