"""An event before it is appended, as its host describes it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from thence.core.nearest import did_you_mean
from thence.core.values.causes import Causes
from thence.errors import InvalidEvent


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """One event to append, as `Log.append_many` takes it.

    `event_type` is a name such as order.placed; `payload` what JSON can hold; `subject` what
    the event is about, `actor` who did it, `stream` what groups it with others. `caused_by`
    takes an event, an id, several of these or None. An `event_id` is one made beforehand, of
    no other event, so that another one of the same append can name it.

    The other fields are for hosts. `timestamp` is the time of an imported event. `begins` means
    that the event begins a step; `ends` is the id of the event that began the step ended here,
    and becomes a cause. `members` are further members of the host's form. `aliases` are other
    names of the subject: an event that names the heads of its subject names theirs too.
    """

    event_type: str
    payload: Mapping[str, Any] | None = None
    subject: str | None = None
    actor: str | None = None
    stream: str | None = None
    caused_by: Causes = None
    event_id: str | None = None
    timestamp: str | None = None
    begins: bool = False
    ends: str | None = None
    members: Mapping[str, Any] | None = None
    aliases: tuple[str, ...] = ()

    @classmethod
    def of(cls, members: "NewEvent | Mapping[str, Any]") -> "NewEvent":
        """Reads one event of many, which may be a mapping of what append takes.

        Raises InvalidEvent that names what is wrong.
        """
        if isinstance(members, cls):
            return members
        if isinstance(members, Mapping) and "event_type" in members and members.keys() <= _KEYS:
            return cls(**members)
        raise InvalidEvent(
            "could not store one event of many",
            place=f"{members!r:.80}",
            cause=_fault(members),
            hint=f"pass mappings with the keys {', '.join(sorted(_KEYS))}",
        )


_KEYS = frozenset(("event_type", "payload", "subject", "actor", "stream", "caused_by"))


def _fault(members: object) -> str:
    """Returns why a value is no event of many, with the nearest name for an unknown key."""
    for key in members if isinstance(members, Mapping) else ():
        if key not in _KEYS:
            return f"append takes no {key!s:.80}{did_you_mean(str(key), _KEYS)}"
    return "it is no mapping of event_type and what else append takes"
