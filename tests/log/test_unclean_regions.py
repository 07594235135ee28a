"""Which bytes an opening finds bad, which numbers it misses there, how it counts what was lost."""

from collections import Counter

import pytest
from tests.events import NODE, OTHER_NODE, drafted, line_of, stamped
from tests.log.test_state import page_of

from thence.core.ids import id_source
from thence.core.vocabulary import PLAIN
from thence.log import unclean
from thence.log.disk import OS_DISK, Disk
from thence.log.identity import Identity, Own
from thence.log.state import file_word
from thence.log.unclean import (
    TORN_NOTICES_MAX,
    Region,
    Scan,
    Stretch,
    _counts,
    findings,
    lines_from,
    scope,
)

OLDEST = "events_2025-12-31_00-00-00-000000.jsonl"
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


def scanned(folder, *stretches, seq, who=SELF):
    scan = Scan(OS_DISK, folder, who, seq)
    return scan.regions([Stretch(folder / name, start) for name, start in stretches])


def file_of(path):
    return OS_DISK.path_id(str(path))[0]


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
    page = page_of(folder)
    assert scope(OS_DISK, folder, page) == [(current, 0)]
    page.durable(file_of(older), 3)
    assert scope(OS_DISK, folder, page) == [(older, 3), (newer, 0), (current, 0)]
    page.durable(file_of(newer), len(own(2)))
    assert scope(OS_DISK, folder, page) == [(newer, len(own(2))), (current, 0)]
    size = current.stat().st_size
    page.durable(file_of(current), size)
    assert scope(OS_DISK, folder, page) == [(current, size)]
    page.durable(file_of(current), size + 1)  # more than there is: it is read whole
    page.durable(file_of(current), size + 1)
    assert scope(OS_DISK, folder, page) == [(current, 0)]
    assert file_word(file_of(current)) in page.durable_offsets()


@pytest.mark.parametrize("more", [-1, 0, 1, 3])
def test_regions_beyond_the_hundredth_are_one_for_each_segment(folder, more):
    count = TORN_NOTICES_MAX + more
    # only every other region has own numbers missing beside it
    seqs = [1 + n + n // 2 for n in range(count + 1)]
    lines = [line for seq in seqs for line in (own(seq), BAD)][:-1]
    path = written(folder, *lines)
    notices = findings(OS_DISK, folder, page_of(folder), SELF, PLAIN, seqs[-1], [])
    torn = [facts for kind, facts in notices if kind == "torn"]
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
    found = findings(OS_DISK, folder, page_of(folder), SELF, PLAIN, 4, [])
    offsets = [facts["offset"] for kind, facts in found if kind == "torn"]
    assert offsets == [(folder / "events.jsonl").read_bytes().rindex(BAD)]
    theirs = notice("torn", facts, 3, OTHER_NODE)
    written(folder, own(1), BAD, own(2), theirs, own(3))
    found = findings(OS_DISK, folder, page_of(folder), SELF, PLAIN, 3, [])
    assert [facts["offset"] for kind, facts in found if kind == "torn"] == [len(own(1))]


def test_lines_are_found_with_their_offsets_from_any_line_on(folder):
    path = written(folder, b"one\n", b"\n", b"three\n", b"half")
    assert list(lines_from(OS_DISK, path, 0))[:2] == [(0, b"one"), (5, b"three")]
    assert next(lines_from(OS_DISK, path, 4)) == (5, b"three")


def dead_slot(folder, batch, accepted, at=0, synced=(), within=None):
    """Leave a slot of a process that ended amid a batch, which began at an offset of a file."""
    page, mine = page_of(folder), page_of(folder)
    for path in synced:
        page.durable(file_of(path), path.stat().st_size)
    for _ in range(accepted):
        page.accept()
    page.intend(len(batch), batch[0])
    page.writing(at, *([file_of(within)] if within else []))
    page._words[16] = 2**31
    mine.settle([])
    return mine, mine.dead()


@pytest.mark.parametrize("stood", range(5))
@pytest.mark.parametrize("place", ["current", "rotated", "split"])
def test_lost_are_those_of_the_batch_that_do_not_stand_in_the_log(folder, stood, place):
    new_id = id_source(1_700_000_000_000_000_000, lambda: 0, 0xBEEF)
    batch = [new_id() for _ in range(4)]
    lines = [line_of(event_id=name, seq=n + 2) for n, name in enumerate(batch)][:stood]
    first = own(1)
    after = line_of(seq=9)
    if place == "current":
        written(folder, first, *lines, after)
    elif place == "rotated":
        written(folder, first, *lines, name=NEWER)
        written(folder, after)
    else:
        written(folder, first, *lines[:2], name=NEWER)
        written(folder, *lines[2:], after)
    page, dead = dead_slot(folder, batch, 6, len(first))
    found = findings(OS_DISK, folder, page, SELF, PLAIN, 9, dead)
    assert [facts for kind, facts in found if kind == "gap"] == [
        {"count": 6 - stood, "is_exact": True, "reason": "killed", "process": 2**31}
    ]


class OpenedDisk(Disk):
    """Notes which files are opened to be read."""

    def __init__(self):
        self.opened = []

    def open_read(self, path):
        self.opened.append(path.name)
        return super().open_read(path)


@pytest.mark.parametrize(
    ("synced", "looked_at"),
    [
        ((), [OLDEST, OLDER, NEWER, "events.jsonl"]),
        ((OLDER,), [OLDEST, OLDER, NEWER, "events.jsonl"]),  # one may be of the batch itself
        ((OLDER, OLDER), [OLDER, NEWER, "events.jsonl"]),
        ((OLDER, NEWER), [OLDER, NEWER, "events.jsonl"]),
        (("events.jsonl", NEWER), [NEWER, "events.jsonl"]),
        (("events.jsonl", "events.jsonl"), ["events.jsonl"]),
        ((OLDER, "gone"), [OLDEST, OLDER, NEWER, "events.jsonl"]),
    ],
)
def test_batch_is_looked_for_in_no_segment_older_than_both_last_syncs(folder, synced, looked_at):
    for seq, name in enumerate((OLDEST, OLDER, NEWER, "events.jsonl"), 1):
        written(folder, own(seq), name=name)
    (folder / "gone").write_bytes(b"")
    disk = OpenedDisk()
    page, dead = dead_slot(folder, ["never"], 1, synced=[folder / name for name in synced])
    found = findings(disk, folder, page, SELF, PLAIN, 4, dead)
    assert [facts["count"] for kind, facts in found if kind == "gap"] == [1]
    assert disk.opened[-len(looked_at) :] == looked_at[::-1]
    assert (OLDEST in disk.opened) == (OLDEST in looked_at)


@pytest.mark.parametrize("is_written", [True, False])
@pytest.mark.parametrize("name", [OLDEST, NEWER, "events.jsonl"])
def test_batch_is_looked_for_in_its_file(folder, name, is_written):
    for seq, each in enumerate((OLDEST, OLDER, NEWER, "events.jsonl"), 1):
        written(folder, own(seq), name=each)
    new_id = id_source(1_700_000_000_000_000_000, lambda: 0, 0xBEEF)
    batch = [new_id(), new_id()]
    lines = [line_of(event_id=event_id) for event_id in batch]
    other = id_source(1_700_000_000_000_000_000, lambda: 0, 0xCAFE)
    behind = line_of(event_id=other())
    path = written(folder, own(9), *lines[:is_written], behind, name=name)
    disk = OpenedDisk()
    page, dead = dead_slot(folder, batch, 2, len(own(9)), within=path)
    assert _counts(disk, folder, dead, True) == (Counter({dead[0]: 1} if is_written else {}), [])
    assert disk.opened[0] == name
    # once more to count it; or with the next, lest notices had filled it
    again = 1 if is_written else 2 * (name != "events.jsonl")
    assert len(disk.opened) == 1 + again
    found = findings(OS_DISK, folder, page, SELF, PLAIN, 9, dead)
    assert [facts["count"] for kind, facts in found if kind == "gap"] == [2 - is_written]


@pytest.mark.parametrize(("is_own", "lost"), [(True, 2), (False, 4)])
def test_batch_is_found_behind_own_notices_that_filled_the_segment(folder, is_own, lost):
    new_id = id_source(1_700_000_000_000_000_000, lambda: 0, 0xBEEF)
    another = new_id if is_own else id_source(1_700_000_000_000_000_000, lambda: 0, 0xCAFE)
    batch = [new_id() for _ in range(4)]
    path = written(folder, own(1), line_of(event_id=another()), name=OLDER)
    written(folder, line_of(event_id=another()), name=NEWER)
    written(folder, *(line_of(event_id=event_id) for event_id in batch[:2]), own(2))
    page, dead = dead_slot(folder, batch, 4, len(own(1)), within=path)
    found = findings(OS_DISK, folder, page, SELF, PLAIN, 9, dead)
    assert [facts["count"] for kind, facts in found if kind == "gap"] == [lost]


@pytest.mark.parametrize(("notices", "lost"), [(2, []), (3, [1])])
def test_batch_is_looked_for_behind_so_many_notices_and_no_more(folder, monkeypatch, notices, lost):
    monkeypatch.setattr(unclean, "_SEARCH_LINES", 3)
    new_id = id_source(1_700_000_000_000_000_000, lambda: 0, 0xBEEF)
    lines = [line_of(event_id=new_id()) for _ in range(notices)]
    path = written(folder, own(1), *lines, name=OLDER)
    written(folder, line_of(event_id=(last := new_id())))
    page, dead = dead_slot(folder, [last], 1, len(own(1)), within=path)
    found = findings(OS_DISK, folder, page, SELF, PLAIN, 9, dead)
    assert [facts["count"] for kind, facts in found if kind == "gap"] == lost


def test_batch_whose_file_is_gone_is_looked_for_elsewhere(folder):
    new_id = id_source(1_700_000_000_000_000_000, lambda: 0, 0xBEEF)
    batch = [new_id(), new_id()]
    path = written(folder, own(1), line_of(event_id=batch[0]), name=NEWER)
    page, dead = dead_slot(folder, batch, 2, len(own(1)), within=path)
    copy = folder / OLDER
    copy.write_bytes(path.read_bytes())
    path.unlink()
    found = findings(OS_DISK, folder, page, SELF, PLAIN, 9, dead)
    assert [facts["count"] for kind, facts in found if kind == "gap"] == [1]


def test_batch_that_began_before_the_last_sync_is_found_in_the_older_segment(folder):
    new_id = id_source(1_700_000_000_000_000_000, lambda: 0, 0xBEEF)
    batch = [new_id() for _ in range(3)]
    lines = [line_of(event_id=name, seq=n + 2) for n, name in enumerate(batch)]
    newer = written(folder, own(1), *lines[:2], name=NEWER)
    current = written(folder, lines[2])
    # the process was killed between its sync of the current segment and saying that it committed
    page, dead = dead_slot(folder, batch, 5, len(own(1)), [newer, current])
    found = findings(OS_DISK, folder, page, SELF, PLAIN, 9, dead)
    assert [facts["count"] for kind, facts in found if kind == "gap"] == [2]


def test_last_batches_of_all_the_dead_are_looked_for_in_one_pass(folder):
    """Eight that died at once made the next opening read 17 MB eight times."""
    noises = range(6)
    sources = [id_source(1_700_000_000_000_000_000, lambda: 0, noise) for noise in noises]
    batches = [[new_id(), new_id()] for new_id in sources]
    for number, name in enumerate((OLDEST, OLDER, NEWER)):
        two = batches[2 * number] + batches[2 * number + 1][:1]  # of every other one a half
        written(folder, own(1), *(line_of(event_id=event_id) for event_id in two), name=name)
    written(folder, own(9))
    mine = page_of(folder)
    for number, batch in enumerate([*batches, ["never"]]):
        page = page_of(folder)
        for _ in range(4):
            page.accept()
        page.intend(2, batch[0])
        page.writing(len(own(1)) if number % 2 else 0)
        page._words[page._base] = 2**31 + number
    mine.settle([])
    disk = OpenedDisk()
    found = findings(disk, folder, mine, SELF, PLAIN, 9, mine.dead())
    lost = {facts["process"] - 2**31: facts["count"] for kind, facts in found if kind == "gap"}
    assert lost == {0: 2, 1: 3, 2: 2, 3: 3, 4: 2, 5: 3, 6: 4}
    of_batches = 2 * 3  # each stood in an older file, and its end was looked for there
    assert len(disk.opened) <= 4 + of_batches + 4  # the scan for bad bytes reads all as well


def test_batches_far_apart_in_one_segment_are_both_found(folder):
    new_id = id_source(1_700_000_000_000_000_000, lambda: 0, 0xBEEF)
    first, second = new_id(), new_id()
    lines = [own(n) for n in range(1, 4_001)]
    lines[1_000], lines[3_900] = line_of(event_id=first), line_of(event_id=second)
    written(folder, *lines)
    mine = page_of(folder)
    for event_id, line in ((first, 0), (second, 3_000)):
        page = page_of(folder)
        page.accept()
        page.intend(1, event_id)
        page.writing(sum(map(len, lines[:line])))
        page._words[page._base] = 2**31
    mine.settle([])
    assert len(mine.dead()) == 2
    assert findings(OS_DISK, folder, mine, SELF, PLAIN, 4_000, mine.dead()) == []


def test_no_more_than_the_batch_is_counted_though_more_of_its_process_stands_there(folder):
    new_id = id_source(1_700_000_000_000_000_000, lambda: 0, 0xBEEF)
    batch = [new_id() for _ in range(6)]
    lines = [line_of(event_id=name, seq=n + 2) for n, name in enumerate(batch)]
    written(folder, own(1), *lines)
    page, dead = dead_slot(folder, batch[:4], 4, len(own(1)))
    assert findings(OS_DISK, folder, page, SELF, PLAIN, 9, dead) == []
    spoilt = lines[1][:-5] + b'0"}\n'
    written(folder, own(1), lines[0], spoilt, *lines[2:])
    found = findings(OS_DISK, folder, page, SELF, PLAIN, 9, dead)
    assert [facts["count"] for kind, facts in found if kind == "gap"] == [3]
