"""A log checked line by line: each finding has its code, and nothing is changed."""

import pytest
from tests.events import NODE, OTHER_NODE, line_of

import thence
from thence.core.vocabulary import PLAIN
from thence.log.disk import OS_DISK
from thence.log.verify import verify
from thence.replica import Replica


def found(folder, *lines, own=NODE):
    (folder / ".thence").mkdir()
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
    with Replica(tmp_path, PLAIN, max_file_size=900) as log:
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


def test_deleted_segment_is_a_loss(tmp_path):
    with Replica(tmp_path, PLAIN, max_file_size=10) as log:
        for _ in range(3):
            log.append("t")
    sorted(tmp_path.glob("events_*.jsonl"))[1].unlink()
    assert [f.code for f in thence.open(tmp_path).verify().damage] == ["events_lost"]
