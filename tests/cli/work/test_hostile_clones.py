"""What a stranger has put into a repository leads no command out of it, and into no hanging."""

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.cli.installed import Ended, is_three_lines
from tests.cli.warm import warm
from tests.cli.work.hostile_clones import BYSTANDER, CANARY, FILES, Hostile, clone_of, seen
from tests.cli.work.projects import FOLDER, finalized_project
from tests.git.repositories import commit, git, write
from tests.tiers import some
from tests.work.boards import NAMED

import thence
from thence.work import EventStore

pytestmark = pytest.mark.promise("L18")

REFUSED = ("work", "move-task", "WP02", "--to", "done", "--feature", "001-sync")
START = (("work", "status"), ("work", "finalize-tasks"), ("log",))
SHORT = (
    *START,
    ("work", "setup-spec"),
    ("work", "finalize-tasks", "--feature", "001-sync"),
    ("work", "implement", "WP01", "--feature", "001-sync"),
    REFUSED,
    ("work", "status", "--refused"),
)
READING = (("work", "status", "--refused"), ("log",), ("query",), ("why", "@last"), ("doctor",))
ALL = (
    ("work", "setup-spec"),
    ("work", "finalize-tasks"),
    ("work", "setup-spec", "Another thing"),
    ("work", "finalize-tasks", "--feature", "001-sync"),
    REFUSED,
    ("work", "implement", "WP01", "--feature", "001-sync"),
    ("work", "mark-status", "T001", "--feature", "001-sync"),
    ("work", "add-history", "WP01", "words", "--feature", "001-sync"),
    ("work", "move-task", "WP01", "--gate", "CI_CHECK=passed", "--feature", "001-sync"),
    ("work", "move-task", "WP01", "--to", "for_review", "--feature", "001-sync"),
    ("work", "implement", "--feature", "001-sync"),
    ("work", "merge", "--feature", "001-sync"),
    ("work", "accept", "WP01", "--feature", "001-sync"),
    ("sync", "now"),
    ("work", "orchestrate", "--dry-run", "--feature", "001-sync"),
    *READING,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A project whose packages are cut, and whose events are committed."""
    repo = finalized_project(tmp_path_factory.mktemp("base") / "r", files=NAMED)
    git(repo, "worktree", "prune")
    return repo


def harmless(clone: Path, *commands: tuple[str, ...]) -> list[Ended]:
    """Run commands in a clone, and see that nothing outside of it is told of or touched."""
    before = seen(clone.parent)
    ended = [warm(*command, cwd=clone) for command in commands]
    for command, each in zip(commands, ended, strict=True):
        told = f"{command}: {each.err}"
        assert CANARY not in each.out + each.err, told
        assert "Traceback" not in each.err, told
        assert each.code in {0, 1, 2, 3, 4}, told
        assert each.code in {0, 3} or (each.code == 4 and each.out) or is_three_lines(each.err), (
            told
        )
    assert seen(clone.parent) == before
    assert CANARY.encode() not in b"".join(
        path.read_bytes() for path in clone.rglob("*") if path.is_file() and not leads_out(path)
    ), "what stands outside was copied"
    return ended


def leads_out(path: Path) -> bool:
    return BYSTANDER in path.resolve().parts


@pytest.mark.parametrize("paths", some(FILES, 1, "files"), ids=lambda paths: paths[0])
@pytest.mark.whole
def test_link_in_the_place_of_a_file_leads_nowhere(tmp_path, base, paths):
    hostile = [Hostile(path, "a link to a file") for path in paths]
    harmless(clone_of(base, tmp_path, *hostile), *ALL)


def test_file_of_too_many_brackets_stops_a_command_or_is_passed_over(tmp_path, base):
    paths = (
        f"{FOLDER}/tasks.md",
        f"{FOLDER}/meta.json",
        f"{FOLDER}/tasks/WP01-first.md",
        "kitty-specs/002-other/meta.json",
        ".kittify/clock.json",
        ".kittify/errors/2026-01-01.jsonl",
        ".kittify/events/2026-01-01.jsonl",
    )
    kind = "a file of brackets"
    harmless(clone_of(base, tmp_path / "1", Hostile(".kittify/config.yaml", kind)), *START)
    clone = clone_of(base, tmp_path / "2", *(Hostile(path, kind) for path in paths))
    waiting = 'Thence-Pending: {"id":"x","type":"HistoryAdded","payload":' + "[" * 40_000
    commit(clone, {"src/a.py": "a = 1\n"}, f"Begin\n\n{waiting}")
    harmless(clone, *SHORT)


def test_what_is_refused_is_named_with_what_to_do(tmp_path, base):
    clone = clone_of(base, tmp_path, Hostile(".kittify", "a link to a folder"))
    for ended in harmless(clone, ("work", "status"), ("log",)):
        assert "why:  .kittify: it is a symbolic link" in ended.err
        assert "ls -l .kittify" in ended.err


# journals


@pytest.fixture
def with_journal(tmp_path, base) -> Path:
    """A clone in which a stranger's journal lies beside the project's own files."""
    clone = clone_of(base, tmp_path)
    home = clone / ".kittify/.thence"
    with thence.open(home) as log:
        log.append("HistoryAdded", {"wp_id": "WP01", "entry_content": "a stranger's"})
    return clone


@pytest.mark.parametrize("is_tracked", [False, True])
def test_journal_in_a_working_tree_is_never_read(with_journal, is_tracked):
    if is_tracked:
        git(with_journal, "add", "--force", ".kittify/.thence")
        git(with_journal, "commit", "--quiet", "--message", "All of it")
    home = with_journal / ".kittify/.thence"
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    told = harmless(with_journal, *ALL, ("verify",))
    assert "a stranger's" not in "".join(ended.out for ended in told)
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    node_id = json.loads((home / ".thence/identity.json").read_bytes())["node_id"]
    with EventStore.at(with_journal) as store:
        assert store.project.home.parent == with_journal / ".git/thence"
        assert node_id not in {event.node_id for event in store.read()}


@pytest.mark.parametrize("name", ["events.jsonl", ".thence", ".thence/index.db"])
@pytest.mark.parametrize("place", [".", "output/run"])
def test_log_that_nobody_named_leads_nowhere(tmp_path, name, place):
    clone = tmp_path / "clone"
    log = clone / place
    with thence.open(log) as opened:
        opened.append("note", {"text": "a stranger's"})
    outside = tmp_path / BYSTANDER
    outside.mkdir()
    (outside / "events.jsonl").write_text(f'{{"event_type":"{CANARY}"}}\n')
    (outside / "index.db").write_text("")
    path = log / name
    target = outside if name == ".thence" else outside / path.name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(os.path.relpath(target, path.parent))
    commands = (("log",), ("query",), ("tail",), ("stats",), ("verify",), ("append", "note"))
    assert all(ended.code for ended in harmless(clone, *commands))


# what only reads


def test_reading_commands_write_in_the_git_folder_and_kittify_alone(tmp_path, base):
    clone = clone_of(base, tmp_path)
    commit(clone, {"src/a.py": "a = 1\n"})
    write(clone, {"half/done.txt": "half done\n"})

    def kept() -> dict[str, tuple[int, int, bytes]]:
        return {
            str(path.relative_to(tmp_path)): (
                path.lstat().st_mode,
                path.lstat().st_mtime_ns,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in tmp_path.rglob("*")
            if not path.is_relative_to(clone / ".git")
            and not path.is_relative_to(clone / ".kittify")
        }

    reading = (*READING, ("tail",), ("last",))
    before = kept()
    for command in reading:
        warm(*command, cwd=clone)
        assert kept() == before, command
    (event, *_) = warm("log", "--json", cwd=clone).out.splitlines()
    event_id = json.loads(event)["event_id"]
    for command in (("show", event_id), ("why", event_id), ("effects", event_id)):
        assert warm(*command, cwd=clone).code == 0
        assert kept() == before, command
