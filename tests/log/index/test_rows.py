"""What is indexed of a line: the same whether it is read with others or by itself."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.events import drafted, json_values, new_id, payloads, stamped, texts

import thence
from thence.core.clock import microseconds
from thence.core.codec import parse
from thence.core.event import Event
from thence.core.vocabulary import PLAIN, SIM, WORK, Vocabulary
from thence.log.index.rows import NULL, entries, entry_of, times_of

USUAL = st.datetimes().map(lambda moment: moment.isoformat(timespec="microseconds") + "Z")


@given(st.lists(USUAL | st.text(max_size=30), max_size=4))
@example(["2026-11-20T07:13:00.123456Z", "2026-11-20T07:13:00,123456Z"])
@example(["2026-11-20T07:13:00.12345éZ"])
@example(["2026-11-20T07:13:00.+12345Z"])
@example(["2026-11-20T07:13:00.123456+"])
@example(["2026-13-20T07:13:00.123456Z"])
def test_many_times_are_read_as_each_alone(timestamps: list[str]) -> None:
    for _ in range(2):
        moments = map(microseconds, timestamps)
        expected = [NULL if moment is None else moment for moment in moments]
        assert times_of(timestamps) == expected


MEMBERS = ("event_id", "event_type", "seq", "lamport_clock", "timestamp", "node_id", "caused_by")
HOSTS = ("stream", "subject", "actor", "turn_number", "payload")


def columns(entry: Any) -> list[Any]:
    return [getattr(entry, name) for name in (*MEMBERS, *HOSTS)]


def same(line: bytes, vocabulary: Vocabulary) -> None:
    """Asserts that a line gives one entry in both ways, unless it needs the slow one."""
    line = line.rstrip(b"\n")
    event = parse(line, vocabulary)
    assert isinstance(event, Event)
    found = entries([line, line], vocabulary)
    if found is not None:
        assert [columns(entry) for entry in found] == [columns(entry_of(event))] * 2


@given(texts, texts, texts, payloads)
def test_plain_events(stream: str, subject: str, actor: str, payload: dict[str, Any]) -> None:
    members = {"stream": stream, "subject": subject, "actor": actor, "payload": payload}
    line = stamped(drafted(new_id(), "noted", members, [new_id()]), 3, 4)
    assert entries([line[:-1]], PLAIN)
    same(line, PLAIN)


@given(texts, texts, texts, texts)
def test_events_of_work(project: str, feature: str, aggregate: str, actor: str) -> None:
    keys = ("project_uuid", "feature_slug", "aggregate_id", "actor")
    members = dict(zip(keys, (project, feature, aggregate, actor), strict=True))
    line = stamped(drafted(new_id(), "WPCreated", members), 1, 1)
    assert entries([line[:-1]], WORK)
    same(line, WORK)


@given(json_values, json_values)
def test_changes_of_a_simulations_state(scope: Any, variable: Any) -> None:
    details = {"x": 1, "scope": scope, "variable_name": variable, "new_value": [1]}
    members = {"simulation_id": "run", "turn_number": 3, "agent_id": "ada", "details": details}
    for event_type in ("STATE", "ACTION"):
        line = stamped(drafted(new_id(), event_type, members), 1, 1)
        same(line, SIM)
        if isinstance(scope, str) and isinstance(variable, str):
            assert entries([line[:-1]], SIM), "texts need not be read the slow way"


@pytest.mark.parametrize("vocabulary", [PLAIN, SIM, WORK])
def test_no_line_of_an_opened_log_is_read_by_itself(tmp_path: Path, vocabulary: Vocabulary) -> None:
    with thence.open(tmp_path, vocabulary=vocabulary) as log:
        for number in range(20):
            log.append("noted", {"number": number})
        assert slow_reads(log.rebuild) == 0
        log.append("noted", {"number": 20})
        assert slow_reads(log.query) == 0
        with (tmp_path / "events.jsonl").open("ab") as file:
            file.write(b'{"event_id":"theirs","event_type":"t"}\n')
        assert slow_reads(log.rebuild) == 22, "among others' lines all are read by themselves"


def slow_reads(work: Callable[[], object]) -> int:
    """Returns how many lines a work reads by themselves."""
    calls = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code is entry_of.__code__

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls
