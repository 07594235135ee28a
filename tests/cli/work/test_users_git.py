"""Whole features in repositories as people have them: slow hooks, submodules, moved worktrees."""

import json
import subprocess
import time

import pytest
from tests.cli.installed import THENCE, begin
from tests.cli.warm import warm
from tests.cli.work.three_packages import SLUG, begun, done, handed_in, plan, work
from tests.git.repositories import commit, git, hook, make_repository
from tests.tiers import tenth

HOOK_S, COMMANDS = tenth((10, 12), (3, 8))


@pytest.mark.whole
def test_twelve_commands_at_once_behind_a_slow_hook_become_few_commits(project):
    commit(project, {"mine.txt": "0\n"})
    head = git(project, "rev-parse", "HEAD")
    hook(project, "pre-commit", f"sleep {HOOK_S}")
    words = ("work", "finalize-tasks", "--feature", SLUG, "--json", "--add")
    running = [begin(THENCE, *words, f"Part {number}", cwd=project) for number in range(COMMANDS)]
    refused = []
    while any(process.poll() is None for process in running):
        (project / "mine.txt").write_text("1\n")
        ended = subprocess.run(["git", "add", "mine.txt"], cwd=project, capture_output=True)
        refused += [ended.stderr] if ended.returncode else []
        time.sleep(0.05)  # a pace at which others get their turn
    git(project, "add", "mine.txt")
    answers = [json.loads(process.communicate(timeout=100)[0]) for process in running]
    assert [each["error"] for each in answers if "error" in each] == []
    assert {each["wp_id"] for each in answers} == {f"WP{n:02}" for n in range(4, 4 + COMMANDS)}
    assert all(b"index.lock" in each for each in refused)
    files = git(project, "ls-tree", "--name-only", "HEAD", f"kitty-specs/{SLUG}/tasks/")
    assert len(files.splitlines()) == 3 + COMMANDS
    assert git(project, "status", "--porcelain") == "M  mine.txt"
    assert int(git(project, "rev-list", "--count", f"{head}..")) < COMMANDS / 2


@pytest.fixture
def with_part(tmp_path):
    """A project with a submodule, whose commands git lets go down into submodules."""
    part = make_repository(tmp_path / "part", {"part.txt": "of the part\n"})
    project = plan(tmp_path / "whole")
    git(project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", part, "part")
    git(project, "commit", "--quiet", "--message", "Add a part")
    git(project, "config", "submodule.recurse", "true")
    return project


def test_whole_feature_beside_a_submodule_in_a_moved_worktree(with_part):
    project = with_part
    (project / "part/part.txt").write_text("half done\n")
    worktree = begun(project)
    commit(worktree, {"outbox.py": "kept\n"})
    moved = project.parent / "elsewhere"
    git(project, "worktree", "move", "--force", worktree, moved, check=False)
    if not moved.exists():  # git moves no worktree with submodules: people move it and repair
        worktree.rename(moved)
        git(project, "worktree", "repair", moved)
    done(moved, "mark-status", "T001", "--actor", "ada")
    done(moved, "move-task", "WP01", "--to", "for_review", "--actor", "ada")
    done(project, "merge", "WP01", "--actor", "bob")
    done(project, "accept", "WP01", "--actor", "bob")
    (feature,) = done(project, "status")["features"]
    assert [each["wp_id"] for each in feature["lanes"]["done"]] == ["WP01"]
    assert (project / "outbox.py").read_text() == "kept\n"
    assert (project / "part/part.txt").read_text() == "half done\n"
    assert git(project, "ls-files", "--stage", "part").startswith("160000")
    assert git(project, "status", "--porcelain") == " M part"
    (kept,) = done(project, "merge", "--actor", "bob")["kept"]
    assert str(moved) in kept["reason"]
    assert (moved / "outbox.py").exists()  # where people have put a worktree, it stays


def test_accepted_packages_are_done_where_a_later_one_is_refused(tmp_path):
    project = plan(tmp_path / "sync")
    for wp_id in ("WP01", "WP03"):
        ticks = ["T001"] if wp_id == "WP01" else []
        handed_in(project, {f"{wp_id}.py": "made\n"}, wp_id=wp_id, ticks=ticks)
    git(project, "merge", "--quiet", "--no-edit", f"{SLUG}-WP01")
    ended, answer = work(project, "accept", "WP01", "WP03", "--actor", "bob")
    assert ended.code == 1
    assert answer["error"]["guard"] == "not_landed"
    lanes = warm("work", "status", "--json", cwd=project).json["features"][0]["lanes"]
    assert [each["wp_id"] for each in lanes["done"]] == ["WP01"]
