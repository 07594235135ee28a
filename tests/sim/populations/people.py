"""Populations for tests: people who give money on, meet the sick, are born and die."""

import numpy as np

from thence.sim import Action, BaseAgent, BaseEngine, Population


class Givers(Population):
    """Each gives one unit to anybody while it has any."""

    def __init__(self, name: str, size: int = 50, **options):
        super().__init__(name, size, {"money": ("int32", 2)}, **options)

    def decide(self, rows):
        has_any = rows["money"] > 0
        rows.add("money", -1, where=has_any)
        rows.add("money", 1, where=has_any, of=rows.integers("to", 0, rows.size))


class Flu(Population):
    """Each meets one other a turn, falls sick from it, and is well again after four turns."""

    def __init__(self, name: str, size: int = 200, odds: float = 0.7):
        super().__init__(name, size, {"sick": "bool", "days": "int8"})
        self._odds = odds

    def start(self, rows):
        rows.set("sick", True, where=rows.ids < 3)

    def decide(self, rows):
        sick, days = rows["sick"], rows["days"]
        met = rows.get("sick", of=rows.integers("meet", 0, rows.size))
        catches = ~sick & (days == 0) & met & (rows.random("catch") < self._odds)
        heals = sick & (days >= 4)
        rows.set("sick", True, where=catches)
        rows.set("sick", False, where=heals)
        rows.add("days", 1, where=sick & ~heals)


class Herd(Population):
    """Each eats from the world's grass, dies of age, and has a young one now and then."""

    def __init__(self, name: str, size: int = 20):
        columns = {"alive": ("bool", True), "age": "int16", "weight": ("float64", 1.0)}
        super().__init__(name, size, columns)

    def start(self, rows):
        rows.set("age", rows.integers("age", 0, 8))

    def decide(self, rows):
        grass = rows.observation.world["grass"]
        rows.add("age", 1)
        rows.add("weight", 0.5 * grass)
        rows.set("alive", False, where=rows["age"] >= 8)
        young = (rows["age"] == 4) & (rows.random("young") < 0.9)
        rows.append(young, weight=rows["weight"] / np.float64(2))


class Leaning(Givers):
    """Givers whose decision leans on what they don't read: `how` names it."""

    def __init__(self, name: str, size: int = 50, how: str = "mean"):
        super().__init__(name, size)
        self._how = how

    def start(self, rows):
        rows.set("money", rows.ids % 5)

    def decide(self, rows):
        money = rows["money"]
        leanings = {
            "mean": lambda: money > money.mean(),
            "order": lambda: np.argsort(np.argsort(money)) > len(rows.ids) // 2,
            "place": lambda: np.arange(len(rows.ids)) % 2 == 0,
            "all": lambda: money > rows.all("money").mean(),
            "length": lambda: np.arange(50) % 2 == 0,
        }
        rows.add("money", 1, where=leanings[self._how]())


class Watcher(BaseAgent):
    """It catches as many fish as the people of a population have units, modulo three."""

    remembers = False

    def decide_action(self, observation):
        rich = observation.agent("people")["money"]["rows"]
        return Action("catch", {"fish": rich % 3}) if rich % 3 else None


class Loner(BaseAgent):
    """It catches a fish now and then, whatever others do."""

    remembers = False

    def decide_action(self, observation):
        luck = observation.random("luck").random() + observation["fish"] / 100
        return Action("catch", {"fish": 1}) if luck < 0.5 else None


class Sea(BaseEngine):
    """The stock of fish: who catches one has it."""

    def apply_action(self, view, action):
        own = view.agent(action.agent_id)
        own.set_within("fish", own["fish"] + action.payload["fish"])
