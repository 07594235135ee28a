"""Kills any program that logs, and counts what its log kept: `python -m bench.killed --help`.

The program is started without a shell, with the path that it must log to in place of {file} and in
THENCE_BENCH_FILE. It logs for ever, and prints the id of each record on a line of its own, flushed,
once its logger has taken the record: when the call has returned, or the flush that is meant to keep
it. An id is six or more letters, digits, `-` and `_`, in no other record, and stands by itself in
the record's line. It is killed by SIGKILL, with its children, at a random instant: mostly up to
0.2 s after its first id, sometimes before it. Then it is started again on the same file, so that
what one start left half-written meets the next. All files beside the path count, rotated ones too,
hidden ones not. Where they hold no lines, as in a database, --read names a command that prints the
records of {file}. Exit code 1: the program did not keep to this.
"""

import os
import shlex
import sys
from random import randrange

import click

from bench.kills import Kept, KillTrial, as_json, drawn, rows, run
from thence.cli import DAMAGED, INTERRUPTED
from thence.cli.failure import report_error
from thence.cli.frame import help_with, output_options
from thence.cli.output import Output, current
from thence.cli.shared.render import counted
from thence.settings import from_environment

NAME = "python -m bench.killed"
KILLS = 100
KILLS_MAX = 100_000
WITHIN_S = 0.2
TIMEOUT_S = 30.0


@click.command("bench.killed", **help_with("python -m bench.killed --command './my-logger {file}'"))
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
@output_options
def kill_command(
    command: str,
    reading: str | None,
    kills: int,
    seed: int | None,
    within_s: float,
    timeout_s: float,
) -> int:
    """Kill a program that logs, and count what its log kept.

    Each id that the program printed is looked for. Exit code 3: some are not there, or half a
    line was written on behind. A SIGKILL is no power cut.
    """
    out = current()
    for name, value in (("--command", command), ("--read", reading)):
        if value is not None and not is_command(value):
            raise click.BadParameter(f"'{value}' names no program", param_hint=name)
    chosen = randrange(2**32) if seed is None else seed
    trial = KillTrial(command, reading, kills, chosen, within_s, timeout_s)
    out.notice(f"killing {counted(kills, 'time')}, seed {chosen}: {command}")
    every = max(1, kills // 10)
    kept = run(trial, lambda n: out.notice(f"{n} of {kills}") if n % every == 0 else None)
    if out.is_json:
        out.json(as_json(trial, kept))
    else:
        out.write(*drawn([*rows(trial, kept)]))
        out.write("ok: nothing acknowledged is missing" if kept.is_whole else verdict(kept))
    return 0 if kept.is_whole else DAMAGED


def verdict(kept: Kept) -> str:
    """Returns in a line what was not kept."""
    missing = kept.acknowledged - kept.present
    told = f"{counted(missing, 'acknowledged record')} missing" if missing else ""
    glued = f"{counted(kept.glued, 'half line')} glued to what came next" if kept.glued else ""
    return "not ok: " + ", ".join(filter(None, (told, glued)))


def is_command(text: str) -> bool:
    """Reports whether a text can be split into a program and its arguments."""
    try:
        return bool(shlex.split(text))
    except ValueError:
        return False


def main(arguments: list[str]) -> int:
    """Runs the command; errors are printed in three lines."""
    out = Output(from_environment(os.environ), arguments)
    try:
        with kill_command.make_context(NAME, list(arguments), obj=out) as context:
            code = kill_command.invoke(context)
        out.flush()
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except KeyboardInterrupt:
        out.interrupted()
        return INTERRUPTED
    except Exception as error:  # boundary: a user gets three lines
        return report_error(error, out)
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
