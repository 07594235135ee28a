"""The standing order of a trader, as a short text.

An order is valid until the trader gives another one. It is stored as text, so that the log is
easy to read: `buy 3 grain at Harbour`, `travel to Ember until 12`.
"""

import msgspec

ON_THE_ROAD = "road"
VERBS = ("buy", "sell", "restock", "travel", "rest")


class StandingOrder(msgspec.Struct, frozen=True):
    """The order that a trader follows until the next one.

    `place` is the place of the order, or the destination of a travel. `until` is the turn in
    which a traveller arrives or a rest ends, 0 for other orders.
    """

    verb: str
    place: str
    amount: int = 0
    good: str = ""
    until: int = 0

    @property
    def is_trade(self) -> bool:
        """True for an order to buy or sell."""
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
        """Reports whether the order trades a good at a place."""
        return self.is_trade and self.place == place and self.good == good

    def whereabouts(self, turn: int) -> str:
        """Returns the trader's location at the end of a turn: a place, or `road`."""
        is_away = self.verb == "travel" and self.until > turn + 1
        return ON_THE_ROAD if is_away else self.place


def parse(text: str) -> StandingOrder:
    """Parses the text of an order; raises ValueError if it is none."""
    words = text.split()
    if words and words[0] in VERBS:
        if len(words) == 5 and words[0] in ("buy", "sell", "restock"):
            good = "" if words[0] == "restock" else words[2]
            return StandingOrder(words[0], words[4], int(words[1]), good)
        if len(words) == 5:
            return StandingOrder(words[0], words[2], until=int(words[4]))
    raise ValueError(f"not an order: {text!r}")
