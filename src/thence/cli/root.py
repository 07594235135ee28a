"""The group `thence` with its commands, each imported when it is called."""

import os
import sys

import click

from thence.cli.failure import report_error
from thence.cli.groups import LazyCommands, help_with, verbosity_options
from thence.cli.output import Output
from thence.errors import UnsupportedPlatform
from thence.settings import from_environment

# name: (the module of the command, its line in the help)
TABLE = {
    "append": ("commands.append", "Append one event, durable when the command ends."),
    "completion": ("commands.completion", "Write the script that completes thence in a shell."),
    "demo": ("commands.demo", "Run a simulation of traders, then show what can be asked."),
    "diff": ("commands.diff", "Show where two logs part, and what came of it."),
    "doctor": ("commands.doctor", "Check the machine, the folder, and the state of a log."),
    "effects": ("commands.causes", "Show what followed from an event."),
    "export": ("commands.export", "Write events as a table, CSV or Parquet."),
    "last": ("commands.listing", "Show the last event, and what was open when the log ended."),
    "log": ("commands.listing", "List events in total order, one line each."),
    "query": ("commands.listing", "List events in total order, one line each."),
    "rebuild": ("commands.listing", "Make the index of a log again from its lines."),
    "redact": (
        "commands.redact",
        "Take back what an event says: its payload goes, the rest stays.",
    ),
    "serve": (
        "commands.serve",
        "Answer questions about the logs in a folder over HTTP, on this machine alone.",
    ),
    "server": ("server.server", "Run the server at which the logs of a team meet."),
    "show": ("commands.listing", "Show all that one event holds."),
    "sim": ("commands.sim", "Run simulations and look at their runs."),
    "stats": ("commands.stats", "Count the events of a log: by name, per time."),
    "sync": ("sync.sync_group", "Share a log's events with your team through a server."),
    "tail": ("commands.tail", "Show the last events in the order of their arrival, and follow."),
    "verify": (
        "commands.verify",
        "Check every line of a log; without --repair nothing is changed.",
    ),
    "version": ("commands.version", "Show the versions of thence and Python."),
    "why": ("commands.causes", "Show why an event happened."),
    "work": ("work.group", "Cut features into work packages, and move them to done."),
}


@click.group(
    "thence",
    cls=LazyCommands,
    table=TABLE,
    package="thence.cli",
    invoke_without_command=True,
    **help_with("thence demo", "thence why @last"),
)
@click.option("--version", "is_version", is_flag=True, help="Show the version.")
@verbosity_options
@click.pass_context
def root(context: click.Context, is_version: bool) -> None:
    """Record what many agents did, durably, and ask why."""
    if is_version:
        from thence import __version__

        click.echo(f"thence {__version__}")
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())
    elif sys.platform == "win32" and context.invoked_subcommand != "version":
        raise UnsupportedPlatform(
            "could not run thence",
            cause="Windows has no flock and no fdatasync",
            hint="run it under WSL",
        )


def run(arguments: list[str] | None = None) -> int:
    """Runs a command and returns its exit code; errors are reported in three lines."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # the caller closed it
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    out = Output(from_environment(os.environ), given)
    try:
        if out.settings.completing is not None:
            from click.shell_completion import shell_complete

            from thence.cli.commands.completion import VARIABLE

            return shell_complete(root, {}, "thence", VARIABLE, out.settings.completing)
        colour = False if out.settings.is_colourless else None
        with root.make_context("thence", given, obj=out, color=colour) as context:
            code = root.invoke(context)
        out.flush()
    except BrokenPipeError:
        out.give_up_stdout()
        return 0
    except (KeyboardInterrupt, click.Abort):
        out.interrupted()
        raise KeyboardInterrupt from None
    except Exception as error:  # door: a user gets three lines, never a traceback unasked
        return report_error(error, out)
    return code if isinstance(code, int) else 0
