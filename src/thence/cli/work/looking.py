"""The commands of `thence work` that show what is on the board."""

import gc
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from thence.cli import INTERRUPTED
from thence.cli.output import current
from thence.cli.work.command_runner import command, feature_option, run

if TYPE_CHECKING:
    from thence.work.result import CommandResult
    from thence.work.session.session import Session

_WATCH_S = 2.0  # a large board takes a tenth of a second of processor time
_HOME_AND_CLEAR = "\x1b[H\x1b[J"
_LINES_LEFT = 2  # of a terminal: for notes, and for the cursor


@command("status", "thence work status --json")
@click.option("--all", "is_all", is_flag=True, help="Show the packages of every feature.")
@click.option("--watch", "is_watching", is_flag=True, help="Draw it again until Ctrl-C.")
@feature_option
def status_command(feature: str | None, is_all: bool, is_watching: bool) -> int:
    """Show the board: the packages of features in work, a line for each other feature.

    It is a replay of the log. Events that clones have written at once and that can't both stand
    are shown as a conflict, with the rule that settled it. Packages at work whose branches
    change the same files are shown too.
    """
    from thence.work.commands.status import status

    def show(session: "Session") -> "CommandResult":
        return status(session, feature, is_all=is_all)

    def show_once(session: "Session") -> "CommandResult":
        current().keep(session)
        return show(session)

    if is_watching:
        return _watch(show)
    gc.disable()  # what is read of the log lives until the end
    return run(show_once, create=False)


def _watch(show: "Callable[[Session], CommandResult]") -> int:
    """Draws the board on a terminal again and again; Ctrl-C is its usual end."""
    from msgspec.structs import replace

    if current().is_json or not sys.stdout.isatty():
        raise click.UsageError("--watch draws on a terminal: give it without --json, and no pipe")

    def draw(session: "Session") -> "CommandResult":
        result = show(session)
        rows = os.get_terminal_size(sys.stdout.fileno()).lines - _LINES_LEFT
        lines = result.lines
        if len(lines) > rows > 1:
            rest = len(lines) - rows + 1
            lines = (*lines[: rows - 1], f"{rest} more lines: thence work status, or --feature")
        click.echo(_HOME_AND_CLEAR, nl=False)
        return replace(result, lines=lines)

    try:
        while True:
            run(draw, create=False)
            time.sleep(_WATCH_S)
    except KeyboardInterrupt:
        return INTERRUPTED


@command("conflicts", "thence work conflicts")
@click.option("--all", "is_all", is_flag=True, help="Those too that somebody has resolved.")
def conflicts_command(
    is_all: bool,
) -> int:
    """Show what clones have written at once and can't both stand.

    Each is settled by a rule, and both sides stay in the log. With open conflicts the exit code
    is 3.
    """
    from thence.work.commands.findings import conflicts

    return run(lambda session: conflicts(session, is_all), create=False)


@command("errors", "thence work errors --limit 5")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="At most so many.",
)
def errors_command(
    limit: int,
) -> int:
    """Show what was refused of late, and what to do about it.

    The newest come first.
    """
    from thence.work.commands.findings import errors

    return run(lambda session: errors(session, limit), create=False)
