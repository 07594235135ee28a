"""Set-ups of every day: never a wrong owner, and never a person where that is not known.

In each an agent edits and commits a line, by the hooks of its settings file, and a person commits
another.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.trace.agents.firing import WAIT_S, Shop

# an agent: a process of its own, under which a shell runs the hooks of its settings, and git
AGENT = r"""
say() {
    printf '{"session_id":"%s","cwd":"%s","hook_event_name":"%s"%s}' "$1" "$PWD" "$2" "$3" |
        sh -c "$HOOK"
}
export CLAUDE_CODE_SESSION_ID="$1" CLAUDE_PROJECT_DIR="$PWD" CLAUDECODE=1
input='"tool_input":{"file_path":"'$PWD/$2'","content":"total_of_agent = 119\n"}'
write='"tool_name":"Write","tool_use_id":"'$1'-w",'$input
shell='"tool_name":"Bash","tool_use_id":"'$1'-c","tool_input":{"command":"git commit"}'
say "$1" SessionStart
say "$1" UserPromptSubmit ',"prompt":"write it"'
say "$1" PreToolUse ",$write"
printf 'total_of_agent = 119\n' >"$2"
say "$1" PostToolUse ",$write"
say "$1" PreToolUse ",$shell"
git add "$2"
git commit -q -m "by $1" || exit 1
say "$1" PostToolUse ",$shell"
say "$1" SessionEnd ',"reason":"exit"'
"""


class Place(Shop):
    """A working tree with its environment, and what its agent's hooks run."""

    def agent(self, session: str = "s-1", file: str = "agent.py") -> str:
        """Have an agent commit a file, and return the commit."""
        common = self.git("rev-parse", "--path-format=absolute", "--git-common-dir")
        command = f"sh {common}/thence/agents/hook.sh claude-code || true"
        words = ["bash", "-c", AGENT, "-", session, file]
        subprocess.run(
            words, cwd=self.top, env={**self.env, "HOOK": command}, check=True, timeout=WAIT_S
        )
        return self.git("rev-parse", "HEAD")

    def person(self, file: str = "hand.py") -> str:
        (self.top / file).write_text("by_hand = 2\n")
        self.git("add", file)
        self.git("commit", "-qm", f"by hand: {file}")
        return self.git("rev-parse", "HEAD")

    def owner(self, what: str) -> str:
        """Return the kind and session that `thence why` names for a commit or a line."""
        answer = self.run("why", what, "--json")
        assert answer.code == 0, answer.err
        return " ".join(filter(None, (answer.json["kind"], answer.json["session"])))


@pytest.fixture
def bare(shop: Shop) -> Place:
    return Place(shop.top, shop.env)


@pytest.fixture
def place(bare: Place) -> Place:
    """A repository with hooks of Claude Code and of git."""
    place = bare
    place.hook("install", "claude-code")
    place.hook("install", "git")
    return place


def test_old_history_is_unknown_and_what_follows_is_not(bare: Place) -> None:
    place = bare
    (place.top / "old.py").write_text("old = 0\n")
    place.git("add", "old.py")
    old = "Old\n\nCo-Authored-By: Claude <noreply@anthropic.com>"
    place.git("commit", "-qm", old)
    place.hook("install", "claude-code")
    place.hook("install", "git")
    commit = place.git("rev-parse", "HEAD")
    place.agent()
    place.person()
    assert [place.owner(what) for what in ("old.py:1", commit)] == ["unknown"] * 2
    assert place.owner("agent.py:1") == "agent s-1"
    assert place.owner("hand.py:1") == "person"


def test_clone_knows_nothing_of_what_came_with_it(place: Place, tmp_path: Path) -> None:
    commit = place.agent()
    place.person()
    place.git("clone", "-q", place.top, "mate", cwd=tmp_path)
    mate = Place(tmp_path / "mate", place.env)
    mate.hook("install", "git")
    mate.person("own.py")
    named = (commit, "agent.py:1", "hand.py:1", "own.py:1")
    assert {mate.owner(what) for what in named} == {"unknown"}


def test_vanished_environment_records_nothing_and_names_nobody(place: Place) -> None:
    first = place.agent()
    helper = place.top / ".git/thence/agents/hook.sh"
    helper.write_text(helper.read_text().replace(sys.executable, "/gone/python"))
    assert sys.executable not in helper.read_text()
    second, third = place.agent("s-2", "second.py"), place.person()
    assert place.owner(first) == "agent s-1"
    named = (second, third, "second.py:1", "hand.py:1")
    assert {place.owner(what) for what in named} == {"unknown"}


def husky(place: Place) -> None:
    """As husky 9 does: its folder is written anew, and runs the files beside it."""
    own = place.top / ".husky" / "_"
    own.mkdir(parents=True, exist_ok=True)
    for name in ("post-commit", "post-rewrite", "post-merge", "pre-commit"):
        path = own / name
        path.write_text(f'#!/bin/sh\n[ ! -f .husky/{name} ] || sh -e .husky/{name} "$@"\n')
        path.chmod(0o755)
    place.git("config", "core.hooksPath", ".husky/_")


def hooks_path(place: Place) -> None:
    (place.top / ".hooks").mkdir(exist_ok=True)
    place.git("config", "core.hooksPath", ".hooks")


@pytest.mark.parametrize("manage", [husky, hooks_path])
def test_hooks_of_a_folder_of_the_projects_fire_also_when_it_is_set_up_again(
    bare: Place, manage: Callable[[Place], None]
) -> None:
    place = bare
    manage(place)
    place.hook("install", "claude-code")
    place.hook("install", "git")
    manage(place)
    place.agent()
    place.person()
    assert (place.owner("agent.py:1"), place.owner("hand.py:1")) == ("agent s-1", "person")


def lefthook(place: Place) -> None:
    """As lefthook does: it renames the hook, and its own does not run that."""
    for name in ("post-commit", "post-rewrite", "post-merge"):
        path = place.top / ".git" / "hooks" / name
        if path.exists():
            path.rename(path.with_suffix(".old"))
        path.write_text("#!/bin/sh\ncall_lefthook() { :; }\n")
        path.chmod(0o755)


@pytest.mark.parametrize("manage", [lefthook, hooks_path])
def test_hooks_that_are_gone_leave_a_commit_unknown_and_a_line_with_its_edit(
    place: Place, manage: Callable[[Place], None]
) -> None:
    manage(place)
    commit, other = place.agent(), place.person()
    assert {place.owner(what) for what in (commit, other, "hand.py:1")} == {"unknown"}
    assert place.owner("agent.py:1") in {"agent s-1", "unknown"}
    states = place.hook("status", "--json").json["hooks"]
    assert {state["state"] for state in states if state["tool"] == "git"} != {"installed"}


def test_mail_that_git_applies_is_of_whom_its_commit_was_or_unknown(
    place: Place, tmp_path: Path
) -> None:
    """git calls no post-commit for `git am`."""
    place.git("switch", "-qc", "side")
    place.agent()
    own = place.git("format-patch", "--stdout", "-1")
    shutil.copytree(place.top, tmp_path / "far")
    far = Place(tmp_path / "far", place.env)
    shutil.rmtree(far.top / ".git" / "thence")
    (far.top / ".git" / "hooks" / "post-commit").unlink()
    far.person("far.py")
    theirs = far.git("format-patch", "--stdout", "-1")
    place.git("switch", "-q", "main")
    for mail in (own, theirs):
        (tmp_path / "mail").write_text(f"{mail}\n")
        place.git("am", "-q", tmp_path / "mail")
    assert place.owner("agent.py:1") == "agent s-1"
    assert (place.owner("commit/HEAD~1"), place.owner("commit/HEAD")) == ("agent s-1", "unknown")
    assert place.owner("far.py:1") == "unknown"


def test_worktrees_have_one_log_and_each_line_its_session(place: Place, tmp_path: Path) -> None:
    other = Place(tmp_path / "tree", place.env)
    place.git("worktree", "add", "-q", "-b", "side", other.top)
    place.agent("s-1")
    other.agent("s-2")
    place.person()
    assert (place.owner("agent.py:1"), other.owner("agent.py:1")) == ("agent s-1", "agent s-2")
    assert place.owner("hand.py:1") == "person"
    place.git("merge", "-q", "-s", "ours", "--no-edit", "side")
    assert place.owner("agent.py:1") == "agent s-1"


def test_trailer_names_the_session_in_a_commit_and_in_its_squash(
    place: Place, tmp_path: Path
) -> None:
    place.hook("install", "git", "--trailer")
    place.git("switch", "-qc", "side")
    place.agent()
    agents = place.git("log", "-1", "--format=%B")
    assert agents == "by s-1\n\nthence-session: s-1"
    place.person()
    assert "thence-session" not in place.git("log", "-1", "--format=%B")
    place.git("switch", "-q", "main")
    place.git("clone", "-q", place.top, "forge", cwd=tmp_path)
    moment = f"@{int(time.time()) + 60} +0000"  # git's times are whole seconds
    later = {"GIT_COMMITTER_DATE": moment, "GIT_AUTHOR_DATE": moment, "GIT_AUTHOR_NAME": "Bo"}
    forge = Place(tmp_path / "forge", place.env | later)
    forge.git("merge", "-q", "--squash", "origin/side")
    forge.git("commit", "-q", "-m", f"Both (#1)\n\n* {agents}\n\n* by hand\n")
    place.git("pull", "-q", "--ff-only", forge.top, "main")
    assert [place.owner(f"{name}.py:1") for name in ("agent", "hand")] == ["agent s-1", "person"]
    assert "it adds the trailer" in place.hook("status").out
    assert "--trailer is of git" in place.hook("install", "codex", "--trailer", code=2).err
    place.hook("uninstall", "git")
    assert not (place.top / ".git/hooks/prepare-commit-msg").exists()
