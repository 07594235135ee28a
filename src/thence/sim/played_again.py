"""A run that is played again: resumed in its own folder, or branched into a new one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from thence.sim.checkpoints import Checkpoint
from thence.sim.outcomes import Key, RecordedOutcome
from thence.sim.stored_steps import StoredSteps


class PlayedAgain(msgspec.Struct, frozen=True, kw_only=True):
    """What a run that is played again takes from the recorded one.

    `folder` is the run's own where it is resumed; then `checkpoint` is where it begins, and
    `stored` are the events behind. Else `parent` holds the run_id and turn that it branches from.
    `altered` is what the run alters, `failures` the facts of agents' failures, both by step.
    """

    outcomes: Mapping[Key, RecordedOutcome]
    altered: Mapping[str, Any]
    folder: Path | None = None
    parent: Mapping[str, Any] | None = None
    stored: StoredSteps | None = None
    failures: Mapping[str, Mapping[str, Any]] = {}
    checkpoint: Checkpoint | None = None
