"""The live view of the demo: the markets of all places, redrawn after each turn."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from thence.cli.shared.progress import told
from thence.cli.shared.run_progress import Show
from thence.cli.voice import Voice, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from thence.sim.result import TurnProgress
    from thence.sim.state import State

Market = tuple[str, str]
Prices = dict[Market, float]
Scopes = dict[str, dict[str, Any]]
ON_THE_ROAD = "road"
_WIDTH_COLUMNS = 76


@contextmanager
def market(voice: Voice, pace_s: float, traded: Collection[Market]) -> Iterator[Show]:
    """Draws the markets on stderr while a run of traders goes on.

    `traded` are the (place, good) that have a price. Each turn stands for at least `pace_s`
    seconds, so that people can follow.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, no_color=voice.settings.is_colourless, highlight=False)
    before: Prices = {}
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(turn: "TurnProgress", state: "State") -> None:
            scopes = state.as_dict()
            now = {(place, good): _price(scopes, place, good) for place, good in traded}
            live.update(_drawn(turn, scopes, before, now), refresh=True)
            before.update(now)
            time.sleep(pace_s)

        yield show


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
    head = Text(f"\n  turn {turn.turn} of {turn.max_turns}: {told(turn.counts)}")
    bar = ProgressBar(total=turn.max_turns, completed=turn.turn, width=_WIDTH_COLUMNS - 4)
    return Group(head, Padding(bar, (0, 0, 1, 2)), table)


def _cell(market: Market, before: Prices, now: Prices) -> str:
    """Writes the price at a market with its direction; a dot where there is none."""
    if market not in now:
        return "[dim]·[/]  "
    price, old = now[market], before.get(market, now[market])
    mark = "[green]▲[/]" if price > old else "[red]▼[/]" if price < old else " "
    return f"{price:.2f} {mark}"


def _price(scopes: Scopes, place: str, good: str) -> float:
    return float(scopes[f"place/{place}"][f"price_{good}"])


def _traders(scopes: Scopes, place: str) -> list[str]:
    return [
        scope.removeprefix("agent/")
        for scope, values in scopes.items()
        if scope.startswith("agent/") and values.get("location") == place
    ]
