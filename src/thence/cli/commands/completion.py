"""The command `completion`: the script by which a shell completes commands and options.

At each TAB the script makes the shell call `thence` again with _THENCE_COMPLETE set; such a
call is answered by this module, and no command is run.
"""

from typing import TYPE_CHECKING

import click

from thence.cli.groups import help_with, json_option, verbosity_options
from thence.cli.output import current

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

VARIABLE = "_THENCE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    **help_with(
        'eval "$(thence completion bash)"',
        "thence completion fish > ~/.config/fish/completions/thence.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@json_option
@verbosity_options
def completion_command(shell: str, is_json: bool) -> None:
    """Write the script that completes thence in a shell.

    Load it at the start of the shell: a line in ~/.bashrc or ~/.zshrc as in the example,
    a file for fish. Bash needs to be 4.4 or later.
    """
    out = current()
    script = _completer(shell, click.get_current_context().find_root().command)
    text = script.source_template % script.source_vars()
    if is_json:
        out.json({"shell": shell, "script": text})
    else:
        out.line(text.strip("\n").encode())


def complete(command: click.Command, instruction: str) -> int:
    """Writes the completions of the words that the shell passes; returns an exit code.

    `instruction` is the value that the script set: the shell's name and `_complete`.
    """
    shell, _, action = instruction.partition("_")
    if shell not in SHELLS or action != "complete":
        return 1
    completions = _completer(shell, command).complete()
    if completions:
        click.echo(completions)
    return 0


def _completer(shell: str, command: click.Command) -> "ShellComplete":
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, f"click knows {shell}"
    return kind(command, {}, "thence", VARIABLE)
