"""The agents of a run, which its engine may add, remove, pause and resume.

A change that is asked for takes effect from the next turn on. Its event is a cause of what the
agent then decides, or of what its absence prevents.
"""

import re
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from thence.core.nearest import nearest
from thence.errors import ScenarioError, ThenceError
from thence.sim.models.actions import talk_reach
from thence.sim.record.ledger import Ids, Ledger
from thence.sim.run.agents import BaseAgent

ChangeKind = Literal["added", "removed", "paused", "resumed"]
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


class RosterChange(msgspec.Struct):
    """One change of the roster that was asked for; `causes` is its event, once written."""

    kind: ChangeKind
    name: str
    agent: BaseAgent | None = None
    initial: Mapping[str, object] = {}
    until: int | None = None
    causes: Ids = ()

    @property
    def facts(self) -> dict[str, object]:
        """The facts of its event."""
        if self.kind == "added":
            return {"agent_type": type(self.agent).__name__, "initial": dict(self.initial)}
        return {} if self.until is None else {"until": self.until}


class Roster:
    """The agents of a run in the order in which they decide.

    `reach` are the indices of the variables that an agent's actions may change; `has_blocking` is
    true if any of the active agents blocks, `asked` are the changes that this turn asked for.
    """

    def __init__(
        self,
        agents: Iterable[BaseAgent],
        ledger: Ledger,
        reach_of: Callable[[str], tuple[int, ...]],
    ) -> None:
        self._agents = {agent.name: agent for agent in agents}
        self._ledger = ledger
        ledger.present = self._agents
        self._reach_of = reach_of
        self.reach = {name: reach_of(name) for name in self._agents}
        # many agents as one, which apply their own actions
        self.populations: list[Any] = [one for one in self._agents.values() if one.is_many]
        self._added: dict[str, Mapping[str, object]] = {}
        self._removed: dict[str, Ids] = {}
        self._paused: dict[str, RosterChange] = {}  # the pauses in force, which end before `until`
        self._events: dict[str, Ids] = {}
        self.asked: list[RosterChange] = []
        self._last: dict[str, RosterChange] = {}  # that was asked for, by agent
        self._active: tuple[BaseAgent, ...] | None = None
        self.has_blocking = False

    @property
    def active(self) -> tuple[BaseAgent, ...]:
        """The agents that take part in the current turn."""
        if self._active is None:
            agents, paused = self._agents, self._paused
            self._active = tuple([agents[name] for name in agents if name not in paused])
            self.has_blocking = any(agent.blocks is True for agent in self._active)
        return self._active

    def begin_turn(
        self, turn: int, record: Callable[[str, str, Mapping[str, object], Ids], Ids]
    ) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Ends the pauses that are due; returns events by agent, as two maps.

        The first has the events by which agents are absent, the second, once, those by which
        others take part from this turn on. `record` returns the event of a change.
        """
        for name, pause in [*self._paused.items()]:
            if pause.until is not None and pause.until <= turn:
                change = RosterChange("resumed", name)
                change.causes = record("resumed", name, change.facts, pause.causes)
                self._resume(change)
        absent = {name: [*ids] for name, ids in self._removed.items()}
        absent |= {name: [*pause.causes] for name, pause in self._paused.items()}
        events, self._events = self._events, {}
        return absent, {name: [*ids] for name, ids in events.items()}

    def ask(self, change: RosterChange, turn: int) -> bool:
        """Asks for a change after this turn; False if nothing would change.

        Raises ThenceError for a name that is unknown, or was used before, for an initial value
        that a variable can't hold, and for a pause that has ended already.
        """
        name, last = change.name, self._last.get(change.name)
        pause = last or self._paused.get(name)
        is_paused = pause is not None and pause.kind == "paused"
        if change.kind == "added":
            check_name(name, ChainMap[str, Any](self._agents, self._removed, self._last))
            change.initial = self._ledger.table.agent_values(name, change.initial)
        elif last.kind == "removed" if last else name not in self._agents:
            near = nearest(name, sorted(self._agents))
            cause = "no agent of the run has this name"
            hint = f"the nearest is {near[0]}" if near else "add it first"
            what = f"could not have an agent {change.kind}"
            raise ThenceError(what, place=f"agent {name}", cause=cause, hint=hint)
        elif change.kind == "paused":
            if change.until is not None and change.until <= turn:
                cause = f"turn {change.until} is not after turn {turn}"
                hint = "until is the turn in which the agent decides again"
                raise ThenceError("could not pause", place=f"agent {name}", cause=cause, hint=hint)
            if pause is not None and is_paused and pause.until == change.until:
                return False
        elif change.kind == "resumed" and not is_paused:
            return False
        self.asked.append(change)
        self._last[name] = change
        return True

    def end_turn(self) -> None:
        """Makes the changes that were asked for in this turn."""
        changes, self.asked, self._last = self.asked, [], {}
        for change in changes:
            name = change.name
            self._active = None
            if change.kind == "added":
                assert change.agent is not None, "what is added is an agent"
                self._ledger.add_agent(name, change.initial, change.causes)
                self._agents[name] = change.agent
                if reach := talk_reach(change.agent.talk):
                    self._ledger.talks[name] = reach
                self._added[name] = change.initial
                self._events[name] = change.causes
            elif change.kind == "removed":
                del self._agents[name]
                self._ledger.remove_agent(name)
                self._paused.pop(name, None)
                self._events.pop(name, None)
                self._removed[name] = change.causes
            elif change.kind == "paused":
                self._paused[name] = change
            else:
                self._resume(change)
        if any(change.kind == "added" for change in changes):
            self.renew_reach()

    def renew_reach(self) -> None:
        """Asks anew what the actions of each agent may change."""
        self.reach.update({name: self._reach_of(name) for name in self._agents})

    def content(self) -> dict[str, Any]:
        """Returns, as JSON values, what differs from the agents at the start of the run."""
        return {
            "added": {name: dict(initial) for name, initial in self._added.items()},
            "removed": {name: list(ids) for name, ids in self._removed.items()},
            "paused": {
                name: {"until": pause.until, "causes": list(pause.causes)}
                for name, pause in self._paused.items()
            },
            "events": {name: list(ids) for name, ids in self._events.items()},
            "reach": {name: list(self.reach[name]) for name in self._removed},  # as it was then
        }

    def restore(self, content: Mapping[str, Any]) -> None:
        """Makes the roster as it was when `content` was returned, without agents added."""
        self._active = None
        for name, ids in content["removed"].items():
            del self._agents[name]
            self._ledger.remove_agent(name)
            self._removed[name] = tuple(ids)
        for name, indices in content["reach"].items():
            self.reach[name] = tuple(indices)
        for name, pause in content["paused"].items():
            until, causes = pause["until"], tuple(pause["causes"])
            self._paused[name] = RosterChange("paused", name, until=until, causes=causes)
        self._events = {name: tuple(ids) for name, ids in content["events"].items()}

    def _resume(self, change: RosterChange) -> None:
        self._active = None
        if self._paused.pop(change.name, None) is not None:
            self._events[change.name] = change.causes


def check_name(name: object, taken: Iterable[str]) -> None:
    """Raises ScenarioError for a name that no agent can have, or that is taken."""
    cause = hint = ""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name == "-":
        cause = f"{name!r:.60} is not a name for an agent"
        hint = "names have 1 to 100 letters, digits, '_' and '-'; call super().__init__(name)"
    elif name in taken:
        cause, hint = f"the name {name!r} appears twice", "give each agent its own"
    else:
        return
    raise ScenarioError("could not take the agents", cause=cause, hint=hint)
