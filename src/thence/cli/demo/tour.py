"""The tour at the end of a demo: what happened, where it lies, one answer, what to type next.

No line is wider than 80 columns; the same text goes to a terminal, with colour, and to a
pipe, without.
"""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from thence.cli.demo.trades import TAIL_LINKS, Trades, question, telling_trade, trades
from thence.cli.shared.opened import program
from thence.cli.shared.render import bars, counted, numbered, wrapped
from thence.cli.voice import Line, Painted, plain
from thence.core.query.answer import why
from thence.core.query.tally import falling
from thence.core.sentences.event_sentences import short_id
from thence.replica import open_log

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.values.vocabulary import Vocabulary
    from thence.sim.result import RunResult

SCENARIO = "spatial_trade_network"
WIDTH_COLUMNS = 80
HEAD_LINKS = 2
_PRICES_SHOWN = 5
_FILES = {
    "events.jsonl": "every event, one line of JSON each",
    "config.json": "the scenario and settings of this run",
    "result.json": "how it ended, the final state",
}


def tour(result: "RunResult", is_newest_found: bool) -> list[Line]:
    """Returns the lines of the tour of a run of traders.

    `is_newest_found` says that a command finds this run by itself, because it is the newest.
    """
    with open_log(result.output_dir, create=False) as log:
        events = log.events()
        vocabulary = log.vocabulary
    log_name = "" if is_newest_found else str(result.output_dir)
    parts = [_happened(trades(events)), _events(events), _files(result.output_dir)]
    trade = telling_trade(events)
    if trade is not None:
        parts += [_answer(trade, events, vocabulary), _next(trade, log_name, result.output_dir)]
    return [line for part in parts for line in part]


def _heading(text: str) -> tuple[Line, Line]:
    return "", Painted(text, bold=True)


def _happened(found: Trades) -> Iterator[Line]:
    yield from _heading("What happened")
    actions = found.actions
    who = f"{counted(len(found.traders), 'trader')} carried {', '.join(found.goods)}"
    where = f"between {counted(len(found.places), 'place')} for {counted(found.turns, 'turn')}"
    trade = f"bought {actions.get('buy', 0)} times, sold {actions.get('sell', 0)} times"
    road = f"set out {actions.get('travel', 0)} times"
    refused = f"; {counted(found.refusals, 'wish')} refused" if found.refusals else ""
    text = f"{who} {where}: they {trade} and {road}{refused}."
    yield from wrapped(text, WIDTH_COLUMNS, "  ")
    purses = found.moved("agent", "money")
    if purses:
        name, _, first, last = max(purses, key=lambda purse: purse[3] - purse[2])
        yield f"  {name} earned most: {first:,.2f} became {last:,.2f}."
    prices = found.moved("place", "price_")[:_PRICES_SHOWN]
    if prices:
        yield from ("", "  Prices that moved most")
        names = [plain(f"{good} at {place}") for place, good, _, _ in prices]
        longest = max(map(len, names))
        for name, (_, _, first, last) in zip(names, prices, strict=True):
            arrow = Painted("▲", fg="green") if last > first else Painted("▼", fg="red")
            yield f"    {name:{longest}}  {first:>6.2f} → {last:>6.2f} ", arrow


def _events(events: Sequence["Event"]) -> Iterator[Line]:
    yield from _heading(f"What was recorded: {counted(len(events), 'event')}")
    yield from bars(falling(Counter(event.event_type for event in events)))


def _files(folder: Path) -> Iterator[Line]:
    yield from _heading("Where it lies")
    yield f"  {folder}"
    for name, meaning in _FILES.items():
        size = (folder / name).stat().st_size if (folder / name).exists() else 0
        yield f"    {name:12}  {size:>9,} bytes  {meaning}"


def _answer(trade: "Event", events: Sequence["Event"], vocabulary: "Vocabulary") -> Iterator[Line]:
    yield from _heading(question(trade))
    answer = why(trade, events, vocabulary)
    left_out = " lead from turn to turn"
    yield from numbered(answer.sentences, WIDTH_COLUMNS, HEAD_LINKS, TAIL_LINKS, left_out)
    turns = {event.turn_number for event in answer.chain}
    yield from wrapped(
        f"This line of causes runs through {counted(len(turns), 'turn')};"
        f" in all the trade has {counted(len(answer.cone), 'cause')}.",
        WIDTH_COLUMNS,
        "  ",
    )


def _next(trade: "Event", log: str, folder: Path) -> Iterator[Line]:
    yield from _heading("What to type next")
    called, short = program(), short_id(trade.event_id)
    suffix = f" --log {shlex.quote(log)}" if log else ""
    typed = {
        f"why {short}{suffix}": "the whole answer",
        f"effects {short}{suffix}": "what it led to",
        f"log --type ACTION{suffix}": "all that was done",
        f"sim run {SCENARIO} --seed 8": "another world",
    }
    longest = max(map(len, typed))
    lines = [f"  {called} {words:{longest}}  # {meaning}" for words, meaning in typed.items()]
    if max(map(len, lines)) > WIDTH_COLUMNS:
        folded = (_folded(f"{called} {words}", meaning) for words, meaning in typed.items())
        lines = [line for each in folded for line in each]
    yield from lines
    if not log:
        yield from ("", "  These ask the newest run. To ask this one later, add")
        yield f"    --log {folder.name}"


def _folded(command: str, meaning: str) -> list[str]:
    """Writes a command below its meaning, on two lines if need be, ready for a shell."""
    words, log, name = command.partition(" --log ")
    if log and len(command) + 2 > WIDTH_COLUMNS:
        return [f"  # {meaning}", f"  {words} \\", f"    --log {name}"]
    return [f"  # {meaning}", f"  {command}"]
