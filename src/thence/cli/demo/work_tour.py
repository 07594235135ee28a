"""The second tour of the demo: a feature cut into packages, done, and asked why.

It is played on a repository of its own that is taken away at the end, by the same functions as
the commands that it shows.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from thence.cli.shared.render import numbered
from thence.cli.voice import WIDTH_COLUMNS, Painted, Voice

if TYPE_CHECKING:
    from thence.work.result import CommandResult
    from thence.work.session.session import Session

_FEATURE = "001-sync-in-the-background"
_TASKS = """# Tasks

## Work Package WP01: The outbox

### Included Subtasks
- [ ] T001 Keep what is to be sent

### Dependencies
- None

## Work Package WP02: The sender

### Dependencies
- Depends on WP01
"""


def work_tour(voice: Voice) -> bool:
    """Plays the walk and tells each step; False, and a line that says so, without git."""
    import shutil

    voice.say("", Painted("A feature, from its spec to done", bold=True))
    if shutil.which("git") is None:
        voice.say("  There is no git here; with it this part shows how agents share work.")
        return False
    voice.say("  Agents take work packages, each in a git worktree of its own. What they do is")
    voice.say("  told to the project's journal; the board is a replay of it.")
    with tempfile.TemporaryDirectory(prefix="thence-demo-") as scratch, _repository(scratch) as top:
        _walk(voice, top)
    return True


def _walk(voice: Voice, top: Path) -> None:
    from thence.work.commands.accept import accept
    from thence.work.commands.finalize_tasks import finalize_tasks
    from thence.work.commands.implement import implement
    from thence.work.commands.init import init
    from thence.work.commands.mark_status import mark_status
    from thence.work.commands.merge import merge
    from thence.work.commands.setup_spec import setup_spec
    from thence.work.commands.status import status

    def step(words: str, actor: str, work: "Callable[[Session], CommandResult]") -> "CommandResult":
        return _step(voice, top, words, actor, work)

    step("init", "you", init)
    step(
        'setup-spec "Sync in the background"',
        "you",
        lambda session: setup_spec(session, "Sync in the background"),
    )
    (top / "kitty-specs" / _FEATURE / "tasks.md").write_text(_TASKS)
    step("finalize-tasks", "you", lambda session: finalize_tasks(session, None))
    step("implement WP01 --actor ada", "ada", lambda session: implement(session, "WP01"))
    _write(top, "WP01", "outbox.py")
    step("mark-status T001 --actor ada", "ada", lambda session: mark_status(session, ["T001"]))
    step("merge", "you", lambda session: merge(session, ()))
    step("accept", "you", lambda session: accept(session, ()))
    board = step("status", "you", lambda session: status(session, None))
    voice.say(*(f"  {line}" for line in board.lines))
    _tell_why(voice, top)


def _step(
    voice: Voice, top: Path, words: str, actor: str, work: "Callable[[Session], CommandResult]"
) -> "CommandResult":
    from thence.work.session.session import Session

    with Session(top, actor=actor) as session:
        result = work(session)
    voice.say(f"  $ thence work {words}")
    return result


def _tell_why(voice: Voice, top: Path) -> None:
    """Tells why the last package is done, back to the spec."""
    from thence.core.query.answer import why
    from thence.work.journal.store import EventStore

    with EventStore.at(top) as store:
        events = store.read()
        done = next(event for event in reversed(events) if event.actor == "you")
        answer = why(done, events, store.replica.vocabulary)
    voice.say("", Painted("Why is it done?", bold=True))
    voice.say(*numbered(answer.sentences, WIDTH_COLUMNS, len(events), 0, ""))
    voice.say("", "  Try it in a repository of yours: thence work init")


@contextmanager
def _repository(scratch: str) -> Iterator[Path]:
    top = Path(scratch).resolve() / "sync"
    top.mkdir()
    _git(top, "init", "--quiet", "--initial-branch", "main")
    _git(top, "config", "user.name", "Ada")
    _git(top, "config", "user.email", "ada@example.com")
    _git(top, "commit", "--quiet", "--allow-empty", "--message", "Begin")
    yield top


def _write(top: Path, package: str, name: str) -> None:
    worktree = top / ".worktrees" / f"{_FEATURE}-{package}"
    (worktree / name).write_text("def keep(message): ...\n")
    _git(worktree, "add", name)
    _git(worktree, "commit", "--quiet", "--message", "Keep what is to be sent")


def _git(folder: Path, *arguments: str) -> None:
    from thence.work.vcs.git import Git

    Git(folder).run(*arguments)
