"""The standing order of a trader, as a short text.

An order stands until the trader gives another one. It is kept as text, so that the log reads
well: `buy 3 grain at Harbour`, `travel to Ember until 12`.
"""

import msgspec

ON_THE_ROAD = "road"
VERBS = ("buy", "sell", "restock", "travel", "rest")


class StandingOrder(msgspec.Struct, frozen=True):
    """What a trader does until further notice.

    `place` is where; of a travel, where to. `until` is the turn in which a traveller arrives
    or a resting trader goes on, 0 for other orders.
    """

    verb: str
    place: str
    amount: int = 0
    good: str = ""
    until: int = 0

    @property
    def is_trade(self) -> bool:
        """Whether goods change hands."""
        return self.verb in ("buy", "sell")

    @property
    def text(self) -> str:
        """The order in words, as `parse` reads it."""
        if self.is_trade:
            return f"{self.verb} {self.amount} {self.good} at {self.place}"
        if self.verb == "restock":
            return f"restock {self.amount} provisions at {self.place}"
        return (
            f"{self.verb} {'to' if self.verb == 'travel' else 'at'} {self.place} until {self.until}"
        )

    def is_for(self, place: str, good: str) -> bool:
        """Whether it trades a good at a place."""
        return self.is_trade and self.place == place and self.good == good

    def whereabouts(self, turn: int) -> str:
        """Returns where the trader is at the end of a turn: a place, or `road`."""
        is_away = self.verb == "travel" and self.until > turn + 1
        return ON_THE_ROAD if is_away else self.place


def parse(text: str) -> StandingOrder:
    """Returns the order that a text says; ValueError if it says none."""
    words = text.split()
    if words and words[0] in VERBS:
        if len(words) == 5 and words[0] in ("buy", "sell", "restock"):
            good = "" if words[0] == "restock" else words[2]
            return StandingOrder(words[0], words[4], int(words[1]), good)
        if len(words) == 5:
            return StandingOrder(words[0], words[2], until=int(words[4]))
    raise ValueError(f"not an order: {text!r}")
