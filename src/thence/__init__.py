"""A durable, causally ordered event log: what many agents did, and why."""

TYPE_CHECKING = False  # as typing has it, without its import
if TYPE_CHECKING:
    from thence.context import because
    from thence.core.guard import Unchanged
    from thence.replica import open_log as open  # the name users expect: thence.open(path)
    from thence.steps import step

__version__ = "0.1.0"
__all__ = ["Unchanged", "__version__", "because", "open", "step"]


def __getattr__(name: str) -> object:
    """Imports a public name when it is first asked for, so that commands start quickly."""
    if name == "because":
        from thence.context import because

        return because
    if name == "Unchanged":
        from thence.core.guard import Unchanged

        return Unchanged
    if name == "open":
        from thence.replica import open_log

        return open_log
    if name == "step":
        from thence.steps import step

        return step
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
