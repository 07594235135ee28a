"""The lookup of an event by a text: its id, an id's prefix, "@last", a subject, or a type."""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Literal

from thence.core.event import Event
from thence.core.nearest import nearest
from thence.core.values.new_event import parse_cause
from thence.core.values.vocabulary import Vocabulary
from thence.errors import AmbiguousId, EventNotFound

PREFIX_CHARACTERS_MIN = 6
# the most subjects that are compared with an unknown one
SUBJECTS_COMPARED_MAX = 5_000
_NEAR_MAX = 3
# the last words of types that say nothing of an outcome yet, or that nobody waited for one
_UNDECIDED = ("begun", "started", "cancelled", "canceled")


def subject_named(text: str, subjects: Collection[str]) -> str | None:
    """Returns the subject that a text names completely or by its last parts, else None.

    Raises AmbiguousId for the last parts of several subjects.
    """
    if not text or text in subjects:
        return text or None
    endings = [subject for subject in subjects if subject.endswith(f"/{text}")]
    if len(endings) > 1:
        raise AmbiguousId(
            "could not look up",
            place=text,
            cause=f"{len(endings)} subjects end with it",
            hint=f"name one of them: {', '.join(endings[:_NEAR_MAX])}",
        )
    return endings[0] if endings else None


def named_by(text: str, event: Event) -> Literal["id", "subject", "type"]:
    """Returns what the text was by which an event was found; a place such as @last is an id."""
    if text.startswith("@last") or event.event_id.startswith((text, text.upper())):
        return "id"
    is_subject = event.subject is not None and f"/{event.subject}".endswith(f"/{text}")
    return "subject" if is_subject else "type"


def last_failure(events: Iterable[Event], vocabulary: Vocabulary) -> Event | None:
    """Returns the last failure on a subject that no success followed, None if there is none.

    `events` are those on the subject, the latest first. pay.ended is a success after pay.failed,
    as is any type that differs from it in the last word alone, but for pay.begun and
    pay.cancelled. A failure whose type has no such words is none here.
    """
    succeeded: set[str] = set()
    for event in events:
        stem, _, outcome = event.event_type.rpartition(".")
        if vocabulary.is_error(event):
            if stem and stem not in succeeded:
                return event
        elif outcome not in _UNDECIDED and not event.begins:
            succeeded.add(stem)
    return None


def beginnings(text: str) -> tuple[str, str]:
    """Returns the possible prefixes of an id for a text; raises AmbiguousId if it is too short."""
    if len(text) < PREFIX_CHARACTERS_MIN:
        raise AmbiguousId(
            "could not look up",
            place=text,
            cause=f"a prefix has at least {PREFIX_CHARACTERS_MIN} characters",
            hint="give more of the id",
        )
    return text, text.upper()


def not_found(
    place: object,
    text: str,
    subjects: Iterable[str] | None = None,
    namer: Event | None = None,
    *,
    by_type: bool = False,
) -> EventNotFound:
    """Returns the error for a text that names no event of the log at a place.

    The error also names the nearest of the `subjects` that were searched, or the event of the
    log that names a cause of this id, the `namer`. `by_type` means that types were searched too.
    """
    if namer is not None:
        return _not_held(place, text, namer)
    near = [] if subjects is None else _near(text, subjects)
    names = "id, subject or type" if by_type else "id" if subjects is None else "id or subject"
    return EventNotFound(
        "could not find the event",
        place=text,
        cause=f"no event of the log {place} {_PLACES.get(text, f'has this {names}')}",
        hint=f"the nearest subjects are: {', '.join(near)}" if near else _LISTED,
    )


def _not_held(place: object, text: str, namer: Event) -> EventNotFound:
    external = [cause for cause in map(parse_cause, namer.external_causes) if cause]
    logs = [cause.log_id for cause in external if cause.event_id.startswith((text, text.upper()))]
    hint = f"ask about what it led to: thence why {namer.event_id}"
    return EventNotFound(
        "could not find the event",
        place=text,
        cause=f"it is not in the log {place}, where {namer.event_id} names it as a cause;"
        f" it {f'lies in log {logs[0]}' if logs else 'was removed, or never written'}",
        hint=f"ask in that log, or {hint}" if logs else hint,
    )


_LISTED = "`thence log` lists the events"
_PLACES = {"@last": "is there yet", "@last-error": "reports an error"}


def _near(text: str, subjects: Iterable[str]) -> list[str]:
    """Returns the subjects most similar to a text, in their shortest valid form."""
    short = (
        "/".join(subject.split("/")[-2:]) for subject in islice(subjects, SUBJECTS_COMPARED_MAX)
    )
    names = list(dict.fromkeys(short))
    near = [name for name in names if text.lower() in name.lower()]
    return list(dict.fromkeys(near + nearest(text, names, _NEAR_MAX)))[:_NEAR_MAX]


def ambiguous(text: str, count: int, first_id: str) -> AmbiguousId:
    """Returns the error for a text that is the prefix of several ids, `first_id` among them."""
    return AmbiguousId(
        "could not look up",
        place=text,
        cause=f"{count} events begin with it",
        hint=f"give more of the id, such as {first_id}",
    )
