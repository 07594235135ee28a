"""The page of one event: its content, its causes, its effects."""

import json
from collections.abc import Sequence

from starlette.responses import Response

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.markup import Child, Html, cut, el, facts, joined, moment, path, words
from thence.core.query.why import Why
from thence.core.redaction import BODY_DIGEST, REDACTED, redaction_in, same_line_key
from thence.core.sentences.events import agent_sentence, conversation, counted, duration
from thence.log.files.disk import OS_DISK
from thence.log.files.identity import read_redactions
from thence.log.index.causality import causality
from thence.log.index.lookup import lasted
from thence.server.logs.root import OpenLog
from thence.server.web.layout import page
from thence.server.web.parts import event_items, event_link, log_link, mark, markdown
from thence.trace.causes.model_calls import asked_calls

JSON_CHARACTERS_MAX = 20_000
CHAIN_SHOWN_MAX = 200
NEAR_SHOWN_MAX = 10
EVENTS_SHOWN_MAX = 100
_TAKEN_BACK = "The event's payload was redacted for good. The rest of its line stays."
_BODY_MISSING = (
    "The event's payload is missing: the line came here without it, and no redaction of it counts"
    " here. A round of sync restores it if the server has the whole line."
)


def event_page(log: OpenLog, event_id: str) -> Response:
    """Returns the page; raises EventNotFound, `read_failed`."""
    neighbors = causality(log.index, event_id, 1)
    event = neighbors.event
    why = log.reader.why(event.event_id)
    causes = _events(log, neighbors.upstream)
    sentence = log.vocabulary.summary(event)
    writer: Child = "another tool; nothing verifies the line"
    if not event.is_foreign:
        writer = joined(el("span", event.node_id, class_="id"), f" as its number {event.seq:,}")
    stored = path("logs", log.id, "events", event.event_id)
    about = facts(
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
    effects = list[Html]()
    shown = _events(log, neighbors.downstream[:EVENTS_SHOWN_MAX])
    took = lasted(log.index, [effect.event_id for effect in shown if effect.begins])
    for effect in shown:
        seconds = took.get(effect.event_id)
        text = None if seconds is None else f" ({duration(seconds)})"
        effects.append(el("li", event_link(log, effect), text))
    if neighbors.truncated or len(neighbors.downstream) > EVENTS_SHOWN_MAX:
        effects.append(el("li", f"the first {EVENTS_SHOWN_MAX} are shown", class_="quiet"))
    stored_line = el("summary", "Stored line")
    body = (
        el("h1", words(sentence)),
        el("h2", "Why", id="why"),
        _why(log, why),
        _chat(event, causes),
        el("h2", "Named causes"),
        _causes(log, event, causes),
        el("h2", "Direct effects"),
        _list(effects, "Nothing names it as a cause."),
        el("h2", "About it"),
        about,
        _payload(log, event, neighbors.downstream),
        el("details", stored_line, _text(event.line.decode(errors="replace"))),
    )
    current = el("span", words(event.event_type, 60), aria_current="page")
    return page(cut(sentence, 80), *body, trail=(log_link(log), current))


def _why(log: OpenLog, why: Why) -> Html:
    if len(why.chain) < 2:
        return el("p", "It is a root: it names no cause that is here.", class_="quiet")
    causes = why.chain[:-1]
    first, near = causes[: -_near_count(causes)], causes[-_near_count(causes) :]
    caption = "The closest cause of each, the earliest first"
    if others := len(why.cone) - len(causes):
        at_least = "more than " if why.truncated else ""
        caption += f"; {at_least}{counted(others, 'other cause')} left out"
    earlier = None
    if last := first[-CHAIN_SHOWN_MAX:]:
        part = f"; the last {len(last)} are here" if len(last) < len(first) else ""
        head = el("summary", f"{len(first):,} earlier{part}")
        start = str(len(first) - len(last) + 1)
        items = event_items(log, last)
        earlier = el("details", head, el("ol", *items, class_="why far", start=start))
    items = event_items(log, near)
    items.append(el("li", words(log.vocabulary.summary(why.event)), aria_current="true"))
    line = el("ol", *items, class_="why", start=str(len(first) + 1))
    sentences = map(log.vocabulary.summary, (*near, why.event))
    copied = el("details", el("summary", "As text"), _text(" → ".join(sentences)))
    asked = [
        el("p", words(f"{one.words}: "), event_link(log, one.call))
        for one in asked_calls(log.reader, why)
    ]
    return joined(el("p", f"{caption}.", class_="quiet"), earlier, line, *asked, copied)


def _chat(event: Event, causes: Sequence[Event]) -> Html | None:
    """Returns what a model was told and answered, or what a person asked an agent."""
    texts = [(f"Model, {by}", text) for by, text in conversation(event, causes)]
    if not texts and agent_sentence(event):
        payload, _ = event.readable_payload
        spoken = (("prompt", "Prompt"), ("message", "Answer"))
        texts = [(by, payload[key]) for key, by in spoken if isinstance(payload.get(key), str)]
    parts = list[Child]()
    for by, text in texts:
        content = markdown(text, JSON_CHARACTERS_MAX)
        is_of_tool = by.endswith((" tool", " function"))
        parts += (
            (el("details", el("summary", by), content),) if is_of_tool else (el("h3", by), content)
        )
    return joined(el("h2", "Asked and answered"), *parts) if parts else None


def _near_count(causes: Sequence[Event]) -> int:
    """Returns how many causes of a chain are shown at once: in a run those since the last decision.

    The model's answer to the agent that decided is among them.
    """
    for count, cause in enumerate(reversed(causes), 1):
        if cause.event_type == "DECISION":
            answer = causes[-count - 1] if count < len(causes) else None
            return count + (answer is not None and answer.actor == cause.actor)
        if count == NEAR_SHOWN_MAX:
            break
    return min(NEAR_SHOWN_MAX, len(causes))


def _causes(log: OpenLog, event: Event, causes: Sequence[Event]) -> Html:
    present = {cause.event_id for cause in causes}
    missing = [cause for cause in event.caused_by if cause not in present]
    items = event_items(log, causes)
    for ids, where in (
        (missing, "not in this log"),
        (event.external_causes, "in another log"),
        (event.header.inferred_causes, "only concluded"),
    ):
        items += [el("li", words(cause, 100), f" ({where})") for cause in ids]
    return _list(items, "It names none.")


def _events(log: OpenLog, lines: Sequence[bytes]) -> list[Event]:
    contents = (parse(line, log.vocabulary) for line in lines)
    return [event for event in contents if isinstance(event, Event)]


def _list(items: list[Html], empty: str) -> Html:
    return el("ul", *items, class_="events") if items else el("p", empty, class_="quiet")


def _payload(log: OpenLog, event: Event, effects: Sequence[bytes]) -> Html:
    if BODY_DIGEST in event.members:
        return joined(el("h2", "Payload"), _missing_body(log, event, effects))
    payload, unreadable = event.readable_payload
    if not payload:
        return el("p", "It holds no payload.", class_="quiet")
    places = f"Only the beginning of a large value can be read: {', '.join(unreadable)}"
    note = el("p", places, class_="empty") if unreadable else None
    text = _text(json.dumps(payload, ensure_ascii=False, indent=2))
    return joined(note, el("details", el("summary", "Payload"), text))


def _text(text: str) -> Html:
    return el("pre", cut(text, JSON_CHARACTERS_MAX), tabindex="0")


def _missing_body(log: OpenLog, event: Event, effects: Sequence[bytes]) -> Html:
    """Returns why the body of an event is not here, with the notices that took it back."""
    digest = same_line_key(event)
    if digest not in read_redactions(OS_DISK, log.folder):
        return el("p", _BODY_MISSING, class_="empty")
    items = []
    for notice in _events(log, effects):
        is_redaction = log.vocabulary.notice_kind(notice) == REDACTED
        redaction = redaction_in(notice) if is_redaction else None
        if redaction is not None and redaction.digest == digest:
            by = el("span", notice.node_id, class_="id")
            items.append(el("li", event_link(log, notice), ", by ", by))
    text = el("p", _TAKEN_BACK, class_="empty")
    return joined(text, el("ul", *items, class_="events")) if items else text
