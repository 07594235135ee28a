"""The command `completion`: click's script by which a shell completes commands and options.

At each TAB the script makes the shell call `thence` again with _THENCE_COMPLETE set; click answers
such a call, and no command is run.
"""

import click

from thence.cli.groups import help_with, json_option, verbosity_options
from thence.cli.output import current

VARIABLE = "_THENCE_COMPLETE"


@click.command(
    "completion",
    **help_with(
        'eval "$(thence completion bash)"',
        "thence completion fish > ~/.config/fish/completions/thence.fish",
    ),
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@json_option
@verbosity_options
def completion_command(shell: str, is_json: bool) -> None:
    """Write the script that completes thence in a shell.

    Load it at the start of the shell: a line in ~/.bashrc or ~/.zshrc as in the example,
    a file for fish. Bash needs to be 4.4 or later.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, f"click knows {shell}"
    out = current()
    root = click.get_current_context().find_root().command
    script = kind(root, {}, "thence", VARIABLE).source()
    if is_json:
        out.json({"shell": shell, "script": script})
    else:
        out.line(script.strip("\n").encode())
