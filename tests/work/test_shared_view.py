"""`.kittify/events/` of the main working tree shows the journal, and takes other tools' lines."""

import json
import os

import pytest
from tests.events import drafted, event_of, new_id, stamped
from tests.git.repositories import commit, git
from tests.work.boards import (
    BOARD,
    clone,
    done,
    features,
    synced,
    tool_line,
    view,
    view_lines,
    work,
)

from thence.core.clock import CLOCK_AHEAD_MAX
from thence.core.codec import stamper
from thence.work.day_lines import lacking
from thence.work.session.session import Session


def journal(repo):
    with Session(repo) as session:
        return [event.line.decode() for event in session.store.read()]


def test_each_event_is_appended_to_the_view_behind_its_command_and_git_sees_nothing(repo):
    assert view_lines(repo) == journal(repo)
    day = view(repo)
    before, inode = day.read_bytes(), day.stat().st_ino
    done(repo, "add-history", "WP01", "on")
    assert view_lines(repo) == journal(repo)
    assert len(view_lines(repo)) == 3
    assert day.stat().st_ino == inode
    assert day.read_bytes().startswith(before)
    assert git(repo, "status", "--porcelain") == ""
    assert git(repo, "ls-files", ".kittify/events") == ""


@pytest.mark.promise("L1")
def test_line_of_another_tool_is_in_the_journal_with_the_next_command(repo):
    day = view(repo)
    line = tool_line(day, 1)
    with day.open("a") as file:
        file.write(line + "\n")
    features(repo)
    assert journal(repo).count(line) == 1
    done(repo, "add-history", "WP01", "on")
    features(repo)
    assert journal(repo).count(line) == view_lines(repo).count(line) == 1


def test_command_decides_on_what_another_tool_has_just_written(repo):
    day = view(repo)
    moved = {
        **json.loads(tool_line(day, 2)),
        "event_type": "WPStatusChanged",
        "payload": {"wp_id": "WP01", "previous_status": "planned", "new_status": "rejected"},
    }
    with day.open("a") as file:
        file.write(json.dumps(moved) + "\n")
    ended = work(repo, "implement", "WP01")
    assert ended.code == 1
    assert "rejected" in ended.err


def test_torn_line_is_closed_before_ours_and_told_once_it_is_whole(repo):
    day = view(repo)
    with day.open("a") as file:
        file.write('{"event_id": "01KA')
    assert "skipped" not in work(repo, "status").err, "somebody may be writing it"
    done(repo, "add-history", "WP01", "on")
    lines = view_lines(repo)
    assert lines[2] == '{"event_id": "01KA'
    assert "on" in lines[3]
    assert "skipped" in work(repo, "status").err
    assert "skipped" not in work(repo, "status").err


def test_last_line_without_its_newline_is_taken_and_kept_apart(repo):
    day = view(repo)
    line = tool_line(day, 3)
    with day.open("a") as file:
        file.write(line)
    done(repo, "add-history", "WP01", "on")
    assert sorted(view_lines(repo)) == sorted(journal(repo))
    assert line in journal(repo)


def test_view_that_was_deleted_comes_back_whole(repo):
    git(repo, "clean", "--quiet", "-fdX")
    assert not (repo / ".kittify/events").exists()
    done(repo, "add-history", "WP01", "on")
    assert view_lines(repo) == journal(repo)


def test_unchanged_view_is_not_read(repo):
    features(repo)
    day = view(repo)
    before = day.stat().st_atime_ns
    os.utime(day, ns=(0, day.stat().st_mtime_ns))  # the system notes the next time it is read
    features(repo)
    assert before
    assert day.stat().st_atime_ns == 0


def test_link_in_the_place_of_a_day_file_is_not_followed(repo, tmp_path):
    day = view(repo)
    day.unlink()
    target = tmp_path / "target"
    target.write_text("")
    day.symlink_to(target)
    done(repo, "add-history", "WP01", "on")
    assert target.read_text() == ""
    assert len(journal(repo)) == 3


@pytest.mark.promise("L2")
@pytest.mark.parametrize("is_shared", [False, True])
def test_parked_line_is_tried_again_until_the_bound_has_moved(remote, tmp_path, is_shared):
    repo = clone(remote, tmp_path / "ada")
    done(repo, "finalize-tasks", "--add", "First")
    synced(repo)
    held = len(journal(repo))
    note = drafted(new_id(), "HistoryAdded", {"feature_slug": "000-general", "payload": {}})
    far = stamper("0123456789ab")([note], 1, held + CLOCK_AHEAD_MAX + 4)[0].decode()
    day = f".kittify/events/{view(repo).name}"
    if is_shared:
        other = clone(remote, tmp_path / "eve", "--branch", BOARD)
        commit(other, {day: (other / day).read_text() + far})
        git(other, "push", "--quiet")
        git(repo, "fetch", "--quiet")
    else:
        with (repo / day).open("a") as file:
            file.write(far)
    for _ in range(3):
        assert "clock far ahead" in work(repo, "status").err
        assert far.strip() not in journal(repo)
        done(repo, "add-history", "WP01", "on")
    assert work(repo, "status").err == ""
    assert journal(repo).count(far.strip()) == 1


def test_verified_event_is_added_beside_another_tools_or_damaged_line_of_its_id():
    line = stamped(drafted(new_id(), "WPCreated", {"payload": {}}), 1, 1)
    event = event_of(line)
    foreign = json.dumps({"event_id": event.event_id, "event_type": "WPCreated"}).encode()
    damaged = event.line.replace(b"WPCreated", b"WPCreatee")
    for other in (foreign, damaged):
        assert lacking(other + b"\n", [event], list) == [event.line]
    assert lacking(event.line + b"\n", [event], list) == []
