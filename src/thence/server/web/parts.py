"""What several pages share: links to logs, events and failures, the status of a run, forms."""

from collections.abc import Iterable, Sequence

from thence.core.clock import microseconds
from thence.core.event import Event
from thence.core.failures import is_failure, is_rejection
from thence.core.markup import TEXT_CHARACTERS_MAX, Child, Column, Html, cut, el, link, path, words
from thence.server.logs.root import FoundLog
from thence.server.logs.run_record import RunRecord
from thence.sync.wire.messages import MirroredLog


def log_link(log: FoundLog) -> Html:
    """Returns the link to the page of a log."""
    return link(words(log.id, 60), path("runs", log.id))


def event_address(log: FoundLog, event_id: str) -> str:
    """Returns the address of the page of an event."""
    return path("runs", log.id, "events", event_id)


def event_link(
    log: FoundLog,
    event: Event,
    text: str | None = None,
    characters_max: int = TEXT_CHARACTERS_MAX,
) -> Html:
    """Returns the sentence of an event, or another text, as a link to its page."""
    sentence = log.vocabulary.summary(event) if text is None else text
    return link(words(sentence, characters_max), event_address(log, event.event_id))


def event_items(log: FoundLog, events: Iterable[Event]) -> list[Html]:
    """Returns the sentences of events as list items, each a link."""
    return [el("li", event_link(log, event)) for event in events]


def seconds_between(begin: str, end: str) -> float:
    """Returns the seconds from one timestamp to another; 0 where one of them is no time."""
    start, last = microseconds(begin), microseconds(end)
    return 0 if start is None or last is None else (last - start) / 1e6


def mark(event: Event) -> Html | None:
    """Returns the mark of an event that records a failure or a refused action; None of another."""
    text = "rejected" if is_rejection(event) else "failed" if is_failure(event) else None
    return None if text is None else el("span", text, class_=f"mark {text}")


def failures_link(log: FoundLog, count: int, text: str = "", class_: str | None = None) -> Child:
    """Returns the number of a log's failures, or a text about them, which leads to them."""
    text = text or f"{count:,}"
    address = path("runs", log.id, failed="1") + "#events"
    return el("a", text, href=address, class_=class_) if count else text


def status(run: RunRecord, failures: int | None) -> Html:
    """Returns the status of a run in words; the colour adds no information.

    A run that completed, and whose decisions nothing counts, is as good as its `failures` say.
    """
    is_good: bool | None = run.ended.is_good
    if run.status == "completed" and not run.ended.decisions:
        is_good = None if failures is None else failures == 0
    is_bad = is_good is False and run.status in ("completed", "failed")
    style = "completed" if is_good else "failed" if is_bad else None
    return el("span", words(run.ended.text), class_=f"status-{style}" if style else None)


def mirrored_words(mirrored: MirroredLog) -> str:
    """Returns which log of a team is mirrored, and who pushed its first and its last line."""
    of = mirrored.log
    text = f"the log {of.log} of team {mirrored.team} at {mirrored.server}"
    text += f", begun by {of.first_by}" if of.first_by else ""
    text += f", last pushed by {of.last_by}" if of.last_by else ""
    return text + (f"; not up to date: {mirrored.withdrawn}" if mirrored.withdrawn else "")


def numbers(*heads: str) -> list[Column]:
    """Returns columns of numbers."""
    return [Column(head, "number", head.lower()) for head in heads]


def choice(name: str, label: str, value: str, choices: Iterable[tuple[str, str]]) -> Html:
    """Returns a field of a form with some values and their texts, of which one is chosen."""
    options = [
        el("option", cut(text, 80), value=key, selected=key == value) for key, text in choices
    ]
    return el("div", el("label", label, for_=name), el("select", *options, id=name, name=name))


def form(fields: Sequence[Html], *do: Html, **attributes: str) -> Html:
    """Returns a form of fields, with what one does with them below."""
    return el(
        "form",
        el("div", *fields, class_="fields"),
        el("div", *do, class_="do"),
        **attributes,
    )
