"""A line that was taken back goes from what a clone shows and shares, and does not come again."""

import fcntl
import re
import threading
import zlib
from pathlib import Path

import pytest
from tests.git.repositories import git, write
from tests.work.boards import (
    done,
    journal,
    shared_lines,
    synced,
    tool_line,
    view,
    view_lines,
    work,
)
from tests.work.steps import killed_at, lines_of, reached

from thence.cli.commands.work.command_runner import attempt
from thence.core.codec import parse
from thence.core.event import Event
from thence.core.redaction import Redaction, digests, redacted
from thence.core.vocabulary import WORK
from thence.errors import Refused
from thence.work.journal import redacted_views, shared_view
from thence.work.journal.redacted_views import SharedCopies, redact_files
from thence.work.session.session import Session

SECRET = "swordfish"
pytestmark = pytest.mark.xdist_group("clones")


def noted(folder: Path) -> Event:
    """Append a note that holds the secret, and return its event."""
    done(folder, "add-history", "WP01", SECRET)
    return next(each for each in journal(folder) if SECRET.encode() in each.line)


def take_back(folder: Path, *events: Event) -> SharedCopies:
    """Take lines back as `thence redact` does."""
    with Session(folder) as session:
        log = session.store.log
        log.redactions.take_back(
            [Redaction(each.event_id, digests(each.line).line.hex()) for each in events]
        )
        log.rebuild()
        return redact_files(session.project, log)


def redact_again(folder: Path) -> SharedCopies:
    with Session(folder) as session:
        return redact_files(session.project, session.store.log)


def holding(folder: Path) -> list[Path]:
    """Return the files of a clone in which the secret stands, without git's objects."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    kept = (path for path in files if "objects" not in path.relative_to(folder).parts)
    return [path for path in kept if SECRET.encode() in path.read_bytes()]


@pytest.mark.promise("S10a")
def test_redacted_line_wins_on_the_branch_over_a_clone_that_knows_nothing(ada, bob, remote):
    secret = noted(ada)
    synced(ada)
    git(bob, "fetch", "--quiet")
    done(bob, "status")
    assert take_back(ada, secret).redacted_count == 1
    told = synced(ada)
    assert (told["pushed"], told["redacted"]) == (0, 1)
    assert redacted(secret.line).decode() in shared_lines(remote)
    assert SECRET not in "".join(shared_lines(remote))
    done(bob, "add-history", "WP01", "on")
    synced(bob)
    assert secret.line.decode() in shared_lines(remote), "bob's journal has it, and no redaction"
    told = synced(ada)
    assert (told["redacted"], told["pulled"]) == (1, 1)
    assert SECRET not in "".join(shared_lines(remote))
    assert len(shared_lines(remote)) == len(set(shared_lines(remote))) == 4
    assert synced(ada)["commit"] is None
    assert holding(ada) == []


def test_day_file_is_made_anew_in_its_place_and_what_comes_again_goes_too(repo, tmp_path):
    secret = noted(repo)
    day = view(repo)
    with day.open("ab") as file:
        file.write(secret.line[:-30] + b"\n" + tool_line(day, 1).encode())
    inode = day.stat().st_ino
    other = tmp_path / "other" / ".kittify" / "events"
    git(repo, "worktree", "add", "--quiet", tmp_path / "other")
    write(other, {day.name: day.read_bytes()})
    write(tmp_path, {"strangers.jsonl": secret.line + b"\n"})
    (other / "2020-01-01.jsonl").symlink_to(tmp_path / "strangers.jsonl")
    assert take_back(repo, secret).redacted_count == 4
    assert (tmp_path / "strangers.jsonl").read_bytes() == secret.line + b"\n"
    assert holding(tmp_path / "other") == []
    assert day.stat().st_ino == inode, "tools append to it"
    assert sorted(view_lines(repo)) == sorted(each.line.decode() for each in journal(repo))
    assert {redacted(secret.line).decode(), tool_line(day, 1)} < {*view_lines(repo)}
    assert redact_again(repo).redacted_count == 0
    with day.open("ab") as file:
        file.write(b"\n" + secret.line)
    done(repo, "status")
    assert holding(repo) == []
    assert "skipped" not in work(repo, "status").err
    done(repo, "add-history", "WP01", "on")
    assert sorted(view_lines(repo)) == sorted(each.line.decode() for each in journal(repo))


def test_parked_line_is_redacted_and_tried_again(repo):
    far = noted(repo).line.replace(SECRET.encode(), f"{SECRET} far".encode())
    far = re.sub(rb'"lamport_clock":\d+', b'"lamport_clock":%d' % (1 << 50), far)
    far = far[: -len(',"crc":"00000000"}')].replace(b'"event_id":"0', b'"event_id":"1')
    far += b',"crc":"%08x"}' % zlib.crc32(far)
    with view(repo).open("ab") as file:
        file.write(far + b"\n")
    done(repo, "status")
    parked = parse(far, WORK)
    assert isinstance(parked, Event)
    take_back(repo, parked, *(each for each in journal(repo) if SECRET.encode() in each.line))
    assert holding(repo) == []
    done(repo, "status")
    assert "clock far ahead" in work(repo, "status").err, "it stays, and is tried again"
    assert holding(repo) == []


@pytest.mark.promise("S10a")
def test_tools_that_append_meanwhile_lose_nothing(repo):
    for number in range(3):
        done(repo, "add-history", "WP01", f"{SECRET} {number}")
    secrets = [each for each in journal(repo) if SECRET.encode() in each.line]
    day, ended = view(repo), threading.Event()
    written: list[str] = []

    def append() -> None:
        number = 0
        while number < 50 or not ended.wait(0.001):
            number += 1
            with day.open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                written.append(tool_line(day, number))
                file.write(written[-1] + "\n")

    tool = threading.Thread(target=append)
    tool.start()
    try:
        for secret in secrets:
            take_back(repo, secret)
    finally:
        ended.set()
        tool.join()
    lines = [line.strip() for line in view_lines(repo)]
    assert sorted(line for line in lines if line in {*written}) == sorted(written)
    assert all(redacted(each.line).decode() in lines for each in secrets)
    assert SECRET not in "".join(lines)
    assert len(secrets) == 3


@pytest.mark.promise("S10a")
def test_killed_at_any_line_and_done_again_nothing_holds_the_text(repo, tmp_path):
    secret = noted(repo)
    day = view(repo)
    with day.open("ab") as file:
        file.write(tool_line(day, 1).encode() + b"\n")
    done(repo, "status")
    before = day.read_bytes()
    with Session(repo) as session:
        log = session.store.log
        log.redactions.take_back([Redaction(secret.event_id, digests(secret.line).line.hex())])
        log.rebuild()
        home = session.project.home
    functions = (redacted_views.redact_files, redacted_views._empty, shared_view.show_events)
    lines = reached(lines_of(functions), lambda: redact_again(repo))
    assert len(lines) > 20
    for line in lines[::3]:
        (home / "redacted.txt").unlink(missing_ok=True)
        day.write_bytes(before)
        assert killed_at(line, lambda: redact_again(repo))
        done(repo, "status")  # each command completes it
        assert holding(repo) == []
        assert sorted(view_lines(repo)) == sorted(each.line.decode() for each in journal(repo))
        assert tool_line(day, 1) in view_lines(repo)


@pytest.mark.promise("S10a")
def test_board_refusals_and_records_of_a_clone_hold_nothing_that_was_taken_back(repo):
    done(repo, "implement", "WP01")

    def refuse(_: Session) -> None:
        raise Refused("could not go on", place="WP01", cause=SECRET, hint="no", guard="lane")

    with Session(repo) as session:
        session.refresh()
        with pytest.raises(Refused):
            attempt(session, "move-task", "WP01", refuse)
    done(repo, "move-task", "WP01", "--to", "for_review", "--force", "--reason", SECRET)
    noted(repo)
    assert SECRET in work(repo, "status", "--refused").out
    held = journal(repo)
    events = [each for each in held if SECRET.encode() in each.line]
    assert {each.event_type for each in events} >= {"ErrorLogged", "WPStatusChanged"}
    take_back(repo, *events, *(each for each in held if each.event_type == "WPCreated"))
    assert holding(repo) == []
    for command in (["status", "--refused"], ["status", "--json"]):
        assert SECRET not in done(repo, *command).out
    done(repo, "finalize-tasks", "--add", "Second")
    take_back(repo, *journal(repo))
    lanes = done(repo, "status", "--json").json["features"][0]["lanes"]
    assert [each["wp_id"] for each in lanes["planned"]] == ["WP01", "WP02"], (
        "the board goes on by heads"
    )
    done(repo, "implement", "WP02")
    assert holding(repo) == []
