"""What each finding says, and what the quick way over whole blocks is taken for."""

import pytest
from tests.events import NODE, OTHER_NODE, event_of, line_of, new_id
from tests.log.test_verify import found, numbered

from thence.core.values.vocabulary import PLAIN
from thence.log.check import verify as rules
from thence.log.check.verify import _Check, verify
from thence.log.read.reader import Block
from thence.log.storage.disk import OS_DISK
from thence.log.storage.findings import Finding

CURRENT = "events.jsonl"
OLDER = "events_2026-01-01_00-00-00-000000.jsonl"


def only(result) -> Finding:
    (finding,) = result.findings
    return finding


def at(result, code) -> Finding:
    (finding,) = (each for each in result.findings if each.code == code)
    return finding


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (line_of(seq=2, lamport_clock=2)[:-1], rules._TAIL_KEPT),
        (line_of(seq=2)[:-9], rules._TAIL_MOVED),
    ],
)
def test_unfinished_line_says_what_the_next_append_makes_of_it(tmp_path, tail, reason):
    whole = numbered(1)
    expected = Finding("torn_tail", reason, CURRENT, len(whole[0]), len(tail))
    assert only(found(tmp_path, *whole, tail)) == expected
    assert rules._TAIL_KEPT != rules._TAIL_MOVED


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


def test_findings_are_folded_from_exactly_the_bound_on(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "FINDINGS_MAX", 3)
    counts = [each.count for each in found(tmp_path, *[b"bad\n"] * 3).findings]
    assert counts == [1, 1, 1]
    result = found(tmp_path, *[b"bad\n"] * 6)
    assert [each.count for each in result.findings] == [1, 1, 1, 3]
    assert (result.findings[-1].offset, result.findings[-1].length) == (12, 11)


def checked(*blocks):
    check = _Check(PLAIN, frozenset([NODE]))
    taken = [
        check._add_run(rules._essences(Block(CURRENT, 0, b"\n".join(part)))) for part in blocks
    ]
    return taken, check


def lines(*numbers, node_id=NODE):
    return [line_of(seq=seq, lamport_clock=seq, node_id=node_id)[:-1] for seq in numbers]


def test_quick_way_takes_what_follows_in_order_and_nothing_else():
    taken, check = checked(lines(1, 2), lines(3), lines(7, 8, 9))
    assert taken == [True, True, True]
    assert list(check._nodes[NODE].holes()) == [(4, 6)]
    assert check._nodes[NODE].clock == 9
    assert checked(lines(1, 2), lines(2, 3))[0] == [True, False]
    assert checked(lines(1, 3))[0] == [False]
    assert checked(lines(2, 1))[0] == [False]
    assert checked([*lines(1), *lines(2, node_id=OTHER_NODE)])[0] == [False]
    mixed = [*lines(1), *lines(2, node_id=OTHER_NODE), *lines(3)]
    assert checked(mixed)[0] == [False]
    for clocks in ((5, 5), (5, 4)):
        steps = [line_of(seq=n, lamport_clock=c)[:-1] for n, c in enumerate(clocks, 1)]
        assert checked(steps)[0] == [False]
        assert checked(steps[:1], steps[1:])[0] == [True, False]


def test_quick_way_takes_no_id_twice():
    ids = [new_id() for _ in range(4)]

    def named(*places):
        return [
            line_of(event_id=ids[place], seq=n, lamport_clock=n)[:-1]
            for n, place in enumerate(places, 1)
        ]

    assert checked(named(0, 1, 2))[0] == [True]
    assert checked(named(2, 0, 1))[0] == [True]
    assert checked(named(0, 0))[0] == [False]
    assert checked(named(1, 0, 1))[0] == [False]
    check = _Check(PLAIN, frozenset([NODE]))
    assert check._are_new([ids[1], ids[3]])
    assert check._are_new([ids[0], ids[2]])
    check._ids.update(ids[:3])
    assert not check._are_new([ids[2]])
    assert not check._are_new([ids[3], ids[0]])
    assert check._largest_id == ids[3]


def test_quick_way_is_for_whole_lines_of_ours():
    whole = b"\n".join(lines(1, 2))
    assert len(rules._essences(Block(CURRENT, 0, whole))) == 2
    assert rules._essences(Block(CURRENT, 0, whole, is_whole=False)) is None
    assert rules._essences(Block(CURRENT, 0, whole, True, len(whole))) is None
    assert rules._essences(Block(CURRENT, 0, whole + b"\nbad")) is None


def test_good_blocks_are_not_taken_apart(tmp_path, monkeypatch):
    (tmp_path / CURRENT).write_bytes(b"".join(numbered(1, 2, 3)))
    monkeypatch.setattr(rules, "lines_of", None)
    result = verify(OS_DISK, tmp_path, PLAIN)
    assert (result.events, result.findings) == (3, ())
