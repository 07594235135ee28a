"""The command `serve`: serves a folder of logs over HTTP on this machine."""

import re
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import click

from thence.cli.commands.server.opened_server import unix_option
from thence.cli.frame import PATH, help_with, output_options, require_packages
from thence.cli.output import Output, current
from thence.cli.shared.locate import is_log, logs_of_repository, runs
from thence.cli.shared.logs import keep_taking_in, take_in_hooks
from thence.errors import NotALog, ThenceError, needs_extra

if TYPE_CHECKING:
    from thence.trace.otlp.receiving import SpanIntake

_PORT_MAX = 65_535
_HOOKS_EVERY_S = 2.0
# where exporters of OpenTelemetry send by themselves
_OTLP_PORT = 4318
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+", re.ASCII)


@click.command(
    "serve",
    **help_with("thence serve output", "curl http://127.0.0.1:8377/simulations", extra="server"),
)
@click.argument("root", required=False, type=PATH)
@click.option(
    "--port",
    type=click.IntRange(0, _PORT_MAX),
    help="The port, 0 for any; default: 8377 or the next free one.",
)
@unix_option
@click.option(
    "--token",
    metavar="TOKEN",
    help="Require this token (prefer THENCE_TOKEN: options show up in `ps`).",
)
@click.option(
    "--cors",
    "origins",
    metavar="ORIGIN",
    multiple=True,
    callback=lambda context, option, raw: tuple(map(_origin, raw)),
    help="Let pages from this origin read the responses; repeatable.",
)
@click.option(
    "--otlp",
    "takes_spans",
    is_flag=True,
    help="Also receive spans into the log ROOT, on port 4318.",
)
@click.option("--open", "is_opened", is_flag=True, help="Also open the address in a browser.")
@output_options
def serve_command(
    root: str | None,
    port: int | None,
    unix: Path | None,
    token: str | None,
    origins: tuple[str, ...],
    is_opened: bool,
    takes_spans: bool,
) -> None:
    """Serve the logs in a folder over HTTP, pages and API, on this machine only.

    ROOT is a folder of runs and other logs, a log, or a repository with its runs in ./output;
    default: THENCE_ROOT or ./output, with the logs of this folder's repository; without any runs
    there, this folder's logs. The address is the first line on stdout. Ctrl-C stops it immediately.

    With --otlp programs of any language send their spans to it, over OTLP/HTTP. They become begun
    and ended steps in the log ROOT, which is created if it is missing.
    """
    out = current()
    opened = ExitStack()
    try:
        from thence.server import running

        require_packages("could not start the server", "server", "fastapi", "httptools", "uvicorn")
        if takes_spans and root is None:
            raise click.UsageError("--otlp needs a log to receive the spans: name it as ROOT")
        if unix is not None and (port is not None or is_opened):
            raise click.UsageError("--unix goes with neither --port nor --open")
        if unix is None:  # a taken port makes no log
            listener = running.listening(_OTLP_PORT if takes_spans and port is None else port)
        intake = None
        if takes_spans and root is not None:
            is_new = not is_log(Path(root))
            intake = opened.enter_context(_taking_spans(Path(root)))
            if is_new:
                out.notice(f"created the log {root}: there was none")
        root_folder, places = _served(out, root, Path(out.settings.runs))
        token = token if token is not None else out.settings.token
        running.end_on_sigterm()
        if unix is not None:
            listener = running.listening_at(unix)
        address = running.address_of(listener)
        out.result({"url": address, "root": str(root_folder.absolute())}, [address])
        out.flush()
        header = ' -H "Authorization: Bearer $THENCE_TOKEN"' if token else ""
        example = "logs" if places else "simulations"
        here = [root_folder] if root_folder.is_dir() else []
        first, *others = (path.absolute() for path in (*here, *places.values()))
        url = f"--unix-socket {unix} http://localhost" if unix is not None else address
        out.notice(f"serving {first}; try: curl{header} {url}/{example}")
        for path in others:
            out.notice(f"serving {path}")
        keep_taking_in([*places.values()], _HOOKS_EVERY_S)
        out.notice("Ctrl-C stops it")
        if is_opened:
            # a browser of the terminal would keep the server waiting
            Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        repository = Path(root or "").absolute() if places else None
        with opened:
            running.serve(listener, root_folder, token, origins, places, repository, intake)
    except (KeyboardInterrupt, SystemExit) as ended:  # the usual end, which needs no report
        out.end_at_once(ended)


@contextmanager
def _taking_spans(folder: Path) -> "Iterator[SpanIntake]":
    """Opens a log, made if it is missing, for the spans that are sent to it."""
    with needs_extra("otel", "thence serve --otlp"):
        import opentelemetry.proto.collector.trace.v1.trace_service_pb2  # noqa: F401
    from thence.cli.commands.trace.tracing import log_of_spans
    from thence.trace.otlp.receiving import SpanIntake

    with log_of_spans(folder, create=True) as log, SpanIntake(log) as intake:
        yield intake


def _served(out: Output, root: str | None, of_runs: Path) -> tuple[Path, dict[str, Path]]:
    """Returns the folder to serve, and the logs of its repository; raises NotALog."""

    def report(error: ThenceError) -> None:
        out.warn(f"thence: not served: {error}")

    folder, served = (Path(), of_runs) if root is None else (Path(root), Path(root))
    if root is None and not of_runs.is_dir() and (is_log(folder) or runs(folder)):
        served = folder
    is_repository = (folder / ".git").exists() or (folder / ".kittify").is_dir()
    has_logs = not is_log(served) if root is None else is_repository
    places = logs_of_repository(folder, report) if has_logs else {}
    if root is not None and places and (folder / "output").is_dir():  # as from inside of it
        served = folder / "output"
    if served.is_dir() or (root is None and places):
        for path in places.values():
            take_in_hooks(path)
        return served, places
    raise NotALog(
        "could not serve",
        place=served,
        cause="there is no such folder",
        hint="name the folder of runs, logs, a repository or a project: thence serve FOLDER",
    )


def _origin(raw: str) -> str:
    """Returns an origin as browsers send it, in lower case; it is compared literally."""
    if not _ORIGIN.fullmatch(raw):
        raise click.BadParameter(f"{raw!r} is not an origin such as https://page.example:8080")
    return raw.lower()
