"""The next step that the board prints is true, and works as it is printed."""

import re
import shlex
from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.cli.work.orchestra import DO, orchestrate
from tests.cli.work.test_claimed_twice import clones
from tests.cli.work.test_landed import BRANCH, remote, squashed_on_forge, without_branch
from tests.cli.work.three_packages import SLUG, begun, copied, done, handed_in, reviewed
from tests.git.repositories import commit, git, make_repository

pytestmark = pytest.mark.promise("L15")
__all__ = ["clones", "remote"]  # fixtures
STEP = re.compile(r"^ *(?:next|or): (.*)$", re.MULTILINE)


def steps(text):
    """Return the commands that a text prints as next steps."""
    return STEP.findall(text)


def status(project):
    return warm("work", "status", cwd=project).out


def typed(folder, step, actor="bob"):
    """Type a step as it is printed; it has to work."""
    program, *arguments = shlex.split(step)
    if program == "git":
        git(folder, *arguments)
        return
    assert program == "thence"
    warm(*arguments, "--actor", actor, cwd=folder).done()


def typed_each(project, tmp_path, text):
    """Type each step of a text in a copy of the project; return the steps."""
    printed = steps(text)
    for number, step in enumerate(printed):
        typed(copied(project, tmp_path / f"copy {number}" / project.name), step)
    return printed


def test_merged_package_is_to_be_accepted(project, tmp_path):
    handed_in(project)
    ended = warm("work", "merge", "WP03", cwd=project)
    assert typed_each(project, tmp_path, ended.out) == [f"thence work accept --feature {SLUG}"]
    printed = typed_each(project, tmp_path / "status", status(project))
    back = "thence work move-task WP03 --to doing --reason TEXT"
    assert printed == ["thence work accept WP03", back]


def test_merge_of_a_branch_without_commits_says_so(project, tmp_path):
    begun(project, "WP03")
    ended = warm("work", "merge", "WP03", "--actor", "ada", cwd=project)
    assert f"{BRANCH} changes nothing: no merge" in ended.lines
    assert "is merged" not in ended.out
    without = f"thence work accept WP03 --feature {SLUG} --no-code REASON"
    assert typed_each(project, tmp_path, ended.out) == [without]


def test_package_that_is_merged_here_alone_is_to_be_pushed(project, remote, tmp_path):
    handed_in(project)
    ended = warm("work", "merge", "WP03", cwd=project)
    push = "git push origin main"
    assert steps(ended.out) == [push, f"thence work accept --feature {SLUG}"]
    printed = typed_each(project, tmp_path / "status", status(project))
    assert printed == [push, "thence work accept WP03 --local"]
    typed(project, push)
    assert steps(status(project))[0] == "thence work accept WP03"
    done(project, "accept", "WP03")


@pytest.mark.usefixtures("remote")
def test_step_that_several_packages_share_is_printed_once(project):
    handed_in(project)
    reviewed(project)
    done(project, "merge")
    printed = status(project)
    assert [printed.count(one) for one in ("merged here, not pushed", "git push")] == [2, 1]


def test_package_that_was_squashed_on_the_forge_is_accepted_and_merged_no_second_time(
    project, remote, tmp_path
):
    handed_in(project)
    forge = squashed_on_forge(project, remote, tmp_path / "forge")
    squash = commit(forge, {"more.py": "more\n"}, "Squashed (#7)")
    git(forge, "push", "--quiet", "origin", "main")
    git(project, "fetch", "--quiet")
    assert steps(status(project))[0] == "thence work accept WP03"
    before = git(project, "rev-parse", "main")
    for arguments in (("merge", "WP03", "--dry-run"), ("merge", "WP03")):
        ended = warm("work", *arguments, cwd=project).done()
        assert f"origin/main has the changes of WP03 already, by {squash[:7]}" in ended.out
    assert git(project, "rev-parse", "main") == before
    assert done(project, "merge", "WP03")["already_there"] == ["WP03"]
    typed_each(project, tmp_path, status(project))


def test_package_in_doing_that_was_squashed_goes_to_review_without_a_merge(project):
    commit(begun(project, "WP03"), {"page.py": "a page\n"})
    git(project, "merge", "--quiet", "--squash", BRANCH)
    squash = commit(project, {"more.py": "more\n"}, "Squashed (#7)")
    assert done(project, "merge", "WP03", "--actor", "ada")["moved"] == ["WP03"]
    assert git(project, "rev-parse", "main") == squash
    done(project, "accept", "WP03")


def test_package_begun_upon_one_in_review_is_not_told_to_wait(project):
    reviewed(project)
    done(project, "implement", "WP02", "--actor", "bob")
    assert "finish WP01 first" not in status(project)
    assert not any("WP02" in step for step in steps(status(project)))


@pytest.mark.parametrize("way", ["handed in", "changed", "reverted", "no code", "claimed"])
def test_each_step_of_a_package_works_as_printed(project, tmp_path, way):
    if way == "claimed":
        done(project, "move-task", "WP03", "--to", "doing", "--actor", "bob")
    elif way == "no code":
        begun(project, "WP03")
        done(project, "merge", "WP03", "--actor", "ada")
    else:
        worktree = handed_in(project)
        if way == "changed":
            commit(worktree, {"more.py": "more\n"})
        elif way == "reverted":
            done(project, "merge", "WP03")
            git(project, "revert", "--no-edit", "-m", "1", "HEAD")
    assert typed_each(project, tmp_path, status(project))


@pytest.mark.parametrize("way", ["local", "reset", "reset without branch", "reverted", "forced"])
def test_each_step_of_a_done_package_works_as_printed(project, remote, tmp_path, way):
    worktree = handed_in(project)
    if way == "forced":
        done(project, "accept", "WP03", "--force", "--reason", "it is fine")
    else:
        done(project, "merge", "WP03")
        done(project, "accept", "WP03", "--local")
    if way.startswith("reset"):
        git(project, "reset", "--quiet", "--hard", "origin/main")
    if way == "reset without branch":
        without_branch(project, worktree)
    if way == "reverted":
        git(project, "revert", "--no-edit", "-m", "1", "HEAD")
    assert typed_each(project, tmp_path, status(project))


def test_steps_name_the_feature_where_there_are_several(project, tmp_path):
    done(project, "setup-spec", "Another")
    (project / "kitty-specs/002-another/tasks.md").write_text("## Work Package WP03: Other\n")
    ended = warm("work", "finalize-tasks", "--feature", "002", cwd=project)
    typed_each(project, tmp_path, ended.out)
    worktree = done(project, "implement", "WP03", "--feature", "001", "--actor", "ada")["worktree"]
    commit(Path(worktree), {"page.py": "a page\n"})
    to_review = ("move-task", "WP03", "--feature", "001", "--to", "for_review")
    done(project, *to_review, "--actor", "ada")
    printed = typed_each(project, tmp_path / "status", status(project))
    assert printed
    assert all(f"--feature {SLUG}" in step for step in printed)


def test_steps_that_commands_print_work_as_printed(project, tmp_path):
    for number, command in enumerate(
        (("implement",), ("implement", "WP01"), ("move-task", "WP03", "--to", "doing"))
    ):
        folder = copied(project, tmp_path / f"copy {number}")
        ended = warm("work", *command, "--actor", "bob", cwd=folder)
        (step,) = steps(ended.out)
        if command[0] == "implement":
            commit(folder / f".worktrees/{SLUG}-WP01", {"outbox.py": "kept\n"})
            done(folder, "mark-status", "T001", "--actor", "bob")
        typed(folder, step)


@pytest.mark.parametrize("words", [("--add", "Fourth", "--after", "WP01"), ("--add", "Fourth"), ()])
def test_step_after_packages_are_made_works_as_printed(project, words):
    for wp_id in ("WP01", "WP03"):
        begun(project, wp_id)
    ended = warm("work", "finalize-tasks", *words, "--feature", "001", cwd=project)
    (step,) = steps(ended.out)
    assert step.startswith("thence work " + ("implement WP04" if len(words) == 2 else "status"))
    typed(project, step)


def test_merge_advises_no_acceptance_that_a_gate_refuses(project):
    handed_in(project)
    done(project, "move-task", "WP03", "--gate", "CI_CHECK=pending")
    ended = warm("work", "merge", "WP03", cwd=project)
    assert steps(ended.out) == []
    assert "WP03 stays in review: WP03 has gates that are not passed: CI_CHECK (pend" in ended.out


def test_steps_of_a_new_feature_work_once_its_files_are_written(project):
    ended = warm("work", "setup-spec", "Another", cwd=project)
    files, *_ = [line for line in ended.lines if line.startswith("write ")]
    tasks = files.split()[-1]
    (project / tasks).write_text("## Work Package WP01: Other\n")
    (step,) = steps(ended.out)
    typed(project, step)


@pytest.mark.promise("L10")
def test_each_step_of_a_conflict_works_as_printed(clones):
    for folder in clones:
        ended = warm("work", "status", cwd=folder)
        settling = "thence work implement WP01 --feature 001-sync --take-over"
        assert steps(ended.out) == [settling]
        typed(folder, settling, folder.name)


@pytest.mark.promise("L17")
def test_steps_after_an_agent_that_failed_work_as_printed(make, tmp_path):
    project = make({"WP01": []}, retries=0)
    project.tell(WP01=[[["exit", 3]], DO])
    ended = orchestrate(project)
    assert ended.code == 1
    shown = status(project.folder)
    assert "tries that failed: 1" in shown
    printed = steps(shown)
    assert printed == ["thence work orchestrate", "thence work implement WP01 --take-over"]
    (together,) = steps(ended.out)
    assert together == "; or ".join(printed)
    for step in reversed(printed):
        typed(project.folder, step)
        back = ("move-task", "WP01", "--to", "planned", "--actor", "bob")
        done(project.folder, *back) if "implement" in step else None


def test_first_commands_in_a_fresh_repository_warn_of_nothing(tmp_path):
    repo = make_repository(tmp_path / "r")
    for command in (
        ("setup-spec",),
        ("finalize-tasks", "--add", "First"),
        ("status",),
        ("implement", "WP01"),
        ("status",),
    ):
        ended = warm("work", *command, cwd=repo)
        assert (ended.code, ended.err) == (0, ""), command
