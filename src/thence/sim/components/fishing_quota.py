"""The validator of a fishery, which enforces a quota."""

import math

from thence.sim.actions import Action, Verdict
from thence.sim.components.fishing_ground import FishingGround
from thence.sim.config import SimulationConfig
from thence.sim.validator import BaseValidator
from thence.sim.views import RecordedState


class FishingQuota(BaseValidator):
    """A validator that refuses trips which would bring more than `quota` tons on an average day.

    Without a quota it accepts every trip, and reads nothing.
    """

    def __init__(self, config: SimulationConfig, *, quota: float | None = None) -> None:
        super().__init__(config)
        self.quota = quota

    def validate_action(self, action: Action, state: RecordedState) -> Verdict:
        """Returns a rejection with `hours_max`, or accepts."""
        hours = action.payload.get("hours")
        if self.quota is None or not isinstance(hours, int | float):
            return Verdict.accept()
        ground: FishingGround = state.facts
        fish: float = state.world["fish"]
        catch = ground.catch(fish, hours)
        if catch <= self.quota:
            return Verdict.accept()
        hours_max = math.floor(100 * self.quota / (ground.catchability * fish)) / 100
        return Verdict.reject(
            f"{hours} hours bring {catch} tons, the quota is {self.quota}", hours_max=hours_max
        )
