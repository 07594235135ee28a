"""What each finding says, and that whole blocks are judged as line by line."""

import pytest
from tests.events import NODE, OTHER_NODE, event_of, line_of, new_id
from tests.log.test_verify import found, numbered

from thence.log.storage.findings import FINDINGS_MAX, Finding

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
    [(line_of(seq=2, lamport_clock=2)[:-1], "puts it there"), (line_of(seq=2)[:-9], "aside")],
)
def test_unfinished_line_says_what_the_next_append_makes_of_it(tmp_path, tail, what_is_done):
    whole = numbered(1)
    finding = only(found(tmp_path, *whole, tail))
    assert finding == Finding("torn_tail", finding.reason, CURRENT, len(whole[0]), len(tail))
    assert "next append" in finding.reason
    assert what_is_done in finding.reason


def test_number_that_is_given_twice_is_named_with_its_node(tmp_path):
    lines = [*numbered(1, 2), line_of(seq=2, lamport_clock=3)]
    finding = at(found(tmp_path, *lines), "number_repeated")
    assert finding.reason == f"the number 2 of node {NODE} is given twice"
    assert (finding.node_id, finding.seq) == (NODE, 2)
    assert (finding.offset, finding.length) == (len(b"".join(lines[:2])), len(lines[2]) - 1)


@pytest.mark.parametrize("clock", [5, 4])
def test_clock_that_goes_back_is_told_from_where_to_where(tmp_path, clock):
    lines = [line_of(seq=1, lamport_clock=5), line_of(seq=2, lamport_clock=clock)]
    finding = only(found(tmp_path, *lines))
    assert (finding.code, finding.seq) == ("clock_back", 2)
    assert finding.reason == f"the clock goes back from 5 to {clock}"


def test_two_contents_of_an_id_name_it(tmp_path):
    event_id = new_id()
    lines = [line_of({"n": n}, event_id=event_id, seq=n, lamport_clock=n) for n in (1, 2)]
    finding = only(found(tmp_path, *lines))
    assert finding.reason == f"the id {event_id} stands for two different events"
    assert (finding.node_id, finding.seq, finding.offset) == (NODE, 2, len(lines[0]))


def test_unfinished_line_of_a_known_id_is_no_second_content(tmp_path):
    event_id = new_id()
    first = line_of({"n": 1}, event_id=event_id)
    again = line_of({"n": 1}, event_id=event_id)
    rival = line_of({"n": 2}, event_id=event_id, seq=2, lamport_clock=2)
    assert only(found(tmp_path, first, again, rival[:-1])).code == "torn_tail"


def test_told_region_says_what_was_found_and_who_tells_it(tmp_path):
    facts = {"file": CURRENT, "offset": 0, "bytes": 4}
    notice = line_of(facts, event_type="log.torn")
    bad = only(found(tmp_path, b"bad\n", *numbered(1)))
    finding = only(found(tmp_path, b"bad\n", notice))
    assert finding.code == "region_told"
    assert finding.reason == f"a notice of this log records it: {bad.reason}"
    assert (finding.offset, finding.length) == (0, 3)


def test_missing_cause_is_told_at_the_line_that_names_it(tmp_path):
    gone = new_id()
    lines = [*numbered(1), line_of(seq=2, lamport_clock=2, causes=[gone])]
    finding = only(found(tmp_path, *lines))
    event_id = event_of(lines[1]).event_id
    assert finding == Finding(
        "cause_missing",
        f"event {event_id} names the cause {gone}, which is not here",
        CURRENT,
        len(lines[0]),
        len(lines[1]) - 1,
    )


def test_missing_numbers_are_told_with_their_node(tmp_path):
    facts = {"first_seq": 3, "last_seq": 3}
    notice = line_of(facts, event_type="log.torn", seq=5, lamport_clock=5)
    others = [line_of(seq=seq, node_id=OTHER_NODE, lamport_clock=10 + seq) for seq in (1, 4)]
    result = found(tmp_path, *numbered(1), notice, *others)
    words = [(f.code, f.node_id, f.seq, f.count, f.reason) for f in result.findings]

    def missing(count, node_id, first, last):
        return f"{count} event(s) of node {node_id} are missing, numbers {first} to {last}"

    assert words == [
        ("events_lost", NODE, 2, 1, missing(1, NODE, 2, 2)),
        ("events_lost", NODE, 4, 1, missing(1, NODE, 4, 4)),
        ("events_told", NODE, 3, 1, missing(1, NODE, 3, 3)),
        ("events_absent", OTHER_NODE, 2, 2, missing(2, OTHER_NODE, 2, 3)),
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
    repeated = [("number_repeated", 2, 1)]
    assert judged(tmp_path, [one], [two], [again, line_of(seq=3, lamport_clock=4)]) == repeated
    assert judged(tmp_path, [], [], [one, three]) == [("events_lost", 2, 1)]
    assert judged(tmp_path, [], [], [one, other, two]) == []
    other = line_of(seq=2, lamport_clock=2, node_id=OTHER_NODE)
    both = [("events_lost", 2, 1), ("events_absent", 1, 1)]
    assert sorted(judged(tmp_path, [], [], [one, other, three])) == sorted(both)
    for clock in (5, 4):
        steps = [line_of(seq=1, lamport_clock=5)], [line_of(seq=2, lamport_clock=clock)]
        assert judged(tmp_path, [], [], [*steps[0], *steps[1]]) == [("clock_back", 2, 1)]
        assert judged(tmp_path, [], *steps) == [("clock_back", 2, 1)]


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
    assert codes == ["two_contents"] * (len(places) - len(set(places)))
