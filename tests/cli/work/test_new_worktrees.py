"""What runs in a new worktree: the repository's hook, or what the team has chosen, once."""

import json
import sys

import pytest
from tests.cli.warm import warm
from tests.cli.work.three_packages import SLUG, done
from tests.git.repositories import commit, git, hook


def worktree_of(project, wp_id="WP03"):
    return project / f".worktrees/{SLUG}-{wp_id}"


def setup(project, *commands):
    config = project / ".kittify/config.yaml"
    text = config.read_text() + f"worktree: {json.dumps({'setup': commands})}\n"
    commit(project, {".kittify/config.yaml": text}, "Set worktrees up")


@pytest.mark.promise("L8")
def test_hook_runs_once_in_the_new_worktree_when_its_files_are_there(project):
    hook(project, "post-checkout", 'cat README.md > seeded; echo "$@" >> seeded; pwd >> seeded')
    done(project, "implement", "WP03")
    worktree = worktree_of(project)
    head = git(worktree, "rev-parse", "HEAD")
    told = ["# a project", f"{'0' * 40} {head} 1", str(worktree)]
    assert (worktree / "seeded").read_text().splitlines() == told
    done(project, "implement", "WP03")
    assert (worktree / "seeded").read_text().splitlines() == told


def test_hook_that_fails_is_a_warning(project):
    hook(project, "post-checkout", "echo no network >&2; exit 3")
    ended = warm("work", "implement", "WP03", cwd=project)
    assert ended.code == 0
    assert "the hook post-checkout failed" in ended.err
    assert "no network" in ended.err
    assert (worktree_of(project) / "README.md").exists()


def test_hooks_of_a_folder_that_the_user_has_chosen_run_too(project, tmp_path):
    hook(project, "post-checkout", "touch seeded")
    (project / ".git/hooks/post-checkout").rename(tmp_path / "post-checkout")
    git(project, "config", "core.hooksPath", tmp_path)
    done(project, "implement", "WP03")
    assert (worktree_of(project) / "seeded").exists()


@pytest.mark.promise("L8")
def test_commands_of_the_team_run_in_place_of_the_hook(project):
    hook(project, "post-checkout", "touch seeded")
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('x')"
    setup(project, [sys.executable, "-c", code, "one"], [sys.executable, "-c", code, "two"])
    done(project, "implement", "WP03")
    names = {path.name for path in worktree_of(project).iterdir()}
    assert {"one", "two"} <= names
    assert "seeded" not in names


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ([sys.executable, "-c", "print('no network'); raise SystemExit(3)"], "no network"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "it exited with 3"),
        (["no-such-program"], "No such file"),
    ],
)
def test_command_that_fails_is_a_warning_and_ends_the_setting_up(project, command, why):
    setup(project, command, [sys.executable, "-c", "open('later', 'w')"])
    ended = warm("work", "implement", "WP03", cwd=project)
    assert ended.code == 0
    assert "worktree.setup failed" in ended.err
    assert why in ended.err
    assert not (worktree_of(project) / "later").exists()
