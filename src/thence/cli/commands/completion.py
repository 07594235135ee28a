"""The command `completion`: what a shell needs to complete commands and options.

The script has the shell call `thence` again with _THENCE_COMPLETE set, at each TAB; the
door answers such a call here and runs no command.
"""

from typing import TYPE_CHECKING

import click

from thence.cli.groups import HELP_NAMES, json_option, talks
from thence.cli.voice import current

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

VARIABLE = "_THENCE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_EXAMPLE = """\b
Example:
  eval "$(thence completion bash)"
  thence completion fish > ~/.config/fish/completions/thence.fish"""


@click.command("completion", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.argument("shell", type=click.Choice(SHELLS))
@json_option
@talks
def completion_command(shell: str, is_json: bool) -> None:
    """Write the script that completes thence in a shell.

    Load it at the start of the shell: a line in ~/.bashrc or ~/.zshrc as in the example,
    a file for fish. Bash needs to be 4.4 or later.
    """
    voice = current()
    script = _completer(shell, click.get_current_context().find_root().command)
    text = script.source_template % script.source_vars()
    if is_json:
        voice.json({"shell": shell, "script": text})
    else:
        voice.line(text.strip("\n").encode())


def answered(command: click.Command, instruction: str) -> int:
    """Writes what completes the words that the shell hands over; returns an exit code.

    `instruction` is what the script set: the shell's name and `_complete`.
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
