"""What an agent answers, with what a validator says to it."""

from collections.abc import Mapping

import msgspec


class Action(msgspec.Struct, frozen=True):
    """One thing an agent decided to do.

    `payload` is what the engine needs, as JSON values. `decision` is the decision in words
    (new_value of the DECISION) and defaults to the payload; `instead_of` its old_value.
    """

    action_type: str
    payload: Mapping[str, object] = {}
    decision: object = None
    decision_type: str = ""
    instead_of: object = None
    agent_id: str = ""

    @property
    def new_value(self) -> object:
        """The value that the DECISION gives as new."""
        return dict(self.payload) if self.decision is None else self.decision


class Verdict(msgspec.Struct, frozen=True):
    """Whether an action may happen; `reason` and `facts` go to the agent and the log."""

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
    """A refused action, as the agent sees it when it is asked once more."""

    action: Action
    verdict: Verdict
    event_id: str = ""
