"""A log checked line by line: each finding has its code, and nothing is changed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import NODE, OTHER_NODE, event_of, line_of, new_id

from thence.core.new_event import joined_ranges, subtract
from thence.core.sentences.events import counted
from thence.core.vocabulary import PLAIN
from thence.log.check.verify import NumberRanges, verify
from thence.log.files.disk import OS_DISK
from thence.log.files.findings import FINDINGS_MAX, Finding
from thence.log.open import Log, LogSettings


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
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=900)) as log:
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
    "line", [SPOILT, b"\0" * 100 + b"\n", b'{"a":1}\n'], ids=["spoilt", "zeros", "no event"]
)
def test_bytes_that_are_no_event_are_damaged_and_located(tmp_path, line):
    first, third = numbered(1, 2)
    result = found(tmp_path, first, line, third)
    (finding,) = result.findings
    assert (finding.code, finding.severity, finding.file) == ("bad_line", "damaged", CURRENT)
    assert (finding.offset, finding.length) == (len(first), len(line) - 1)
    assert finding.reason
    assert result.damage == (finding,)
    assert not result.ok
    assert result.events == 2


def test_same_event_twice_is_no_damage_also_with_other_numbers(tmp_path):
    lines = [line_of({"a": 1}, event_id="0" * 26, seq=n, lamport_clock=n) for n in (1, 2)]
    result = found(tmp_path, *lines, lines[0])
    assert (result.findings, result.events) == ((), 1)


def test_cause_that_is_nowhere_is_noted_once(tmp_path):
    gone, here = "0" * 26, "1" * 26
    lines = [
        line_of(seq=1, lamport_clock=1, causes=[gone, here]),
        line_of(seq=2, lamport_clock=2, causes=[gone]),
        line_of(seq=3, lamport_clock=3, event_id=here),
    ]
    result = found(tmp_path, *lines)
    (finding,) = result.findings
    event_id = event_of(lines[0]).event_id
    told = f"event {event_id} names the cause {gone}, which is not here"
    assert finding == Finding("cause_missing", told, CURRENT, 0, len(lines[0]) - 1)
    assert finding.severity == "noted"
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
    assert [(f.code, f.severity) for f in result.findings] == [("torn", "torn")] * 2
    assert result.ok


@pytest.mark.parametrize("kind", ["torn", "segment_suspect"])
@pytest.mark.parametrize("between", [b"\n\0\0\0", b"\0\0\0"])
def test_bytes_beside_whole_events_are_told_by_a_notice_as_any(tmp_path, kind, between):
    first, second = numbered(1, 2)
    facts = {"file": "events.jsonl", "offset": len(first), "bytes": 2}
    lines = first[:-1], between, second, notice(kind, facts, seq=3)
    assert [f.code for f in found(tmp_path, *lines).findings] == ["torn"]
    unreported = notice("recovered", facts, seq=3)
    assert [f.code for f in found(tmp_path, *lines[:-1], unreported).findings] == ["stray_bytes"]


def test_events_beside_damage_are_served_and_the_damage_is_told_with_its_place(tmp_path):
    one, two, three, four = numbered(1, 2, 3, 4)
    lines = b"\xef\xbb\xbf", one[:-1], two[:-1], b"\r\n", three, b"\0\0", four
    result = found(tmp_path, *lines)
    size = len(one) - 1
    assert [(f.code, f.offset, f.length) for f in result.findings] == [
        ("stray_bytes", 0, 3),
        ("stray_bytes", 3 + size, 0),
        ("stray_bytes", 3 + 2 * size, 1),
        ("stray_bytes", 3 + 3 * size + 3, 2),
    ]
    assert result.events == 4


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


CURRENT = "events.jsonl"
OLDER = "events_2026-01-01_00-00-00-000000.jsonl"
FOREIGN = b'{"event_id":"theirs"}\n'


def only(result) -> Finding:
    (finding,) = result.findings
    return finding


def at(result, code) -> Finding:
    (finding,) = (each for each in result.findings if each.code == code)
    return finding


@pytest.mark.parametrize(
    ("tail", "what_is_done"),
    [(line_of(seq=2, lamport_clock=2)[:-1], "adds it"), (line_of(seq=2)[:-9], "aside")],
)
def test_unfinished_line_says_what_the_next_append_makes_of_it(tmp_path, tail, what_is_done):
    whole = numbered(1)
    result = found(tmp_path, *whole, tail)
    finding = only(result)
    assert (result.ok, result.notes, finding.severity) == (True, (finding,), "torn")
    assert finding == Finding("torn", finding.reason, CURRENT, len(whole[0]), len(tail))
    assert "next append" in finding.reason
    assert what_is_done in finding.reason


def test_number_that_is_given_twice_is_named_with_its_node(tmp_path):
    lines = [*numbered(1, 2), line_of(seq=2, lamport_clock=3)]
    finding = at(found(tmp_path, *lines), "inconsistent")
    assert finding.reason == f"the number 2 of node {NODE} is given twice"
    assert (finding.severity, finding.node_id, finding.seq) == ("damaged", NODE, 2)
    assert (finding.offset, finding.length) == (len(b"".join(lines[:2])), len(lines[2]) - 1)


@pytest.mark.parametrize("clock", [5, 4])
def test_clock_that_goes_back_is_told_from_where_to_where(tmp_path, clock):
    lines = [line_of(seq=1, lamport_clock=5), line_of(seq=2, lamport_clock=clock)]
    finding = only(found(tmp_path, *lines))
    assert (finding.code, finding.severity, finding.seq) == ("inconsistent", "damaged", 2)
    assert finding.reason == f"the clock goes back from 5 to {clock}"


def test_two_contents_of_an_id_name_it(tmp_path):
    event_id = new_id()
    lines = [line_of({"n": n}, event_id=event_id, seq=n, lamport_clock=n) for n in (1, 2)]
    finding = only(found(tmp_path, *lines))
    assert finding.reason == f"the id {event_id} belongs to two different events"
    assert (finding.code, finding.severity) == ("inconsistent", "damaged")
    assert (finding.node_id, finding.seq, finding.offset) == (NODE, 2, len(lines[0]))


def test_unfinished_line_of_a_known_id_is_no_second_content(tmp_path):
    event_id = new_id()
    first = line_of({"n": 1}, event_id=event_id)
    again = line_of({"n": 1}, event_id=event_id)
    rival = line_of({"n": 2}, event_id=event_id, seq=2, lamport_clock=2)
    assert only(found(tmp_path, first, again, rival[:-1])).code == "torn"


def test_missing_numbers_are_told_with_their_node(tmp_path):
    facts = {"file": CURRENT, "offset": len(numbered(2)[0]), "bytes": 3}
    notice = line_of(facts, event_type="log.torn", seq=4, lamport_clock=5)
    others = [line_of(seq=seq, node_id=OTHER_NODE, lamport_clock=10 + seq) for seq in (1, 4)]
    result = found(tmp_path, *numbered(2), b"bad\n", notice, *others, b"other\n", *numbered(6))
    words = [(f.code, f.severity, f.node_id, f.seq, f.reason) for f in result.findings if f.seq]

    def missing(count, node_id, first, last):
        return f"{counted(count, 'event')} of node {node_id} missing: numbers {first} to {last}"

    assert words == [
        ("events_lost", "lost", NODE, 1, missing(1, NODE, 1, 1)),
        ("torn", "torn", NODE, 3, missing(1, NODE, 3, 3)),
        ("events_lost", "lost", NODE, 5, missing(1, NODE, 5, 5)),
        ("events_absent", "absent", OTHER_NODE, 2, missing(2, OTHER_NODE, 2, 3)),
    ]


def test_line_of_ours_takes_its_id_from_another_tools(tmp_path):
    event_id = new_id()
    foreign = b'{"event_id":"%b"}\n' % event_id.encode()
    other = b'{"event_id":"theirs"}\n'
    result = found(tmp_path, foreign, other, line_of(event_id=event_id), foreign)
    assert (result.events, result.unverified) == (2, 1)


def test_findings_are_folded_from_exactly_the_bound_on(tmp_path):
    counts = [each.count for each in found(tmp_path, *[b"bad\n"] * FINDINGS_MAX).findings]
    assert counts == [1] * FINDINGS_MAX
    result = found(tmp_path, *[b"bad\n"] * (FINDINGS_MAX + 3))
    assert [each.count for each in result.findings] == [*counts, 3]
    last = result.findings[-1]
    assert (last.offset, last.length) == (4 * FINDINGS_MAX, 4 * 3 - 1)


def judged(folder, *segments):
    """Verify lines in segments, whole blocks at once and one by one, which must be the same."""
    findings = []
    for other_tools in ((), (FOREIGN,)):  # a block that holds such a line is taken apart
        for number, lines in enumerate(segments[:-1]):
            data = b"".join([*lines, *other_tools])
            (folder / OLDER.replace("000000.", f"{number:06}.")).write_bytes(data)
        findings.append(found(folder, *segments[-1], *other_tools).findings)
    assert findings[0] == findings[1]
    return [(finding.code, finding.seq, finding.count) for finding in findings[0]]


def test_numbers_and_clocks_are_judged_alike_in_whole_blocks_and_line_by_line(tmp_path):
    one, two, three = numbered(1, 2, 3)
    other = line_of(seq=1, lamport_clock=2, node_id=OTHER_NODE)
    assert judged(tmp_path, [one, two], [three], numbered(7, 8, 9)) == [("events_lost", 4, 3)]
    again = line_of(seq=2, lamport_clock=3)
    repeated = [("inconsistent", 2, 1)]
    assert judged(tmp_path, [one], [two], [again, line_of(seq=3, lamport_clock=4)]) == repeated
    assert judged(tmp_path, [], [], [one, three]) == [("events_lost", 2, 1)]
    assert judged(tmp_path, [], [], [one, other, two]) == []
    other = line_of(seq=2, lamport_clock=2, node_id=OTHER_NODE)
    both = [("events_lost", 2, 1), ("events_absent", 1, 1)]
    assert sorted(judged(tmp_path, [], [], [one, other, three])) == sorted(both)
    for clock in (5, 4):
        steps = [line_of(seq=1, lamport_clock=5)], [line_of(seq=2, lamport_clock=clock)]
        assert judged(tmp_path, [], [], [*steps[0], *steps[1]]) == [("inconsistent", 2, 1)]
        assert judged(tmp_path, [], *steps) == [("inconsistent", 2, 1)]


@pytest.mark.parametrize("places", [(0, 1, 2), (2, 0, 1), (0, 0), (1, 0, 1), (1, 3, 0, 2, 2, 3)])
@pytest.mark.parametrize("size", [1, 2, 6])
def test_id_is_found_again_in_whole_blocks_as_line_by_line(tmp_path, places, size):
    ids = [new_id() for _ in range(4)]
    lines = [
        line_of({"n": n}, event_id=ids[place], seq=n, lamport_clock=n)
        for n, place in enumerate(places, 1)
    ]
    segments = [lines[start : start + size] for start in range(0, len(lines), size)]
    codes = [code for code, _, _ in judged(tmp_path, *segments)]
    assert codes == ["inconsistent"] * (len(places) - len(set(places)))


drawn = st.lists(st.integers(1, 30), max_size=40)


@given(drawn)
def test_it_knows_what_a_set_of_the_numbers_knows(seqs):
    ranges = NumberRanges()
    seen = set()
    for seq in seqs:
        assert ranges.add(seq) == (seq not in seen)
        seen.add(seq)
        assert ranges.last == max(seen)
    missing = {n for first, last in ranges.holes() for n in range(first, last + 1)}
    assert missing == set(range(1, max(seen, default=0))) - seen


def test_stretches_are_kept_and_not_numbers():
    ranges = NumberRanges()
    ranges.extend(1, 10**15)  # drawn would fit into no memory
    ranges.extend(10**15 + 1, 5 * 10**15)
    ranges.extend(5 * 10**15 + 3, 9 * 10**15)
    assert list(ranges.holes()) == [(5 * 10**15 + 1, 5 * 10**15 + 2)]
    assert not ranges.add(4 * 10**15)


@given(st.integers(1, 20), st.integers(1, 20), st.lists(st.tuples(drawn, st.integers(0, 5))))
def test_what_is_told_of_a_hole_is_taken_off_it(first, length, told):
    hole = (first, first + length)
    ranges = joined_ranges((start, start + size) for starts, size in told for start in starts)
    left = {n for begin, end in subtract(hole, ranges) for n in range(begin, end + 1)}
    covered = {n for begin, end in ranges for n in range(begin, end + 1)}
    assert left == set(range(hole[0], hole[1] + 1)) - covered
