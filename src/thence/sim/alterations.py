"""What a run alters: decisions and actions left out or replaced, and values, by their steps."""

from collections.abc import Mapping, Sequence

from thence.sim.actions import Action, as_action


class Alterations:
    """The alterations of a run, by step; false if there are none.

    A DECISION or ACTION is mapped to None, which leaves it out, a DECISION to another action too,
    a STATE to another value. `unmet` are the steps that did not occur so far.
    """

    def __init__(self, by_step: Mapping[str, object]) -> None:
        self._by_step = by_step
        self.unmet = set(by_step)

    def __bool__(self) -> bool:
        return bool(self._by_step)

    def leave_out(self, step: str) -> bool:
        """Reports whether the event at a step is left out."""
        self.unmet.discard(step)
        return step in self._by_step and self._by_step[step] is None

    def value(self, step: str, value: object) -> object:
        """Returns the value of a STATE: its own, or the altered one."""
        self.unmet.discard(step)
        return self._by_step.get(step, value)

    def actions(self, prefix: str, own: Sequence[Action]) -> list[tuple[int, Action]]:
        """Returns an agent's actions by ordinal, altered ones in place of its own.

        `prefix` is the step of its decisions without the ordinal.
        """
        found = dict(enumerate(own))
        for step, value in self._by_step.items():
            ordinal = step.removeprefix(prefix)
            if ordinal != step and ordinal.isdecimal() and value is not None:
                self.unmet.discard(step)
                found[int(ordinal)] = as_action(step, value)
        return sorted(found.items())

    def values_to_set(self, prefix: str) -> dict[str, object]:
        """Returns the values that are set, by subject; `prefix` is their steps without it."""
        found = {
            step.removeprefix(prefix): value
            for step, value in self._by_step.items()
            if step.startswith(prefix)
        }
        self.unmet.difference_update(prefix + subject for subject in found)
        return found
