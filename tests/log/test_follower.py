"""A growing log followed: every event once, in arrival order, whatever happens to its files."""

import random
from contextlib import suppress
from itertools import islice
from threading import Event as Signal
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import plain_order
from tests.disks import Scripted
from tests.events import event_of, line_of
from tests.log.faults import WAIT_S, SteppingDisk, StruckDisk
from tests.log.processes import APPEND, descriptors, in_child, started
from tests.tiers import examples

import thence
from thence.core.new_event import Position
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK
from thence.log.open import Log, LogSettings
from thence.log.read import reader
from thence.log.read.reader import Follower


@pytest.fixture
def follower(tmp_path):
    with Follower(OS_DISK, tmp_path, PLAIN) as made:
        yield made


def ids(events):
    return [event.event_id for event in events]


def waited(follower):
    """Wait for news as long as a test may take, and return what came."""
    stop = Signal()
    guard = Thread(target=lambda: stop.wait(WAIT_S) or stop.set(), daemon=True)
    guard.start()
    assert follower.wait(stop)
    stop.set()
    guard.join()
    return list(follower.events())


@pytest.mark.promise("P1")
@pytest.mark.xdist_group("heavy")
def test_events_of_rotating_processes_are_followed_and_resumed_anywhere(tmp_path):
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    writers = [started(APPEND, tmp_path, 300, name) for name in "ab"]
    log = Log(tmp_path, PLAIN)
    position, seen = Position(), []
    while len(seen) < 600:
        after = chance.choice([position, seen[-1] if seen else None])
        for event in islice(log.follow(after=after), chance.randrange(1, 60)):
            seen.append(event)
            position = position.after([event])
            if len(seen) == 600:
                break
    for writer in writers:
        _, err = writer.communicate(timeout=WAIT_S)
        assert writer.returncode == 0, err
    assert seen == list(log.read())
    assert [event.seq for event in seen] == list(range(1, 601))
    for name in "ab":
        assert [e.payload["n"] for e in seen if e.payload["writer"] == name] == list(range(300))
    assert len(list(tmp_path.glob("events_*.jsonl"))) > 10


@pytest.mark.promise("P1")
def test_follow_ends_when_stop_is_set_and_not_when_it_looks_again(tmp_path, monkeypatch):
    monkeypatch.setattr("thence.log.read.reader.POLL_S", 10 * WAIT_S)
    stop, going = Signal(), Signal()
    with thence.open(tmp_path) as log:
        log.append("t")

        def work():
            for _ in log.follow(stop=stop):
                going.set()

        thread = Thread(target=work, daemon=True)
        thread.start()
        assert going.wait(WAIT_S)
        stop.set()
        thread.join(WAIT_S)
        assert not thread.is_alive()


def test_backlog_does_not_delay_the_stop(tmp_path):
    (tmp_path / "events.jsonl").write_bytes(b"".join(line_of(seq=n + 1) for n in range(50)))
    stop = Signal()
    stream = Log(tmp_path, PLAIN).follow(stop=stop)
    next(stream)
    stop.set()
    assert list(stream) == []


def test_log_may_begin_to_exist_later(tmp_path):
    folder = tmp_path / "deep" / "log"
    with Follower(OS_DISK, folder, PLAIN) as follower:
        assert list(follower.events()) == []
        with thence.open(folder) as log:
            first = log.append("t")
            assert waited(follower) == [first]


@pytest.mark.parametrize("cut", [1, 12, 60])
def test_half_a_line_is_served_when_it_is_whole(tmp_path, follower, cut):
    path = tmp_path / "events.jsonl"
    first, second = line_of(), line_of({"n": 1})
    path.write_bytes(first + second[:cut])
    assert ids(follower.events()) == [event_of(first).event_id]
    assert list(follower.events()) == []
    with path.open("ab") as file:
        file.write(second[cut:])
    assert waited(follower) == [event_of(second)]


def test_torn_tail_written_over_to_the_same_size_is_read_right(tmp_path, follower):
    path = tmp_path / "events.jsonl"
    first, second = line_of(), line_of()
    path.write_bytes(first + b"x" * len(second))
    assert len(list(follower.events())) == 1
    with path.open("r+b") as file:
        file.seek(len(first))
        file.write(second)
    assert waited(follower) == [event_of(second)]


def test_inode_of_a_deleted_segment_may_be_that_of_a_new_one(tmp_path):
    numbers = {}

    def recycled(real, place):
        """Gives each file the number of the last but one, which is gone by then."""
        found = real(place)
        if found is None:
            return None
        file, size = found
        return numbers.setdefault(file, (1, len(numbers) % 2)), size

    disk = Scripted()
    disk.instead = {"path_id": recycled, "file_id": recycled}
    log = Log(tmp_path, PLAIN, LogSettings(max_file_size=200))
    seen = []
    with Follower(disk, tmp_path, PLAIN) as follower:
        for number in range(12):
            event = log.append("t", {"n": number})
            for path in sorted(tmp_path.glob("events_*.jsonl"))[:-1]:
                path.rename(path.with_suffix(".gone"))
            seen += follower.events()
            assert seen[-1] == event, number
    assert [event.payload["n"] for event in seen] == list(range(12))


@pytest.mark.parametrize("call", range(1, 14))
def test_rotation_between_any_two_looks_at_the_folder_loses_nothing(tmp_path, call):
    log = Log(tmp_path, PLAIN, LogSettings(max_file_size=600))
    for _ in range(6):
        log.append("t")

    disk = SteppingDisk(call, lambda: [log.append("t") for _ in range(8)])
    with Follower(disk, tmp_path, PLAIN) as follower:
        seqs = [event.seq for event in follower.events()]
        seqs += [event.seq for event in follower.events()]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) >= (14 if disk.looks >= call else 6)
    log.close()


def test_with_sync_no_event_is_served_before_it_is_on_the_device(tmp_path):
    disk = Scripted()
    lines = [line_of({"n": n}, seq=n + 1, lamport_clock=n + 1) for n in range(3)]
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines[0] + lines[1])
    log = Log(tmp_path, PLAIN, disk=disk)
    stream = log.follow(sync=True)
    assert disk.count("sync_data") == 0
    assert next(stream) == event_of(lines[0])
    assert disk.count("sync_data") == 1
    assert next(stream) == event_of(lines[1])
    with path.open("ab") as file:
        file.write(lines[2])
    assert next(stream) == event_of(lines[2])
    assert disk.count("sync_data") == 2
    next(log.follow())
    assert disk.count("sync_data") == 2


@pytest.mark.parametrize("count", [0, 1, 3, 7, 8, 20])
def test_follower_can_begin_at_the_last_events(tmp_path, count):
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=700)) as log:
        events = [log.append("t", {"n": n}) for n in range(8)]
        with (tmp_path / "events.jsonl").open("ab") as file:
            file.write(b"bad\n\n")
        with Follower(OS_DISK, tmp_path, PLAIN) as follower:
            follower.skip_to_last(count)
            assert list(follower.events()) == (events[-count:] if count else [])
            more = [log.append("t", {"n": n}) for n in range(8, 14)]
            assert list(follower.events()) == more
    with Follower(OS_DISK, tmp_path / "gone", PLAIN) as follower:
        follower.skip_to_last(count)
        assert list(follower.events()) == []


def test_follower_at_the_last_events_waits_for_an_unfinished_line(tmp_path, follower):
    whole, unfinished = line_of(), line_of()
    path = tmp_path / "events.jsonl"
    path.write_bytes(whole + unfinished[:-1])
    follower.skip_to_last(0)
    assert list(follower.events()) == []
    path.write_bytes(whole + unfinished)
    assert waited(follower) == [event_of(unfinished)]


def test_forked_child_follows_beside_its_parent(tmp_path):
    log = thence.open(tmp_path)
    stream = log.follow()
    first = log.append("t")
    assert next(stream) == first

    def child():
        assert next(log.follow()) == first
        log.append("child")

    in_child(child)
    assert next(stream).event_type == "child"
    log.close()


def test_abandoned_follower_leaves_no_file_open(tmp_path):
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=200)) as log:
        for _ in range(4):
            log.append("t")
        before = descriptors(tmp_path)
        for taken in range(1, 5):
            stream = log.follow()
            list(islice(stream, taken))
            stream.close()
        assert descriptors(tmp_path) == before


parts = st.sampled_from(
    [
        line_of(),
        line_of(seq=2),
        b'{"event_id":"theirs"}\n',
        b'{"event_id":"theirs too"}\r\n',
        b"bad\n",
        b"\0\0\0",
        b"\n",
        line_of(seq=3)[:-1],
        line_of(seq=4)[:60],
    ]
)


@settings(max_examples=examples(60))
@given(st.lists(st.lists(parts, max_size=5).map(b"".join), max_size=4), st.integers(0, 9))
def test_what_is_followed_and_what_is_held_is_what_is_read(tmp_path_factory, segments, count):
    folder = tmp_path_factory.mktemp("log")
    for number, data in enumerate(segments[:-1]):
        (folder / f"events_2026-11-20_07-13-05-{number:06}.jsonl").write_bytes(data)
    (folder / "events.jsonl").write_bytes(segments[-1] if segments else b"")
    expected = list(reader.events(OS_DISK, folder, PLAIN))
    with Follower(OS_DISK, folder, PLAIN) as follower:
        followed = list(follower.events())
        # of two contents of one id a reader serves one of them always, a follower the first
        assert [event.event_id for event in followed] == [event.event_id for event in expected]
        assert list(follower.events()) == []
    assert plain_order.position(OS_DISK, folder, PLAIN) == Position().after(expected)
    with Follower(OS_DISK, folder, PLAIN) as follower:
        follower.skip_to_last(count)
        assert {event.event_id for event in follower.events()} <= {
            event.event_id for event in expected
        }


@pytest.mark.parametrize("call", range(1, 40))
def test_disk_that_fails_once_hides_nothing_and_leaves_no_file_open(tmp_path, call):
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=300)) as log:
        events = [log.append("t") for _ in range(6)]

    looks = ("path_id", "names", "open_read", "file_id", "read_at")
    seen = []
    with Follower(StruckDisk(call, *looks), tmp_path, PLAIN) as follower:
        for _ in range(2):
            with suppress(OSError):
                seen.extend(follower.events())
        seen.extend(follower.events())
        assert seen == events
    with Follower(StruckDisk(call, *looks), tmp_path, PLAIN) as follower, suppress(OSError):
        follower.skip_to_last(2)
    assert descriptors(tmp_path) == []
