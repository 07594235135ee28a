"""The settings from flags and the environment, in one frozen object.

It is read once, at the boundary (`thence.cli`), and handed on as plain arguments: nobody
inside reads the environment. A flag goes before THENCE_*, and that before the default.
THENCE_CAUSE is no setting: it belongs to events, and `thence.open` takes it.
"""

from collections.abc import Mapping
from typing import NamedTuple

ROOT = "output"


class Settings(NamedTuple):
    """The settings of a user; None where nothing was set."""

    log: str | None = None
    actor: str | None = None
    root: str | None = None
    token: str | None = None
    database: str | None = None
    columns: int | None = None
    is_colourless: bool = False
    is_dumb: bool = False
    completing: str | None = None
    otlp_headers: str | None = None

    @property
    def runs(self) -> str:
        """The folder that runs are written into and looked for in."""
        return self.root or ROOT


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Reads what of THENCE_* is a setting, and what tells of a terminal.

    An empty variable counts as unset. NO_COLOR follows no-color.org, and a dumb terminal
    gets no colour either. _THENCE_COMPLETE is set by the script of `thence completion`.
    OTEL_EXPORTER_OTLP_HEADERS is OpenTelemetry's own.
    """
    columns = environ.get("COLUMNS", "")
    width = int(columns) if columns.isascii() and columns.isdigit() and len(columns) < 5 else 0
    is_dumb = environ.get("TERM") in ("dumb", "unknown")
    return Settings(
        log=environ.get("THENCE_LOG") or None,
        actor=environ.get("THENCE_ACTOR") or None,
        root=environ.get("THENCE_ROOT") or None,
        token=environ.get("THENCE_TOKEN") or None,
        database=environ.get("THENCE_DATABASE") or None,
        columns=width or None,
        is_colourless=bool(environ.get("NO_COLOR")) or is_dumb,
        is_dumb=is_dumb,
        completing=environ.get("_THENCE_COMPLETE") or None,
        otlp_headers=environ.get("OTEL_EXPORTER_OTLP_HEADERS") or None,
    )
