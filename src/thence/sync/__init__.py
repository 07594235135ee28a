"""Sync of logs with a team's server: what one machine has written reaches all others.

The public names are imported when they are first asked for: a command that only looks whether sync
is enabled needs no HTTP.
"""

TYPE_CHECKING = False  # as typing has it, without its import
if TYPE_CHECKING:
    from thence.sync.engine import SyncEngine
    from thence.sync.service import BackgroundSyncService

__all__ = ["BackgroundSyncService", "SyncEngine"]
_MODULES = {
    "BackgroundSyncService": "thence.sync.service",
    "SyncEngine": "thence.sync.engine",
}


def __dir__() -> list[str]:
    return list(__all__)


# a type checker knows the names above, and refuses any other because it does not see this
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        from thence.errors import needs_extra

        with needs_extra("sync", f"thence.sync.{name}"):
            value = getattr(import_module(_MODULES[name]), name)
        globals()[name] = value
        return value
