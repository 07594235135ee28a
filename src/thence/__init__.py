"""A durable, causally ordered event log: what many agents did, and why."""

from thence.context import because
from thence.replica import open_replica as open  # the name users expect: thence.open(path)

__version__ = "0.1.0"
__all__ = ["__version__", "because", "open"]
