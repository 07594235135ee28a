"""The answers to "why did this happen?", "what followed?", "how much of what?", "which event?".

*Caused* is reachable over `caused_by` alone. Events that other tools wrote may name each other
in a circle: each of them is then a cause of the others. All functions are pure, and take events
in any input order.

A step is begun by one event and ended by another, which names the first. A process that was
killed in between leaves the step open, which shows what the process was doing. An event is looked
up by a text: its id, an id's prefix, "@last", a subject, or a type.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

from thence.core.event import Event
from thence.core.failures import is_failure
from thence.core.nearest import nearest
from thence.core.new_event import parse_cause
from thence.core.order import MILESTONE, Cone, by_closeness, total_order_key
from thence.core.sentences.events import short_id
from thence.core.vocabulary import Vocabulary
from thence.errors import EventNotFound, ThenceError

# the most causes of one event among its reasons
REASONS_OF_ONE_MAX = 3
# the most kinds of causes, and owners of each, with which a summary of causes is told
_TOLD_MAX = 3
_KINDS_TOLD = {
    "ACTION": "actions",
    "DECISION": "decisions",
    "agent_removed": "removals",
    "agent_added": "additions",
    "action_rejected": "rejections",
}
_NUMBER = re.compile(r"[-_]?\d+\Z")


class MissingCause(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cause that an event names and that its log does not hold.

    `named_by` is the id of the event; `log_id` is the log in which the cause lies, None where
    the event names no log: the cause was removed, or never written. `pruned` says of one that may
    have been pruned what was.
    """

    event_id: str
    named_by: str
    log_id: str | None
    pruned: str | None = None


class Why(msgspec.Struct, frozen=True):
    """The causes of an event.

    `chain` is the line of closest causes, the root first, the event last; `sentences` describe it,
    each ending in an event's short id; `cone` holds all causes with their distance, nearest
    first. At most the 10,000 nearest causes are in either; `truncated` is True if there are more,
    and `cut_at` holds the ids of the events whose causes were left out. `missing` are the named
    causes that are not in the log. `print` shows the sentences.
    """

    event: Event
    chain: tuple[Event, ...]
    cone: Cone
    sentences: tuple[str, ...]
    truncated: bool
    missing: tuple[MissingCause, ...] = ()
    cut_at: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        from thence.core.notebook import sentences_html

        return sentences_html(f"Why {self.event.event_type}", self.sentences)


class Effects(msgspec.Struct, frozen=True):
    """The effects of an event, as `Why` holds its causes, one sentence for each."""

    event: Event
    cone: Cone
    sentences: tuple[str, ...]
    truncated: bool

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        from thence.core.notebook import sentences_html

        return sentences_html(f"Effects of {self.event.event_type}", self.sentences)


class Concurrent(msgspec.Struct, frozen=True):
    """The events that neither caused an event nor were caused by it, in total order.

    `events` holds at most the requested number; `truncated` reports that there are more.
    """

    event: Event
    events: tuple[Event, ...]
    truncated: bool


def ends_of(
    links: Sequence[Event], cone: Cone, held: Callable[[Collection[str]], Collection[str]]
) -> tuple[tuple[MissingCause, ...], tuple[str, ...]]:
    """Returns `missing` and `cut_at` of an answer; `held` returns which ids the log holds.

    What the first event of the chain names comes first, because that event looks like a root.
    """
    events = [links[0], links[-1], *(cause for cause, _ in cone), *links]
    answered = {event.event_id for event in events}
    namers: dict[str, list[Event]] = {}
    for event in events:
        for cause_id in event.caused_by:
            if cause_id not in answered:
                namers.setdefault(cause_id, []).append(event)
    present = held(namers.keys())
    missing = []
    for cause_id, (namer, *_) in namers.items():
        if cause_id not in present:
            elsewhere = {
                cause.event_id: cause.log_id
                for cause in filter(None, map(parse_cause, namer.external_causes))
            }
            missing.append(MissingCause(cause_id, namer.event_id, elsewhere.get(cause_id)))
    cut = [
        event.event_id for cause_id in namers if cause_id in present for event in namers[cause_id]
    ]
    return tuple(missing), tuple(dict.fromkeys(cut))


def reasons(answer: Why, rows: int, height: Callable[[Event, int], int]) -> Cone:
    """Chooses the nearest causes of an event, with the depth of each in a tree of causes.

    Each stands below the event that it led to; the event itself is not among them. The latest
    event of the tree is looked at next, and its closest causes are added, three at most, while
    there is room: `rows` in all, of which an event at a depth takes `height`. A milestone is
    added only where no other cause is named, and its own causes are not.
    """
    by_id = {cause.event_id: cause for cause, _ in answer.cone}
    depths = {answer.event.event_id: 0}
    tree = [answer.event]
    pending = [answer.event]
    while pending and rows >= 0:
        effect = max(pending, key=total_order_key)
        pending.remove(effect)
        at, depth = tree.index(effect) + 1, depths[effect.event_id] + 1
        # the closest causes that are not in the tree, without milestones if possible
        causes = [by_id[cause_id] for cause_id in effect.caused_by if cause_id in by_id]
        causes = [cause for cause in causes if cause.event_type != MILESTONE] or causes
        fresh = [cause for cause in by_closeness(effect, causes) if cause.event_id not in depths]
        for place, cause in enumerate(fresh[:REASONS_OF_ONE_MAX], at):
            rows -= height(cause, depth)
            if rows < 0:
                break
            depths[cause.event_id] = depth
            tree.insert(place, cause)
            if cause.event_type != MILESTONE:
                pending.append(cause)
    return tuple((cause, depths[cause.event_id]) for cause in tree[1:])


def told(event: Event, vocabulary: Vocabulary, events: Mapping[str, Event]) -> str:
    """Returns the sentence of an event, of a simulation's summary of causes with what it sums up.

    `events` are the known causes by id: "represents moves of 9 wolf agents and ada".
    """
    if vocabulary.notice_kind(event) != "joined":
        return vocabulary.sentence(event)
    pending, owners = [*dict.fromkeys(event.caused_by)], dict[str, dict[str, None]]()
    seen = {*pending}
    for cause in filter(None, map(events.get, pending)):
        if vocabulary.notice_kind(cause) == "joined":
            new_ids = [cause_id for cause_id in cause.caused_by if cause_id not in seen]
            seen.update(new_ids)
            pending += new_ids
            continue
        payload, owner, kind = cause.payload, cause.actor or "", cause.event_type
        if kind == "STATE":
            owner = str(payload.get("scope")).rpartition("/")[2]
            name = payload.get("variable_name")
            kind = "moves" if name == "position" else f"changes of {name}"
        elif kind == "SYSTEM":
            kind = str(payload.get("error_type"))
        if owner:
            owners.setdefault(_KINDS_TOLD.get(kind, kind), {})[owner] = None
    texts = []
    for kind, names in sorted(owners.items(), key=lambda one: -len(one[1])):
        alike: dict[str, list[str]] = {}
        for name in names:
            alike.setdefault(_NUMBER.sub("", name), []).append(name)
        groups = [
            of[0] if len(of) == 1 else f"{len(of):,} {stem} agents" for stem, of in alike.items()
        ]
        if (rest := len(groups) - _TOLD_MAX) > 0:
            groups[_TOLD_MAX:] = [f"{rest:,} more"]
        *first, last = groups
        texts.append(f"{kind} of {', '.join(first)}{' and ' if first else ''}{last}")
    if not texts:
        return vocabulary.sentence(event)
    rest_text = "; and more" if len(texts) > _TOLD_MAX else ""
    return f"represents {'; '.join(texts[:_TOLD_MAX])}{rest_text} [{short_id(event.event_id)}]"


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of events of each type, actor and node, the most frequent first.

    Events without an actor are in no `by_actor`, unverified ones in no `nodes`. `first` and
    `last` are those of the total order, None where there are no events. `groups` are those that
    were asked for, the most frequent first, hours in order.
    """

    events: int
    unverified: int
    by_type: Mapping[str, int]
    by_actor: Mapping[str, int]
    nodes: Mapping[str, int]
    first: Event | None
    last: Event | None
    groups: "tuple[Group, ...]" = ()
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None


class Group(NamedTuple):
    """The number of events with one name, and what the calls of models among them took.

    Of tokens and cost the sum is None where no event has any.
    """

    name: str
    events: int
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None


def descending(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns counts with the largest first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


class LogEnd(NamedTuple):
    """The last event, None in an empty log, and the open steps' begins, both in total order.

    `seen_last` maps the noise in the ids of these begins, which stands for the process that made
    them, to the time of the last event of that process.
    """

    last: Event | None
    still_open: tuple[Event, ...]
    seen_last: Mapping[str, str] = MappingProxyType({})


PREFIX_CHARACTERS_MIN = 6
# the most subjects that are compared with an unknown one
SUBJECTS_COMPARED_MAX = 5_000
_NEAR_MAX = 3
# the last words of types that say nothing of an outcome yet, or that nobody waited for one
_UNDECIDED = ("begun", "started", "cancelled", "canceled")


def subject_named(text: str, subjects: Collection[str]) -> str | None:
    """Returns the subject that a text names completely or by its last parts, else None.

    Raises `ambiguous_id` for the last parts of several subjects.
    """
    if not text or text in subjects:
        return text or None
    endings = [subject for subject in subjects if subject.endswith(f"/{text}")]
    if len(endings) > 1:
        hint = f"name one of them: {', '.join(endings[:_NEAR_MAX])}"
        raise _ambiguous(text, f"{len(endings)} subjects end with it", hint)
    return endings[0] if endings else None


def named_by(text: str, event: Event) -> Literal["id", "subject", "type"]:
    """Returns what the text was by which an event was found; a place such as @last is an id."""
    is_beginning = event.event_id.startswith((text, text.upper()))
    is_id = is_beginning and (len(text) >= PREFIX_CHARACTERS_MIN or text == event.event_id)
    if is_id or text.startswith("@last"):
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
        if is_failure(event):
            if stem and stem not in succeeded:
                return event
        elif outcome not in _UNDECIDED and not event.begins:
            succeeded.add(stem)
    return None


def not_found(place: object, text: str, subjects: Iterable[str] | None = None) -> EventNotFound:
    """Returns the error for a text that names no event of the log at a place.

    The error also names the nearest of the `subjects`, where these and types were searched.
    """
    # subjects in their shortest valid form, or in one as long as the text's
    parts = max(2, text.count("/") + 1)
    short = [
        "/".join(subject.split("/")[-parts:])
        for subject in islice(subjects or (), SUBJECTS_COMPARED_MAX)
    ]
    near = [name for name in short if text.lower() in name.lower()]
    near += nearest(text, dict.fromkeys(short), _NEAR_MAX)
    near = list(dict.fromkeys(near))[:_NEAR_MAX]
    names = "id" if subjects is None else "id, subject or type"
    cause = f"no event of the log {place} {_PLACES.get(text, f'has this {names}')}"
    listed = "`thence log` lists the events"
    hint = f"the nearest subjects are: {', '.join(near)}" if near else listed
    return EventNotFound("could not find the event", place=text, cause=cause, hint=hint)


_PLACES = {"@last": "is there yet", "@last-error": "reports an error"}


def ambiguous(text: str, count: int, first_id: str = "") -> ThenceError:
    """Returns the error for a prefix of several ids, `first_id` among them, or a short one."""
    if len(text) < PREFIX_CHARACTERS_MIN:
        cause = f"a prefix has at least {PREFIX_CHARACTERS_MIN} characters"
        return _ambiguous(text, cause, "give more of the id")
    hint = f"give more of the id, such as {first_id}"
    return _ambiguous(text, f"{count} events begin with it", hint)


def _ambiguous(text: str, cause: str, hint: str) -> ThenceError:
    code = "ambiguous_id"
    return ThenceError("could not look up", place=text, cause=cause, hint=hint, code=code)
