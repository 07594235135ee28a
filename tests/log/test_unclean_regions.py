"""Which bytes an opening finds bad, which numbers it misses there, how it counts what was lost."""

import pytest
from tests.events import NODE, OTHER_NODE, drafted, line_of, stamped

from thence.core.ids import id_source
from thence.core.values.vocabulary import PLAIN
from thence.log.crash.openings import Batch, DurablePosition, Opening, segment_id
from thence.log.crash.unclean import (
    TORN_NOTICES_MAX,
    DamageScan,
    Region,
    SegmentTail,
    findings,
    lines_from,
    lost,
    scope,
)
from thence.log.storage.disk import OS_DISK
from thence.log.storage.identity import Identity, Own

OLDER = "events_2026-01-01_00-00-00-000000.jsonl"
NEWER = "events_2026-01-02_00-00-00-000000.jsonl"
BAD = b'{"event_id":"half\n'
SELF = Own(Identity(NODE, "", 0), is_known=True, is_new=False, is_copy=False)


def own(seq):
    return line_of(seq=seq, lamport_clock=seq)


def notice(kind, facts, seq, node_id=NODE):
    made = drafted(f"told{seq}", f"log.{kind}", {"payload": facts})
    return stamped(made, seq, seq, node_id)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ".thence").mkdir()
    (tmp_path / "events.jsonl").write_bytes(b"")
    return tmp_path


def written(folder, *lines, name="events.jsonl"):
    path = folder / name
    path.write_bytes(b"".join(lines))
    return path


def scanned(folder, *tails, seq, who=SELF):
    scan = DamageScan(OS_DISK, folder, who, seq)
    return scan.regions([SegmentTail(folder / name, start) for name, start in tails])


def durable(path, offset):
    """Return an opening that had noted how far a segment is on the device."""
    inode, generation, _ = segment_id(OS_DISK, path)
    place = DurablePosition(inode=inode, generation=generation, offset=offset)
    return Opening("x", path, is_held=False, is_whole=True, durable=place)


def found_in(folder, seq):
    return findings(OS_DISK, folder, SELF, PLAIN, seq, [])


def test_region_reaches_over_all_bad_lines_up_to_the_next_good_one(folder):
    lines = [own(1), BAD, b"\n", b"\0\0\0\n", own(5), BAD, own(6), own(7)]
    written(folder, *lines)
    at = len(lines[0])
    later = sum(map(len, lines[:5]))
    assert scanned(folder, ("events.jsonl", 0), seq=7) == [
        Region("events.jsonl", at, len(BAD) + 1 + 3, "not_json", 2, 4),
        Region("events.jsonl", later, len(BAD) - 1, "not_json"),
    ]


def test_regions_with_no_own_event_between_miss_the_same_numbers(folder):
    theirs = line_of(node_id=OTHER_NODE, seq=9)
    lines = [own(1), BAD, theirs, BAD, own(4)]
    written(folder, *lines)
    found = scanned(folder, ("events.jsonl", 0), seq=4)
    assert [(region.first_seq, region.last_seq) for region in found] == [(2, 3)] * 2


@pytest.mark.parametrize(
    ("lines", "start", "seq", "numbers"),
    [
        ([own(3), BAD], 0, 3, (0, 0)),
        ([own(3), BAD], 0, 4, (4, 4)),
        ([own(3), BAD], 0, 9, (4, 9)),
        ([BAD, own(3)], 0, 3, (1, 2)),
        ([BAD, own(1)], 0, 1, (0, 0)),
        ([own(3), own(4), BAD, own(7)], 1, 7, (5, 6)),
        ([BAD], 0, 0, (0, 0)),
        ([BAD], 0, 2, (1, 2)),
    ],
    ids=["none", "one", "to the end", "from the first", "at the start", "behind", "new", "alone"],
)
def test_numbers_missing_are_those_between_the_own_events_around(
    folder, lines, start, seq, numbers
):
    written(folder, *lines)
    offset = sum(map(len, lines[:start]))
    (region,) = scanned(folder, ("events.jsonl", offset), seq=seq)
    assert (region.first_seq, region.last_seq) == numbers


def test_last_own_event_is_looked_for_in_older_segments_too(folder):
    written(folder, own(1), own(5), line_of(node_id=OTHER_NODE, seq=8), name=OLDER)
    written(folder, BAD, own(9), name=NEWER)
    written(folder, own(20))
    (region,) = scanned(folder, (NEWER, 0), seq=20)
    assert (region.file, region.first_seq, region.last_seq) == (NEWER, 6, 8)


def test_bytes_that_no_crash_leaves_are_no_region(folder):
    joined = own(4)[:-1] + own(5)[:-1] + b" " + own(6)
    written(folder, own(1), own(2)[:-1] + b"\r\n", b"\xef\xbb\xbf" + own(3), joined)
    assert scanned(folder, ("events.jsonl", 0), seq=6) == []


def test_zeros_between_two_events_are_a_region(folder):
    written(folder, own(1)[:-1], b"\0" * 9, own(3))
    region = Region("events.jsonl", len(own(1)) - 1, 9, "lines_joined", 2, 2)
    assert scanned(folder, ("events.jsonl", 0), seq=3) == [region]


def test_region_tells_only_what_it_knows():
    region = Region("a", 5, 7, "not_json")
    facts = {"file": "a", "offset": 5, "bytes": 7, "reason": "not_json"}
    assert region.facts() == facts
    assert region._replace(first_seq=3, last_seq=4).facts() == facts | {
        "first_seq": 3,
        "last_seq": 4,
    }
    assert region._replace(regions=1).facts() == facts
    assert region._replace(regions=2).facts() == facts | {"regions": 2}


def test_scope_begins_where_the_newest_segment_known_was_durable(folder):
    older = written(folder, own(1), name=OLDER)
    newer = written(folder, own(2), own(3), name=NEWER)
    current = written(folder, own(4))
    found = []

    def begins(path, offset):
        found.append(durable(path, offset))
        return scope(OS_DISK, folder, found)

    assert scope(OS_DISK, folder, found) == [(current, 0)]
    assert begins(older, 3) == [(older, 3), (newer, 0), (current, 0)]
    assert begins(newer, len(own(2))) == [(newer, len(own(2))), (current, 0)]
    size = current.stat().st_size
    assert begins(current, size) == [(current, size)]
    assert begins(current, size - 1) == [(current, size)]
    found = [durable(current, size + 1)]  # more than there is: it is read whole
    assert scope(OS_DISK, folder, found) == [(current, 0)]


@pytest.mark.parametrize("more", [-1, 0, 1, 3])
def test_regions_beyond_the_hundredth_are_one_for_each_segment(folder, more):
    count = TORN_NOTICES_MAX + more
    # only every other region has own numbers missing beside it
    seqs = [1 + n + n // 2 for n in range(count + 1)]
    lines = [line for seq in seqs for line in (own(seq), BAD)][:-1]
    path = written(folder, *lines)
    torn = [told.facts for told in found_in(folder, seqs[-1])]
    assert len(torn) == min(count, TORN_NOTICES_MAX + 1)
    if more < 2:
        assert all("regions" not in facts for facts in torn)
        return
    offset = sum(map(len, lines[: 2 * TORN_NOTICES_MAX + 1]))
    end = path.stat().st_size - len(lines[-1]) - 1
    assert torn[-1] == {
        "file": "events.jsonl",
        "offset": offset,
        "bytes": end - offset,
        "reason": "not_json",
        "first_seq": seqs[TORN_NOTICES_MAX + 1] + 1,
        "last_seq": seqs[TORN_NOTICES_MAX + 1] + 1,
        "regions": more,
    }


def test_region_that_a_notice_behind_it_tells_of_is_not_told_again(folder):
    filler = own(2) * 9_000  # the notice stands some blocks behind what it tells of
    facts = {"file": "events.jsonl", "offset": len(own(1)), "bytes": len(BAD)}
    written(folder, own(1), BAD, filler, notice("torn", facts, 3), BAD, own(4))
    offsets = [told.facts["offset"] for told in found_in(folder, 4)]
    assert offsets == [(folder / "events.jsonl").read_bytes().rindex(BAD)]
    theirs = notice("torn", facts, 3, OTHER_NODE)
    written(folder, own(1), BAD, own(2), theirs, own(3))
    assert [told.facts["offset"] for told in found_in(folder, 3)] == [len(own(1))]


def test_lines_are_found_with_their_offsets_from_any_line_on(folder):
    path = written(folder, b"one\n", b"\n", b"three\n", b"half")
    assert list(lines_from(OS_DISK, path, 0))[:2] == [(0, b"one"), (5, b"three")]
    assert next(lines_from(OS_DISK, path, 4)) == (5, b"three")


NOISE = 0xBEEF


def killed(path, batch, queued=0, **others):
    """Return an opening that was killed amid a batch, with more events queued."""
    _, name = made(1)
    batch = Batch(int(NODE, 16), *batch, path.stat().st_ino, len(own(1)))
    accepted = 5 + batch.emitted + queued
    counts = {"accepted": accepted, "committed": 5, "batch": batch, **others}
    return Opening(name[0], path, is_held=False, is_whole=True, **counts)


def made(count, noise=NOISE):
    """Return ids of one process, one more at the end, and its noise."""
    new_id = id_source(1_700_000_000_000_000_000, lambda: 0, noise)
    return [new_id() for _ in range(count)], [new_id()]


def in_numbers(ids, first=2):
    return [line_of(event_id=name, seq=first + n) for n, name in enumerate(ids)]


def count_of(folder, opening):
    facts = lost(OS_DISK, folder, opening)
    return facts and facts["count"]


@pytest.mark.parametrize("stood", range(5))
@pytest.mark.parametrize("place", ["current", "rotated", "split"])
def test_lost_are_those_of_the_batch_that_do_not_stand_in_the_log(folder, stood, place):
    lines = in_numbers(made(4)[0])[:stood]
    after = line_of(seq=9)
    if place == "current":
        path = written(folder, own(1), *lines, after)
    elif place == "rotated":
        path = written(folder, own(1), *lines, name=NEWER)
        written(folder, after)
    else:
        path = written(folder, own(1), *lines[:2], name=NEWER)
        written(folder, *lines[2:], after)
    assert count_of(folder, killed(path, (2, 4, 4), queued=2)) == 6 - stood


@pytest.mark.parametrize(("stood", "at_most"), [(0, 2), (1, 2), (2, 2), (3, 1), (4, None)])
def test_of_a_batch_with_appends_so_many_count_as_written_as_must_be_emitted(
    folder, stood, at_most
):
    path = written(folder, own(1), *in_numbers(made(4)[0])[:stood])
    assert count_of(folder, killed(path, (2, 4, 2))) == at_most


def test_lines_of_others_with_the_numbers_of_a_batch_are_not_counted(folder):
    theirs = in_numbers(made(4, noise=0xCAFE)[0])
    spoilt = in_numbers(made(1)[0])[0].replace(b"01HF", b"01HG")
    path = written(folder, own(1), spoilt, *theirs[1:])
    assert count_of(folder, killed(path, (2, 4, 4))) == 4
    path = written(folder, own(1), *in_numbers(made(4)[0], first=20))
    assert count_of(folder, killed(path, (2, 4, 4))) == 4


def test_of_a_batch_whose_segment_is_gone_all_count_as_lost(folder):
    path = written(folder, own(1), *in_numbers(made(4)[0]))
    opening = killed(path, (2, 4, 4))
    path.rename(folder / "elsewhere")
    written(folder, own(1))
    assert count_of(folder, opening) == 4


def test_opening_whose_file_is_not_whole_has_lost_nobody_knows_how_many(folder):
    facts = lost(OS_DISK, folder, Opening("x", folder, is_held=False))
    assert facts == {"count": None, "reason": "unknown end"}
