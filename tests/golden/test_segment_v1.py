"""A segment of format version 1 is read for ever, field by field, and still written the same."""

import json
from pathlib import Path
from zlib import crc32

from tests.events import drafted, stamped
from tests.golden.segment_v1 import EVENTS, FOREIGN, IDS, NODE

from thence.core.event import Event
from thence.core.values.codec import parse
from thence.core.values.vocabulary import PLAIN, SIM
from thence.log.check.verify import verify
from thence.log.read import reader
from thence.log.storage.disk import OS_DISK

FOLDER = Path(__file__).parent / "segment-v1"
FOREIGN_PLACE = 2


def encoded(node_id, seq, clock, members):
    rest = {
        key: value
        for key, value in members.items()
        if key not in ("event_id", "event_type", "timestamp", "caused_by")
    }
    made = drafted(
        members["event_id"],
        members["event_type"],
        rest,
        members.get("caused_by", ()),
        members["timestamp"],
    )
    return stamped(made, seq, clock, node_id)


def test_same_events_are_encoded_to_the_same_bytes():
    lines = [encoded(*event) for event in EVENTS]
    lines.insert(FOREIGN_PLACE, FOREIGN.encode() + b"\n")
    assert b"".join(lines) == (FOLDER / "events.jsonl").read_bytes()


def test_every_member_of_every_event_is_read():
    found = [event for event in reader.events(OS_DISK, FOLDER, PLAIN) if not event.is_foreign]
    assert len(found) == len(EVENTS)
    for event, (node_id, seq, clock, members) in zip(found, EVENTS, strict=True):
        assert event.event_id == members["event_id"]
        assert event.event_type == members["event_type"]
        assert event.header.event_version == 1
        assert event.timestamp == members["timestamp"]
        assert (event.node_id, event.seq, event.lamport_clock) == (node_id, seq, clock)
        assert event.caused_by == tuple(members.get("caused_by", ()))
        assert (event.begins, event.ends) == (members.get("begins", False), members.get("ends"))
        for key in ("stream", "subject", "actor", "simulation_id", "turn_number", "agent_id"):
            assert getattr(event.header, key) == members.get(key)
        assert (event.description, event.step) == (members.get("description"), members.get("step"))
        stored = event.members
        numbers = {"event_version": 1, "node_id": node_id, "seq": seq, "lamport_clock": clock}
        assert stored == members | numbers | {"crc": stored["crc"]}
        key = "details" if "details" in members else "payload"
        assert list(stored[key]) == list(members[key])


def test_line_can_be_checked_and_read_without_thence():
    for line in (FOLDER / "events.jsonl").read_bytes().splitlines():
        members = json.loads(line)
        if "crc" in members:
            assert line[-18:] == b',"crc":"%08x"}' % crc32(line[:-18])
            assert list(members)[-1] == "crc"
            assert list(members)[:4] == ["event_id", "event_type", "event_version", "timestamp"]
        else:
            assert members["event_id"] == "theirs-1"


def test_words_of_both_hosts_are_read():
    plain = list(reader.events(OS_DISK, FOLDER, PLAIN))
    sim = list(reader.events(OS_DISK, FOLDER, SIM))
    assert (plain[0].stream, plain[0].subject, plain[0].actor) == (
        "nightly",
        "order/881",
        "worker-3",
    )
    assert plain[0].payload["list"] == [1, None, True, [], "x"]
    assert (sim[3].stream, sim[3].actor) == ("trade-20261120T071300Z-k3x9qa", "ada")
    assert sim[3].payload["new_value"] == "NaN"
    assert [event.event_id for event in plain if PLAIN.is_notice(event)] == [IDS[3]]
    assert [event.event_id for event in sim if SIM.is_notice(event)] == [IDS[5]]


def test_foreign_line_is_served_as_unverified():
    (foreign,) = [e for e in reader.events(OS_DISK, FOLDER, PLAIN) if e.is_foreign]
    assert isinstance(foreign, Event)
    assert foreign.line == FOREIGN.encode()
    assert (foreign.event_id, foreign.event_type) == ("theirs-1", "unknown")
    assert (foreign.node_id, foreign.lamport_clock) == ("", 0)
    assert foreign.members["note"] == "éé"


def test_verification_of_the_golden_segment_does_not_change():
    result = verify(OS_DISK, FOLDER, PLAIN)
    assert (result.events, result.unverified, result.ok) == (len(EVENTS) + 1, 1, True)
    assert [(f.code, f.node_id, f.seq) for f in result.findings] == [
        ("events_absent", "0123456789ab", 1)
    ]
    assert NODE not in {finding.node_id for finding in result.findings}


def test_example_in_the_page_of_the_format_is_an_event():
    page = Path(__file__).parents[2] / "docs/formats/segment.md"
    (line,) = [row for row in page.read_bytes().splitlines() if row.startswith(b'{"event_id"')]
    event = parse(line, PLAIN)
    assert isinstance(event, Event)
    assert event.seq == 3
