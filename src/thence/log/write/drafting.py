"""Drafts of new events: checked, encoded, with their causes gathered."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thence.core.values.codec import CAUSES_MAX, Draft, Members, draft, unnumbered, with_nonce
from thence.core.values.new_event import NewEvent
from thence.core.values.payload import TYPE_CHARACTERS_MAX, is_plain, is_type_name, refuse
from thence.core.values.vocabulary import Vocabulary
from thence.errors import InvalidEvent
from thence.log.storage.process_state import new_id, new_nonce, now
from thence.log.write.notice import NoticeMaker

if TYPE_CHECKING:
    from thence.core.values.secrets import Masking

JoinNotice = Callable[[Sequence[str]], Draft]


def join(causes: tuple[str, ...], notice: JoinNotice) -> tuple[list[Draft], tuple[str, ...]]:
    """Returns the notices to write before an event, and the causes that the event names.

    ceil(n/32) notices name up to 32 of n causes each. The step is repeated until at most 32
    causes remain. An event with at most 32 causes needs no notice.
    """
    notices: list[Draft] = []
    remaining = causes
    while len(remaining) > CAUSES_MAX:
        groups = [remaining[n : n + CAUSES_MAX] for n in range(0, len(remaining), CAUSES_MAX)]
        layer = [notice(group) for group in groups]
        notices += layer
        remaining = tuple(draft.event_id for draft in layer)
    return notices, remaining


class Drafting:
    """Drafts the events of the log in a folder, with the member `nonce` if `has_nonces`.

    With a `masking` what is secret by its rules is in no draft, and in no error either.
    """

    masking: "Masking | None" = None

    def __init__(
        self, vocabulary: Vocabulary, notice: NoticeMaker, folder: Path, has_nonces: bool = False
    ) -> None:
        self._vocabulary = vocabulary
        self._has_nonces = has_nonces
        self._notice = notice
        self._folder_stream = folder.absolute().name if vocabulary.is_folder_stream else None

    def draft(
        self, new: NewEvent, causes: tuple[str, ...], external: tuple[str, ...] = ()
    ) -> list[Draft]:
        """Returns the event's draft, behind the notices that its causes need.

        `causes` are all causes of the event, `external` those of them that lie in other logs,
        in the form of `core.values.causes`. Raises InvalidEvent, EventTooLarge.
        """
        if self.masking is None:
            return self._drafts(new, causes, external)
        try:
            return self._drafts(new, causes, external)
        except InvalidEvent as error:
            raise self.masking.error(error) from None

    def _drafts(
        self, new: NewEvent, causes: tuple[str, ...], external: tuple[str, ...]
    ) -> list[Draft]:
        notices: list[Draft] = []
        if causes:
            causes = tuple(dict.fromkeys(causes))
            if len(causes) > CAUSES_MAX:
                notices, causes = join(causes, self._notice.joined)
        event_type = new.event_type
        if not is_type_name(event_type):
            raise InvalidEvent(
                "could not store the event",
                place="field event_type",
                cause=f"{event_type!r:.80} is no text of 1 to {TYPE_CHARACTERS_MAX} characters,"
                " without control characters",
                hint="pass a name such as order.placed",
            )
        members = self._members(new)
        payload = members.get(self._vocabulary.payload_key)
        self._vocabulary.refuse_reserved(event_type, payload)
        if payload and not is_plain(payload):
            refuse(payload)
        event_id = new_id() if new.event_id is None else new.event_id
        head = (event_id, event_type, 1, new.timestamp or now(), causes, external)
        try:
            made = Members(*head, new.begins, new.ends, **members)
        except TypeError as error:
            raise InvalidEvent(
                "could not store the event",
                place="field members",
                cause=error,
                hint="pass members of the host's form, each once",
            ) from error
        item = draft(made)
        if self.masking is not None:
            item = self.masking.draft(item, self._vocabulary)
        return [*notices, with_nonce(item, new_nonce()) if self._has_nonces else item]

    def subject(self, new: NewEvent) -> str | None:
        """Returns the subject that an event will have, by its host's vocabulary."""
        made = draft(Members("-", "-", 1, now(), **self._members(new)))
        return unnumbered(made, self._vocabulary).subject

    def _members(self, new: NewEvent) -> dict[str, Any]:
        stream = new.stream
        if stream is None and (new.begins or new.ends is not None):
            stream = self._folder_stream  # a step without a stream belongs to the log's run
        members = self._vocabulary.members(stream, new.subject, new.actor, new.payload)
        if new.members:
            members.update(new.members)
        return members
