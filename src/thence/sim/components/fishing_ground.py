"""The constant facts of a fishery: how fish grow, what an hour of fishing catches and earns."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FishingGround:
    """The water that all fishers share; fish and catches are in tons, `hours` by turn.

    The stock grows by `growth` of itself a turn while it is small, and not beyond `capacity`
    (logistic growth). An hour catches the share `catchability` of the stock, costs `hour_cost`,
    and a ton sells for `price`. One of the `fishers` takes an equal part of the stock at most.
    """

    capacity: float
    growth: float
    catchability: float
    price: float
    hour_cost: float
    fishers: int

    def grown(self, fish: float) -> float:
        """Returns the stock after a turn in which nothing was caught."""
        return fish + self.surplus(fish)

    def surplus(self, fish: float) -> float:
        """Returns the growth of a turn, which can be caught without shrinking the stock."""
        return self.growth * fish * (1 - fish / self.capacity)

    def catch(self, fish: float, hours: float, luck: float = 1.0) -> float:
        """Returns the tons that a fisher catches; `luck` is 1.0 on an average day."""
        share = min(self.catchability * hours * luck, 1 / self.fishers)
        return round(fish * share, 2)

    def gain(self, catch: float, hours: float) -> float:
        """Returns what a catch earns after its costs, negative for a loss."""
        return round(catch * self.price - hours * self.hour_cost, 2)
