"""A batch that the disk breaks: what is written, told, kept, tried again, lost, and the count."""

import errno
from threading import Thread

import pytest
from tests.codes import raises_code
from tests.log.committers import (
    Reports,
    committer_of,
    made,
    types,
    until,
)
from tests.log.errors import said
from tests.log.faults import WAIT_S, FillingDisk
from tests.log.kills import session_of
from tests.log.processes import lines

import thence
from thence.errors import LogFull, OutcomeUnknown
from thence.log.files.disk import DiskError
from thence.log.write.batch import AppendFuture

pytestmark = pytest.mark.usefixtures("prepared")


@pytest.fixture
def opened(tmp_path):
    """Make a committer whose thread stands in its first sync: what is queued now is one batch."""
    gates = []

    def at_its_first_sync(disk):
        gates.append(disk.gate)
        reports = Reports()
        committer = committer_of(tmp_path, disk, reports)
        committer.put(made("first"))
        assert disk.arrived.wait(WAIT_S)
        return committer, reports

    yield at_its_first_sync
    for gate in gates:  # a test that failed leaves nobody in its thread
        gate.set()


def queue(committer, *items):
    for item in items:
        if isinstance(item, AppendFuture):
            committer.join(item)
        else:
            committer.put(item)


def try_again(committer):
    """Wait for the next try of what is kept."""
    return committer.append((), WAIT_S)


def ids(drafts):
    return [draft.event_id for draft in drafts]


def may_lose(folder):
    """Tell whether a kill now would be told to have lost events."""
    return session_of(folder).has_queue


def notices(folder):
    return [
        event.payload
        for event in thence.open(folder).read()
        if event.event_type == "log.write_failed"
    ]


def test_broken_batch_is_parted_into_what_is_written_told_and_kept(tmp_path, opened):
    disk = FillingDisk()
    committer, reports = opened(disk)
    a, b, c, d, e, f, g = map(made, "abcdefg")
    one, pair, flush, last = (
        AppendFuture((b,)),
        AppendFuture((d, e)),
        AppendFuture(),
        AppendFuture((g,)),
    )
    queue(committer, a, one, c, pair, f, flush, last)
    disk.lines_left = 4
    disk.gate.set()
    reports.wait_for("refused")
    (refused,) = reports.all("refused")
    error = refused["error"]
    assert refused == {"event_ids": [f.event_id], "error": error}
    assert said(error)[::3] == (LogFull, "as said")
    stored = (tmp_path / "events.jsonl").read_bytes().splitlines(keepends=True)
    assert all(item.wait(WAIT_S) for item in (one, pair, flush, last))
    assert (one.outcomes, one.error) == ([stored[2]], None)
    assert (pair.outcomes, pair.error) == ([stored[4]], error)
    assert (flush.outcomes, flush.error) == ([], error)
    assert (last.outcomes, last.error) == ([], error)
    assert may_lose(tmp_path)
    disk.lines_left = None
    assert try_again(committer) == []
    assert reports.words == [("refused", refused), ("resumed", {"count": 3})]
    assert types(tmp_path) == ["first", "a", "b", "c", "d", "log.write_failed", "f"]
    assert notices(tmp_path) == [{"count": 3, "reason": str(error)}]
    assert not may_lose(tmp_path)
    assert committer.close(WAIT_S)


def test_refusals_in_a_row_count_each_event_once_and_name_the_last_reason(tmp_path, opened):
    disk = FillingDisk()
    committer, reports = opened(disk)
    a, b, c, d = map(made, "abcd")
    pair = AppendFuture((b, c))

    def at_refusal(count):
        if count == 1:  # these come into the second try
            queue(committer, d, pair)
        else:
            disk.refusal = DiskError(errno.EIO, "said next")

    disk.at_refusal = at_refusal
    queue(committer, a)
    disk.lines_left = 0
    disk.gate.set()
    assert pair.wait(WAIT_S)
    reports.wait_for("refused", 2)
    assert pair.error is reports.all("refused")[1]["error"]
    with raises_code("append_failed"):
        try_again(committer)
    assert disk.refused >= 3
    assert [facts["event_ids"] for facts in reports.all("refused")] == [ids([a]), ids([d])]
    assert reports.all("resumed") == []
    assert may_lose(tmp_path)
    disk.lines_left = None
    assert committer.close(WAIT_S)
    assert reports.all("resumed") == [{"count": 4}]
    assert types(tmp_path) == ["first", "log.write_failed", "a", "d"]
    assert notices(tmp_path) == [{"count": 4, "reason": str(pair.error)}]
    assert str(pair.error).endswith(": said next")
    assert committer.failed_count == 0


@pytest.mark.parametrize(
    ("kept", "queued", "room", "refused", "told_counts"),
    [
        ("a", "", 1, "", [1]),
        ("a", "b", 1, "b", [1, 1]),
        ("ab", "c", 2, "c", [2, 1]),
        ("ab", "cd", 3, "cd", [2, 2]),
        ("a", "bcd", 3, "cd", [1, 2]),
        ("abc", "d", 2, "d", [3, 1]),
    ],
)
def test_retry_that_is_broken_in_its_turn_tells_of_the_new_ones_alone(
    tmp_path, opened, kept, queued, room, refused, told_counts
):
    disk = FillingDisk()
    committer, reports = opened(disk)
    first, later = list(map(made, kept)), list(map(made, queued))

    def at_refusal(count):
        if count == 1:
            disk.lines_left = room  # the notice is the first to find it
            queue(committer, *later)

    disk.at_refusal = at_refusal
    queue(committer, *first)
    disk.lines_left = 0
    disk.gate.set()
    new = [draft for draft, name in zip(later, queued, strict=True) if name in refused]
    expected = [ids(first), ids(new)] if new else [ids(first)]
    until(lambda: disk.refused >= 2)
    reports.wait_for("refused", len(expected))
    assert [facts["event_ids"] for facts in reports.all("refused")] == expected
    disk.lines_left = None
    assert committer.close(WAIT_S)
    assert reports.all("resumed") == [{"count": count} for count in told_counts]
    assert [notice["count"] for notice in notices(tmp_path)] == told_counts
    assert [facts["event_ids"] for facts in reports.all("refused")] == expected
    found = [name for name in types(tmp_path) if name != "log.write_failed"]
    assert found == ["first", *kept, *queued]


@pytest.mark.parametrize("count", [1, 2])
def test_append_goes_behind_what_no_thread_could_be_started_for(tmp_path, monkeypatch, count):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    committer = committer_of(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse)
        committer.put(made("left"))
    assert not committer.is_running
    if count == 1:
        committer.append([made("a")], WAIT_S)
    else:
        committer.append([made("a"), made("b")], WAIT_S)
    assert types(tmp_path) == ["left", *"ab"[:count]]
    assert committer.close(WAIT_S)


def test_sync_that_fails_for_good_loses_the_emitted_and_says_which_by_what(tmp_path, opened):
    disk = FillingDisk()
    committer, reports = opened(disk)
    a, b, c, d = map(made, "abcd")
    waiting = AppendFuture((b,))
    queue(committer, a, waiting, c)
    disk.syncs_left = 1  # that of the first event
    disk.gate.set()
    reports.wait_for("unsynced")
    (told,) = reports.all("unsynced")
    error = told["error"]
    assert told["event_ids"] == ids([a, c])
    assert (type(error), error.cause) == (OutcomeUnknown, "device error")
    assert waiting.wait(WAIT_S)
    assert (waiting.outcomes, waiting.error) == ([], error)
    until(lambda: not may_lose(tmp_path))
    queue(committer, d)
    reports.wait_for("refused")
    assert reports.all("lost") == []
    assert not committer.close(0.1)
    lost = [event_id for facts in reports.all("lost") for event_id in facts["event_ids"]]
    assert sorted(lost) == sorted(ids([a, c, d]))
    assert committer.failed_count == 3
    assert committer.queued == 0


def test_sync_that_fails_for_good_with_callers_alone_loses_nothing_unsaid(tmp_path, opened):
    disk = FillingDisk()
    committer, reports = opened(disk)
    one, other, late = (AppendFuture((draft,)) for draft in map(made, "abc"))
    queue(committer, one, other)
    disk.syncs_left = 1
    disk.gate.set()
    for item in (one, other):
        assert item.wait(WAIT_S)
        with pytest.raises(OutcomeUnknown):
            item.result()
    queue(committer, late)
    assert late.wait(WAIT_S)
    assert late.error.code == "append_failed"
    assert reports.all("refused") == reports.all("lost") == []
    assert committer.close(WAIT_S)


@pytest.mark.parametrize("waits", [False, True])
def test_log_is_not_searched_for_what_was_refused_whole(tmp_path, opened, waits):
    disk = FillingDisk()
    committer, reports = opened(disk)
    a, b = map(made, "ab")
    queue(committer, *([AppendFuture((a,))] if waits else [a]), b)
    disk.lines_left = 0
    disk.gate.set()
    reports.wait_for("refused")
    disk.calls.clear()
    disk.lines_left = None
    try_again(committer)
    queue(committer, made("c"))
    try_again(committer)
    assert disk.count("open_read") == 0
    assert len(lines(tmp_path)) == 4 + (not waits)
    assert committer.close(WAIT_S)
