"""What a host says of an event, made a draft: checked, encoded, its causes gathered."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from thence.core.codec import CAUSES_MAX, Draft, Members, draft, unnumbered
from thence.core.event import Event
from thence.core.joining import join
from thence.core.nearest import meant
from thence.core.payload import is_plain, refuse
from thence.core.vocabulary import Vocabulary
from thence.errors import InvalidEvent
from thence.log.notice import NoticeMaker
from thence.log.process import new_id, now

# subject, actor and stream
Words = tuple[str | None, str | None, str | None]
_ARGUMENTS = frozenset(("event_type", "payload", "subject", "actor", "stream", "caused_by"))


class Drafting:
    """Drafts the events of one open log; `heads` finds those of a subject, for who names them."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        notice: NoticeMaker,
        heads: Callable[[str], Iterable[Event]],
    ) -> None:
        self._vocabulary = vocabulary
        self._notice = notice
        self._heads = heads

    def draft(
        self,
        event_type: str,
        payload: Mapping[str, Any] | None,
        words: Words,
        causes: Iterable[str],
        event_id: str | None = None,
        lasting: tuple[bool, str | None] = (False, None),
        external: tuple[str, ...] = (),
    ) -> list[Draft]:
        """Returns the event's draft, behind the notices that its causes need.

        `words` are subject, actor and stream; `lasting` is what the event begins and ends;
        `external` are the causes in other logs, as `core.handing` writes them. Raises
        InvalidEvent, EventTooLarge.
        """
        subject, actor, stream = words
        members = self._vocabulary.members(stream, subject, actor, payload)
        if self._vocabulary.names_heads:
            causes = (*causes, *self._heads_of(members))
        return self.made(event_type, members, causes, event_id, lasting, external)

    def made(
        self,
        event_type: str,
        members: Mapping[str, Any],
        causes: Iterable[str],
        event_id: str | None = None,
        lasting: tuple[bool, str | None] = (False, None),
        external: tuple[str, ...] = (),
        timestamp: str | None = None,
    ) -> list[Draft]:
        """Does the same for a host that names the members of its events and all causes.

        The `timestamp` of what was imported is that of its source.
        """
        payload = members.get(self._vocabulary.payload_key)
        if not isinstance(event_type, str) or not event_type:
            raise InvalidEvent(
                "could not store the event",
                place="field event_type",
                cause=f"{event_type!r} is no text",
                hint="pass a name such as order.placed",
            )
        self._vocabulary.refuse_reserved(event_type, payload)
        if payload and not is_plain(payload):
            refuse(payload)
        causes = tuple(dict.fromkeys(causes))
        notices: list[Draft] = []
        if len(causes) > CAUSES_MAX:
            notices, causes = join(causes, self._notice.joined)
        if event_id is None:
            event_id = new_id()
        made = Members(
            event_id, event_type, 1, timestamp or now(), causes, external, *lasting, **members
        )
        return [*notices, draft(made)]

    def _heads_of(self, members: Mapping[str, Any]) -> list[str]:
        about = unnumbered(draft(Members("-", "-", 1, now(), **members)), self._vocabulary).subject
        return [event.event_id for event in self._heads(about)] if about else []


def said(members: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None, Words, Any]:
    """Returns event_type, payload, words and causes of one event of many.

    Raises InvalidEvent that names what is wrong.
    """
    if isinstance(members, Mapping) and "event_type" in members and members.keys() <= _ARGUMENTS:
        words = (members.get("subject"), members.get("actor"), members.get("stream"))
        causes = members.get("caused_by")
        return members["event_type"], members.get("payload"), words, causes
    raise InvalidEvent(
        "could not store one event of many",
        place=f"{members!r:.80}",
        cause=_fault(members),
        hint=f"pass mappings with the keys {', '.join(sorted(_ARGUMENTS))}",
    )


def _fault(members: object) -> str:
    """Tells why something is no event of many, with the nearest name for a key it can't have."""
    for key in members if isinstance(members, Mapping) else ():
        if key not in _ARGUMENTS:
            return f"append takes no {key!s:.80}{meant(str(key), _ARGUMENTS)}"
    return "it is no mapping of event_type and what else append takes"
