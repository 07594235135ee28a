"""The command `serve`: serves a folder of logs over HTTP on this machine."""

import re
from pathlib import Path

import click

from thence.cli.frame import help_with, output_options, require_packages
from thence.cli.output import current, exit_code
from thence.cli.shared.locate import journal_of
from thence.errors import NotALog

_PORT_MAX = 65_535
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+", re.ASCII)


@click.command(
    "serve", **help_with("thence serve output", "curl http://127.0.0.1:8377/simulations")
)
@click.argument("root", required=False)
@click.option(
    "--port",
    type=click.IntRange(0, _PORT_MAX),
    help="This port, 0 for any; else 8377 or the next free one.",
)
@click.option(
    "--token",
    metavar="TOKEN",
    help="Answer only to who shows this token; else THENCE_TOKEN, which others don't see.",
)
@click.option(
    "--cors",
    "origins",
    metavar="ORIGIN",
    multiple=True,
    callback=lambda context, option, raw: tuple(map(_origin, raw)),
    help="Let pages of this origin read the answers; may be given again.",
)
@output_options
def serve_command(
    root: str | None,
    port: int | None,
    token: str | None,
    origins: tuple[str, ...],
) -> None:
    """Answer questions about the logs in a folder over HTTP, on this machine alone.

    ROOT is a folder of runs and other logs, a log, or a project; else THENCE_ROOT, else ./output.
    The address is the first line on stdout. Ctrl-C ends it at once.
    """
    out = current()
    root_folder = Path(root or out.settings.runs)
    try:
        from thence.server import running

        require_packages("could not start the server", "server", "fastapi", "httptools", "uvicorn")
        if not root_folder.is_dir():
            raise NotALog(
                "could not serve",
                place=root_folder,
                cause="there is no such folder",
                hint="name the folder of the runs or logs: thence serve FOLDER",
            )
        example = "simulations"
        if (root_folder / ".kittify").is_dir() and (journal := journal_of(root_folder)) is not None:
            root_folder, example = journal, "logs"  # the journal of a project is no simulation
        token = token if token is not None else out.settings.token
        if token == "":  # most often an unset variable
            raise click.BadParameter("it is empty", param_hint="--token")
        running.end_on_sigterm()
        listener = running.listening(port)
        address = f"http://{running.HOST}:{listener.getsockname()[1]}"
        out.result({"url": address, "root": str(root_folder.absolute())}, [address])
        out.flush()
        header = ' -H "Authorization: Bearer $THENCE_TOKEN"' if token else ""
        out.notice(f"serving {root_folder.absolute()}; try: curl{header} {address}/{example}")
        out.notice("Ctrl-C ends it")
        running.serve(listener, root_folder, token, origins)
    except (KeyboardInterrupt, SystemExit) as ended:  # the usual end, which needs no report
        out.end_at_once(exit_code(ended))


def _origin(raw: str) -> str:
    """Returns an origin as browsers send it, in lower case; it is compared literally."""
    if not _ORIGIN.fullmatch(raw):
        raise click.BadParameter(f"{raw!r} is no origin; one is https://page.example:8080")
    return raw.lower()
