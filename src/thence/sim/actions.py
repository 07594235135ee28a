"""The action that an agent decides, and the verdict of a validator."""

import copy
from collections.abc import Mapping

import msgspec

from thence.errors import ThenceError
from thence.sim.variables import IMMUTABLE


class Action(msgspec.Struct, frozen=True):
    """One action that an agent decided.

    `payload` is the input of the engine, as JSON values. `decision` is the decision in words
    (new_value of the DECISION) and defaults to the payload; `instead_of` is its old_value.
    """

    action_type: str
    payload: Mapping[str, object] = {}
    decision: object = None
    decision_type: str = ""
    instead_of: object = None
    agent_id: str = ""

    @property
    def new_value(self) -> object:
        """The new_value of the DECISION."""
        return dict(self.payload) if self.decision is None else self.decision

    def frozen_payload(self) -> dict[str, object]:
        """Returns a copy of the payload, which its owner may change before it is written."""
        values = dict(self.payload)
        if IMMUTABLE.issuperset(map(type, values.values())):
            return values
        try:
            return copy.deepcopy(values)
        except Exception:  # door: a payload may hold anything; what JSON can't hold is repaired
            return values


class Accepted(msgspec.Struct, eq=False, gc=False):
    """An action that the validator accepted, and the event that represents it.

    `causes` are what that event names. Until it is written, `event_id` is empty.
    """

    action: Action
    attempt: int
    ordinal: int
    causes: tuple[str, ...]
    event_id: str = ""

    @property
    def phase(self) -> str:
        """The phase of the changes of the action."""
        if not (self.ordinal or self.attempt):
            return "apply0"
        return f"apply{self.ordinal}-{self.attempt}" if self.attempt else f"apply{self.ordinal}"


class Verdict(msgspec.Struct, frozen=True):
    """The validity of an action; `reason` and `facts` go to the agent and the log."""

    is_valid: bool = True
    reason: str = ""
    facts: Mapping[str, object] = {}

    @classmethod
    def accept(cls) -> "Verdict":
        """Returns the verdict that lets an action happen."""
        return cls()

    @classmethod
    def reject(cls, reason: str, **facts: object) -> "Verdict":
        """Returns the verdict that refuses an action; facts help the agent to do better."""
        return cls(False, reason, facts)


class Rejection(msgspec.Struct, frozen=True):
    """A refused action, as its agent sees it at the next attempt of the turn."""

    action: Action
    verdict: Verdict
    event_id: str = ""


def as_action(step: str, value: object) -> Action:
    """Returns the action that a step is altered to, given as one, or as a map of its members.

    Raises ThenceError for anything else.
    """
    if isinstance(value, Action):
        return value
    try:
        return msgspec.convert(value, Action)
    except msgspec.ValidationError as error:
        raise ThenceError(
            "could not alter the decision",
            place=f"at {step}",
            cause=error,
            hint='give an action, such as {"action_type": "give", "payload": {"to": "ben"}}',
        ) from error
