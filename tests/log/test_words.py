"""An error says the same at every door of an open log: what, where, why, what to do next."""

import errno
import logging
from pathlib import Path

import pytest
from tests.events import line_of
from tests.log.errors import raised, said
from tests.log.faults import WAIT_S, FailingDisk, GatedDisk

import thence
from thence.core.new_event import Position, Unchanged
from thence.core.vocabulary import PLAIN
from thence.errors import HeadsMoved, IdReused, NotALog, OutcomeUnknown, WriterClosed
from thence.log.files.disk import OS_DISK, Disk, warnings
from thence.log.files.disk_errors import DiskError
from thence.log.files.identity import read_info
from thence.log.open import Log
from thence.log.read.follower import Follower
from thence.log.read.reader import durable_event
from thence.log.write.batch import Retained
from thence.log.write.drafting import guarded, warn

BROKEN = DiskError(errno.EIO, "as said")


def test_guard_that_no_longer_holds_says_what_came_in_between(log, tmp_path):
    guard = Unchanged(Position(), {"WP01"})
    event = log.append("claimed", subject="WP01")
    assert raised(lambda: log.append("done", subject="WP01", guard=guard)) == (
        HeadsMoved,
        "could not append to",
        str(tmp_path),
        f"claimed {event.event_id} about WP01 came in between",
        "read the log again, decide again, then append with a new guard",
    )


def test_id_of_another_event_says_how_to_go_on(log, tmp_path):
    log.append("paid", {"amount": 1}, event_id="once")
    assert raised(lambda: log.append("paid", {"amount": 2}, event_id="once")) == (
        IdReused,
        "could not append to",
        str(tmp_path),
        "the id once belongs to an event with other content",
        "leave event_id out for a new event, or pass the same content for a retry",
    )


def test_closed_log_says_so_to_every_use(tmp_path):
    log = thence.open(tmp_path)
    log.close()
    told = (
        WriterClosed,
        "could not append to",
        str(tmp_path),
        "it was closed before",
        "open it again, or close it later",
    )
    uses = [
        lambda: log.append("t"),
        lambda: log.append_many([{"event_type": "t"}]),
        lambda: log.emit("t"),
        log.flush,
    ]
    assert [raised(use) for use in uses] == [told] * len(uses)


def test_what_was_refused_at_the_end_without_an_error_says_why():
    assert said(Retained().error) == (
        "append_failed",
        "could not append",
        "",
        "the log was closed",
        "",
    )


def test_append_that_waited_too_long_says_how_long_among_how_many_and_can_be_waited_for(tmp_path):
    thence.open(tmp_path).append("before")
    disk = GatedDisk()
    log = Log(tmp_path, PLAIN, disk=disk)  # not closed by a failure, which would wait
    log.emit("first")
    assert disk.arrived.wait(WAIT_S)
    log.emit("second")
    with pytest.raises(OutcomeUnknown) as caught:
        log.append("third", timeout_s=0.02)
    assert said(caught.value) == (
        OutcomeUnknown,
        "could not confirm an append to",
        str(tmp_path),
        "it waited 0.02 s among 3 queued events",
        "the event is still queued; retry() or flush() waits for it",
    )
    with pytest.raises(OutcomeUnknown, match=r"it waited 0\.01 s among \d queued"):
        log.flush(timeout_s=0.01)
    again = raised(caught.value.resume)
    assert again[:3] == (OutcomeUnknown, "could not confirm an append to", str(tmp_path))
    disk.gate.set()
    log.flush()
    third = caught.value.resume()
    assert list(log.read())[-1] == third
    assert log.close()


@pytest.mark.parametrize("cause", [BROKEN, DiskError("as said")], ids=["numbered", "numberless"])
def test_read_that_can_not_make_events_durable_says_what_may_be_lost(tmp_path, cause):
    with thence.open(tmp_path) as log:
        event_id = log.append("t").event_id
    broken = FailingDisk(sync_data=cause)
    found = raised(lambda: durable_event(broken, tmp_path, PLAIN, event_id))
    assert found == (
        OutcomeUnknown,
        "could not make sure of the event",
        event_id,
        "as said",
        "check the device; the event may be lost with the next power cut",
    )


def test_follower_that_can_not_make_events_durable_names_the_segment(tmp_path):
    (tmp_path / "events.jsonl").write_bytes(line_of())
    for cause in (BROKEN, DiskError("as said")):
        follower = Follower(FailingDisk(sync_data=cause), tmp_path, PLAIN, is_durable=True)
        assert raised(lambda follower=follower: list(follower.events())) == (
            OutcomeUnknown,
            "could not sync the events just read from",
            str(tmp_path / "events.jsonl"),
            "as said",
            "check the device; these events may be lost with the next power cut",
        )


@pytest.mark.parametrize(
    ("text", "place", "cause", "hint"),
    [
        (
            '{"format":3,"log_id":"x","vocabulary":"plain"}',
            "",
            "its format is 3, this version reads 1",
            "use a newer thence",
        ),
        (
            '{"format":"1"}',
            ".thence/log.json",
            "the file is not what thence wrote: Expected `int`, got `str` - at `$.format`",
            "restore it from a backup; the events beside it are untouched",
        ),
    ],
    ids=["newer", "unfit"],
)
def test_log_of_another_make_says_what_it_takes(tmp_path, text, place, cause, hint):
    (tmp_path / ".thence").mkdir()
    (tmp_path / ".thence/log.json").write_text(text)
    assert raised(lambda: read_info(OS_DISK, tmp_path)) == (
        NotALog,
        "could not open the log",
        str(tmp_path / place),
        cause,
        hint,
    )


@pytest.mark.parametrize(
    ("word", "level"),
    [
        ("rotated", logging.INFO),
        ("resumed", logging.INFO),
        ("dropped", logging.WARNING),
        ("lost", logging.WARNING),
    ],
)
def test_record_goes_to_the_logger_of_the_library_at_its_level(caplog, word, level):
    caplog.set_level(logging.DEBUG, "thence")
    warn(word, {"count": 1})
    assert caplog.record_tuples == [("thence", level, f"{word} (count 1)")]


def test_record_that_could_not_be_made_is_told_with_its_word_and_error(caplog):
    def broken(word, facts):
        raise RuntimeError("as said")

    guarded(broken)("rotated", {})
    told = "record_failed: RuntimeError('as said') (record rotated)"
    assert caplog.record_tuples == [("thence", logging.WARNING, told)]


def test_record_tells_the_error_first_and_of_many_ids_the_first_three(caplog):
    warn("refused", {"event_ids": ["a", "b", "c", "d", "e"], "error": ValueError("no room")})
    (record,) = caplog.record_tuples
    assert record[2] == "refused: no room (event_ids a, b, c and 2 others)"


def test_filesystem_on_which_nothing_is_proven_is_warned_of_with_the_folder():
    class Remote(Disk):
        def filesystem(self, folder):
            return "nfs4"

    facts = {"folder": "/logs/one", "filesystem": "nfs4"}
    assert warnings(Remote(), Path("/logs/one")) == [("unproven", facts)]
