"""The log records about simulations and their event writers, written with structlog.

Where a program has configured structlog, its configuration is used. Else the records go to the
standard library's logger `thence.sim`, which writes warnings to stderr and nothing to stdout.
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

        self._common = {"mode": mode, "simulation_id": simulation_id}

    def __call__(self, word: str, facts: Mapping[str, Any]) -> None:
        """Writes one record, such as ("rotated", {"file": …})."""
        members = {key: _short(value) for key, value in facts.items()}
        getattr(logger(), _LEVELS[word])(f"event_writer_{word}", **members, **self._common)


def logger() -> Any:
    """Returns the current logger for records of a simulation."""
    import structlog

    if structlog.is_configured():
        return structlog.get_logger("thence.sim")
    return structlog.wrap_logger(
        logging.getLogger("thence.sim"),
        processors=[structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _short(value: object) -> object:
    """Returns a short value for a record: an error as text, the first ten of many ids."""
    if isinstance(value, BaseException):
        return str(value)
    if isinstance(value, list) and len(value) > 10:
        return [*value[:10], f"and {len(value) - 10} more"]
    return value
