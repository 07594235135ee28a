"""The command `demo`: a simulation of traders, a tour of what it left, and one of a feature."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from thence.cli.groups import HELP_NAMES, talks
from thence.cli.voice import Painted, Voice, current

if TYPE_CHECKING:
    from thence.sim.result import RunResult

PACE_S = 0.1
_EXAMPLE = """\b
Example:
  thence demo --pace 0"""


@click.command("demo", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.option(
    "--pace",
    "pace_s",
    type=click.FloatRange(min=0, max=60),
    metavar="SECONDS",
    help=f"How long each turn is shown on a terminal; {PACE_S} unless told.",
)
@talks
def demo_command(pace_s: float | None) -> int:
    """Run a simulation of traders, then show what can be asked.

    A second tour takes a feature from its spec to done, in a git repository that is taken away
    at its end. Neither needs a network, a model or setup. The run lies in ./output (or
    THENCE_ROOT) afterwards, like any other.
    """
    from thence.cli.demo.tour import feature_tour, tour

    voice = current()
    voice.say(Painted("thence demo", bold=True))
    voice.say("  Traders carry goods between places, from where they are cheap to where they")
    voice.say("  are dear. Each decision, action and change becomes an event in a log, which")
    voice.say("  names the events that caused it.")
    result = _run(voice, PACE_S if pace_s is None else pace_s)
    if result.status != "completed":
        from thence.cli.commands.sim import ended

        voice.say("", f"run {result.status} after {result.turns} turns", f"  {result.output_dir}")
        return ended(voice, result)
    voice.say(*tour(result, _is_found(voice, result.output_dir)))
    feature_tour(voice)
    return 0


def _run(voice: Voice, pace_s: float) -> "RunResult":
    """Plays the scenario with live progress."""
    from thence.cli.demo.market import market
    from thence.cli.demo.tour import SCENARIO
    from thence.cli.shared.progress import is_drawn, progress
    from thence.cli.shared.run_progress import play
    from thence.sim.config import SimulationConfig

    config = SimulationConfig.from_file(SCENARIO)
    settings = {"output_root": voice.settings.root}
    traded = [(each["place"], each["good"]) for each in config.engine.params["markets"]]
    with market(voice, pace_s, traded) if is_drawn(voice) else progress(voice) as show:
        return play(voice, config, show, settings)


def _is_found(voice: Voice, folder: Path) -> bool:
    """Tells whether commands typed here find this run without being told."""
    from thence.cli.shared.locate import is_log, named_log, runs

    if named_log(voice, None) or is_log(Path()):
        return False
    return runs(Path(voice.settings.runs))[:1] == [folder]
