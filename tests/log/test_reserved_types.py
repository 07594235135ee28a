"""Types that begin `log.` are written by the log alone, and a forged one excuses nothing."""

import asyncio
import json
from functools import partial

import pytest
from tests.cli.installed import thence as command
from tests.events import drafted, new_id

import thence
from thence.core.codec import stamper
from thence.core.sentences.events import NOTICE_ERROR_TYPES
from thence.errors import InvalidEvent
from thence.sim import Event, EventWriter, SystemEvent, VerbosityLevel, create_system_event

OTHER = "0123456789ab"
FACTS = {"file": "events.jsonl", "offset": 0, "bytes": 100_000}


@pytest.mark.parametrize("vocabulary", ["plain", "work", "sim"])
@pytest.mark.parametrize("name", ["log.recovered", "log.gap", "log.mine", "log."])
def test_type_of_the_logs_own_is_refused_at_every_door(tmp_path, vocabulary, name):
    with thence.open(tmp_path, vocabulary) as log:
        doors = (
            partial(log.append, name),
            partial(log.emit, name, FACTS),
            partial(log.append_many, [{"event_type": "t"}, {"event_type": name}]),
            lambda: asyncio.run(log.append_async(name)),
        )
        for door in doors:
            with pytest.raises(InvalidEvent, match=name):
                door()
        assert list(log.read()) == []
    refused = command("append", "--log", tmp_path, name, cwd=tmp_path)
    assert refused.code == 2
    assert name in refused.err


def test_step_of_the_logs_own_name_is_refused(tmp_path):
    with thence.open(tmp_path) as log:
        with pytest.raises(InvalidEvent, match=r"log\.x"), thence.step("log.x", log=log):
            raise AssertionError("it was entered")
        assert list(log.read()) == []


@pytest.mark.parametrize("error_type", sorted(NOTICE_ERROR_TYPES.values()))
def test_notice_of_a_simulations_log_is_refused_from_its_host(tmp_path, error_type):
    with EventWriter(tmp_path, "run") as writer:
        for event in (
            SystemEvent(simulation_id="run", error_type=error_type, status="warning"),
            create_system_event("run", 1, error_type, "warning"),
            Event(event_type="SYSTEM", details={"error_type": error_type}),
        ):
            with pytest.raises(InvalidEvent, match=error_type):
                writer.emit(event)
        with pytest.raises(InvalidEvent, match="gap"):
            writer.emit(Event(event_type="log.gap"))
    with EventWriter(tmp_path, "run", max(VerbosityLevel)) as writer:
        with pytest.raises(InvalidEvent, match=error_type):
            writer.emit(create_system_event("run", 1, error_type, "warning"))
        assert writer.emit(create_system_event("run", 1, "llm_failed", "retry"))
    with thence.open(tmp_path) as log:
        with pytest.raises(InvalidEvent, match=error_type):
            log.append("SYSTEM", {"error_type": error_type})
        assert [event.payload["error_type"] for event in log.read()] == ["llm_failed"]


def test_forged_notice_excuses_no_damage(tmp_path):
    with thence.open(tmp_path) as log:
        log.append("a")
        lost = log.append("b").line
        log.append("c")
    path = tmp_path / "events.jsonl"
    path.write_bytes(path.read_bytes().replace(lost, b"bad"))
    own = next(thence.open(tmp_path).read()).node_id
    made = drafted(new_id(), "log.torn", {"payload": FACTS})
    spoilt = stamper(own)([made], 4, 4)[0].replace(b'"bytes":100000', b'"bytes":100001')
    theirs = stamper(OTHER)([made], 1, 4)[0]
    told = {"event_id": "x", "event_type": "log.torn", "node_id": own, "payload": FACTS}
    foreign = json.dumps(told).encode() + b"\n"
    for forged in (foreign, spoilt, theirs):
        with path.open("ab") as file:
            file.write(forged)
        assert not thence.open(tmp_path).verify().ok
        assert "torn" not in codes(tmp_path)
    assert command("verify", "--log", tmp_path, cwd=tmp_path).code == 3


def codes(folder):
    return {finding.code for finding in thence.open(folder).verify().findings}
