"""What guards look at and what they say: facts in, a move or a refusal out."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from thence.errors import Refused
from thence.work.state import Landed, Reviewed

CodeKind = Literal["landed", "local", "missing", "no_code", "unknown", "reverted", "gone"]


class CodeState(msgspec.Struct, frozen=True):
    """Where a package's code is, seen from this clone; `target` is where it has to be.

    "landed" there, "local": merged into the branch that has that target as its upstream, and not
    pushed. "missing": its commits are known and are not there. "no_code": it changes nothing.
    "unknown": nothing tells. "reverted", "gone": it was there, and was taken out or reset since.
    `landed` tells how it came there, `is_stated` that somebody says so.
    """

    kind: CodeKind
    target: str
    branch: str
    landed: Landed | None = None
    is_stated: bool = False


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a command knows beside the board when it wants to move a package.

    `changed_by` is the actor as the event has it for other tools, empty for the actor as it is.
    `worktree` is the package's own, None where it has none or nobody looked; `has_commits`
    whether its branch holds anything beyond its base, None if unknown. `open_subtasks` are
    those that the planning files show as open. `seen_lane` is the lane that the command saw
    when it looked for the first time, None on that first look. `exempt` names guards that the
    command answers for itself, as `merge` does for other people's packages.

    `gates_run` are the types of the gates that the configuration runs, and `gates_seen` maps those
    of them that this very process saw pass to the events that tell so; what anybody else says of
    them does not count. `is_agent` tells whether the command was started by an agent or a gate.
    `rests_on` are the ids of events for which the command wants the move, such as an approval.

    `reviewed` is the code that goes to review, `code` where that of a package is which shall be
    done, None without git; with `is_local` it may be done before it is pushed. Unless
    `author_may_approve` nobody moves to done what they have implemented. `node_id` is that under
    which this clone writes.
    """

    actor: str
    changed_by: str = ""
    reason: str = ""
    is_forced: bool = False
    worktree: Literal["clean", "dirty"] | None = None
    has_commits: bool | None = None
    open_subtasks: tuple[str, ...] = ()
    seen_lane: str | None = None
    exempt: frozenset[str] = frozenset()
    gates_run: frozenset[str] = frozenset()
    gates_seen: Mapping[str, str] = msgspec.field(default_factory=dict)
    is_agent: bool = False
    rests_on: tuple[str, ...] = ()
    reviewed: Reviewed | None = None
    code: CodeState | None = None
    is_local: bool = False
    author_may_approve: bool = True
    node_id: str | None = None


FORCING = " (or overrule it: --force --reason TEXT)"


class Refusal(msgspec.Struct, frozen=True):
    """A guard's no: its stable code, why, and what to do next.

    `may_be_forced` tells whether `--force --reason` overrules it.
    """

    guard: str
    message: str
    remedy: str
    may_be_forced: bool = True

    def error(self, operation: str, place: str, *, is_agent: bool) -> Refused:
        """Returns the refusal as the error that a command ends with; no agent is told to force."""
        forced = FORCING if self.may_be_forced and not is_agent else ""
        return Refused(
            operation,
            guard=self.guard,
            place=place,
            cause=self.message,
            hint=self.remedy + forced,
        )


class FollowUp(msgspec.Struct, frozen=True):
    """An event to be appended: its type, its payload, and what it rests on beside its move."""

    event_type: str
    payload: Mapping[str, Any]
    rests_on: tuple[str, ...] = ()


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A change of lane that every guard lets through, or was made to.

    `payload` is that of its WPStatusChanged, `follow_ups` are appended behind it. `overruled`
    are the guards that said no to what was forced. `watched` are the subjects that the guards
    looked at: the move holds as long as no event of `transitions.DECIDING_TYPES` is new there.
    `caused_by` are the ids of the events that set what the guards have read.
    """

    feature_slug: str
    wp_id: str
    previous: str
    to: str
    payload: Mapping[str, Any]
    follow_ups: tuple[FollowUp, ...]
    overruled: tuple[str, ...]
    watched: frozenset[str]
    caused_by: tuple[str, ...]
