"""The result of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

Status = Literal["completed", "failed", "interrupted"]


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run, as result.json holds it.

    `turns` counts complete turns, `events` the lines in the run's files; `dropped` and `failed`
    count events without a line. `reason` is the reason of the end, `error` the failure, if any.
    `final_state` is scope → name → value after the last complete turn. `altered` is step →
    change for an altered run, else empty.
    """

    run_id: str
    status: Status
    turns: int
    reason: str
    events: int
    dropped: int
    failed: int
    output_dir: Path
    final_state: Mapping[str, Mapping[str, Any]]
    error: str | None = None
    altered: Mapping[str, Any] = {}

    def to_dict(self) -> dict[str, Any]:
        """Returns the result as JSON values; `altered` is a member only of an altered run."""
        members: dict[str, Any] = msgspec.to_builtins(self, enc_hook=str)
        if not self.altered:
            del members["altered"]
        return members


class TurnProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a run, reported after each turn.

    `counts` are the events so far by event_type, including those that the verbosity leaves out.
    """

    run_id: str
    turn: int
    max_turns: int
    counts: Mapping[str, int]


class RunWait(msgspec.Struct, frozen=True, kw_only=True):
    """The component that has kept a run waiting for longest, in `turn`; 0 is before the first.

    `others` counts further components that the run waits for, `waited_s` are seconds.
    """

    turn: int
    max_turns: int
    component: str
    waited_s: float
    others: int
