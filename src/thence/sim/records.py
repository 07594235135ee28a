"""Our own log records about simulations and their event writers, written with structlog.

A program that has configured structlog gets them its way. Else they go to the standard
library's logger `thence.sim`, which shows warnings on stderr and nothing on stdout.
"""

import logging
from collections.abc import Mapping
from typing import Any

_LEVELS = {
    "started": "info",
    "stopped": "info",
    "rotated": "info",
    "resumed": "info",
    "dropped": "warning",
    "remaining": "warning",
    "unproven": "warning",
    "clock_ignored": "warning",
    "suspect": "error",
    "refused": "error",
    "lost": "error",
    "failed": "error",
}


class Records:
    """The log records of one writer; each carries its mode and simulation_id."""

    def __init__(self, mode: str, simulation_id: str) -> None:
        import structlog  # noqa: F401 not first in a thread: a fork amid it would bind the child

        self._always = {"mode": mode, "simulation_id": simulation_id}

    def __call__(self, word: str, facts: Mapping[str, Any]) -> None:
        """Writes one record, such as ("rotated", {"file": …})."""
        told = {key: _told(value) for key, value in facts.items()}
        getattr(logger(), _LEVELS[word])(f"event_writer_{word}", **told, **self._always)


def logger() -> Any:
    """Returns the logger that a record of a simulation goes to now."""
    import structlog

    if structlog.is_configured():
        return structlog.get_logger("thence.sim")
    return structlog.wrap_logger(
        logging.getLogger("thence.sim"),
        processors=[structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _told(value: object) -> object:
    """Keeps a record short: an error as text, of many ids the first ten."""
    if isinstance(value, BaseException):
        return str(value)
    if isinstance(value, list) and len(value) > 10:
        return [*value[:10], f"and {len(value) - 10} more"]
    return value
