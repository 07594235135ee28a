"""A growing log followed: every event once, in arrival order, whatever happens to its files."""

import os
import random
from itertools import islice
from threading import Event as Signal
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import plain_order
from tests.disks import Scripted
from tests.events import event_of, line_of
from tests.log.faults import WAIT_S, SteppingDisk
from tests.log.processes import APPEND, descriptors, in_child, started
from tests.tiers import examples

import thence
from thence.core.new_event import Position
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK
from thence.log.log_reader import Reader
from thence.log.open import Log, LogSettings
from thence.log.read import reader


class Acting(Signal):
    """A stop at whose waits something is done, one thing after the other; then it is set."""

    def __init__(self, *acts):
        super().__init__()
        self.acts = [*acts]

    def wait(self, timeout=None):
        if not self.acts:
            self.set()
            return True
        self.acts.pop(0)()
        return False


def followed(folder, *acts, disk=OS_DISK):
    """Return what is served while something is done each time that a log's end is reached."""
    return list(Reader(disk, folder, PLAIN).follow(stop=Acting(*acts)))


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
    monkeypatch.setattr("thence.log.log_reader.POLL_S", 10 * WAIT_S)
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

    def begin():
        with thence.open(folder) as log:
            log.append("t")

    assert [event.event_type for event in followed(folder, begin)] == ["t"]


@pytest.mark.parametrize("cut", [1, 12, 60])
def test_half_a_line_is_served_when_it_is_whole(tmp_path, cut):
    path = tmp_path / "events.jsonl"
    first, second = line_of(), line_of({"n": 1})
    path.write_bytes(first + second[:cut])

    def end():
        with path.open("ab") as file:
            file.write(second[cut:])

    assert followed(tmp_path, lambda: None, end) == [event_of(first), event_of(second)]


def test_torn_tail_written_over_to_the_same_size_is_read_right(tmp_path):
    path = tmp_path / "events.jsonl"
    first, second = line_of(), line_of()
    path.write_bytes(first + b"x" * len(second))
    os.utime(path, ns=(1, 1))

    def write_over():
        with path.open("r+b") as file:
            file.seek(len(first))
            file.write(second)

    assert followed(tmp_path, write_over) == [event_of(first), event_of(second)]


@pytest.mark.parametrize("call", range(1, 14))
def test_rotation_between_any_two_looks_of_a_follower_loses_nothing(tmp_path, call):
    log = Log(tmp_path, PLAIN, LogSettings(max_file_size=600))
    for _ in range(6):
        log.append("t")

    disk = SteppingDisk(call, lambda: [log.append("t") for _ in range(8)])
    seqs = [event.seq for event in followed(tmp_path, lambda: log.append("t"), disk=disk)]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) == (15 if disk.looks >= call else 7)
    log.close()


def test_look_at_an_idle_log_costs_one_stat_and_opens_nothing(tmp_path):
    (tmp_path / "events.jsonl").write_bytes(line_of())
    disk = Scripted()
    assert len(followed(tmp_path, disk.calls.clear, lambda: None, disk=disk)) == 1
    assert {name for name, *_ in disk.calls} == {"path_state"}


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
@given(st.lists(st.lists(parts, max_size=5).map(b"".join), max_size=4))
def test_what_is_followed_and_what_is_held_is_what_is_read(tmp_path_factory, segments):
    folder = tmp_path_factory.mktemp("log")
    for number, data in enumerate(segments[:-1]):
        (folder / f"events_2026-11-20_07-13-05-{number:06}.jsonl").write_bytes(data)
    (folder / "events.jsonl").write_bytes(segments[-1] if segments else b"")
    expected = reader.events(OS_DISK, folder, PLAIN)
    assert followed(folder) == expected
    assert plain_order.position(OS_DISK, folder, PLAIN) == Position().after(expected)
    back = [event.event_id for event in Reader(OS_DISK, folder, PLAIN).backwards()]
    assert len(back) == len({*back})
    assert {*back} <= {event.event_id for event in expected}
