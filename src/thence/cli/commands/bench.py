"""The group `bench`: trials that any program which logs can be put to."""

from typing import TYPE_CHECKING

import click

from thence.cli.groups import HELP_NAMES, Commands, json_option, talks
from thence.cli.voice import current

if TYPE_CHECKING:
    from thence.cli.crash.kills import Kept

KILLS = 100
KILLS_MAX = 100_000
WITHIN_S = 0.2
TIMEOUT_S = 30.0
_EXAMPLE = """\b
Example:
  thence bench kill --command 'python log.py {file}'"""
_KILL_EXAMPLE = """\b
Example:
  thence bench kill --command 'python log.py {file}' --kills 20 --json"""


@click.group(
    "bench",
    cls=Commands,
    context_settings=HELP_NAMES,
    invoke_without_command=True,
    epilog=_EXAMPLE,
)
@talks
@click.pass_context
def bench_command(context: click.Context) -> None:
    """Put any program that logs to the test."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@bench_command.command("kill", context_settings=HELP_NAMES, epilog=_KILL_EXAMPLE)
@click.option(
    "--command",
    required=True,
    help="The program with its arguments; {file} stands for the path to log to.",
)
@click.option(
    "--read",
    "reading",
    metavar="COMMAND",
    help="Prints the records in {file}, where they are no lines, as in a database.",
)
@click.option(
    "--kills",
    type=click.IntRange(1, KILLS_MAX),
    default=KILLS,
    show_default=f"{KILLS}",
    metavar="N",
    help="How often it is killed.",
)
@click.option("--seed", type=click.IntRange(0), help="Repeats the instants of an earlier run.")
@click.option(
    "--within",
    "within_s",
    type=click.FloatRange(0, 60),
    default=WITHIN_S,
    show_default=True,
    metavar="SECONDS",
    help="The kill falls within this time after the first id.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 600),
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long the first id may take.",
)
@json_option
@talks
def kill_command(
    command: str,
    reading: str | None,
    kills: int,
    seed: int | None,
    within_s: float,
    timeout_s: float,
    is_json: bool,
) -> int:
    """Kill a program that logs, and count what its log kept.

    The program logs to {file} (THENCE_BENCH_FILE holds it too) for ever, and prints the id
    of each record on a line of its own, flushed, once its logger has taken the record. It
    is killed with SIGKILL at a random instant and started again, on the same file. Then
    each id that it printed is looked for. Exit code 3: some are not there, or half a line
    was written on behind. A SIGKILL is no power cut.
    """
    from random import randrange

    from thence.cli.crash.kills import KillTrial, as_json, drawn, rows, run
    from thence.cli.exit_codes import DAMAGED
    from thence.cli.shared.render import counted

    voice = current()
    for name, value in (("--command", command), ("--read", reading)):
        if value is not None and not is_command(value):
            raise click.BadParameter(f"'{value}' names no program", param_hint=name)
    chosen = randrange(2**32) if seed is None else seed
    trial = KillTrial(command, reading, kills, chosen, within_s, timeout_s)
    voice.note(f"killing {counted(kills, 'time')}, seed {chosen}: {command}")
    every = max(1, kills // 10)
    kept = run(trial, lambda n: voice.note(f"{n} of {kills}") if n % every == 0 else None)
    if is_json:
        voice.json(as_json(trial, kept))
    else:
        voice.say(*drawn([*rows(trial, kept)]))
        voice.say("ok: nothing acknowledged is missing" if kept.is_whole else verdict(kept))
    return 0 if kept.is_whole else DAMAGED


def verdict(kept: "Kept") -> str:
    """Says in a line what was not kept."""
    from thence.cli.shared.render import counted

    missing = kept.acknowledged - kept.present
    told = f"{counted(missing, 'acknowledged record')} missing" if missing else ""
    glued = f"{counted(kept.glued, 'half line')} glued to what came next" if kept.glued else ""
    return "not ok: " + ", ".join(filter(None, (told, glued)))


def is_command(text: str) -> bool:
    """Tells whether a text can be split into a program and its arguments."""
    import shlex

    try:
        return bool(shlex.split(text))
    except ValueError:
        return False
