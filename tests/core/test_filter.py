"""A filter shows what a plain model of it shows, alone and combined, and refuses the rest."""

import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import texts

from thence.core.codec import parse as parse_line
from thence.core.query.filter import NAMES_MAX, TURN_MAX, Filter
from thence.core.vocabulary import PLAIN, SIM
from thence.errors import InvalidFilter

NAMES = ("ada", "ben", "A", "a b", "é", "")
DAY = datetime(2026, 11, 20, tzinfo=UTC)
# written times, and the moments that they are, by hand
MOMENTS = {
    "2026-11-19T23:59:59.999999Z": DAY - timedelta(microseconds=1),
    "2026-11-20T00:00:00.000000Z": DAY,
    "2026-11-20T00:30:00+01:00": DAY - timedelta(minutes=30),
    "2026-11-20T07:13:00.123456Z": DAY + timedelta(hours=7, minutes=13, microseconds=123456),
    "2026-11-20T23:59:59.999999Z": DAY + timedelta(days=1) - timedelta(microseconds=1),
    "2026-11-21": DAY + timedelta(days=1),
}
STAMPS = [*MOMENTS, "soon", ""]
# ends of a filter: where the time begins that each stands for, and how long it is
ENDS = {
    "2026-11-20": (DAY, timedelta(days=1)),
    "2026-11-19T23:59": (DAY - timedelta(minutes=1), timedelta(minutes=1)),
    "2026-11-20T00:00:00Z": (DAY, timedelta(seconds=1)),
    "2026-11-20T08:13:00.123+01:00": (
        DAY + timedelta(hours=7, minutes=13, milliseconds=123),
        timedelta(milliseconds=1),
    ),
}
names = st.sampled_from(NAMES)


@st.composite
def lines(draw, vocabulary):
    """Draws the members of a foreign line, some of them absent."""
    keys = (vocabulary.stream_key, vocabulary.subject_key, vocabulary.actor_key)
    drawn = {key: draw(st.none() | names) for key in keys if key}
    drawn["turn_number"] = draw(st.none() | st.integers(0, 5))
    drawn["timestamp"] = draw(st.sampled_from(STAMPS))
    drawn[vocabulary.payload_key] = {"n": draw(st.integers(0, 3))}
    kept = {key: value for key, value in drawn.items() if value is not None}
    return {"event_id": "x", "event_type": draw(names), **kept}


ends = st.sampled_from([*ENDS])
parts = st.fixed_dictionaries(
    {},
    optional={
        "type": st.lists(names.filter(bool), max_size=2) | names.filter(bool),
        "actor": st.lists(names.filter(bool), max_size=2),
        "subject": st.lists(names.filter(bool), max_size=2),
        "stream": st.lists(names.filter(bool), max_size=2),
        "since": ends,
        "until": ends,
        "turn": st.integers(0, 6) | st.tuples(st.integers(0, 2), st.integers(2, 6) | st.none()),
        "where": st.sampled_from(["n > 1", "n = 2 and event_type != ada"]),
    },
)


def shows(line, vocabulary, asked):
    """Tells whether a line is asked for, from its members and the words of the question."""
    keys = {
        "type": "event_type",
        "actor": vocabulary.actor_key,
        "subject": vocabulary.subject_key,
        "stream": vocabulary.stream_key,
    }
    reasons = []
    for word, key in keys.items():
        wanted = asked.get(word) or []
        wanted = [wanted] if isinstance(wanted, str) else wanted
        reasons.append(not wanted or (key is not None and line.get(key) in wanted))
    if "turn" in asked:
        turn = asked["turn"]
        low, high = turn if isinstance(turn, tuple) else (turn, turn)
        has = line.get("turn_number")
        reasons.append(has in range(low, 1000 if high is None else high + 1))
    when = MOMENTS.get(line["timestamp"])
    if "since" in asked:
        reasons.append(when is not None and when >= ENDS[asked["since"]][0])
    if "until" in asked:
        begin, length = ENDS[asked["until"]]
        reasons.append(when is not None and when < begin + length)
    n = line[vocabulary.payload_key]["n"]
    if asked.get("where") == "n > 1":
        reasons.append(n in (2, 3))
    elif "where" in asked:
        reasons.append(n == 2 and line["event_type"] != "ada")
    return all(reasons)


@pytest.mark.parametrize("vocabulary", [PLAIN, SIM], ids=["plain", "sim"])
@given(st.data(), parts)
def test_filter_shows_what_the_model_shows(vocabulary, data, asked):
    line = data.draw(lines(vocabulary))
    event = parse_line(json.dumps(line).encode(), vocabulary)
    try:
        asking = Filter.of(**asked)
    except InvalidFilter as error:
        assert error.key == "until", error  # noqa: PT017
        assert asked["since"] != asked["until"]
        return
    assert asking.matches(event) is shows(line, vocabulary, asked)
    combined = [Filter.of(**{key: value}) for key, value in asked.items()]
    assert asking.matches(event) is all(one.matches(event) for one in combined)


def test_empty_filter_shows_everything():
    event = parse_line(b'{"event_id":"x","event_type":"y"}', PLAIN)
    for asking in (Filter(), Filter.of(), Filter.of(type=[], actor=(), where=[])):
        assert asking == Filter()
        assert asking.matches(event)


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        (5, 5, 5),
        ("5", 5, 5),
        ("3..7", 3, 7),
        (" 3 .. 7 ", 3, 7),
        ("3..", 3, None),
        ((3, 7), 3, 7),
        (("3", "7"), 3, 7),
        ([None, 7], None, 7),
        ((3, None), 3, None),
        (f"..{TURN_MAX}", None, TURN_MAX),
    ],
)
def test_turns_are_read_from_numbers_texts_and_pairs(given, first, last):
    asking = Filter.of(turn=given)
    assert (asking.turn_first, asking.turn_last) == (first, last)


def test_times_are_read_from_text_dates_and_datetimes():
    day = 1_795_132_800_000_000
    assert Filter.of(since="2026-11-20").since == Filter.of(since=date(2026, 11, 20)).since == day
    assert Filter.of(until="2026-11-20").until == day + 86_400_000_000 - 1
    assert Filter.of(until=date(2026, 11, 20)) == Filter.of(until="2026-11-20")
    when = datetime(2026, 11, 20, 2, tzinfo=timezone(timedelta(hours=2)))
    assert Filter.of(since=when, until=when) == Filter(since=day, until=day)
    assert Filter.of(since=" 2026-11-20T02:00+02:00 ").since == day


@pytest.mark.parametrize(
    ("names", "name", "is_fit"),
    [
        (["order.*"], "order.placed", True),
        (["order.*"], "order", False),
        (["*.fail??"], "order.failed", True),
        (["order"], "order.placed", False),
        (["x", "order.pl*"], "order.placed", True),
        (["a[bc]*"], "ab", False),
        (["a[bc]*"], "a[bc]d", True),
        (["*"], None, False),
        (["*"], "", False),
        (["*"], "line\nbreak", True),
    ],
)
def test_types_and_actors_fit_a_pattern_or_a_whole_name(names, name, is_fit):
    line = {"event_id": "x", "event_type": name or "", "actor": name}
    event = parse_line(json.dumps(line).encode(), PLAIN)
    assert Filter.of(type=names).matches(event) is is_fit
    assert Filter.of(actor=names).matches(event) is is_fit


def test_subject_with_a_star_is_a_name_like_any_other():
    event = parse_line(b'{"event_id":"x","event_type":"y","subject":"src/a.py"}', PLAIN)
    assert not Filter.of(subject="src/*.py").matches(event)


NO_NAME = "leave it out to ask for all"
TEXTS = "pass a string, or several"
STEPS = "ask in several steps"
TIMES = "write it as 2026-11-20, 2026-11-20T07:13:00Z or 2026-11-20T09:13:00+02:00"
FROM_NOW = f"{TIMES}; a command and Python also take 1h and yesterday"
AWARE = "pass an aware datetime, such as datetime.now(timezone.utc)"
TURNS = "write a number from 0, such as 5, or a range: 3..7, 3.. or ..7"
EXCHANGE = "swap the two"
NO_TURN = "is not an integer from 0 to 2^63-1"
NO_ZONE = datetime.fromisoformat("2026-11-20T07:13")
MANY = [f"a = {n} and b = 1" for n in range(51)]


@pytest.mark.parametrize(
    ("asked", "cause", "hint"),
    [
        ({"type": ""}, "an empty string names nothing", NO_NAME),
        ({"actor": ["ada", ""]}, "an empty string names nothing", NO_NAME),
        ({"subject": "\ud800"}, "a lone surrogate is not a character", NO_NAME),
        ({"stream": 5}, "5 is not text", TEXTS),
        ({"stream": [None]}, "None is not text", TEXTS),
        (
            {"type": [str(n) for n in range(NAMES_MAX + 1)]},
            "it holds more than 1,000 strings",
            STEPS,
        ),
        ({"type": ["A"] * (NAMES_MAX + 1)}, "it holds more than 1,000 strings", STEPS),
        ({"where": MANY}, "there are more than 100 comparisons in all", STEPS),
        ({"type": [["A"]]}, "['A'] is not text", TEXTS),
        ({"since": ""}, "'' is not a time", FROM_NOW),
        ({"since": "yesterday"}, "'yesterday' is not a time", FROM_NOW),
        ({"until": 5}, "5 is not a time", FROM_NOW),
        ({"since": "2026-11-20T07:13 02:00"}, "'2026-11-20T07:13 02:00' is not a time", TIMES),
        ({"until": NO_ZONE}, "2026-11-20T07:13:00 has no time zone", AWARE),
        ({"since": "2026-11-21", "until": "2026-11-20"}, "it is earlier than since", EXCHANGE),
        ({"turn": ""}, f"'' {NO_TURN}", TURNS),
        ({"turn": ".."}, "(None, None) is not a range", TURNS),
        ({"turn": "-1"}, f"'-1' {NO_TURN}", TURNS),
        ({"turn": -1}, f"-1 {NO_TURN}", TURNS),
        ({"turn": "3-7"}, f"'3-7' {NO_TURN}", TURNS),
        ({"turn": "3..x"}, f"'x' {NO_TURN}", TURNS),
        ({"turn": "٣"}, f"'٣' {NO_TURN}", TURNS),
        ({"turn": 3.0}, f"3.0 {NO_TURN}", TURNS),
        ({"turn": True}, f"True {NO_TURN}", TURNS),
        ({"turn": "7..3"}, "no turn is from 7 to 3", EXCHANGE),
        ({"turn": (1, 2, 3)}, "(1, 2, 3) is not a range", TURNS),
        ({"turn": str(TURN_MAX + 1)}, f"{TURN_MAX + 1} {NO_TURN}", TURNS),
        ({"turn": "x" * 79}, f"'{'x' * 79} {NO_TURN}", TURNS),
        ({"turn": "9" * 10_000}, f"'{'9' * 79} {NO_TURN}", TURNS),
        ({"type": [[10**5_000]]}, "<list whose repr raised ValueError> is not text", TEXTS),
    ],
)
def test_what_is_no_filter_is_refused_with_its_key_reason_and_what_to_write(asked, cause, hint):
    with pytest.raises(InvalidFilter) as caught:
        Filter.of(**asked)
    error = caught.value
    assert (error.operation, error.key) == ("could not read the filter's", [*asked][-1])
    assert (error.cause, error.hint) == (cause, hint)
    assert (error.code, error.column) == ("invalid_filter", 0)
    assert len(str(error)) < 200


KEYS = ("type", "actor", "subject", "stream", "since", "until", "turn", "where")
odd = st.sampled_from(["9" * 400, "1e400", "NaN", "\x00", "..", "2026-11-20T99", "[" * 5_000, None])
anything = (
    texts
    | odd
    | st.integers()
    | st.floats()
    | st.datetimes()
    | st.binary(max_size=5)
    | st.lists(texts | odd | st.integers(), max_size=3)
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, anything)))
def test_anything_at_all_is_a_filter_or_refused_as_one(asked):
    event = parse_line(b'{"event_id":"x","event_type":"y","timestamp":"2026-11-20"}', PLAIN)
    try:
        asking = Filter.of(**asked)
    except InvalidFilter as error:
        assert error.key in asked  # noqa: PT017
    else:
        assert asking.matches(event) in (True, False)
        assert all(name.encode() for name in (*asking.types, *asking.actors))
