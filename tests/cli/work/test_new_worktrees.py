"""What runs in a new worktree: the repository's hook, once."""

import pytest
from tests.cli.warm import warm
from tests.cli.work.three_packages import SLUG, done
from tests.git.repositories import git, hook


def worktree_of(project, wp_id="WP03"):
    return project / f".worktrees/{SLUG}-{wp_id}"


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
    ended = warm("work", "implement", "WP03", cwd=project).done()
    assert "the hook post-checkout failed" in ended.err
    assert "no network" in ended.err
    assert (worktree_of(project) / "README.md").exists()


def test_hooks_of_a_folder_that_the_user_has_chosen_run_too(project, tmp_path):
    hook(project, "post-checkout", "touch seeded")
    (project / ".git/hooks/post-checkout").rename(tmp_path / "post-checkout")
    git(project, "config", "core.hooksPath", tmp_path)
    done(project, "implement", "WP03")
    assert (worktree_of(project) / "seeded").exists()
