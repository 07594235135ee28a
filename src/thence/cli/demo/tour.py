"""The tour of a demo: what a run recorded, one answer, and a feature from its spec to done.

No line is wider than 80 columns; the same text goes to a terminal, with colour, and to a pipe,
without. The feature is played on a repository of its own that is removed at the end, by the same
functions as the commands that are shown.
"""

import shlex
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from thence.cli.output import WIDTH_COLUMNS, Line, Output, Painted
from thence.cli.shared.because import answer_lines
from thence.cli.shared.opened import program
from thence.cli.shared.render import bars, counted, numbered, wrapped
from thence.core.query.answer import reasons, why
from thence.core.query.tally import descending
from thence.core.sentences.event_sentences import short_id
from thence.replica import open_log

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.query.answer import Why
    from thence.core.values.vocabulary import Vocabulary
    from thence.sim.result import RunResult
    from thence.work.result import CommandResult
    from thence.work.session.session import Session

SCENARIO = "spatial_trade_network"
# the reasons of a trade by which the trade is chosen
NEAR_REASONS = 7
# a trade is looked for behind so much of the run
_LATE = 0.7
_FILES = {
    "events.jsonl": "every event, one line of JSON each",
    "config.json": "the scenario and settings of this run",
    "result.json": "how it ended, the final state",
}
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


def tour(result: "RunResult", is_newest_found: bool) -> list[Line]:
    """Returns the lines of the tour of a run of traders.

    `is_newest_found` is whether a command finds this run by itself, because it is the newest.
    """
    with open_log(result.output_dir, create=False) as log:
        events = log.events()
        vocabulary = log.vocabulary
    log_name = "" if is_newest_found else str(result.output_dir)
    parts = [_happened(events), _events(events), _files(result.output_dir)]
    answer = _late_trade(events, vocabulary)
    if answer is not None:
        parts += [_why(answer, vocabulary), _next(answer.event, log_name, result.output_dir)]
    return [line for part in parts for line in part]


def _heading(text: str) -> tuple[Line, Line]:
    return "", Painted(text, bold=True)


def _happened(events: Sequence["Event"]) -> Iterator[Line]:
    yield from _heading("What happened")
    actions = Counter(e.payload.get("action_type") for e in events if e.event_type == "ACTION")
    traders = len({event.actor for event in events if event.actor})
    refused = sum(event.payload.get("error_type") == "action_rejected" for event in events)
    text = (
        f"In {counted(_turns(events), 'turn')} {counted(traders, 'trader')} bought"
        f" {actions['buy']} times, sold {actions['sell']} times and set out {actions['travel']}"
        f" times; {counted(refused, 'action')} {'was' if refused == 1 else 'were'} refused."
    )
    yield from wrapped(text, WIDTH_COLUMNS, "  ")


def _events(events: Sequence["Event"]) -> Iterator[Line]:
    yield from _heading(f"What was recorded: {counted(len(events), 'event')}")
    yield from bars(descending(Counter(event.event_type for event in events)))


def _files(folder: Path) -> Iterator[Line]:
    yield from _heading("Where it lies")
    yield f"  {folder}"
    for name, meaning in _FILES.items():
        size = (folder / name).stat().st_size if (folder / name).exists() else 0
        yield f"    {name:12}  {size:>9,} bytes  {meaning}"


def _late_trade(events: Sequence["Event"], vocabulary: "Vocabulary") -> "Why | None":
    """Chooses the late trade whose reasons name most prices, and answers why it happened."""
    begin = _turns(events) * _LATE

    def weight(answer: "Why") -> tuple[int, str]:
        nearest = reasons(answer, NEAR_REASONS, lambda cause, depth: 1)
        prices = sum("/price_" in (cause.subject or "") for cause, _ in nearest)
        return prices, answer.event.event_id

    late = [e for e in events if _is_trade(e) and (e.turn_number or 0) >= begin]
    return max((why(trade, events, vocabulary) for trade in late), key=weight, default=None)


def _is_trade(event: "Event") -> bool:
    return event.event_type == "ACTION" and event.payload.get("action_type") in ("buy", "sell")


def _turns(events: Sequence["Event"]) -> int:
    return max((event.turn_number or 0 for event in events), default=0)


def _why(answer: "Why", vocabulary: "Vocabulary") -> Iterator[Line]:
    trade = answer.event
    traded = trade.payload["action_payload"]
    what = f"{trade.payload['action_type']} {traded['amount']} {traded['good']}"
    where = f"at {traded['place']} in turn {trade.turn_number}"
    yield from _heading(f"Why did {trade.actor} {what} {where}?")
    lines, _ = answer_lines(answer, vocabulary, WIDTH_COLUMNS - 2)
    yield from (f"  {row}" if row else "" for row in lines)


def _next(trade: "Event", log: str, folder: Path) -> Iterator[Line]:
    yield from _heading("What to type next")
    short = short_id(trade.event_id)
    typed = {
        f"why {short} --all": "the whole chain",
        f"effects {short}": "what it led to",
        "log --type ACTION": "all that was done",
        f"sim run {SCENARIO} --seed 8": "another world",
    }
    for words, meaning in typed.items():
        yield f"  # {meaning}"
        is_of_this_run = bool(log) and not words.startswith("sim run")
        yield f"  {program()} {words}" + (" \\" if is_of_this_run else "")
        if is_of_this_run:
            yield f"    --log {shlex.quote(log)}"
    if not log:
        yield from ("", "  These ask the newest run. To ask this one later, add")
        yield f"    --log {folder.name}"


def feature_tour(out: Output) -> None:
    """Plays a feature and prints each command; without git, prints that there is none."""
    out.write("", Painted("A feature, from its spec to done", bold=True))
    if shutil.which("git") is None:
        out.write("  There is no git here; with it this part shows how agents share work.")
        return
    out.write("  Agents take work packages, each in a git worktree of its own. What they do is")
    out.write("  told to the project's journal; the board is a replay of it.")
    # a git that Ctrl-C cut loose, or a hook of the user's, may still be writing there at the end
    folder = tempfile.TemporaryDirectory(prefix="thence-demo-", ignore_cleanup_errors=True)
    with folder as scratch, _repository(scratch) as top:
        _play(out, top)
        _explain(out, top)


def _play(out: Output, top: Path) -> None:
    from thence.work.commands.accept import accept
    from thence.work.commands.finalize_tasks import finalize_tasks
    from thence.work.commands.implement import implement
    from thence.work.commands.init import init
    from thence.work.commands.mark_status import mark_status
    from thence.work.commands.merge import merge
    from thence.work.commands.setup_spec import setup_spec
    from thence.work.commands.status import status
    from thence.work.session.session import Session

    def step(
        words: str, work: "Callable[[Session], CommandResult]", actor: str = "you"
    ) -> "CommandResult":
        with Session(top, actor=actor) as session:
            result = work(session)
        out.write(f"  $ thence work {words}")
        return result

    title = "Sync in the background"
    step("init", init)
    step(f'setup-spec "{title}"', lambda session: setup_spec(session, title))
    (top / "kitty-specs" / _FEATURE / "tasks.md").write_text(_TASKS)
    step("finalize-tasks", lambda session: finalize_tasks(session, None))
    step("implement WP01 --actor ada", lambda session: implement(session, "WP01"), "ada")
    worktree = top / ".worktrees" / f"{_FEATURE}-WP01"
    (worktree / "outbox.py").write_text("def keep(message): ...\n")
    _git(worktree, "add", "outbox.py")
    _git(worktree, "commit", "--quiet", "--message", "Keep what is to be sent")
    step("mark-status T001 --actor ada", lambda session: mark_status(session, ["T001"]), "ada")
    step("merge", lambda session: merge(session, ()))
    step("accept", lambda session: accept(session, ()))
    board = step("status", lambda session: status(session, None))
    out.write(*(f"  {line}" for line in board.lines))


def _explain(out: Output, top: Path) -> None:
    """Prints why the last package is done, back to the spec."""
    from thence.work.journal.store import EventStore

    with EventStore.at(top) as store:
        events = store.read()
        done = next(event for event in reversed(events) if event.actor == "you")
        answer = why(done, events, store.replica.vocabulary)
    out.write("", Painted("Why is it done?", bold=True))
    out.write(*numbered(answer.sentences, WIDTH_COLUMNS, len(events), 0, ""))
    out.write("", "  Try it in a repository of yours: thence work init")


@contextmanager
def _repository(scratch: str) -> Iterator[Path]:
    top = Path(scratch).resolve() / "sync"
    top.mkdir()
    _git(top, "init", "--quiet", "--initial-branch", "main")
    _git(top, "config", "user.name", "Ada")
    _git(top, "config", "user.email", "ada@example.com")
    _git(top, "commit", "--quiet", "--allow-empty", "--message", "Begin")
    yield top


def _git(folder: Path, *arguments: str) -> None:
    from thence.work.vcs.git import Git

    Git(folder).run(*arguments)
