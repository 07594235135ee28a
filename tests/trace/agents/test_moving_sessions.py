"""A session stays one, in one log, wherever its shell goes."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.trace.agents.firing import COMMAND, events, fire, git, hook, log_in

_FILE = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow"}
_FILE |= {"GIT_CONFIG_VALUE_0": "always"}


def install_git(folder: Path, env: dict[str, str]) -> None:
    words = [sys.executable, "-m", "thence", "hook", "install", "git"]
    subprocess.run(words, cwd=folder, env=env, check=True, capture_output=True)


@pytest.fixture
def part(repository: Path, tmp_path: Path, env: dict[str, str]) -> Path:
    """A submodule with git's hooks, in a repository with them."""
    source = tmp_path / "source"
    git("init", "-q", "-b", "main", source, cwd=tmp_path, env=env)
    (source / "lib.py").write_text("def lib():\n    return 1\n")
    git("add", "-A", cwd=source, env=env)
    git("commit", "-qm", "Lib", cwd=source, env=env)
    git("submodule", "--quiet", "add", source, "part", cwd=repository, env={**env, **_FILE})
    git("commit", "-qm", "Add part", cwd=repository, env=env)
    part = repository / "part"
    for folder in (repository, part):
        install_git(folder, env)
    return part


@pytest.mark.promise("A5e")
def test_session_that_moves_into_a_submodule_is_one_with_its_edits_and_commits(
    repository: Path, part: Path, env: dict[str, str]
) -> None:
    own = {**env, "CLAUDE_PROJECT_DIR": str(repository), "CLAUDE_CODE_SESSION_ID": "s-1"}
    edit = {
        "file_path": str(part / "lib.py"),
        "old_string": "return 1",
        "new_string": "return 2",
    }
    shell = {"tool_name": "Bash", "tool_use_id": "t-3", "tool_input": {"command": "git commit"}}
    tool = {"tool_name": "Edit", "tool_use_id": "t-2", "tool_input": edit}
    fire(hook("SessionStart", source="startup"), cwd=repository, env=own)
    fire(hook("UserPromptSubmit", prompt="Mend the lib"), cwd=repository, env=own)
    fire(hook("PreToolUse", **tool), cwd=part, env=own)
    (part / "lib.py").write_text("def lib():\n    return 2\n")
    fire(hook("PostToolUse", **tool), cwd=part, env=own)
    fire(hook("PreToolUse", **shell), cwd=part, env=own)
    git("commit", "-qam", "Mend", cwd=part, env=own)
    fire(hook("PostToolUse", **shell), cwd=part, env=own)
    fire(hook("SessionEnd", reason="exit"), cwd=part, env=own)
    log = events(log_in(repository))
    (commit,) = (event for event in log if event.event_type == "commit")
    assert (commit.stream, commit.payload["root"]) == ("s-1", str(part))
    assert {event.stream for event in log} == {"s-1"}
    answer = warm("why", "lib.py:2", "--json", cwd=part).json
    assert (answer["kind"], answer["session"], answer["prompt"]) == (
        "agent",
        "s-1",
        "Mend the lib",
    )
    assert warm("unfinished", cwd=part).out.strip() in ("", "nothing is unfinished")


def test_session_of_claude_code_stays_with_its_folder_in_a_nested_clone(
    repository: Path, env: dict[str, str]
) -> None:
    nested = repository / "nested"
    git("init", "-q", nested, cwd=repository, env=env)
    for folder in (str(repository), "gone", str(repository / "gone")):
        fire(hook("Stop"), cwd=nested, env={**env, "CLAUDE_PROJECT_DIR": folder})
    fire(
        hook("Stop"), cwd=nested, env={**env, "CLAUDE_PROJECT_DIR": str(repository)}, bridge="codex"
    )
    assert len(events(log_in(repository))) == 1
    assert len(events(log_in(nested))) == 3
    words = ("git", "post-commit", f"commit={'d' * 40}", "git_dir=.git")
    subprocess.run(
        ["/bin/sh", "-c", f"{COMMAND} {' '.join(words)}"],
        cwd=nested,
        env={**env, "CLAUDE_PROJECT_DIR": str(repository)},
        check=True,
    )
    *_, commit = events(log_in(nested))
    assert commit.event_type == "commit"  # a commit is in the log of its repository
