"""The command `demo`: a coding agent is killed at work, then its log is asked what it did and why.

The repository, the hooks, the commits and the kill are real; the agent is one without a model
(`thence.agents.demo_session`). Each answer is what a command of thence writes there, 80 columns
wide; the same text goes to a terminal, with colour, and to a pipe, without.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import click

from thence.agents.demo_session import BEFORE, BRANCH, FILE, LINE, SESSION, WAITING
from thence.agents.fired import (
    AGENT_VARIABLES,
    CLAUDE_FOLDER,
    CLAUDE_SESSION,
    NAMING_VARIABLES,
)
from thence.cli.frame import help_with, verbosity_options
from thence.cli.output import Painted, current
from thence.cli.shared.logs import program
from thence.errors import GitFailed, ThenceError

_PERSON, _MAIL = "Ada", "ada@example.org"
_OTHER = "Ben <ben@example.org>"
# what a user's own settings of git would change in the repository of the demo
_VARIABLES = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": _PERSON,
    "GIT_AUTHOR_EMAIL": _MAIL,
    "GIT_COMMITTER_NAME": _PERSON,
    "GIT_COMMITTER_EMAIL": _MAIL,
}
_ANSWERS = (
    ("What was in flight when it was killed?", ("unfinished",)),
    (f"Why is line {LINE} of {FILE} as it is?", ("why", f"{FILE}:{LINE}")),
)


@click.command("demo", **help_with("thence demo"))
@verbosity_options
def demo_command() -> None:
    """Play a coding agent that is killed at work, then ask what it did and why.

    It needs git, but no agent, no model and no network. The repository lies in ./output (or
    THENCE_ROOT) afterwards, with its log in its git folder.
    """
    out = current()
    for number in count(1):
        folder = Path(out.settings.runs) / f"agent-demo-{number}"
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    out.write(Painted("thence demo", bold=True))
    out.write("  In a new repository an agent is asked for a fix. It gives the task to a")
    out.write("  subagent, which edits a file and commits; a person squashes the branch; the")
    out.write("  agent is killed in its next call. All of it is real, but for the model. The")
    out.write("  lines from before the hooks are of an unknown owner: nobody saw them made.")
    _git(folder, "init", "--quiet", "--initial-branch=main")
    path = folder / FILE
    path.parent.mkdir()
    path.write_text(BEFORE)
    _git(folder, "add", FILE)
    _git(folder, "commit", "--quiet", "--message", "Pay orders")
    _thence(folder, "hook", "install", "git")
    _thence(folder, "hook", "install", "claude-code", "--project")
    _git(folder, "switch", "--quiet", "--create", BRANCH)
    with _playing(folder) as agent:
        agent.kill()
    _git(folder, "switch", "--quiet", "main")
    _git(folder, "merge", "--quiet", "--squash", BRANCH)
    _git(folder, "commit", "--quiet", "--message", "Pay once (#1)", "--author", _OTHER)
    _git(folder, "branch", "--quiet", "--delete", "--force", BRANCH)
    out.write("", Painted("What git knows", bold=True), "$ git log --format='%an: %s'")
    out.write(*_git(folder, "log", "--format=%an: %s").splitlines())
    for question, arguments in _ANSWERS:
        out.write("", Painted(question, bold=True), f"$ thence {shlex.join(arguments)}")
        out.write(*_thence(folder, *arguments).splitlines())
    out.write("", Painted("What to type next", bold=True), f"  cd {shlex.quote(str(folder))}")
    words = program()  # in a shell in this folder, not in the demo's
    if words != "thence" and not words.startswith("/"):
        words = str(Path(words).absolute())
    for command in (f"blame {FILE}", f"why {FILE}:{LINE} --all", "log", "serve --open"):
        out.write(f"  {words} {command}")


@contextmanager
def _playing(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs the agent as far as the call that never ends; at the end nothing of it is left."""
    words = (sys.executable, "-m", "thence.agents.demo_session", ".")
    agent = subprocess.Popen(
        words,
        cwd=folder,
        env={**_variables(), CLAUDE_SESSION: SESSION, CLAUDE_FOLDER: str(folder.absolute())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert agent.stdout is not None
        assert agent.stderr is not None
        if agent.stdout.readline().strip() != WAITING:
            raise ThenceError("could not play the agent", cause=agent.stderr.read().strip()[-600:])
        yield agent
    finally:
        agent.kill()
        agent.communicate()


def _git(folder: Path, *words: str) -> str:
    return _run(folder, "git", *words)


def _thence(folder: Path, *words: str) -> str:
    return _run(folder, sys.executable, "-m", "thence", *words)


def _run(folder: Path, *words: str) -> str:
    """Runs a program in the folder and returns its output; raises GitFailed where it fails."""
    operation = f"could not play the demo in {folder}"
    try:
        done = subprocess.run(words, cwd=folder, env=_variables(), capture_output=True, text=True)
    except FileNotFoundError as error:
        raise GitFailed(operation, cause=f"{words[0]} is missing", hint="install git") from error
    if done.returncode:
        cause = f"{shlex.join(words[:3])} failed: {done.stderr.strip()[-600:]}"
        raise GitFailed(operation, cause=cause)
    return done.stdout


def _variables() -> dict[str, str]:
    """Returns the environment without what names another log, repository or agent."""
    others = ("THENCE_LOG", "THENCE_ROOT", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    names = {*others, *AGENT_VARIABLES, *NAMING_VARIABLES}
    return {name: text for name, text in os.environ.items() if name not in names} | _VARIABLES
