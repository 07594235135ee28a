"""The page of one event: its content, its causes, its effects."""

import json
from collections.abc import Sequence

from starlette.responses import Response

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.markup import Child, Html, cut, el, facts, joined, moment, path, words
from thence.core.query.why import Why
from thence.core.redaction import BODY_DIGEST, REDACTED, redaction_in, same_line_key
from thence.core.sentences.events import conversation
from thence.log.files.disk import OS_DISK
from thence.log.files.identity import read_redactions
from thence.server.logs.root import FoundLog, OpenLog
from thence.server.web.layout import page
from thence.server.web.run import event_link, sentences, trail
from thence.server.web.verdict import mark

JSON_CHARACTERS_MAX = 20_000
CHAIN_SHOWN_MAX = 200
NEAR_SHOWN_MAX = 10
EVENTS_SHOWN_MAX = 100
_TAKEN_BACK = "The event's payload was redacted for good. The rest of its line stays."
_BODY_MISSING = (
    "The event's payload is missing: the line came here without it, and no redaction of it counts"
    " here. A round of sync restores it if the server has the whole line."
)


def event_page(log: OpenLog, location: FoundLog, event_id: str) -> Response:
    """Returns the page; raises EventNotFound, `read_failed`."""
    neighbors = log.causality(event_id, 1)
    event = neighbors.event
    why = log.why(event.event_id)
    causes = _events(log, neighbors.upstream)
    sentence = log.vocabulary.summary(event)
    title = cut(sentence, 80)
    body = (
        el("h1", words(sentence)),
        _facts(location, event),
        *(
            joined(el("h2", f"Model, {by}"), _text(text))
            for by, text in conversation(event, causes)
        ),
        el("h2", "Payload"),
        _payload(log, location, event, neighbors.downstream),
        el("h2", "Why"),
        _why(log, location, why),
        el("h2", "Named causes"),
        _causes(log, location, event, causes),
        el("h2", "Direct effects"),
        _effects(log, location, neighbors.downstream, neighbors.truncated),
        el("h2", "Stored line"),
        _text(event.line.decode(errors="replace")),
    )
    current = el("span", words(event.event_type, 60), aria_current="page")
    return page(title, *body, trail=(trail(location), current))


def _facts(location: FoundLog, event: Event) -> Html:
    writer: Child = "another tool; nothing verifies the line"
    if not event.is_foreign:
        writer = joined(el("span", event.node_id, class_="id"), f" as its number {event.seq:,}")
    stored = path("logs", location.id, "events", event.event_id)
    return facts(
        (
            ("Id", joined(el("a", words(event.event_id, 100), href=stored, class_="id"))),
            ("Type", event.event_type),
            ("Outcome", mark(event)),
            ("Time (UTC)", moment(event.timestamp)),
            ("Turn", event.turn_number),
            ("Actor", event.actor),
            ("Subject", event.subject),
            ("Stream", event.stream),
            ("Step", event.step),
            ("Written by", writer),
        )
    )


def _why(log: OpenLog, location: FoundLog, why: Why) -> Html:
    if len(why.chain) < 2:
        return el("p", "It is a root: it names no cause that is here.", class_="quiet")
    *causes, last = why.chain
    first, near = causes[:-NEAR_SHOWN_MAX], causes[-NEAR_SHOWN_MAX:]
    at_least = "more than " if why.truncated else ""
    count = f"{at_least}{len(why.cone):,} in all"
    caption = f"One line of causes, the earliest first, of {count}."
    items = [el("li", event_link(location, cause, log)) for cause in near]
    items.append(el("li", words(log.vocabulary.summary(last)), aria_current="true"))
    line = el("ol", *items, class_="why", start=str(len(first) + 1))
    return joined(el("p", caption, class_="quiet"), _earlier(log, location, first), line)


def _earlier(log: OpenLog, location: FoundLog, causes: Sequence[Event]) -> Html | None:
    """Returns the earlier causes in a folded list; only the last CHAIN_SHOWN_MAX of them."""
    if not causes:
        return None
    last = causes[-CHAIN_SHOWN_MAX:]
    items = [el("li", event_link(location, cause, log)) for cause in last]
    part = f", of which the last {len(last)} are here" if len(last) < len(causes) else ""
    heading = el("summary", f"{len(causes):,} earlier ones{part}")
    start = str(len(causes) - len(last) + 1)
    return el("details", heading, el("ol", *items, class_="why far", start=start))


def _causes(log: OpenLog, location: FoundLog, event: Event, shown_events: Sequence[Event]) -> Html:
    present = {cause.event_id for cause in shown_events}
    missing = [cause for cause in event.caused_by if cause not in present]
    items = sentences(log, location, shown_events)
    items += [el("li", words(cause, 100), " (not in this log)") for cause in missing]
    items += [el("li", words(cause, 100), " (in another log)") for cause in event.external_causes]
    items += [
        el("li", words(cause, 100), " (only concluded)") for cause in event.header.inferred_causes
    ]
    return _list(items, "It names none.")


def _effects(
    log: OpenLog, location: FoundLog, shown_events: Sequence[bytes], is_more: bool
) -> Html:
    items = sentences(log, location, _events(log, shown_events[:EVENTS_SHOWN_MAX]))
    if is_more or len(shown_events) > EVENTS_SHOWN_MAX:
        items.append(el("li", f"the first {EVENTS_SHOWN_MAX} are shown", class_="quiet"))
    return _list(items, "Nothing names it as a cause.")


def _events(log: OpenLog, lines: Sequence[bytes]) -> list[Event]:
    contents = (parse(line, log.vocabulary) for line in lines)
    return [event for event in contents if isinstance(event, Event)]


def _list(items: list[Html], empty: str) -> Html:
    return el("ul", *items, class_="events") if items else el("p", empty, class_="quiet")


def _payload(log: OpenLog, location: FoundLog, event: Event, effects: Sequence[bytes]) -> Html:
    if BODY_DIGEST in event.members:
        return _missing_body(log, location, event, effects)
    payload, unreadable = event.readable_payload
    if not payload:
        return el("p", "It holds none.", class_="quiet")
    places = f"Only the beginning of a large value can be read: {', '.join(unreadable)}"
    note = el("p", places, class_="empty") if unreadable else None
    return joined(note, _text(json.dumps(payload, ensure_ascii=False, indent=2)))


def _text(text: str) -> Html:
    return el("pre", cut(text, JSON_CHARACTERS_MAX), tabindex="0")


def _missing_body(log: OpenLog, location: FoundLog, event: Event, effects: Sequence[bytes]) -> Html:
    """Returns why the body of an event is not here, with the notices that took it back."""
    digest = same_line_key(event)
    if digest not in read_redactions(OS_DISK, log.folder):
        return el("p", _BODY_MISSING, class_="empty")
    notices = [notice for notice in _events(log, effects) if _takes_back(log, notice, digest)]
    items = [
        el(
            "li",
            event_link(location, notice, log),
            ", by ",
            el("span", notice.node_id, class_="id"),
        )
        for notice in notices
    ]
    text = el("p", _TAKEN_BACK, class_="empty")
    return joined(text, el("ul", *items, class_="events")) if items else text


def _takes_back(log: OpenLog, event: Event, digest: bytes) -> bool:
    if log.vocabulary.notice_kind(event) != REDACTED:
        return False
    redaction = redaction_in(event)
    return redaction is not None and redaction.digest == digest
