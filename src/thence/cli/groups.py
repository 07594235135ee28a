"""The common parts of all commands: help, the nearest name, the options for output and log."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click

from thence.cli.output import Output

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_F = TypeVar("_F", bound=Callable[..., object])
_V = TypeVar("_V")


class Commands(click.Group):
    """A group that suggests the nearest name for a command it lacks."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Returns the command that the arguments begin with; raises UsageError."""
        name = args[0]
        names = self.list_commands(ctx)
        if name in names or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from thence.core.nearest import TYPO_LIKENESS, nearest

        near = nearest(name, names, likeness=TYPO_LIKENESS)
        suggestion = f" Did you mean '{near[0]}'?" if near else ""
        raise click.UsageError(f"No such command '{name}'.{suggestion}", ctx)


class LazyCommands(Commands):
    """A group that imports a command only when it is called.

    `table` maps each name to a module of `package` and to the command's line in the help. The
    command is called `<name>_command` in that module, with underscores for hyphens.
    """

    def __init__(
        self, *arguments: Any, table: Mapping[str, tuple[str, str]], package: str, **more: Any
    ) -> None:
        super().__init__(*arguments, **more)
        self.table = table
        self._package = package

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
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])


def help_with(*examples: str) -> dict[str, Any]:
    """Returns the arguments by which a command shows examples in its help, under -h too."""
    return {
        "context_settings": {"help_option_names": ["-h", "--help"]},
        "epilog": "\n  ".join(("\b\nExample:", *examples)),
    }


def verbosity_options(command: _F) -> _F:
    """Adds -q, -v and --debug to a command; the Output keeps their values."""
    for names, attribute, text in (
        (("--debug",), "is_debug", "Show the traceback of an error."),
        (("-v", "--verbose"), "is_verbose", "Show more."),
        (("-q", "--quiet"), "is_quiet", "Show nothing but results and errors."),
    ):
        command = click.option(
            *names, attribute, is_flag=True, expose_value=False, callback=_set_flag, help=text
        )(command)
    return command


def _set_flag(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    out = context.find_object(Output)
    if value and out is not None:
        setattr(out, str(parameter.name), True)


def checked_name(context: click.Context, parameter: click.Parameter, value: _V) -> _V:
    """Refuses an empty name, most often an unset variable of a script."""
    if value == "" or (isinstance(value, tuple) and "" in value):
        raise click.BadParameter("it names nothing", context, parameter)
    return value


def _required_name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    return checked_name(context, parameter, value) or ""


def _complete_path(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """Makes the shell complete the path of a folder or file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


log_option = click.option(
    "--log",
    "log",
    metavar="LOG",
    callback=checked_name,
    shell_complete=_complete_path,
    help="The log: its folder, one of its files, or a run's id. Else THENCE_LOG, this folder"
    " if it is a log, or the newest run under ./output.",
)


def log_argument(name: str) -> Callable[[_F], _F]:
    """Adds an argument to a command that names a log as --log does."""
    return click.argument(
        name, metavar=name.upper(), callback=_required_name, shell_complete=_complete_path
    )


json_option = click.option(
    "--json", "is_json", is_flag=True, help="Write JSON to stdout, and nothing else."
)
