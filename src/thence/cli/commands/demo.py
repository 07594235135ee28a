"""The command `demo`: plays a simulation of traders, and shows what can be asked of its log.

No line is wider than 80 columns; the same text goes to a terminal, with colour, and to a pipe,
without.
"""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thence.cli.commands.causes import answer_lines
from thence.cli.frame import help_with, verbosity_options
from thence.cli.output import WIDTH_COLUMNS, Line, Output, Painted, current
from thence.cli.shared.logs import program
from thence.cli.shared.render import bars, counted, wrapped
from thence.core.query.answer import descending, reasons
from thence.core.sentences.event_sentences import short_id
from thence.replica import open_log

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.query.answer import Why
    from thence.core.values.vocabulary import Vocabulary
    from thence.replica import Log
    from thence.sim.run import RunResult

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


@click.command("demo", **help_with("thence demo"))
@verbosity_options
def demo_command() -> int:
    """Run a simulation of traders, then show what can be asked.

    It needs no network, no model and no setup. The run lies in ./output (or THENCE_ROOT)
    afterwards, like any other.
    """
    from thence.cli.shared.progress import report_failure

    out = current()
    out.write(Painted("thence demo", bold=True))
    out.write("  Traders carry goods between places, from where they are cheap to where they")
    out.write("  are dear. Each decision, action and change becomes an event in a log, which")
    out.write("  names the events that caused it.")
    result = _run(out)
    if result.status != "completed":
        out.write("", f"run {result.status} after {result.turns} turns", f"  {result.output_dir}")
        return report_failure(out, result)
    out.write(*_lines(result, _is_found(out, result.output_dir)))
    return 0


def _lines(result: "RunResult", is_newest_found: bool) -> Iterator[Line]:
    """Yields the lines on a run of traders: its content, why one trade happened, what to type.

    `is_newest_found` is whether a command finds this run by itself, because it is the newest.
    """
    with open_log(result.output_dir, create=False) as log:
        events = log.events()
        vocabulary = log.vocabulary
        answer = _late_trade(log, events)
    yield from _happened(events)
    yield from _recorded(events)
    yield from _files(result.output_dir)
    if answer is not None:
        yield from _why(answer, vocabulary)
        yield from _next(answer.event, "" if is_newest_found else str(result.output_dir))
        if is_newest_found:
            yield from ("", "  These ask the newest run. To ask this one later, add")
            yield f"    --log {result.output_dir.name}"


def _run(out: Output) -> "RunResult":
    """Plays the scenario with its progress."""
    from thence.cli.shared.progress import play, progress
    from thence.sim.run import SimulationOrchestrator

    with progress(out) as display:
        return play(
            out,
            lambda show, wait: SimulationOrchestrator(
                SCENARIO, output_root=out.settings.root, on_turn=show, on_wait=wait
            ),
            display,
        )


def _is_found(out: Output, folder: Path) -> bool:
    """Reports whether commands typed here find this run without --log."""
    from thence.cli.shared.locate import is_log, named_log, runs

    if named_log(out, None) or is_log(Path()):
        return False
    return runs(Path(out.settings.runs))[:1] == [folder]


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


def _recorded(events: Sequence["Event"]) -> Iterator[Line]:
    yield from _heading(f"What was recorded: {counted(len(events), 'event')}")
    yield from bars(current(), descending(Counter(event.event_type for event in events)))


def _files(folder: Path) -> Iterator[Line]:
    yield from _heading("Where it lies")
    yield f"  {folder}"
    for name, meaning in _FILES.items():
        yield f"    {name:12}  {(folder / name).stat().st_size:>9,} bytes  {meaning}"


def _late_trade(log: "Log", events: Sequence["Event"]) -> "Why | None":
    """Chooses the late trade whose reasons name most prices, and answers why it happened."""
    begin = _turns(events) * _LATE

    def weight(answer: "Why") -> tuple[int, str]:
        nearest = reasons(answer, NEAR_REASONS, lambda cause, depth: 1)
        prices = sum("/price_" in (cause.subject or "") for cause, _ in nearest)
        return prices, answer.event.event_id

    late = [e for e in events if _is_trade(e) and (e.turn_number or 0) >= begin]
    return max((log.why(trade) for trade in late), key=weight, default=None)


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


def _next(trade: "Event", log: str) -> Iterator[Line]:
    """Yields the commands to type, with the option --log for this run unless `log` is empty."""
    yield from _heading("What to type next")
    short = short_id(trade.event_id)
    option = (f"    --log {shlex.quote(log)}",) if log else ()
    for words, meaning, ends in (
        (f"why {short} --all", "the whole chain", option),
        (f"effects {short}", "what it led to", option),
        ("log --type ACTION", "all that was done", option),
        (f"sim run {SCENARIO} --seed 8", "another world", ()),
    ):
        yield f"  # {meaning}"
        yield f"  {program()} {words}" + (" \\" if ends else "")
        yield from ends
