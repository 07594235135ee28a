"""The command `demo`: a simulation of traders, a tour of what it left, and one of a feature.

On a terminal the markets of all places are drawn, and redrawn after each turn.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thence.cli.groups import help_with, verbosity_options
from thence.cli.output import Output, Painted, current, plain
from thence.cli.shared.progress import counts_text
from thence.cli.shared.run_progress import RunDisplay

if TYPE_CHECKING:
    from rich.console import RenderableType

    from thence.sim.result import RunResult, TurnProgress
    from thence.sim.state import State

PACE_S = 0.1
Market = tuple[str, str]
Prices = dict[Market, float]
Scopes = dict[str, dict[str, Any]]
ON_THE_ROAD = "road"
_WIDTH_COLUMNS = 76


@click.command("demo", **help_with("thence demo --pace 0"))
@click.option(
    "--pace",
    "pace_s",
    type=click.FloatRange(min=0, max=60),
    metavar="SECONDS",
    help=f"How long each turn is shown on a terminal; {PACE_S} by default.",
)
@verbosity_options
def demo_command(pace_s: float | None) -> int:
    """Run a simulation of traders, then show what can be asked.

    A second tour takes a feature from its spec to done, in a git repository that is taken away
    at its end. Neither needs a network, a model or setup. The run lies in ./output (or
    THENCE_ROOT) afterwards, like any other.
    """
    from thence.cli.demo.tour import feature_tour, tour

    out = current()
    out.write(Painted("thence demo", bold=True))
    out.write("  Traders carry goods between places, from where they are cheap to where they")
    out.write("  are dear. Each decision, action and change becomes an event in a log, which")
    out.write("  names the events that caused it.")
    result = _run(out, PACE_S if pace_s is None else pace_s)
    if result.status != "completed":
        from thence.cli.shared.run_progress import report_failure

        out.write("", f"run {result.status} after {result.turns} turns", f"  {result.output_dir}")
        return report_failure(out, result)
    out.write(*tour(result, _is_found(out, result.output_dir)))
    feature_tour(out)
    return 0


def _run(out: Output, pace_s: float) -> "RunResult":
    """Plays the scenario with live progress."""
    from thence.cli.demo.tour import SCENARIO
    from thence.cli.shared.progress import is_drawn, progress
    from thence.cli.shared.run_progress import play
    from thence.sim.config import SimulationConfig

    config = SimulationConfig.from_file(SCENARIO)
    settings = {"output_root": out.settings.root}
    traded = [(each["place"], each["good"]) for each in config.engine.params["markets"]]
    with market(out, pace_s, traded) if is_drawn(out) else progress(out) as display:
        return play(out, config, display, settings)


def _is_found(out: Output, folder: Path) -> bool:
    """Reports whether commands typed here find this run without --log."""
    from thence.cli.shared.locate import is_log, named_log, runs

    if named_log(out, None) or is_log(Path()):
        return False
    return runs(Path(out.settings.runs))[:1] == [folder]


@contextmanager
def market(out: Output, pace_s: float, traded: Collection[Market]) -> Iterator[RunDisplay]:
    """Draws the markets on stderr while a run of traders goes on.

    `traded` are the (place, good) that have a price. Each turn stands for at least `pace_s`
    seconds, so that people can follow.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, no_color=out.settings.is_colourless, highlight=False)
    before: Prices = {}
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(turn: "TurnProgress", state: "State") -> None:
            scopes = state.as_dict()
            now = {
                (place, good): float(scopes[f"place/{place}"][f"price_{good}"])
                for place, good in traded
            }
            live.update(_drawn(turn, scopes, before, now), refresh=True)
            before.update(now)
            time.sleep(pace_s)

        yield RunDisplay(show)


def _drawn(turn: "TurnProgress", scopes: Scopes, before: Prices, now: Prices) -> "RenderableType":
    from rich.console import Group
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    goods = sorted({good for _, good in now})
    table = Table(box=None, padding=(0, 2), width=_WIDTH_COLUMNS)
    table.add_column("place")
    for good in goods:
        table.add_column(Text(plain(f"{good}  ")), justify="right")
    table.add_column("traders", ratio=1)
    for place in sorted({place for place, _ in now}):
        cells = [_cell((place, good), before, now) for good in goods]
        table.add_row(Text(plain(place)), *cells, Text(plain(", ".join(_traders(scopes, place)))))
    road = Text(plain(", ".join(_traders(scopes, ON_THE_ROAD))))
    table.add_row("on the road", *("" for _ in goods), road, style="dim")
    head = Text(f"\n  turn {turn.turn} of {turn.max_turns}: {counts_text(turn.counts)}")
    bar = ProgressBar(total=turn.max_turns, completed=turn.turn, width=_WIDTH_COLUMNS - 4)
    return Group(head, Padding(bar, (0, 0, 1, 2)), table)


def _cell(market: Market, before: Prices, now: Prices) -> str:
    """Writes the price at a market with its direction; a dot where there is none."""
    if market not in now:
        return "[dim]·[/]  "
    price, old = now[market], before.get(market, now[market])
    mark = "[green]▲[/]" if price > old else "[red]▼[/]" if price < old else " "
    return f"{price:.2f} {mark}"


def _traders(scopes: Scopes, place: str) -> list[str]:
    return [
        scope.removeprefix("agent/")
        for scope, values in scopes.items()
        if scope.startswith("agent/") and values.get("location") == place
    ]
