"""Lamport's clock only grows; wall time is written for people."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.core.clock import (
    CLOCK_MAX,
    LamportClock,
    dated,
    microseconds,
    moment,
    span,
    timestamp_of,
    timestamps,
)
from thence.errors import InvalidEvent


@given(st.lists(st.none() | st.integers(0, 10**6)))
def test_clock_passes_all_it_has_issued_and_received(steps):
    clock = LamportClock()
    seen = 0
    for received in steps:
        value = clock.tick() if received is None else clock.update(received)
        assert value == max(seen, received or 0) + 1
        assert clock.current == value
        seen = value


@pytest.mark.parametrize("value", [-1, CLOCK_MAX + 1])
def test_value_outside_the_range_is_refused(value):
    with pytest.raises(InvalidEvent) as caught:
        LamportClock(value)
    assert str(caught.value) == f"could not set a Lamport clock: {value} is outside 0 .. 2^53-1"
    assert caught.value.hint == "pass the clock value of the last event"


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_both_ways_to_write_a_time_agree(moment):
    micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    written = timestamp_of(moment)
    assert timestamps(lambda: micros * 1000 + 999)() == written
    assert datetime.fromisoformat(written) == moment
    assert len(written) == 27


@given(st.lists(st.integers(0, 10**13), min_size=1))
def test_clock_that_jumps_is_written_as_it_stands(nanoseconds):
    remaining = iter(nanoseconds)
    write = timestamps(lambda: next(remaining))
    for ns in nanoseconds:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)
        assert write() == timestamp_of(moment)


def test_time_without_a_zone_is_refused():
    with pytest.raises(InvalidEvent) as caught:
        timestamp_of(datetime(2026, 11, 20))  # noqa: DTZ001
    expected = "could not write the timestamp: 2026-11-20T00:00:00 has no time zone"
    assert str(caught.value) == expected
    assert caught.value.hint == "use datetime.now(timezone.utc)"


def test_time_is_written_in_utc_wherever_the_machine_stands(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert timestamps(lambda: 0)() == "1970-01-01T00:00:00.000000Z"
        assert timestamp_of(datetime(1970, 1, 1, tzinfo=UTC)) == "1970-01-01T00:00:00.000000Z"
    finally:
        monkeypatch.undo()
        time.tzset()


SECOND = 1_000_000
DAY = 86_400 * SECOND
zones = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))
moments = st.datetimes(
    datetime.fromisoformat("1000-01-03"), datetime.fromisoformat("9999-12-29"), timezones=zones
)


def counted(when: datetime) -> int:
    """Counts microseconds by way of days and seconds."""
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds


@given(moments)
def test_moment_is_read_back_from_every_form_of_it(when):
    own = timestamp_of(when)
    whole = when.isoformat(timespec="microseconds")
    for text in (own, own.lower(), whole, whole.replace("T", " "), whole.replace("T", " ", 1)):
        assert microseconds(text) == counted(when) == moment(when)
        assert span(text) == (counted(when), counted(when))


@given(moments)
def test_time_that_is_written_less_exactly_stands_for_all_of_it(when):
    for timespec, length in (("milliseconds", 1000), ("seconds", SECOND), ("minutes", 60 * SECOND)):
        text = when.isoformat(timespec=timespec)
        first, last = span(text)
        assert last - first == length - 1
        assert first <= counted(when) <= last
        assert microseconds(text) == first
    day = when.replace(tzinfo=UTC)
    first, last = span(day.date().isoformat())
    assert last - first == DAY - 1
    assert first <= counted(day) <= last


@given(st.text(max_size=40) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.Z+-]{0,20}"))
def test_any_text_is_a_time_or_none(text):
    found = span(text)
    assert microseconds(text) == (None if found is None else found[0])
    assert found is None or found[0] <= found[1]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-11-20", "2026-11-20T00:00:00.000000Z"),
        ("2026-11-20T07:13", "2026-11-20T07:13:00.000000Z"),
        ("2026-11-20T07:13:00", "2026-11-20T07:13:00.000000Z"),
        ("2026-11-20 07:13:00Z", "2026-11-20T07:13:00.000000Z"),
        ("2026-11-20t07:13:00z", "2026-11-20T07:13:00.000000Z"),
        ("2026-11-20T07:13:00.5Z", "2026-11-20T07:13:00.500000Z"),
        ("2026-11-20T07:13:00.123456789Z", "2026-11-20T07:13:00.123456Z"),
        ("2026-11-20T09:13:00+02:00", "2026-11-20T07:13:00.000000Z"),
        ("2026-11-20T09:13:00+0200", "2026-11-20T07:13:00.000000Z"),
        ("2026-11-20T09:13:00 +02", "2026-11-20T07:13:00.000000Z"),
        ("9999-12-31T23:59:59.999999-23:59", "9999-12-31T23:59:59.999999-23:59"),
    ],
)
def test_forms_that_mean_one_moment(text, same):
    assert microseconds(text) == microseconds(same) is not None


def test_first_moment_of_1970_is_0_and_earlier_ones_are_negative():
    assert microseconds("1970-01-01") == 0
    assert microseconds("1969-12-31T23:59:59.999999Z") == -1
    assert microseconds("0001-01-01T00:00:00+23:59") < -62_135_596_800 * SECOND


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "2026", "20261120", "2026-02-29", "2026-13-01", "0000-01-01",
        "2026-11-20T", "2026-11-20T07", "2026-11-20T24:00:00Z", "2026-11-20T24:00:00.000000Z",
        "2026-11-20T07:60:00Z", "2026-11-20T07:13:60.000000Z", "2026-11-20T07:13:00,5Z",
        "2026-11-20T07:13:00.Z", "2026-11-20T07:13:00+24:00", "2026-11-20T07:13:00 02:00",
        "2026-11-20Z", "٢٠٢٦-11-20", "2026-11-20T07:13:00Z\n",
        "2026-11-20T07:13:00." + "1" * 31 + "Z",
    ],
)  # fmt: skip
def test_what_is_no_time_is_none(text):
    assert microseconds(text) is None
    assert span(text) is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1h", "2026-11-20T06:13:00.000001Z"),
        ("-5m", "2026-11-20T07:08:00.000001Z"),
        (" 90s ", "2026-11-20T07:11:30.000001Z"),
        ("1w", "2026-11-13T07:13:00.000001Z"),
        ("0s", "2026-11-20T07:13:00.000001Z"),
        ("99999w", "1970-01-01T00:00:00.000000Z"),
        ("today", "2026-11-20"),
        ("yesterday", "2026-11-19"),
        ("2026-11-20", "2026-11-20"),
        ("-yesterday", "-yesterday"),
        ("100000s", "100000s"),
        ("٣h", "٣h"),
    ],
)
def test_time_from_now_on_is_written_as_one_of_the_calendar(text, written):
    now_us = microseconds("2026-11-20T07:13:00.000001Z")
    assert now_us is not None
    assert dated(text, now_us) == written
