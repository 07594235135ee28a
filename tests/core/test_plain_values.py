"""Each value that has a JSON of its own becomes it, at each plain door; others are refused."""

import dataclasses
import enum
from collections import namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given
from tests.core.test_json_values import json_values

import thence
from thence.core.json_values import Plain
from thence.errors import InvalidEvent

plain = Plain()


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Order:
    number: int
    items: tuple[str, ...]
    at: date


class Model:
    """As pydantic has it: what makes a plain map of the fields."""

    model_fields_set = frozenset(("amount",))

    def model_dump(self):
        return {"amount": Decimal(2), "inner": {"when": time(7, 30)}}


Pair = namedtuple("Pair", "a b")
CASES = [
    (
        datetime(2026, 11, 20, 8, 13, 0, 5, timezone(timedelta(hours=1))),
        "2026-11-20T07:13:00.000005Z",
    ),
    (datetime(2026, 11, 20, 7, 13, tzinfo=UTC), "2026-11-20T07:13:00Z"),
    (datetime.fromisoformat("2026-11-20T07:13:00"), "2026-11-20T07:13:00"),
    (date(2026, 11, 20), "2026-11-20"),
    (time(7, 30), "07:30:00"),
    (timedelta(minutes=1, milliseconds=500), 60.5),
    (Decimal("0.10"), "0.10"),
    (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (PurePosixPath("a/b"), "a/b"),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (b"\xff\x00", "/wA="),
    (bytearray(b"a"), "YQ=="),
    (memoryview(b"a"), "YQ=="),
    ({"b", "a", 2, 1.5}, [1.5, 2, "a", "b"]),
    (frozenset([UUID(int=1)]), ["00000000-0000-0000-0000-000000000001"]),
    (Pair(1, {2}), [1, [2]]),
    (Order(1, ("x",), date(2026, 1, 2)), {"number": 1, "items": ["x"], "at": "2026-01-02"}),
    (Model(), {"amount": "2", "inner": {"when": "07:30:00"}}),
    (ValueError("no stock"), {"error_type": "ValueError", "error_message": "no stock"}),
    ({"deep": [{"x": Decimal(1)}]}, {"deep": [{"x": "1"}]}),
]


@pytest.mark.promise("P1d")
@pytest.mark.parametrize(("value", "json"), CASES, ids=lambda value: type(value).__name__)
def test_value_becomes_its_json_at_each_door(tmp_path, value, json):
    assert plain({"v": value}) == {"v": json}
    with thence.open(tmp_path / "log") as log:
        log.append("t", {"v": value})
        log.emit("t", {"v": value})
        log.append_many([{"event_type": "t", "payload": {"v": value}}])
        with thence.step("s", log=log, v=value) as taken:
            taken.set(v=value)
        thence.outcome({"v": value}, lambda: {"v": value}, log=log)
        log.flush()
        *five, begun, ended = log.read()
        assert [event.payload["v"] for event in five] == [json] * 5
        assert begun.payload["request"] == ended.payload["result"] == {"v": json}


@given(json_values)
def test_json_stays_as_it_is(value):
    assert plain(value) == value


class Strange:
    pass


REFUSED = [Strange(), Strange, float("nan"), 2**64, "\ud800", {1: 2}, Path("\udcff"), len, Order]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
def test_what_has_no_json_is_refused_with_its_place_and_nothing_is_written(tmp_path, value):
    with thence.open(tmp_path / "log") as log:
        with pytest.raises(InvalidEvent) as refused:
            log.append("t", {"a": [1, {"b": value}]})
        assert refused.value.place.startswith("field payload.a[1].b")
        assert list(log.read()) == []


@pytest.mark.promise("P1d")
def test_log_takes_other_values_by_its_own_function_or_json_alone(tmp_path):
    def encode(value):
        if isinstance(value, Strange):
            return {"strange": Decimal(3)}
        raise TypeError("who knows")

    with thence.open(tmp_path / "own", encode=encode) as log:
        assert log.append("t", {"v": [Strange()]}).payload == {"v": [{"strange": "3"}]}
        with pytest.raises(InvalidEvent, match="who knows"):
            log.append("t", {"v": object()})
    with thence.open(tmp_path / "strict", strict_values=True) as log:
        for value, _ in CASES[:-1]:
            if isinstance(value, (int, tuple)):  # an IntEnum is an integer, a named tuple a list
                continue
            with pytest.raises(InvalidEvent):
                log.append("t", {"v": value})
        assert log.append("t", {"v": [1, None, "x"]}).payload == {"v": [1, None, "x"]}


def test_encode_that_gives_itself_back_ends():
    with pytest.raises(InvalidEvent, match="a cycle"):
        Plain(lambda value: [value])(Strange())
    with pytest.raises(InvalidEvent, match="64 levels"):
        Plain(lambda value: [Strange()])(Strange())
    with pytest.raises(InvalidEvent, match="the type Strange"):
        Plain(lambda value: value)(Strange())
