"""What is said of a filter that can't be read, word for word, and where its spans end."""

from datetime import datetime

import pytest

from thence.core.query.filter import NAMES_MAX, Filter
from thence.core.values.codec import parse as parse_line
from thence.core.values.vocabulary import SIM
from thence.errors import InvalidFilter

NO_NAME = "leave it out to ask for all"
TEXTS = "pass a text, or several"
STEPS = "ask in several steps"
TIMES = "write it as 2026-11-20, 2026-11-20T07:13:00Z or 2026-11-20T09:13:00+02:00"
TURNS = "write a number from 0, such as 5, or a range: 3..7, 3.. or ..7"
NO_TURN = "is not an integer from 0 to 2^63-1"
MANY = [f"a = {n} and b = 1" for n in range(51)]


@pytest.mark.parametrize(
    ("asked", "cause", "hint"),
    [
        ({"type": ""}, "an empty text names nothing", NO_NAME),
        ({"subject": "\ud800"}, "a lone surrogate is no character", NO_NAME),
        ({"stream": 5}, "5 is no text", TEXTS),
        ({"stream": [None]}, "None is no text", TEXTS),
        ({"type": ["A"] * (NAMES_MAX + 1)}, "it holds more than 1,000 texts", STEPS),
        ({"where": MANY}, "there are more than 100 comparisons in all", STEPS),
        ({"since": "yesterday"}, "'yesterday' is no time", TIMES),
        (
            {"since": "2026-11-20T07:13:00 02:00"},
            "'2026-11-20T07:13:00 02:00' is no time",
            f"{TIMES}; in a URL + is written %2B",
        ),
        (
            {"until": datetime.fromisoformat("2026-11-20T07:13")},
            "2026-11-20T07:13:00 has no time zone",
            "pass an aware datetime, such as datetime.now(timezone.utc)",
        ),
        (
            {"since": "2026-11-21", "until": "2026-11-20"},
            "it is earlier than since",
            "exchange the two",
        ),
        ({"turn": "3-7"}, f"'3-7' {NO_TURN}", TURNS),
        ({"turn": ".."}, "(None, None) is no range", TURNS),
        ({"turn": "7..3"}, "no turn is from 7 to 3", "exchange the two"),
        ({"turn": "x" * 78}, f"'{'x' * 78}' {NO_TURN}", TURNS),
        ({"turn": "x" * 79}, f"'{'x' * 79} {NO_TURN}", TURNS),
    ],
)
def test_what_is_no_filter_is_refused_in_these_words(asked, cause, hint):
    with pytest.raises(InvalidFilter) as caught:
        Filter.of(**asked)
    assert (caught.value.cause, caught.value.hint) == (cause, hint)
    assert (caught.value.operation, caught.value.key) == (
        "could not read the filter's",
        [*asked][-1],
    )


EVENT = parse_line(
    b'{"event_id":"x","event_type":"ACTION","simulation_id":"r","turn_number":5,'
    b'"timestamp":"2026-11-20T07:13:00.000001Z"}',
    SIM,
)
BEFORE, AT, AFTER = (f"2026-11-20T07:13:00.00000{n}Z" for n in range(3))


@pytest.mark.parametrize(
    ("asked", "is_shown"),
    [
        ({"turn": (5, None)}, True),
        ({"turn": (6, None)}, False),
        ({"turn": (None, 5)}, True),
        ({"turn": (None, 4)}, False),
        ({"turn": 5}, True),
        ({"turn": (4, 6)}, True),
        ({"since": AT}, True),
        ({"since": AFTER}, False),
        ({"until": AT}, True),
        ({"until": BEFORE}, False),
        ({"since": AT, "until": AT}, True),
        ({"since": BEFORE, "until": AFTER}, True),
    ],
)
def test_both_ends_of_a_span_belong_to_it(asked, is_shown):
    assert Filter.of(**asked).matches(EVENT) is is_shown
