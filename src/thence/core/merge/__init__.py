"""The search for conflicts: the result is equal wherever the same events are held."""

from thence.core.merge.conflicts import (
    Conflict,
    find_conflicts,
    merge_counter,
    merge_gset,
    state_machine_merge,
)

__all__ = [
    "Conflict",
    "find_conflicts",
    "merge_counter",
    "merge_gset",
    "state_machine_merge",
]
