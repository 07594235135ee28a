"""A log checked line by line: each finding has its code, and nothing is changed."""

import random
import shutil
from zlib import crc32

import pytest
from tests.events import NODE, OTHER_NODE, line_of, new_id

import thence
from thence.core.values.vocabulary import PLAIN
from thence.log.check.verify import verify
from thence.log.storage.disk import OS_DISK
from thence.replica import Log


def found(folder, *lines, own=NODE):
    (folder / ".thence").mkdir(exist_ok=True)
    identity = b'{"node_id":"%b","machine_id":"","inode":1}' % own.encode()
    (folder / ".thence/identity.json").write_bytes(identity)
    path = folder / "events.jsonl"
    path.write_bytes(b"".join(lines))
    result = verify(OS_DISK, folder, PLAIN)
    assert path.read_bytes() == b"".join(lines)
    return result


def numbered(*seqs, node_id=NODE):
    return [line_of(node_id=node_id, seq=seq, lamport_clock=seq) for seq in seqs]


def test_clean_log_has_no_findings(tmp_path):
    with Log(tmp_path, PLAIN, max_file_size=900) as log:
        last = ()
        for _ in range(12):
            last = [log.append("t", caused_by=last)]
        result = log.verify()
    assert result.ok
    assert (result.events, result.unverified, result.findings) == (12, 0, ())


def test_log_that_is_not_there_yet_is_clean(tmp_path):
    result = verify(OS_DISK, tmp_path / "gone", PLAIN)
    assert (result.ok, result.events) == (True, 0)


SPOILT = line_of(seq=2).replace(b"noted", b"nited")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (SPOILT, "bad_checksum"),
        (b"\0" * 100 + b"\n", "not_json"),
        (b'{"a":1}\n', "not_an_event"),
    ],
    ids=["spoilt", "zeros", "no event"],
)
def test_bytes_that_are_no_event_are_damaged_and_located(tmp_path, line, code):
    first, third = numbered(1, 2)
    result = found(tmp_path, first, line, third)
    (finding,) = result.findings
    assert (finding.code, finding.severity, finding.file) == (code, "damaged", "events.jsonl")
    assert (finding.offset, finding.length) == (len(first), len(line) - 1)
    assert finding.reason
    assert result.damage == (finding,)
    assert not result.ok
    assert result.events == 2


def test_unfinished_last_line_is_torn_and_no_damage(tmp_path):
    (first,) = numbered(1)
    result = found(tmp_path, first, b"half")
    (finding,) = result.findings
    assert (finding.code, finding.severity) == ("torn_tail", "torn")
    assert (finding.offset, finding.length) == (len(first), 4)
    assert result.ok
    assert result.notes == (finding,)


def test_id_with_two_contents_is_damaged(tmp_path):
    lines = [line_of({"a": n}, event_id="0" * 26, seq=n, lamport_clock=n) for n in (1, 2)]
    result = found(tmp_path, *lines)
    (finding,) = result.findings
    assert (finding.code, finding.severity) == ("two_contents", "damaged")
    assert (finding.node_id, finding.seq, finding.offset) == (NODE, 2, len(lines[0]))


def test_same_event_twice_is_no_damage_also_with_other_numbers(tmp_path):
    lines = [line_of({"a": 1}, event_id="0" * 26, seq=n, lamport_clock=n) for n in (1, 2)]
    result = found(tmp_path, *lines, lines[0])
    assert (result.findings, result.events) == ((), 1)


def test_number_given_twice_is_damaged(tmp_path):
    result = found(tmp_path, *numbered(1), line_of(seq=1, lamport_clock=2))
    assert [(f.code, f.severity, f.seq) for f in result.findings] == [
        ("number_repeated", "damaged", 1)
    ]


def test_clock_that_goes_back_is_damaged(tmp_path):
    lines = [line_of(seq=1, lamport_clock=5), line_of(seq=2, lamport_clock=5)]
    result = found(tmp_path, *lines)
    assert [(f.code, f.severity, f.seq) for f in result.findings] == [("clock_back", "damaged", 2)]


def test_hole_in_the_own_numbers_is_lost_and_in_another_nodes_absent(tmp_path):
    mine, theirs = numbered(2, 3, 6), numbered(4, node_id=OTHER_NODE)
    result = found(tmp_path, *mine, *theirs)
    assert [(f.code, f.severity, f.node_id, f.seq) for f in result.findings] == [
        ("events_lost", "lost", NODE, 1),
        ("events_lost", "lost", NODE, 4),
        ("events_absent", "absent", OTHER_NODE, 1),
    ]
    assert [f.reason for f in result.findings][1].endswith("numbers 4 to 5")
    assert len(result.damage) == 2


def test_cause_that_is_nowhere_is_noted_once(tmp_path):
    gone, here = "0" * 26, "1" * 26
    lines = [
        line_of(seq=1, lamport_clock=1, causes=[gone, here]),
        line_of(seq=2, lamport_clock=2, causes=[gone]),
        line_of(seq=3, lamport_clock=3, event_id=here),
    ]
    result = found(tmp_path, *lines)
    (finding,) = result.findings
    assert (finding.code, finding.severity, finding.offset) == ("cause_missing", "noted", 0)
    assert gone in finding.reason
    assert result.ok


def test_foreign_lines_are_counted_as_unverified(tmp_path):
    foreign = b'{"event_id":"x"}\n'
    result = found(tmp_path, *numbered(1), foreign, foreign, b'{"event_id":"y"}\n')
    assert (result.events, result.unverified, result.findings) == (3, 2, ())


def notice(kind, facts, node_id=NODE, seq=9):
    return line_of(facts, event_type=f"log.{kind}", node_id=node_id, seq=seq, lamport_clock=seq)


@pytest.mark.parametrize("kind", ["torn", "segment_suspect"])
def test_bad_bytes_that_a_notice_tells_of_are_torn_and_no_damage(tmp_path, kind):
    first, third = numbered(1, 2)
    bad = b"half of a line\n" + b"\0" * 40 + b"\n"
    facts = {"file": "events.jsonl", "offset": len(first), "bytes": len(bad)}
    lines = first, bad, third, notice(kind, facts, seq=3)
    result = found(tmp_path, *lines)
    assert [(f.code, f.severity) for f in result.findings] == [("region_told", "torn")] * 2
    assert result.ok


@pytest.mark.parametrize("kind", ["torn", "segment_suspect"])
@pytest.mark.parametrize(
    ("between", "code"), [(b"\n\0\0\0", "stray_bytes"), (b"\0\0\0", "lines_joined")]
)
def test_bytes_beside_whole_events_are_told_by_a_notice_as_any(tmp_path, kind, between, code):
    first, second = numbered(1, 2)
    facts = {"file": "events.jsonl", "offset": len(first), "bytes": 2}
    lines = first[:-1], between, second, notice(kind, facts, seq=3)
    assert [f.code for f in found(tmp_path, *lines).findings] == ["region_told"]
    unreported = notice("recovered", facts, seq=3)
    assert [f.code for f in found(tmp_path, *lines[:-1], unreported).findings] == [code]


def test_told_region_keeps_its_segment_when_that_is_rotated(tmp_path):
    first, third = numbered(1, 2)
    facts = {"file": "events.jsonl", "offset": len(first), "bytes": 3}
    (tmp_path / "events_2026-11-20_07-13-05-000001.jsonl").write_bytes(first + b"bad\n" + third)
    assert found(tmp_path, notice("torn", facts, seq=3)).ok
    (tmp_path / "events.jsonl").write_bytes(b"")
    moved = first + b"bad\n" + third + notice("torn", facts, seq=3)
    (tmp_path / "events_2026-11-20_07-13-05-000001.jsonl").write_bytes(moved)
    assert verify(OS_DISK, tmp_path, PLAIN).ok


def test_notice_that_is_not_a_verified_event_of_this_log_excuses_nothing(tmp_path):
    (first,) = numbered(1)
    facts = b'{"file":"events.jsonl","offset":%d,"bytes":3,"first_seq":2,"last_seq":2}' % len(first)
    foreign = b'{"event_id":"x","event_type":"log.torn","payload":%b}\n' % facts
    told = {"file": "events.jsonl", "offset": len(first), "bytes": 3, "first_seq": 2, "last_seq": 2}
    (spoilt, true) = (notice("torn", told, seq=3), notice("torn", told, seq=3))
    spoilt = spoilt.replace(b'"bytes":3', b'"bytes":4')
    for line in (foreign, spoilt, notice("torn", told, OTHER_NODE, seq=1), b""):
        lines = first, b"bad\n", line, *numbered(3)
        codes = [f.code for f in found(tmp_path, *lines).damage]
        assert codes[0] == "not_json", line
        assert codes[-1] == "events_lost", line
        shutil.rmtree(tmp_path / ".thence")
    result = found(tmp_path, first, b"bad\n", true)
    assert [f.code for f in result.findings] == ["region_told", "events_told"]


def test_numbers_that_a_notice_names_are_no_loss_and_the_others_are(tmp_path):
    facts = {"file": "events.jsonl", "offset": 0, "bytes": 1, "first_seq": 3, "last_seq": 4}
    result = found(tmp_path, *numbered(1, 7), notice("torn", facts, seq=8))
    told = [(f.code, f.seq, f.count) for f in result.findings]
    assert told == [("events_lost", 2, 1), ("events_lost", 5, 2), ("events_told", 3, 2)]
    assert not result.ok


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a":"\xff"}',
        b'{"\xed\xa0\x80":1}',
        b'{"a":' + b"[" * 4000 + b"]" * 4000 + b"}",
        b'{"a":' + b"[" * 300 + b"]" * 300 + b"}",
    ],
    ids=["no utf-8", "surrogate", "4,000 deep", "300 deep"],
)
def test_line_whose_checksum_fits_and_whose_payload_does_not_decode_is_told(tmp_path, payload):
    line = with_crc(line_of(seq=2, lamport_clock=2)[:-19] + b',"payload":' + payload)
    first, third = numbered(1, 3)
    result = found(tmp_path, first, line, third)
    assert [f.code for f in result.findings] == ["not_an_event", "events_lost"]
    assert len(list(thence.open(tmp_path).read())) == 2


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (b"1e400", "1e400"),
        (b"9" * 400, int("9" * 400)),
        (b"-1e999", "-1e999"),
        (b"9" * 5000, "9" * 5000),
        (b"1.5", 1.5),
    ],
    ids=range(5),
)
def test_numbers_that_python_can_not_hold_are_read_as_their_digits(tmp_path, number, value):
    line = with_crc(line_of()[:-19] + b',"payload":{"a":' + number + b',"b":0.5}')
    assert found(tmp_path, line).findings == ()
    (event,) = thence.open(tmp_path).read()
    assert event.payload == {"a": value, "b": 0.5}


def test_member_of_a_wrong_type_is_absent_and_its_event_is_there(tmp_path):
    line = with_crc(line_of()[:-19] + b',"subject":5,"actor":"ada"')
    assert found(tmp_path, line).findings == ()
    (event,) = thence.open(tmp_path).read()
    assert (event.subject, event.actor, event.seq) == (None, "ada", 1)


def with_crc(start):
    return start + b',"crc":"%08x"}\n' % crc32(start)


def test_events_beside_damage_are_served_and_the_damage_is_told_with_its_place(tmp_path):
    one, two, three, four = numbered(1, 2, 3, 4)
    lines = b"\xef\xbb\xbf", one[:-1], two[:-1], b"\r\n", three, b"\0\0", four
    result = found(tmp_path, *lines)
    size = len(one) - 1
    assert [(f.code, f.offset, f.length) for f in result.findings] == [
        ("byte_order_mark", 0, 3),
        ("lines_joined", 3 + size, 0),
        ("line_ending", 3 + 2 * size, 1),
        ("stray_bytes", 3 + 3 * size + 3, 2),
    ]
    assert result.events == 4


def test_line_endings_of_a_whole_segment_are_one_finding(tmp_path):
    lines = [line.replace(b"\n", b"\r\n") for line in numbered(1, 2, 3)]
    (finding,) = found(tmp_path, *lines).findings
    assert (finding.code, finding.count) == ("line_ending", 3)
    end = sum(map(len, lines)) - 1
    assert finding.offset + finding.length == end


def test_endless_findings_become_one_with_their_count(tmp_path):
    (finding, *_, last) = found(tmp_path, b"bad\n" * 15_000).findings
    assert (finding.count, last.count) == (1, 5_000)
    assert last.offset + last.length == 4 * 15_000 - 1


def test_blocks_and_lines_one_by_one_are_judged_alike(tmp_path):
    seed = random.randrange(10**9)
    print("seed", seed)
    chance = random.Random(seed)
    good = [
        line_of({"n": n}, seq=n, lamport_clock=n, causes=[new_id()] if n % 50 == 7 else [])
        for n in range(1, 6000)
    ]
    copies = [*good]
    for _ in range(4):
        copies.insert(chance.randrange(len(copies)), chance.choice(good))
        copies.insert(chance.randrange(len(copies)), chance.choice([b"bad\n", SPOILT]))
        copies.pop(chance.randrange(len(copies)))
    mixed = found(tmp_path, *copies)
    # no block is whole lines of ours then, and each is taken apart
    spread = b'{"event_id":"theirs","text":"%b"}\n' % (b"x" * 100)
    apart = found(tmp_path, *[part for line in copies for part in (line, spread)])
    assert apart.events == mixed.events + 1
    words = [
        [(each.code, each.node_id, each.seq, each.reason) for each in result.findings]
        for result in (mixed, apart)
    ]
    assert words[0] == words[1]


def test_deleted_segment_is_a_loss(tmp_path):
    with Log(tmp_path, PLAIN, max_file_size=10) as log:
        for _ in range(3):
            log.append("t")
    sorted(tmp_path.glob("events_*.jsonl"))[1].unlink()
    assert [f.code for f in thence.open(tmp_path).verify().damage] == ["events_lost"]
