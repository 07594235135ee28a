"""What is followed is what is read, whatever lies in the files and when the disk fails."""

import errno
import os
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import plain_order
from tests.events import line_of
from tests.log.processes import descriptors
from tests.tiers import examples

from thence.core.values.position import Position
from thence.core.values.vocabulary import PLAIN
from thence.log.read import reader
from thence.log.read.follower import Follower
from thence.log.storage.disk import OS_DISK, Disk
from thence.log.storage.disk_errors import DiskError
from thence.replica import Log

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
    with Log(tmp_path, PLAIN, max_file_size=300) as log:
        events = [log.append("t") for _ in range(6)]

    class FailingOnce(Disk):
        calls = 0

        def _step(self):
            self.calls += 1
            if self.calls == call:
                raise DiskError(errno.EIO, os.strerror(errno.EIO))

        def path_id(self, path):
            self._step()
            return super().path_id(path)

        def names(self, folder):
            self._step()
            return super().names(folder)

        def open_read(self, path):
            self._step()
            return super().open_read(path)

        def file_id(self, descriptor):
            self._step()
            return super().file_id(descriptor)

        def read_at(self, descriptor, offset, size):
            self._step()
            return super().read_at(descriptor, offset, size)

    seen = []
    with Follower(FailingOnce(), tmp_path, PLAIN) as follower:
        with suppress(OSError):
            seen.extend(follower.events())
        seen.extend(follower.events())
        assert seen == events
    with Follower(FailingOnce(), tmp_path, PLAIN) as follower, suppress(OSError):
        follower.skip_to_last(2)
    assert descriptors(tmp_path) == []
