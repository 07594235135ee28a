"""The logger for the records of a simulation, which are no events."""

import logging
from typing import Any


def logger() -> Any:
    """Returns the current logger for records of a simulation.

    Where a program has configured structlog, its configuration is used. Else the records go to the
    standard library's logger `thence.sim`, which writes warnings to stderr and nothing to stdout.
    """
    import structlog

    if structlog.is_configured():
        return structlog.get_logger("thence.sim")
    return structlog.wrap_logger(
        logging.getLogger("thence.sim"),
        processors=[structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
