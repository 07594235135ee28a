"""The member nonce: in each event of a log that is synced, and in no other."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.log.processes import in_child

import thence
from thence.core.codec import LINE_BYTES_MAX
from thence.core.redaction import digests
from thence.errors import EventTooLarge, IdReused
from thence.log.files.process_state import new_nonce
from thence.log.open import LogSettings, open_host_log
from thence.sim.record.events import Event
from thence.sim.record.writer import EventWriter

# the last member of the body, before the checksum
NONCE = re.compile(rb',"nonce":"([0-9A-Za-z_-]{22})","crc":"[0-9a-f]{8}"}')


def enable_sync(folder: Path) -> None:
    (folder / ".thence" / "sync").mkdir(parents=True)
    (folder / ".thence" / "sync" / "target.json").write_bytes(b"{}")


def nonces(log: thence.Log) -> list[bytes | None]:
    return [found[1] if (found := NONCE.search(event.line)) else None for event in log.read()]


def append_in_each_way(log: thence.Log) -> None:
    log.append("noted", {"a": 1})
    log.append_many([{"event_type": "noted", "payload": {"nonce": "theirs"}}])
    log.emit("noted")
    log.flush()


def test_every_program_that_appends_to_a_synced_log_writes_nonces(tmp_path: Path) -> None:
    with thence.open(tmp_path) as log:
        append_in_each_way(log)
        assert nonces(log) == [None, None, None]
    enable_sync(tmp_path)
    with thence.open(tmp_path) as log:
        append_in_each_way(log)
        found = nonces(log)[3:]
        assert len({*found} - {None}) == 3
        first, *_ = events = list(log.read())[3:]
        assert [event.payload for event in events] == [{"a": 1}, {"nonce": "theirs"}, {}]
        assert digests(first.line).body
        assert log.verify().ok


def test_simulation_in_a_synced_log_writes_nonces_behind_its_details(tmp_path: Path) -> None:
    enable_sync(tmp_path / "run")
    with EventWriter(tmp_path, "run") as writer:
        writer.emit(Event(event_type="ACTION", agent_id="ada", details={"a": 1}))
    with thence.open(tmp_path / "run") as log:
        assert all(nonces(log))


def test_id_of_ones_own_is_the_same_event_again_whatever_its_nonce(tmp_path: Path) -> None:
    with open_host_log(tmp_path, settings=LogSettings(nonces=True)) as log:
        event = log.append("noted", {"a": 1}, event_id="mine")
        assert log.append("noted", {"a": 1}, event_id="mine") == event
        with pytest.raises(IdReused):
            log.append("noted", {"a": 2}, event_id="mine")


def append_all(log: thence.Log, texts: Iterable[str]) -> None:
    for text in texts:
        log.append("noted", {"text": text})


def test_event_that_has_no_room_for_a_nonce_is_appended_without(tmp_path: Path) -> None:
    with open_host_log(tmp_path, settings=LogSettings(nonces=True, bodies_from=None)) as log:
        room = LINE_BYTES_MAX - len(log.append("noted", {"text": ""}).line) - 100
        texts = ("x" * (room + more) for more in range(0, 200, 15))
        with pytest.raises(EventTooLarge):
            append_all(log, texts)
        found = [nonce is not None for nonce in nonces(log)]
        assert found == sorted(found, reverse=True)
        assert {*found} == {True, False}


def test_forked_child_draws_nonces_of_its_own(tmp_path: Path) -> None:
    new_nonce()
    in_child(lambda: (tmp_path / "child").write_bytes(b"".join(new_nonce() for _ in range(300))))
    drawn = (tmp_path / "child").read_bytes()
    assert not any(new_nonce() in drawn for _ in range(300))
