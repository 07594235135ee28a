"""How a run ended."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

Status = Literal["completed", "failed", "interrupted"]


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run, as result.json holds it.

    `turns` are whole turns, `events` lines in the run's files; `dropped` and `failed` count
    events that are not among them. `reason` is why it ended, `error` what failed, if anything.
    `final_state` is scope → name → value after the last whole turn. `altered` is step → change
    of a run that was altered, else empty.
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
        """Returns the result as JSON values; `altered` is there if the run was."""
        found: dict[str, Any] = msgspec.to_builtins(self, enc_hook=str)
        if not self.altered:
            del found["altered"]
        return found


class TurnProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is, reported after each turn.

    `counts` are the events so far by event_type, before the verbosity leaves any out.
    """

    run_id: str
    turn: int
    max_turns: int
    counts: Mapping[str, int]
