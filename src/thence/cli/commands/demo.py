"""The command `demo`: a killed coding agent, a simulation and a board, in one new repository.

The repository, the hooks, the commits, the kill, the run and the board are real; the agent is a
shell that fires the hooks of a recorded session, and recorded answers play the simulation. Each
answer is the output of a command of thence there, 80 columns wide; a terminal adds colour.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import click

from thence.cli.frame import help_with, verbosity_options
from thence.cli.output import Painted, current
from thence.cli.shared.logs import program
from thence.errors import GitFailed, ThenceError
from thence.trace.agents.fired import (
    AGENT_VARIABLES,
    CLAUDE_FOLDER,
    CLAUDE_SESSION,
    NAMING_VARIABLES,
)

FILE, LINE = "src/pay.py", 14
_BRANCH, _WAITING = "pay-once", "waiting"
# what the agent does, a step a line, in a repository at /W: the input of a hook, a file, a command;
# the first has the file as it was
_STEPS = Path(__file__).with_suffix(".jsonl")
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
_AGENT = """An agent is asked for a fix and gives the task to a subagent, which edits
a file and commits. A person squashes the branch. Then the agent is killed
in the middle of a call."""
_SIMULATION = """Two agents negotiate; a model's recorded answers play them. Why did south
claim less in the last turn?"""
_BOARD = """A feature is split into two work packages. Ada has sent the first to review,
Bob is working on the second. The board is a replay of the log."""
_FEATURE = "001-refund-an-order"
_TASKS = f"kitty-specs/{_FEATURE}/tasks.md"
_PACKAGES = """# Tasks

## Work Package WP01: The gateway gives back
- [ ] T001 Call gateway.refund() once for an order

## Work Package WP02: The till refunds an order
- [ ] T002 Refund what was paid

### Dependencies
- Depends on WP01
"""


@click.command("demo", **help_with("thence demo"))
@verbosity_options
def demo_command() -> None:
    """Run a killed agent, a simulation and a board, and ask why.

    It needs git, but no agent, no model and no network. Afterwards the repository is in ./output
    (or THENCE_ROOT): the agent's log is in its git folder, the run in its own ./output.
    """
    out = current()
    for number in count(1):
        folder = Path(out.settings.runs) / f"demo-{number}"
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    _show(1, "A coding agent, killed at work", _AGENT)
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "config", "user.name", _PERSON)
    _git(folder, "config", "user.email", _MAIL)
    (folder / FILE).parent.mkdir()
    first, second, *_ = map(json.loads, _STEPS.read_text().splitlines())
    (folder / FILE).write_text(first["before"])
    (folder / ".gitignore").write_text("output/\n")
    _git(folder, "add", FILE, ".gitignore")
    _git(folder, "commit", "--quiet", "--message", "Pay orders")
    _thence(folder, "hook", "install", "git")
    _thence(folder, "hook", "install", "claude-code", "--project")
    _git(folder, "switch", "--quiet", "--create", _BRANCH)
    # the agent goes as far as a call that never ends
    place = str(folder.absolute())
    with subprocess.Popen(
        ("sh", "-e"),
        cwd=folder,
        env={**_variables(), CLAUDE_SESSION: second["session_id"], CLAUDE_FOLDER: place},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None
        assert agent.stderr is not None
        try:
            agent.stdin.writelines(_typed_by_agent(folder))
            agent.stdin.flush()
            if agent.stdout.readline().strip() != _WAITING:
                cause = agent.stderr.read().strip()[-600:]
                raise ThenceError("could not run the agent", cause=cause)
        finally:
            agent.kill()
    _git(folder, "switch", "--quiet", "main")
    _git(folder, "merge", "--quiet", "--squash", _BRANCH)
    _git(folder, "commit", "--quiet", "--message", "Pay once (#1)", "--author", _OTHER)
    _git(folder, "branch", "--quiet", "--delete", "--force", _BRANCH)
    _ask(folder, "unfinished")
    _ask(folder, "why", f"{FILE}:{LINE}")
    _show(2, "A simulation", _SIMULATION)
    _thence(folder, "sim", "run", "negotiation", "--quiet")
    _ask(folder, "why", "agent/south/claim")
    _show(3, "A feature on its board", _BOARD)
    _thence(folder, "work", "setup-spec")
    _thence(folder, "work", "setup-spec", "Refund an order")
    (folder / _TASKS).write_text(_PACKAGES)
    _thence(folder, "work", "finalize-tasks")
    _thence(folder, "work", "implement", "WP01")
    tree = folder / ".worktrees" / f"{_FEATURE}-WP01"
    (tree / "src" / "refund.py").write_text("def refund(order): ...\n")
    _git(tree, "add", "src/refund.py")
    _git(tree, "commit", "--quiet", "--message", "Refund once")
    _thence(tree, "work", "mark-status", "T001")
    _thence(tree, "work", "move-task", "WP01", "--to", "for_review")
    _thence(folder, "work", "implement", "WP02", "--actor", "Bob")
    _ask(folder, "work", "status")
    words = program()
    if words != "thence":  # as a shell in any folder finds it
        words = str(Path(words).absolute())
    out.write("", Painted("Ask more", bold=True), f"  cd {shlex.quote(str(folder))}")
    for command in (f"blame {FILE}", f"why {FILE}:{LINE} --all", "log"):
        out.write(f"  {words} {command}")
    out.write("", Painted("Look at all three", bold=True))
    out.write(f"  {words} serve {shlex.quote(str(folder.absolute()))} --open")


def _typed_by_agent(folder: Path) -> Iterator[str]:
    """Yields the commands by which a shell plays the recorded session."""
    hooks = json.loads((folder / ".claude/settings.local.json").read_text())["hooks"]
    here = json.dumps(str(folder.absolute())).removesuffix('"')
    for line in _STEPS.read_text().replace('"/W', here).splitlines():
        step = json.loads(line)
        if "text" in step:
            yield f"printf %s {shlex.quote(step['text'])} >{shlex.quote(step['path'])}\n"
        elif "command" in step:
            yield f"{step['command']}\n"
        for group in hooks.get(step.get("hook_event_name"), ()):
            for hook in group["hooks"]:
                yield f"printf %s {shlex.quote(line)} | {hook['command']}\n"
    yield f"echo {_WAITING}\n"


def _show(number: int, title: str, text: str) -> None:
    out = current()
    out.write(*[""] * (number > 1), Painted(f"{number}. {title}", bold=True))
    out.write(*(f"   {line}" for line in text.splitlines()))


def _ask(folder: Path, *words: str) -> None:
    """Shows a command and its answer, without what to type next."""
    lines = [line for line in _thence(folder, *words).splitlines() if line[:6] != "next: "]
    current().write("", f"$ thence {shlex.join(words)}", *lines)


def _git(folder: Path, *words: str) -> str:
    return _run(folder, "git", *words)


def _thence(folder: Path, *words: str) -> str:
    return _run(folder, sys.executable, "-m", "thence", *words)


def _run(folder: Path, *words: str) -> str:
    """Runs a program in the folder and returns its output; raises GitFailed where it fails."""
    operation = f"could not run the demo in {folder}"
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
