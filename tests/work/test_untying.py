"""A project of an older version, whose day files git tracks, is taken over by one command."""

import json
from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.work.boards import (
    NAMED,
    TREE,
    bare,
    clone,
    done,
    features,
    shared_lines,
    tool_line,
    view,
    view_lines,
    work,
)
from tests.work.repositories import commit, git, hook, make_repository, write

from thence.core.values.digests import digests, redacted
from thence.core.wire.authorship import Redaction
from thence.work.journal.redacted_views import redact_shared
from thence.work.session.session import Session

CONFIG = ".kittify/config.yaml"
ATTRIBUTES = ".kittify/events/.gitattributes"
GARBAGE = "written by nobody"
pytestmark = pytest.mark.xdist_group("clones")


def tracking(top: Path, config: str = TREE[CONFIG]) -> Path:
    """Make a clone whose day files are tracked, with a package and a line of nobody."""
    first = make_repository(top / "first", NAMED)
    done(first, "add", "First")
    lines = "".join(f"{line}\n" for line in [*view_lines(first), GARBAGE])
    files = {f".kittify/events/{view(first).name}": lines, ATTRIBUTES: "*.jsonl merge=union\n"}
    write(first, {**files, CONFIG: config})
    git(first, "add", "--force", *files, CONFIG)
    git(first, "commit", "--quiet", "--message", "Share events by day files")
    remote = top / "remote.git"
    git(top, "clone", "--quiet", "--bare", first, remote)
    return clone(remote, top / "ada")


def tracked(folder: Path) -> str:
    return git(folder, "ls-files", ".kittify/events/")


def texts(folder: Path) -> list[str]:
    ended = warm("log", "--type", "HistoryAdded", "--json", cwd=folder)
    lines = ended.lines if ended.code == 0 else []
    return sorted(json.loads(line)["payload"]["entry_content"] for line in lines)


def with_a_note_elsewhere(folder: Path, number: int, *start: str) -> None:
    """Commit a tool's note to a day file of its own on another branch, and come back."""
    git(folder, "switch", "--quiet", "--create", *start)
    path = folder / ".kittify/events/2020-01-01.jsonl"
    path.write_text(tool_line(path, number) + "\n")
    git(folder, "add", "--force", path)
    git(folder, "commit", "--quiet", "--message", "A note")
    git(folder, "switch", "--quiet", "main")


@pytest.mark.promise("L1")
@pytest.mark.parametrize("config", [TREE[CONFIG], NAMED[CONFIG]])
def test_tracked_day_files_are_read_until_the_named_command_unties_them(tmp_path, config):
    ada = tracking(tmp_path, config)
    before = view_lines(ada)
    assert "WP01" in features(ada)
    assert "type `thence work import`" in done(ada, "add-history", "WP01", "told at once").err
    assert (view_lines(ada), git(ada, "status", "--porcelain")) == (before, "")
    board = features(ada)
    assert done(ada, "import", "--dry-run", "--json").json["commit"] is None
    assert tracked(ada)
    assert done(ada, "import", "--json").json["commit"] == git(ada, "rev-parse", "HEAD")
    assert (tracked(ada), git(ada, "status", "--porcelain")) == ("", "")
    assert (ada / CONFIG).read_text().count("share: branch") == 1
    assert view_lines(ada)[: len(before)] == before, "with the line that nobody can read"
    assert sum("told at once" in line for line in view_lines(ada)) == 1
    assert "import" not in done(ada, "status").err
    assert features(ada) == board
    assert done(ada, "import", "--json").json["commit"] is None
    done(ada, "publish")
    git(ada, "push", "--quiet", "origin", "main")
    bob = clone(tmp_path / "remote.git", tmp_path / "bob")
    assert features(bob) == board
    assert len(shared_lines(tmp_path / "remote.git")) == 3


@pytest.mark.promise("L11")
def test_events_of_other_branches_are_taken_in_before_they_are_untied_and_after(tmp_path):
    ada = tracking(tmp_path)
    with_a_note_elsewhere(ada, 1, "here")
    with_a_note_elsewhere(ada, 2, "later")
    git(ada, "push", "--quiet", "origin", "later")
    git(ada, "branch", "--quiet", "-D", "later")
    done(ada, "status")
    assert texts(ada) == [], "a branch under review brings nothing"
    done(ada, "import")
    assert texts(ada) == ["tool 1"]
    git(ada, "merge", "--quiet", "--no-edit", "origin/later")
    assert tracked(ada)
    done(ada, "status")
    assert texts(ada) == ["tool 1", "tool 2"]
    done(ada, "import")
    assert tracked(ada) == ""


@pytest.mark.parametrize("obstacle", ["a hook", "staged work", "a merge", "no branch"])
def test_what_stands_in_the_way_is_named_and_leaves_all_as_it_was(tmp_path, obstacle):
    ada = tracking(tmp_path)
    done(ada, "status")
    if obstacle == "a hook":
        hook(ada, "pre-commit", "echo 'not today' >&2; exit 1")
    elif obstacle == "staged work":
        write(ada, {"mine": "staged\n"})
        git(ada, "add", "mine")
    elif obstacle == "a merge":
        git(ada, "switch", "--quiet", "--create", "side")
        commit(ada, {"README.md": "theirs\n"})
        git(ada, "switch", "--quiet", "main")
        commit(ada, {"README.md": "ours\n"})
        git(ada, "merge", "side", check=False)
    else:
        git(ada, "switch", "--quiet", "--detach")
    head, status, names = git(ada, "rev-parse", "HEAD"), git(ada, "status", "-s"), tracked(ada)
    ended = work(ada, "import")
    word = {"a hook": "not today", "staged work": "mine", "a merge": "merge", "no branch": "HEAD"}
    assert ended.code == 1
    assert word[obstacle] in ended.err
    assert (git(ada, "rev-parse", "HEAD"), git(ada, "status", "-s"), tracked(ada)) == (
        head,
        status,
        names,
    )
    assert "share: tree" in (ada / CONFIG).read_text()
    assert "WP01" in features(ada)


def test_command_that_was_killed_before_its_commit_is_completed_by_the_same_one(tmp_path):
    ada = tracking(tmp_path)
    git(ada, "rm", "-r", "--quiet", "--cached", ".kittify/events")
    assert done(ada, "import", "--json").json["commit"] == git(ada, "rev-parse", "HEAD")
    assert git(ada, "ls-tree", "-r", "--name-only", "HEAD", ".kittify/events/") == ""
    assert git(ada, "status", "--porcelain") == ""


@pytest.mark.promise("S10a")
def test_text_that_was_taken_back_goes_from_the_untied_files(tmp_path):
    ada = tracking(tmp_path)
    done(ada, "status")
    with Session(ada) as session:
        secret, log = session.store.read()[0], session.store.replica
        digest = digests(secret.line).line.hex()
        log.redactions.take_back([Redaction(secret.event_id, digest)])
        log.rebuild()
        told = redact_shared(session.project, log)
    assert any("`thence work import`" in copy for copy in told.unreached)
    assert git(ada, "status", "--porcelain") == "", "no uncommitted line in a tracked file"
    done(ada, "import")
    assert secret.line.decode() not in view_lines(ada)
    assert redacted(secret.line).decode() in (line.strip() for line in view_lines(ada))


def test_new_project_is_told_nothing_of_it(tmp_path):
    ada = clone(bare(tmp_path / "remote.git"), tmp_path / "ada")
    done(ada, "add", "First")
    assert done(ada, "status").err == ""
    head = git(ada, "rev-parse", "HEAD")
    assert done(ada, "import", "--json").json["commit"] is None
    assert git(ada, "rev-parse", "HEAD") == head
