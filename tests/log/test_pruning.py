"""A pruned log: what went is in the archive or told of, and nothing counts as damage."""

import os
import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event as Signal

import pytest
from tests.codes import raises_code
from tests.crash.crash_states import Crashes, worst
from tests.crash.images import settled
from tests.crash.simulated_disk import SimulatedDisk
from tests.disks import FULL, Scripted
from tests.events import OTHER_NODE, line_of
from tests.log.faults import StruckDisk
from tests.log.pruned import (
    SEGMENT_BYTES,
    archived,
    filled,
    gunzipped,
    names,
    pruned,
    pruning_of,
)
from tests.tiers import seed, tenth

import thence
from thence.core.bodies import BODIES_FROM, BODIES_FROM_MIN
from thence.core.new_event import Position
from thence.core.pruned import pruned_by
from thence.core.redaction import Redaction, digests
from thence.core.vocabulary import PLAIN
from thence.errors import LogBusy, LogFull, ThenceError
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import CURRENT, segments
from thence.log.open import Log, LogSettings

PLACE = Path("/log")
ARCHIVE = Path("/archive")


def codes(log):
    return [finding.code for finding in log.verify().findings]


@pytest.mark.promise("A5")
def test_pruned_events_are_in_the_archive_and_verify_takes_none_for_lost(tmp_path):
    events = filled(tmp_path / "a")
    before = {path.name: path.read_bytes() for path in segments(OS_DISK, tmp_path / "a")}
    with thence.open(tmp_path / "a") as log:
        plan = pruned(log, keep=3 * SEGMENT_BYTES, archive=tmp_path / "old")
        gone = [segment.name for segment in plan.segments]
        assert gone == list(before)[: len(gone)]
        assert len(gone) > 2
        assert archived(tmp_path / "old") == b"".join(before[name] for name in gone)
        assert names(log.folder) == [name for name in before if name not in gone]
        kept = [event.event_id for event in log.read()]
        assert kept[:-1] == [event.event_id for event in events[plan.pruned.events :]]
        assert log.verify().ok
        assert codes(log) == ["pruned"]
        assert log.append("noted").seq == len(events) + 2
        (told,) = log.query(type="log.pruned")
        assert pruned_by(told) == plan.pruned == log.pruned()
        assert told.payload["numbers"] == {told.node_id: [[1, plan.pruned.events]]}


def test_segments_with_a_later_event_stay_and_all_behind_them(tmp_path):
    events = filled(tmp_path)
    with thence.open(tmp_path) as log:
        middle = events[len(events) // 2]
        notice = pruned(log, before=middle.timestamp).pruned
        first = next(iter(log.read()))
        assert first.seq == notice.events + 1 <= middle.seq
        assert notice.until < middle.timestamp
        holder = next(p for p in segments(OS_DISK, tmp_path) if middle.line in p.read_bytes())
        assert first.line in holder.read_bytes()


def test_bytes_that_are_to_stay_do(tmp_path):
    filled(tmp_path)
    sizes = [path.stat().st_size for path in segments(OS_DISK, tmp_path)]
    with thence.open(tmp_path) as log:
        keep = sum(sizes[3:])
        plan = pruned(log, keep=keep + 1)
        assert len(plan.segments) == 2
        plan = pruned(
            log, keep=sum(path.stat().st_size for path in segments(OS_DISK, tmp_path)[1:])
        )
        assert len(plan.segments) == 1


def test_why_tells_that_causes_were_pruned(tmp_path):
    filled(tmp_path)
    with thence.open(tmp_path) as log:
        pruned(log, keep=6 * SEGMENT_BYTES)
        kept = pruned(log, keep=3 * SEGMENT_BYTES).pruned
        first = next(iter(log.read()))
        (missing,) = log.why(first).missing
        assert missing.pruned == f"events up to {kept.until[:16].replace('T', ' ')} were pruned"


def test_second_prune_tells_of_the_first_too(tmp_path):
    filled(tmp_path)
    with thence.open(tmp_path) as log:
        first = pruned(log, keep=6 * SEGMENT_BYTES).pruned
        second = pruned(log, keep=2 * SEGMENT_BYTES).pruned
        node = log.append("noted").node_id
        assert second.numbers == {node: ((1, first.events + second.events),)}
        pruned(log, before="2100")
        assert names(tmp_path) == [CURRENT]
        assert log.verify().ok
    with thence.open(tmp_path) as log:
        assert log.append("noted").seq > first.events + second.events


def test_other_writers_and_followers_go_on(tmp_path):
    filled(tmp_path)
    stop, served = Signal(), []
    with thence.open(tmp_path) as log, thence.open(tmp_path) as other, ThreadPoolExecutor() as pool:
        reading = log.read(Position())
        begun = [next(reading).seq]
        other.append("noted", {"by": "other"})
        position = log.position()
        follower = log.follow(stop=stop)
        served.append(next(follower).seq)
        pruned(log, before="2100")
        after = other.append("noted", {"by": "other"})
        rest = list(reading)
        (at, notice) = next((n, e) for n, e in enumerate(rest) if e.event_type == "log.pruned")
        begun += [event.seq for event in rest if event != notice]
        assert begun == sorted(begun)
        assert begun[at + 1] > begun[at] + 1, "the notice stands where events are missing"
        assert [event.event_id for event in log.read(position)][-1] == after.event_id

        def follow():
            for event in follower:
                if event.event_type != "log.pruned":
                    served.append(event.seq)
                if event.event_id == after.event_id:
                    return

        pool.submit(follow).result(30)
        stop.set()
        assert served == sorted(set(served))
        assert log.verify().ok
        assert after.seq == log.append("noted").seq - 1


def test_bytes_of_what_is_pruned_are_kept_as_they_are_damage_too(tmp_path):
    filled(tmp_path / "a")
    oldest = segments(OS_DISK, tmp_path / "a")[0]
    spoilt = oldest.read_bytes().replace(b"x" * 50, b"y" * 50, 1)
    oldest.write_bytes(spoilt[:-1])  # its last newline too
    with thence.open(tmp_path / "a") as log:
        assert not log.verify().ok
        pruned(log, keep=3 * SEGMENT_BYTES, archive=tmp_path / "old")
        assert archived(tmp_path / "old").startswith(spoilt[:-1])
        assert log.verify().ok, codes(log)


def test_lost_events_behind_what_was_pruned_are_lost_still(tmp_path):
    filled(tmp_path)
    paths = segments(OS_DISK, tmp_path)
    lines = paths[-3].read_bytes().splitlines(keepends=True)
    paths[-3].write_bytes(b"".join([lines[0], *lines[2:]]))
    with thence.open(tmp_path) as log:
        pruned(log, keep=4 * SEGMENT_BYTES)
        assert [finding.code for finding in log.verify().damage] == ["events_lost"]


def test_lines_of_other_nodes_are_pruned_too_and_not_relayed_again(tmp_path):
    lines = [
        line_of(node_id=OTHER_NODE, seq=seq, lamport_clock=seq).rstrip() for seq in range(1, 21)
    ]
    rest = lines[4:8]
    with thence.open(tmp_path, max_file_size=SEGMENT_BYTES) as log:
        log.relay(line for line in lines if line not in rest)
        for _ in range(12):
            log.append("noted", {"text": "x" * 200})
        notice = pruned(log, before="2100").pruned
        assert notice.numbers[OTHER_NODE] == ((1, 4), (9, 20))
        again = log.relay(lines)
        assert [event.line for event in again.taken] == rest
        assert again.known == 16
        assert log.verify().ok
        assert not {"events_absent"} & set(codes(log))


def test_large_values_go_with_their_last_line_and_into_the_archive(tmp_path):
    opened = partial(
        thence.open, tmp_path / "a", bodies_from=BODIES_FROM, max_file_size=SEGMENT_BYTES
    )
    with opened() as log:
        shared, old, new, now = ("".join(f"{word} {n} " for n in range(900)) for word in "sonw")
        first = log.append("asked", {"text": shared, "more": old})
        notes = [{"event_type": "noted", "payload": {"text": "x" * 100}}] * 20
        log.append_many(notes)
        last = log.append("asked", {"text": shared, "more": new})
        log.append_many(notes)
        while log.current_size > SEGMENT_BYTES // 3:  # the notice is to go into the same file
            log.append("noted", {"text": "x" * 100})
        newest = log.append("asked", {"text": now})
        pruned(log, keep=5 * SEGMENT_BYTES, archive=tmp_path / "old")
        current = (tmp_path / "a" / CURRENT).read_bytes()
        assert (last.line in current, newest.line in current) == (False, True)
        assert first.event_id not in {event.event_id for event in log.read()}
        assert log.get(last.event_id).payload == {"text": shared, "more": new}
        assert log.get(newest.event_id).payload == {"text": now}
        assert b"o 899" not in (tmp_path / "a" / "bodies.jsonl").read_bytes()
        assert log.verify().ok
        log.append("asked", {"text": old})
        assert log.verify().ok
    gunzipped(tmp_path / "old")
    with thence.open(tmp_path / "old", create=False) as log:
        assert log.get(first.event_id).payload == {"text": shared, "more": old}
        assert log.verify().ok


@pytest.mark.promise("A5")
def test_archive_is_a_log_once_its_files_are_decompressed(tmp_path):
    events = filled(tmp_path / "a")
    with thence.open(tmp_path / "a") as log:
        notice = pruned(log, keep=3 * SEGMENT_BYTES, archive=tmp_path / "old").pruned
    gunzipped(tmp_path / "old")
    with thence.open(tmp_path / "old", create=False) as log:
        assert [event.line for event in log.read()] == [e.line for e in events[: notice.events]]
        assert log.verify().findings == ()
        assert log.append("noted").lamport_clock == notice.events + 1


def test_archive_is_read_by_whoever_may_read_the_log_and_nobody_else(tmp_path):
    filled(tmp_path / "a")
    for path in segments(OS_DISK, tmp_path / "a"):
        path.chmod(0o600)
    with thence.open(tmp_path / "a") as log:
        pruned(log, keep=3 * SEGMENT_BYTES, archive=tmp_path / "old")
    packed = [*(tmp_path / "old").glob("*.gz")]
    assert {path.stat().st_mode & 0o777 for path in packed} == {0o600}


def test_second_prune_counts_what_another_process_has_pruned_meanwhile(tmp_path):
    filled(tmp_path)
    with thence.open(tmp_path) as log, thence.open(tmp_path) as other:
        late = pruning_of(other)
        first = pruned(log, keep=6 * SEGMENT_BYTES).pruned
        with late.alone():
            plan = late.plan(None, 3 * SEGMENT_BYTES, {})
            late.run(plan, None)
            second = plan.pruned
        (ranges,) = second.numbers.values()
        assert ranges == ((1, first.events + second.events),)
        assert log.verify().ok


def test_two_prunes_at_once_are_refused(tmp_path):
    filled(tmp_path)
    with thence.open(tmp_path) as log, pruning_of(log).alone(), pytest.raises(LogBusy) as refused:
        pruned(log, before="2100")
    assert str(os.getpid()) in refused.value.cause


def test_segment_that_is_redacted_meanwhile_does_not_go(tmp_path):
    events = filled(tmp_path)
    with thence.open(tmp_path) as log:
        pruning = pruning_of(log)
        plan = pruning.plan("2100", 0, {})
        target = log.get(events[0].event_id)
        log.redactions.take_back([Redaction(target.event_id, digests(target.line).line.hex())])
        with raises_code("prune_refused"):
            pruning.run(plan, None)
        assert log.get(events[0].event_id).payload == {}
        assert log.verify().ok
        pruned(log, before="2100")
        assert names(tmp_path) == [CURRENT]
        assert log.verify().ok


def test_file_in_the_archive_with_other_content_is_never_replaced(tmp_path):
    events = filled(tmp_path / "a")
    before = names(tmp_path / "a")
    (tmp_path / "old").mkdir()
    other = tmp_path / "old" / f"{before[1]}.gz"
    other.write_bytes(b"something else")
    with thence.open(tmp_path / "a") as log:
        with raises_code("prune_refused"):
            pruned(log, before="2100", archive=tmp_path / "old")
        assert other.read_bytes() == b"something else"
        assert names(tmp_path / "a") == before
        assert not log.query(type="log.pruned").total
        other.unlink()
        pruned(log, before="2100", archive=tmp_path / "old")
    assert archived(tmp_path / "old").startswith(b"".join(e.line + b"\n" for e in events[:20]))


def test_nothing_goes_when_the_archives_disk_is_full(tmp_path):
    events = filled(tmp_path / "a")
    disk = Scripted()
    with thence.open(tmp_path / "a") as log:
        disk.error["write"] = FULL
        with pytest.raises(LogFull):
            pruned(log, before="2100", archive=tmp_path / "old", disk=disk)
        assert [event.event_id for event in log.read()] == [event.event_id for event in events]
        assert not [*(tmp_path / "old").glob("*.gz*")]
        disk.error["write"] = None
        pruned(log, before="2100", archive=tmp_path / "old", disk=disk)
        assert names(tmp_path / "a") == [CURRENT]


@pytest.mark.rest
@pytest.mark.promise("A5")
@pytest.mark.parametrize("is_archived", [False, True], ids=["removed", "archived"])
def test_call_that_fails_in_a_prune_is_an_error_and_loses_nothing(tmp_path, is_archived):
    methods = ("open_append", "open_read", "open_lock", "write", "sync_data", "sync_folder")
    methods += ("rename", "unlink", "write_new", "make_folder", "names", "path_id", "read_at")
    failed = 0
    for nth in range(1, 200):
        folder, archive = tmp_path / f"{nth}", tmp_path / f"{nth}.old" if is_archived else None
        events = [event.line for event in filled(folder, 8)]
        disk = StruckDisk(nth, *methods)
        with thence.open(folder) as log:
            try:
                pruned(log, before="2100", archive=archive, disk=disk)
            except ThenceError:
                failed += 1
            assert log.verify().ok
            here = [event.line for event in log.read()]
            packed = archived(archive).splitlines() if archive else []
            assert set(events) <= {*here, *packed} or not archive
            pruned(log, before="2100", archive=archive)
            assert names(folder) == [CURRENT]
            assert log.verify().ok
            if archive:
                assert set(events) <= {
                    *archived(archive).splitlines(),
                    *(e.line for e in log.read()),
                }
        if disk.left > 0:
            break
    assert nth < 199
    assert failed > 10


def on_simulated_disk(disk):
    sizes = {"max_file_size": SEGMENT_BYTES, "bodies_from": BODIES_FROM_MIN}
    return Log(PLACE, PLAIN, LogSettings(**sizes, report=lambda *_: None), disk=disk)


def prepared(archive):
    """Record each state of a disk while a log of several segments is pruned."""
    disk = SimulatedDisk()
    disk.make_folder(PLACE)
    with on_simulated_disk(disk) as log:
        for n in range(24):
            log.append("noted", {"n": n, "text": f"v{n} " * 300 if n % 8 == 1 else "x" * 150})
        events = list(log.read())
    ready = worst(disk.moment())
    disk = SimulatedDisk(ready, is_recording=True)
    with on_simulated_disk(disk) as log:
        pruned(log, keep=SEGMENT_BYTES, archive=archive, disk=disk)
    assert len(names(PLACE, disk)) < 4
    return events, disk.moments


def judged(image, events, archive, *, is_cut=False):
    """Open a log after a kill or a power cut, and prune it again: nothing may be gone or wrong."""
    disk = SimulatedDisk(image)
    with on_simulated_disk(disk) as log:
        if is_cut:  # zeros may stand where a line was not synced: an append tells of them
            log.append("noted")
        here = [event.line for event in log.read()]
        verification = log.verify()
        assert verification.ok, verification.findings
        has_notice = log.last_prune() is not None
        gone = [event for event in events if event.line not in here]
        told = log.pruned()
        assert all(told.holds(event.node_id, event.seq) for event in gone)
        if archive is not None:
            packed = archived(ARCHIVE, disk).splitlines()
            assert {event.line for event in events} <= {*here, *packed}
        first, *_ = log.read(Position().after(events[:1]))
        is_missed = told.last(first.node_id) > 1
        assert (first.event_type == "log.pruned") == is_missed
        # what was told of goes with the next prune, whatever its bounds
        pruned(log, keep=1 << 40, archive=archive, disk=disk)
        for event in log.read():
            assert not told.holds(event.node_id, event.seq)
        here = [event.line for event in log.read()]
        assert here == sorted(here, key=lambda line: int(line.split(b'"seq":')[1].split(b",")[0]))
        seq = log.append("noted").seq
        assert seq > len(events)
        pruned(log, keep=SEGMENT_BYTES, archive=archive, disk=disk)
        assert log.verify().ok
        assert log.append("noted").seq > seq
        assert len(names(PLACE, disk)) < 4
        if archive is not None:
            here = [event.line for event in log.read()]
            packed = archived(ARCHIVE, disk).splitlines()
            values = archived(ARCHIVE, disk, "bodies")
            assert {event.line for event in events} <= {*here, *packed}
            named = {
                entry.digest
                for event in events
                for entry in event.body_entries
                if event.line not in here
            }
            assert len(named) > 1
            assert all(f'"{digest}"'.encode() in values for digest in named)
            assert not [name for name in disk.names(ARCHIVE) if name.endswith(".new")]
    return has_notice


@pytest.mark.promise("A5")
@pytest.mark.parametrize("archive", [None, ARCHIVE], ids=["removed", "archived"])
def test_prune_that_is_killed_at_any_call_leaves_a_sound_log(archive):
    events, moments = prepared(archive)
    told = 0
    for moment in moments:
        told += judged(settled(moment), events, archive)
    assert 0 < told < len(moments)


@pytest.mark.promise("A5")
@pytest.mark.parametrize("archive", [None, ARCHIVE], ids=["removed", "archived"])
@pytest.mark.whole
def test_power_cut_in_a_prune_leaves_a_sound_log(archive):
    chance = random.Random(seed(f"pruning {archive}"))
    events, moments = prepared(archive)
    for moment in tenth(moments, moments[::3]):
        crashes = Crashes(moment)
        for image in (worst(moment), crashes.some(chance), crashes.some(chance)):
            judged(image, events, archive, is_cut=True)
