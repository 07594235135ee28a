"""What the little language says of a text that it can't read, word for word."""

import pytest

from thence.core.query.where import COMPARISONS_MAX, PATH_NAMES_MAX, WHERE_CHARACTERS_MAX, parse
from thence.errors import InvalidFilter

EXAMPLE = 'write such as: payload.amount > 10 and note ~ "no stock"'
OPERATORS = "the operators are = != < <= > >= ~"
NO_OR = "the nearest known word is and; there is no or: ask once for each"
ESCAPES = r"a backslash is written \\, a quote \", a line break \n, others as \u001b"
LONG = "x" * 40
CUT = "x" * 39 + "…"
MANY = " and ".join(["a = 1"] * (COMPARISONS_MAX + 1))
ONES = "1" * WHERE_CHARACTERS_MAX


@pytest.mark.parametrize(
    ("text", "cause", "hint"),
    [
        ("", "a comparison is missing here", EXAMPLE),
        ("a", "an operator is missing here", OPERATORS),
        ("a =", "a value is missing here", 'an empty text is written ""'),
        ("a == 1", "'==' is no operator", "the nearest known word is ="),
        ("a b 1", "'b' is no operator", OPERATORS),
        ("a = 1 or b", "'or' joins nothing", NO_OR),
        ("a = 1 || b", "'||' joins nothing", NO_OR),
        ("a = 1 && b", "'&&' joins nothing", "the nearest known word is and"),
        ('a = 1 "b"', "'\"' joins nothing", "the nearest known word is and"),
        (
            "and = 1",
            "a comparison is missing before 'and'",
            'put a comparison before it; a name that is "and" stands in quotes',
        ),
        ("(a) = 1", "'(' begins no name", EXAMPLE),
        ("a.", "the end begins no name", EXAMPLE),
        (
            "a[x] = 1",
            "a bracket holds the number of an element",
            "write [0] for the first element, [-1] for the last",
        ),
        ('a = "x', "this quote is never closed", 'end the text with "'),
        ('a = "x\\q"', "'\\\\q' is no escape", ESCAPES),
        ('a = "x"y', "'y' follows the quote", "leave a space between them"),
        ('a = x"y"', "a quote begins inside a word", "put the whole text in quotes"),
        ("a = 'x'", "' is no quote here", 'a text stands between two "'),
        (
            "a = x\x1by",
            "the character '\\x1b' can't be seen",
            'put the text in quotes, such as "\\u00a0"',
        ),
        (
            "a = True",
            "'True' is no value",
            'the nearest known word is true; the text is written "True"',
        ),
        (
            "a = undefined",
            "'undefined' is no value",
            'the nearest known word is null; the text is written "undefined"',
        ),
        (
            "a = NaN",
            "'NaN' is no number of JSON",
            'write a number as in JSON, such as 0.5 or 12; the text is written "NaN"',
        ),
        ("a = 1e400", "'1e400' is larger than any number", 'the text is written "1e400"'),
        (
            "a = 18446744073709551616",
            "'18446744073709551616' needs more than 64 bits",
            'the text is written "18446744073709551616"',
        ),
        ('a = "\\ud800"', "a lone surrogate is no character", "leave it out"),
        (f"a {LONG} 1", f"'{LONG}' is no operator", OPERATORS),
        (f"a {LONG}x 1", f"'{CUT}' is no operator", OPERATORS),
        (
            f"a = {'9' * 41}",
            f"'{'9' * 39}…' needs more than 64 bits",
            f'the text is written "{"9" * 39}…"',
        ),
        ("a." * PATH_NAMES_MAX + "a = 1", "the path has more than 64 names", EXAMPLE),
        (f"a = {ONES}", "it is longer than 10,000 characters", EXAMPLE),
        (MANY, "there are more than 100 comparisons", EXAMPLE),
    ],
    ids=lambda value: value[:20],
)
def test_text_that_means_nothing_is_refused_in_these_words(text, cause, hint):
    with pytest.raises(InvalidFilter) as caught:
        parse(text)
    assert (caught.value.cause, caught.value.hint) == (cause, hint)
    assert caught.value.operation == "could not read the filter's"
