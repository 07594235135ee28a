"""The command `version`."""

import click

from thence.cli.groups import help_with, json_option, verbosity_options
from thence.cli.output import current


@click.command("version", **help_with("thence version --json"))
@json_option
@verbosity_options
def version_command(is_json: bool) -> None:
    """Show the versions of thence and Python."""
    import platform

    from thence import __version__

    out = current()
    python, system = platform.python_version(), platform.platform()
    if is_json:
        out.json({"version": __version__, "python": python, "platform": system})
    else:
        out.write(f"thence {__version__} (Python {python}, {system})")
