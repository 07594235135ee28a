"""A log's condition is told from a few reads, while others may write."""

import errno
import os
import shutil
import time

import pytest
from tests.disks import ReadingDisk, Scripted
from tests.events import line_of
from tests.log.processes import descriptors, in_child

import thence
from thence.core.codec import LINE_BYTES_MAX
from thence.log import doctor
from thence.log.doctor import lock, log_checks, tail
from thence.log.files.disk import OS_DISK, DiskError
from thence.log.files.health import Check
from thence.log.files.identity import read_info
from thence.log.files.sessions import WriterSession


def looked_at(folder, disk=OS_DISK):
    return {check.name: check for check in log_checks(disk, folder)}


def segment(folder, *lines, name="events.jsonl"):
    (folder / name).write_bytes(b"".join(lines))
    return folder / name


def appending(folder, effect):
    return f"`thence append note --log {folder}` {effect}, as each append does"


def test_newest_event_is_found_behind_an_empty_segment(tmp_path):
    older = "events_2026-01-01_00-00-00-000000.jsonl"
    segment(tmp_path, line_of(event_id="older"), name=older)
    segment(tmp_path)
    assert "[older]" in looked_at(tmp_path)["events"].detail
    segment(tmp_path, b"", name="events_2026-01-02_00-00-00-000000.jsonl")
    size = len(line_of(event_id="older"))
    assert f"; 3 segments, {size} bytes; " in looked_at(tmp_path)["log"].detail


def test_large_plain_log_is_told_of_pruning(tmp_path, monkeypatch):
    for name in ("plain", "sim"):
        thence.open(tmp_path / name, vocabulary=name).close()
        segment(tmp_path / name, line_of())
        assert looked_at(tmp_path / name)["log"].hint == ""
    monkeypatch.setattr(doctor, "LARGE_BYTES", 100)
    check = looked_at(tmp_path / "plain")["log"]
    assert check.ok
    assert "thence prune" in check.hint
    assert looked_at(tmp_path / "sim")["log"].hint == ""


def test_line_that_lacks_its_newline_only_is_whole(tmp_path):
    segment(tmp_path, line_of(event_id="older"), line_of(event_id="newest", seq=2)[:-1])
    check = looked_at(tmp_path)["events"]
    assert (check.ok, check.detail) == (
        True,
        "the newest line [newest] is complete but for its newline",
    )


def test_line_that_is_being_written_is_waited_for(tmp_path):
    whole = line_of(event_id="newest")
    path = segment(tmp_path, whole[:-30])

    def grow(_):
        if disk.calls.count(("open_read", path)) == 3:  # the second look at its end
            segment(tmp_path, whole)

    disk = Scripted()
    disk.before["open_read"] = grow
    assert looked_at(tmp_path, disk)["events"].ok


def test_endless_line_is_told_from_its_end_alone(tmp_path):
    path = segment(tmp_path, line_of())
    os.truncate(path, 2**33)  # zeros, as a crash may leave them
    (tmp_path / ".thence").mkdir()
    (tmp_path / ".thence" / "log.json").write_text('{"format":1,"log_id":"x","vocabulary":"plain"}')

    disk = ReadingDisk()
    check = looked_at(tmp_path, disk)["events"]
    assert (check.ok, check.is_damage) == (False, False)
    assert check.detail.endswith("is unfinished, 2,097,152 bytes or more")
    assert check.hint == appending(tmp_path, "moves it aside and reports it")
    assert disk.read_bytes < 2**24


def test_log_without_events_has_no_tail(tmp_path):
    segment(tmp_path)
    (tmp_path / ".thence").mkdir()
    (tmp_path / ".thence" / "log.json").write_text('{"format":1,"log_id":"x","vocabulary":"plain"}')
    assert looked_at(tmp_path)["events"] == Check("events", True, "no events yet")


@pytest.fixture
def written(tmp_path):
    """A log of one event, closed."""
    with thence.open(tmp_path) as log:
        log.append("noted", event_id="only-one")
    return tmp_path


def test_each_part_of_a_log_in_order_says_what_is_there(written):
    log_id = read_info(OS_DISK, written).log_id
    (event,) = thence.open(written).read()
    size = f"1 segment, {len(event.line) + 1:,} bytes"
    assert log_checks(OS_DISK, written) == [
        Check("log", True, f"plain log {log_id}; {size}; node {event.node_id}"),
        Check("events", True, "the newest line [only-one] is intact"),
        Check("writers", True, "the append lock is free; 0 open for appending; no quarantine"),
    ]


def test_log_that_was_only_copied_there_says_what_the_first_append_will_make(tmp_path):
    segment(tmp_path, line_of())
    log, _, writers = log_checks(OS_DISK, tmp_path)
    assert log.detail.startswith("plain log without .thence/log.json, which appends make; ")
    assert log.detail.endswith("; no node yet: the first append makes one")
    detail = "no lock file yet: the first append makes it; 0 open for appending; no quarantine"
    assert writers == Check("writers", True, detail)


def test_session_without_its_record_is_told_with_what_the_next_append_does(written):
    (written / ".thence" / "open" / "x").write_bytes(b"x")
    assert looked_at(written)["writers"] == Check(
        "writers",
        False,
        "0 open for appending, 1 ended without closing; events that 1 of them had queued may be"
        " lost; the append lock is free; no quarantine",
        appending(written, "reports it in the log"),
    )


def test_copy_of_a_log_is_told_to_have_the_node_of_another(written, tmp_path_factory):
    copied = tmp_path_factory.mktemp("copy") / "log"
    shutil.copytree(written, copied)
    (event,) = thence.open(written).read()
    log = looked_at(copied)["log"]
    assert log.detail.startswith(
        f"node {event.node_id} belongs to the log that this one was copied or moved from; "
    )
    assert (log.ok, log.is_damage) == (False, False)
    assert log.hint == appending(copied, "takes a node of its own and reports it")


def test_damaged_newest_line_is_told_with_its_code_and_where_to_look_further(tmp_path):
    segment(tmp_path, line_of(), line_of(seq=2)[:-4] + b'0}"\n')
    check = looked_at(tmp_path)["events"]
    assert check.detail.startswith("the newest line is damaged: ")
    assert check[3:] == ("`thence verify` lists all the damage there is", True)


def test_whole_line_as_long_as_may_be_is_found_though_only_the_end_is_read(tmp_path):
    # the read begins amid the first line, whose end is no line of its own
    first = line_of({"text": "x" * (LINE_BYTES_MAX - 400)})
    newest = line_of({"text": "x" * (LINE_BYTES_MAX - 400)}, event_id="newest", seq=2)
    segment(tmp_path, line_of(), first, first, newest)
    assert looked_at(tmp_path)["events"].detail == "the newest line [newest] is intact"
    segment(tmp_path, line_of(), first, newest, b"\n\n")
    assert looked_at(tmp_path)["events"].detail == "the newest line [newest] is intact"


def test_line_that_stays_unfinished_is_looked_at_three_times(tmp_path):
    path = segment(tmp_path, line_of()[:-30])
    disk = Scripted()
    assert not tail(disk, tmp_path).ok
    assert [call for call in disk.calls if call[0] == "open_read"] == [("open_read", path)] * 3


def test_quarantine_counts_what_is_there_and_what_is_not_told(written):
    folder = written / ".thence/quarantine"
    folder.mkdir()
    for name in ("a.torn", "b.torn", "c.torn.untold"):
        (folder / name).touch()
    untold = looked_at(written)["writers"]
    assert not untold.ok
    assert untold.detail.startswith("1 of 3 in quarantine are not reported in the log yet; ")
    assert untold.hint == appending(written, "reports them in the log")
    (folder / "c.torn.untold").unlink()
    told = looked_at(written)["writers"]
    assert told.ok
    assert told.detail.endswith("; 2 in quarantine, all reported")


def test_sessions_are_counted_and_what_the_dead_may_have_lost(written):
    living, *dead = [WriterSession(OS_DISK, written) for _ in range(3)]
    for session in (living, *dead):
        session.begin()
    free = "the append lock is free; {}; no quarantine"
    told = looked_at(written)["writers"]
    assert told == Check("writers", True, free.format("3 open for appending"))
    for session in dead:
        session.is_unsynced = True
        session.end()
    gone = "1 open for appending, 2 ended without closing"
    assert looked_at(written)["writers"] == Check("writers", True, free.format(gone))

    in_child(WriterSession(OS_DISK, written).mark_queued)
    lost = looked_at(written)["writers"]
    assert lost.detail.startswith(
        "1 open for appending, 3 ended without closing; events that 1 of them had queued may be"
        " lost; "
    )
    assert (lost.ok, lost.hint) == (False, appending(written, "reports it in the log"))
    living.end()


def test_lock_that_is_held_is_waited_for_then_told_with_its_holder(written):
    path = written / ".thence/lock"
    holder = OS_DISK.open_lock(path)
    assert OS_DISK.try_lock(holder)
    start = time.monotonic()
    before = descriptors(written)
    assert lock(OS_DISK, written) == Check(
        "writers",
        False,
        f"process {os.getpid()} has held the append lock for 1 s",
        f"wait for it, or end it with `kill`; `fuser -v {path}` shows it",
    )
    assert time.monotonic() - start >= 1

    def give_back(_):
        if disk.count("try_lock") == 3:
            OS_DISK.unlock(holder)

    disk = Scripted()
    disk.before["try_lock"] = give_back
    assert lock(disk, written) == Check("writers", True, "the append lock is free")
    assert OS_DISK.try_lock(holder)  # whoever looked has given it back
    assert descriptors(written) == before
    OS_DISK.close(holder)


def test_check_that_the_disk_refuses_bears_its_name(written):
    class Unreadable(Scripted):
        def open_read(self, path):
            if path.name == "identity.json":
                raise error
            return super().open_read(path)

    error = DiskError("as said")
    log, *refused = log_checks(Unreadable(path_id=error, names=error), written)
    hint = "let this user read it: `chmod u+rX FILE`"
    assert refused == [
        Check("events", False, "as said", hint),
        Check("writers", False, "as said; as said; as said", hint),
    ]
    assert not log.ok
    assert log.hint.endswith(hint)
    (written / ".thence/log.json").write_bytes(b"7")
    named = looked_at(written)["log"]
    assert (named.name, named.ok, named.is_damage) == ("log", False, True)
    assert named.detail.startswith(f"{written / '.thence/log.json'}: the file is not what thence")
    assert named.hint.startswith("restore it from a backup, or move it away")


@pytest.mark.parametrize("call", ["open_read", "read_at"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_log_that_can_not_be_read_is_no_damage(written, call, number):
    check = looked_at(written, Scripted(**{call: DiskError(number, "as said")}))["log"]
    assert (check.ok, check.is_damage) == (False, False)
    assert check.detail.startswith(f"{written}: as said")
