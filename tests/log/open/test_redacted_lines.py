"""Redacted lines are events that say nothing: every reader shows them, and none fails."""

import asyncio
from pathlib import Path

import httpx2
import pytest
from tests.log.index.logs import fits, index_of
from tests.server.runs import make_orders, make_run
from tests.work.project_events import SLUG, planned, work_event

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.redaction import redacted
from thence.core.vocabulary import PLAIN, SIM, WORK
from thence.errors import IdReused
from thence.log.open import open_log
from thence.server.app import create_app
from thence.work.board.board import as_json, fold
from thence.work.events import EVENT_TYPES


def redact(folder: Path) -> list[Event]:
    """Redact each line of a log and return its events as they were."""
    path = folder / "events.jsonl"
    with open_log(folder) as log:
        events = list(log.read())
    path.write_bytes(b"".join(redacted(event.line) + b"\n" for event in events))
    return events


def make_journal(root: Path) -> None:
    with open_log(root / "journal", "work") as log:
        for event in planned(count=2).events:
            log.relay([event.line])


@pytest.fixture(params=[PLAIN, SIM, WORK], ids=lambda each: each.name)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    make = {
        "plain": lambda: make_orders(tmp_path, "log"),
        "sim": lambda: make_run(tmp_path, "log"),
        "work": lambda: make_journal(tmp_path),
    }
    make[request.param.name]()
    return next(tmp_path.iterdir())


def test_each_reader_serves_a_redacted_event_without_its_payload(folder: Path) -> None:
    before = redact(folder)
    with open_log(folder) as log:
        for is_indexed in (False, True):
            if is_indexed:
                log.rebuild()
            events = list(log.query())
            assert {event.event_id for event in events} == {event.event_id for event in before}
            assert not any(event.payload or event.description for event in events)
            for event in events:
                say = log.vocabulary
                assert all((say.sentence(event), say.summary(event), log.why(event).chain))
                assert isinstance(say.in_columns(event), str)
        assert not log.verify().findings
    with index_of(folder, log.vocabulary) as index:
        fits(index, folder, log.vocabulary)


def test_id_of_ones_own_is_the_redacted_event_again_by_its_head_alone(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.append("noted", {"a": 1}, subject="x", event_id="mine")
    redact(tmp_path)
    with open_log(tmp_path) as log:
        assert log.append("noted", {"a": 2}, subject="x", event_id="mine").payload == {}
        with pytest.raises(IdReused):
            log.append("noted", {"a": 1}, subject="y", event_id="mine")


def test_redacted_line_of_a_whole_one_is_known_when_it_is_relayed(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        event = log.append("noted", {"a": 1})
        made = log.relay([redacted(event.line), event.line])
        assert (made.known, made.taken, made.beside) == (2, (), ())


def test_server_answers_about_redacted_events(tmp_path: Path) -> None:
    make_run(tmp_path, "run", count=20)
    last = redact(tmp_path / "run")[-1].event_id
    paths = ["", "/events", f"/events/{last}", f"/why/{last}", f"/causality/{last}"]

    async def asked() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(create_app(tmp_path))
        async with httpx2.AsyncClient(transport=transport, base_url="http://any") as client:
            return [await client.get(f"/simulations/run{path}") for path in paths]

    answers = asyncio.run(asked())
    assert [answer.status_code for answer in answers] == [200] * len(paths)
    assert "body_sha256" in answers[1].text


def test_board_is_folded_from_redacted_events_as_from_events_that_say_nothing() -> None:
    clone = planned(count=2)
    clone.move("WP01", "planned", "doing")
    others = [work_event(each, {"wp_id": "WP01"}, aggregate_id="WP01") for each in EVENT_TYPES]
    events = [*clone.events, *others]
    for left_out in range(len(events)):
        some = [
            event if number == left_out else without_body(event)
            for number, event in enumerate(events)
        ]
        assert as_json(fold(some))["features"][0]["feature_slug"] == SLUG


def without_body(event: Event) -> Event:
    made = parse(redacted(event.line), WORK)
    assert isinstance(made, Event)
    return made
