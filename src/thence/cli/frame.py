"""The group `thence` with its commands, each imported when it is called."""

import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import augment_usage_errors

from thence.cli.failure import NeedsTerminal, report_error
from thence.cli.output import Output, current
from thence.core.json_values import is_utf8
from thence.errors import ExtraMissing, ThenceError
from thence.settings import from_environment

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_F = TypeVar("_F", bound=Callable[..., object])

_PASSWORD_CHARACTERS_MAX = 4_096


class Command(click.Command):
    """A command that takes no value which is empty, or is not text.

    An empty one most often is an unset variable of a script. Only a path may be no UTF-8.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the arguments of a call; raises UsageError."""
        with augment_usage_errors(ctx):
            given, _, parameters = self.make_parser(ctx).parse_args([*args])
        rest = super().parse_args(ctx, args)
        for parameter in [] if ctx.resilient_parsing else parameters:
            value = given.get(str(parameter.name))
            for text in value if isinstance(value, list | tuple) else [value]:
                if text == "":
                    raise click.BadParameter("it is empty", ctx, parameter)
                # bytes that are no UTF-8, which no event can hold, are lone surrogates in Python
                is_path = isinstance(parameter.type, click.Path)
                if isinstance(text, str) and not is_path and not is_utf8(text):
                    raise click.BadParameter(f"{text!r:.80} is not UTF-8 text", ctx, parameter)
        return rest


class Commands(click.Group):
    """A group that suggests the nearest name for one that no command has."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Returns the command that the arguments begin with; raises UsageError."""
        name = args[0]
        names = self.list_commands(ctx)
        if name in names or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from thence.core.nearest import did_you_mean

        raise click.UsageError(f"No such command '{name}'{did_you_mean(name, names)}", ctx)


class LazyCommands(Commands):
    """A group that imports a command only when it is called.

    `sections` map headings of the help to names, and each name to a module of `package` and to the
    command's line in the help. The command is called `<name>_command` in that module, with
    underscores for hyphens.
    """

    def __init__(
        self,
        *arguments: Any,
        sections: Mapping[str, Mapping[str, tuple[str, str]]],
        package: str,
        **settings: Any,
    ) -> None:
        super().__init__(*arguments, **settings)
        self.table = {name: entry for table in sections.values() for name, entry in table.items()}
        self._package = package
        self._sections = sections

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of the commands."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command; returns None if there is none with this name."""
        if cmd_name not in self.table:
            return None
        module = import_module(f"{self._package}.{self.table[cmd_name][0]}")
        command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Completes options, and names of commands without importing the commands."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=line)
            for name, (_, line) in self.table.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        sections: dict[str, dict[str, str]] = {}  # by the line, commands with one line as one
        for heading, lines in self._sections.items():
            names = sections[heading] = {}
            for name, (_, line) in lines.items():
                names[line] = f"{names[line]}, {name}" if line in names else name
        column = max(len(name) for names in sections.values() for name in names.values()) + 2
        for heading, names in sections.items():
            with formatter.section(heading):
                pairs = [(f"{name:{column}}", line) for line, name in names.items()]
                formatter.write_dl(pairs, col_spacing=0)


def help_with(*examples: str, extra: str = "") -> dict[str, Any]:
    """Returns the arguments of a Command that shows examples in its help, under -h too.

    `extra` is as for `help_settings`.
    """
    return {"cls": Command, **help_settings(*examples, extra=extra)}


def help_settings(*examples: str, extra: str = "") -> dict[str, Any]:
    """Returns the arguments by which a command of any class shows examples in its help.

    `extra` is what has to be installed for it, with the options for which it is if not for all.
    """
    epilog = "\n  ".join(("\b\nExample:", *examples))
    name, _, purpose = extra.partition(" ")
    if extra:
        epilog = f"It needs pip install 'thence[{name}]'{purpose and f' {purpose}'}.\n\n{epilog}"
    settings = {"help_option_names": ["-h", "--help"]}
    return {"context_settings": settings, "epilog": epilog}


def verbosity_options(command: _F) -> _F:
    """Adds -q, -v and --debug to a command; the Output keeps their values."""
    for names, attribute, text in (
        (("--debug",), "is_debug", "Show the traceback of an error."),
        (("-v", "--verbose"), "is_verbose", "Show more."),
        (("-q", "--quiet"), "is_quiet", "Show nothing but results and errors."),
    ):
        command = click.option(
            *names, attribute, is_flag=True, expose_value=False, callback=set_flag, help=text
        )(command)
    return command


def set_flag(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Keeps a flag in the output of a command, under the name of its parameter."""
    out = context.find_object(Output)
    if value and out is not None:
        setattr(out, str(parameter.name), True)


def command_group(
    name: str, *examples: str, extra: str = "", **lazy: Any
) -> Callable[[Callable[[], None]], click.Group]:
    """Makes a function a group, of LazyCommands with `sections` and a `package`, else of Commands.

    Its docstring is the group's help, which stands in for a command that is not named.
    """

    def decorated(function: Callable[[], None]) -> click.Group:
        @wraps(function)
        def show_help(context: click.Context) -> None:
            if context.invoked_subcommand is None:
                click.echo(context.get_help())

        kind = LazyCommands if lazy else Commands
        options = {"invoke_without_command": True, **help_settings(*examples, extra=extra), **lazy}
        command = verbosity_options(click.pass_context(show_help))
        return click.group(name, cls=kind, **options)(command)

    return decorated


def require_packages(operation: str, extra: str, *packages: str) -> None:
    """Raises ExtraMissing, before any output, if a package of an extra is not installed."""
    from importlib.util import find_spec

    for package in packages:
        if find_spec(package) is None:
            raise ExtraMissing(
                operation,
                cause=f"{package} is not installed",
                hint=f"pip install 'thence[{extra}]'",
            )


def check_terminal(instead: str) -> None:
    """Raises NeedsTerminal, with what to type instead, where there is no terminal to ask on."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NeedsTerminal(instead)


def check_agreed(
    question: str, operation: str, code: str, place: object = "", instead: str = "add --yes"
) -> None:
    """Asks on the terminal; raises ThenceError without consent, NeedsTerminal."""
    check_terminal(instead)
    if not click.confirm(question, err=True):
        cause, hint = "you did not agree", "nothing was changed"
        raise ThenceError(operation, place=place, cause=cause, hint=hint, code=code)


def piped_password() -> str:
    """Returns the password that stdin has as its first line; raises UsageError for none."""
    password = sys.stdin.readline(_PASSWORD_CHARACTERS_MAX).rstrip("\r\n")
    if not password:
        raise click.UsageError("stdin holds no password")
    return password


def json_or_text(text: str) -> Any:
    """Returns the value of a text that is JSON, else the text itself."""
    import msgspec

    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return text


# of any text, which need be no path; by it the shell completes one
PATH = click.Path(readable=False)


def log_argument(name: str) -> Callable[[_F], _F]:
    """Adds an argument to a command that names a log as --log does."""
    return click.argument(name, metavar=name.upper(), type=PATH)


def file_option(text: str, *, is_required: bool = False) -> Callable[[_F], _F]:
    """Adds --output, a file, to a command; `text` is its help."""
    return click.option(
        *("-o", "--output"),
        required=is_required,
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help=text,
    )


def output_options(command: _F) -> _F:
    """Adds --json, -q, -v and --debug to a command."""
    return click.option(
        "--json",
        "is_json",
        is_flag=True,
        expose_value=False,
        callback=set_flag,
        help="Write JSON to stdout, and nothing else.",
    )(verbosity_options(command))


# the order of `cli.shared.locate`, for the help of each command and docs/reference/commands.md
LOG_ORDER = (
    "Default: THENCE_LOG; for a line or a commit, the agents' log of its repository, or the"
    " project's journal; otherwise the first of these that has the event, or any event: this"
    " folder, the agents' log, the journal, the newest run under ./output."
)


def log_options(command: _F) -> _F:
    """Adds --log, and the options of all output, to a command that uses a log."""
    return click.option(
        "--log",
        "log_name",
        metavar="LOG",
        type=PATH,
        help=f"The log: its folder, one of its files, or a run's id. {LOG_ORDER}",
    )(output_options(command))


# the variable by which the script of a shell asks for completions, which no command answers
COMPLETING = "_THENCE_COMPLETE"
# heading: {name: (the module of the command, its line in the help)}; of two names with one line the
# second is another name of the first
SECTIONS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Ask": {
        "why": ("log.causes", "Show why an event happened."),
        "effects": ("log.causes", "Show what followed from an event."),
        "blame": ("trace.blame", "Show who owns each line of a file: the agent and its prompt."),
        "log": ("log.listing", "List events in total order, one line each."),
        "query": ("log.listing", "List events in total order, one line each."),
        "tail": ("log.listing", "Show the last events in arrival order, and follow."),
        "show": ("log.listing", "Show everything that one event holds."),
        "last": ("log.listing", "Show the last event, and what was open when the log ended."),
        "unfinished": (
            "log.listing",
            "List steps that never ended, and whether their processes are alive.",
        ),
        "stats": ("log.overview", "Count a log's events, with model tokens and cost."),
        "timeline": ("log.overview", "Draw steps as bars over time."),
        "diff": ("log.diff", "Show where two logs diverge, and what followed."),
    },
    "Record": {
        "hook": ("trace.hook", "Record what coding agents do, through their hooks."),
        "append": ("log.append", "Append one event, durable when the command ends."),
        "import": (
            "trace.tracing",
            "Import OpenTelemetry spans into a log, as begun and ended steps.",
        ),
        "mcp": (
            "trace.mcp",
            "Answer an agent's questions about a log over MCP, on stdin and stdout.",
        ),
    },
    "Simulate": {"sim": ("sim.sim", "Run simulations and look at their runs.")},
    "Coordinate": {"work": ("work", "Split features into work packages, and move them to done.")},
    "Share": {
        "serve": (
            "server.serve",
            "Serve the logs in a folder over HTTP, pages and API, on this machine only.",
        ),
        "sync": ("sync", "Share a board through its git remote, or any log through a server."),
        "server": ("server", "Run the server that syncs a team's logs."),
    },
    "Look after": {
        "doctor": ("log.doctor", "Check the machine, the folder, and the state of a log."),
        "verify": ("log.verify", "Check every line of a log; nothing is changed."),
        "prune": ("log.prune", "Remove a log's oldest files, or move them to an archive."),
        "redact": (
            "sync.redact",
            "Remove an event's payload for good; the rest of the event stays.",
        ),
        "rebuild": ("log.listing", "Rebuild a log's index from its lines."),
        "export": ("trace.export", "Write events as a table, CSV or Parquet, or as OTLP spans."),
    },
    "About": {
        "demo": ("demo", "Run a killed agent, a simulation and a board, and ask why."),
        "docs": ("about", "Show a page of the documents, or list them all."),
        "completion": ("about", "Write the script that completes thence in a shell."),
    },
}


@click.group(
    "thence",
    cls=LazyCommands,
    sections=SECTIONS,
    package="thence.cli.commands",
    invoke_without_command=True,
    **help_settings("thence demo", "thence why @last", "thence docs quickstart"),
)
@click.option("--version", "is_version", is_flag=True, help="Show the version.")
@click.option("--json", "is_json", is_flag=True, help="With --version: write it as JSON.")
@verbosity_options
@click.pass_context
def root(context: click.Context, is_version: bool, is_json: bool) -> None:
    """Record what many agents did, durably, and ask why."""
    if is_version:
        import platform

        from thence import __version__

        python, system = platform.python_version(), platform.platform()
        value = {"version": __version__, "python": python, "platform": system}
        current().result(value, [f"thence {__version__} (Python {python}, {system})"])
    elif is_json:
        raise click.UsageError("--json goes after the command name", context)
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())
    elif sys.platform == "win32":
        raise ThenceError(
            "could not run thence",
            cause="Windows has no flock and no fdatasync",
            hint="run it under WSL",
            code="unsupported_platform",
        )


def run(arguments: list[str] | None = None) -> int:
    """Runs a command and returns its exit code; errors are reported in three lines."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # the caller closed it
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    out = Output(from_environment(os.environ), words)
    try:
        if out.settings.completing is not None:
            from click.shell_completion import shell_complete

            return shell_complete(root, {"obj": out}, "thence", COMPLETING, out.settings.completing)
        colour = False if out.settings.is_colourless else None
        with root.make_context("thence", words, obj=out, color=colour) as context:
            code = root.invoke(context)
        out.flush()
    except BrokenPipeError:
        out.give_up_stdout()
        return 0
    except (KeyboardInterrupt, click.Abort):
        out.interrupted()
        raise KeyboardInterrupt from None
    except Exception as error:  # boundary: a user gets three lines, never a traceback unasked
        return report_error(error, out)
    return code if isinstance(code, int) else 0
