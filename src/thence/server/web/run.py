"""The page of one run or log: its summary, the form of its filter, its events in total order."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.responses import Response

from thence.core.event import Event
from thence.core.markup import (
    Child,
    Column,
    Html,
    cut,
    el,
    facts,
    joined,
    link,
    moment,
    path,
    table,
    words,
)
from thence.core.query.filter import Filter
from thence.core.redaction import BODY_DIGEST
from thence.core.sentences.events import short_id
from thence.core.vocabulary import PLAIN, WORK
from thence.errors import InvalidFilter
from thence.log.index.overview import LogFacts
from thence.log.index.page import Page, PageBounds
from thence.server.logs.root import FoundLog, OpenLog
from thence.server.logs.run_record import RunRecord
from thence.server.routes.parameters import LogPage
from thence.server.web.home import status
from thence.server.web.layout import page
from thence.server.web.session import sessions_section
from thence.server.web.verdict import failures_link, is_of_agents, mark, verdict
from thence.sync.wire.messages import MirroredLog

EVENTS = 100
NAMES_SHOWN_MAX = 12
DAMAGE_SHOWN_MAX = 20
OTHERS_MAX = 500
_LISTS = ("type", "actor", "subject", "stream", "where")
# what an address says of the picture, which the script reads
_OF_PICTURE = frozenset(("axis", "from", "to", "lanes", "find", "var", "at", "board", "part"))

_FIELDS = (
    ("type", "Type", ""),
    ("actor", "Actor", ""),
    ("subject", "Subject", ""),
    ("stream", "Stream", ""),
    ("turn", "Turn", "3, 3..7, 3.., ..7"),
    ("since", "Since (UTC)", "2026-11-20T07:13"),
    ("until", "Until (UTC)", "2026-11-20"),
    ("where", "Where", "amount > 10 and reason ~ stock"),
)


_DAMAGE = (
    Column("File"),
    Column("At byte", "number", "at byte"),
    Column("Length", "number", "length"),
    Column("Why", "what"),
)
_EVENTS = (
    Column("Time (UTC)"),
    Column("Turn", "number", "turn"),
    Column("Type", "type"),
    Column("Who", "who"),
    Column("What", "what"),
)


class PageParameters(LogPage):
    """A page of events as a browser asks for it."""

    order: Literal["oldest", "newest"] = "oldest"


class Question(NamedTuple):
    """The fields of a form with their filter, or the `problem` of a form that can't be read."""

    fields: dict[str, list[str]]
    filter: Filter = Filter()
    cursor: str | None = None
    is_newest_first: bool = False
    problem: str | None = None

    def query(self, **changed: str | None) -> dict[str, str | list[str] | None]:
        """Returns the query of a link to the same question, or to a changed one."""
        kept = {key: values for key, values in self.fields.items() if key != "cursor"}
        return {**kept, **changed}


def read_question(query: QueryParams) -> Question:
    """Reads the fields of the form."""
    fields: dict[str, list[str]] = {}
    for key, value in query.multi_items():
        if value.strip() and key not in _OF_PICTURE:
            fields.setdefault(key, []).append(value.strip())
    single = {key: values if key in _LISTS else values[-1] for key, values in fields.items()}
    try:
        page = PageParameters.model_validate(single)
        return Question(fields, page.filter(), page.cursor, page.order == "newest")
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "the address"
        problem = f"{name}: {str(first['msg']).removeprefix('Value error, ')}"
        if first["type"] == "extra_forbidden":
            problem = f"{name[:100]}: there is no such field"
        return Question(fields, problem=problem)
    except InvalidFilter as error:
        return Question(fields, problem=f"{error}; {error.hint}" if error.hint else str(error))


def shown_values(question: Question, name: str) -> Iterable[str]:
    """Returns the texts of a field of the form, at least one."""
    return question.fields.get(name) or [""]


def run_page(
    log: OpenLog,
    location: FoundLog,
    run: RunRecord,
    summary: LogFacts,
    question: Question,
    names: Sequence[str],
    at: str | None,
    beside: Html | None,
) -> Response:
    """Returns the page; `names` are the logs for the comparison.

    A board is as it was after the event `at`. `beside` follows the picture: the map of a run, or
    the link to the files of a repository. Raises `invalid_cursor`, EventNotFound, `read_failed`.
    """
    events = Html()
    if question.problem is None:
        is_descending = question.is_newest_first
        paging: PageBounds = {
            "limit": EVENTS,
            "cursor": question.cursor,
            "descending": is_descending,
        }
        results = log.page(question.filter, **paging)
        events = _events(log, location, question, results)
    problem = el("p", question.problem, role="alert") if question.problem else None
    of_board: list[Child] = []
    section = Html()
    if location.vocabulary.name == WORK.name:
        from thence.server.web.board import board_section  # a replay's modules, for boards alone

        of_board, section = board_section(log, location, summary.events, at)
    elif location.vocabulary.name == PLAIN.name and is_of_agents(log, summary):
        section = sessions_section(log, location, summary)
    # the script fills it
    picture = el(
        "section",
        id="look",
        class_="look",
        aria_label="The picture of the log",
        data_log=path("logs", location.id),
        data_pages=path("runs", location.id),
        data_axis="turn" if location.is_simulation else None,
        data_variables=" ".join(run.variables) or None,
        hidden=True,
    )
    body = (
        el("h1", words(run.name)),
        verdict(log, location, run, summary, of_board),
        _summary(location, run, summary),
        _damage(summary),
        section,
        picture,
        beside,
        _comparison(location, names),
        el("h2", "Events", id="events"),
        problem,
        _form(location, question),
        events,
    )
    return page(cut(run.name, 80), *body, trail=(trail(location),), status=422 if problem else 200)


def trail(location: FoundLog) -> Html:
    """Returns the link to the page of a log."""
    return el("a", words(location.id, 60), href=path("runs", location.id))


def _summary(location: FoundLog, run: RunRecord, summary: LogFacts) -> Html:
    is_run = location.is_simulation
    events = f"{summary.events:,}"
    if summary.unverified:
        events += f", {summary.unverified:,} of them another tool's, which nothing verifies"
    return facts(
        (
            ("Status", status(run, summary.failures) if is_run else None),
            ("Mirrors", _mirrored(run.mirrored) if run.mirrored else None),
            ("Reason", run.reason),
            ("Error", run.error),
            ("Branch of", run.parent),
            ("Altered", ", ".join(run.altered)),
            ("Events", events),
            ("Failures", failures_link(location, summary.failures, f"{summary.failures:,}")),
            ("Turns", f"{summary.turns:,}" if is_run else None),
            ("First event (UTC)", moment(summary.first.timestamp) if summary.first else None),
            ("Last event (UTC)", moment(summary.last.timestamp) if summary.last else None),
            ("Types", _names(location, "type", summary.by_type)),
            ("Actors", _names(location, "actor", summary.by_actor, "STATE" in summary.by_type)),
        )
    )


def _mirrored(mirrored: MirroredLog) -> Html:
    """Returns which log of a team a mirror has, and whether that can still be read there."""
    log = mirrored.log
    last = f", last pushed by {log.last_by}" if log.last_by else ""
    text = f"the log {log.log} of team {mirrored.team} at {mirrored.server}{last}"
    if mirrored.withdrawn:
        text += f"; not up to date: {mirrored.withdrawn}"
    return words(text)


def _names(
    location: FoundLog, key: str, counts: Mapping[str, int], has_variables: bool = False
) -> Html | None:
    if not counts:
        return None
    first = list(counts.items())[:NAMES_SHOWN_MAX]
    items: list[Child] = [
        el(
            "li",
            link(words(name or "(empty)", 60), _filtered(location, **{key: name})),
            " ",
            el("span", f"{count:,}", class_="quiet"),
            *(_variables(location, name) if has_variables and location.is_simulation else ()),
        )
        for name, count in first
    ]
    if len(counts) > len(first):
        items.append(el("li", f"and {len(counts) - len(first):,} more", class_="quiet"))
    return el("ul", *items, class_="flat")


def _variables(location: FoundLog, agent: str) -> tuple[Child, ...]:
    """Returns a link to the changes of an agent's variables, which name no actor."""
    scope = json.dumps(f"agent/{agent}", ensure_ascii=False)
    return " ", link("variables", _filtered(location, type="STATE", where=f"scope = {scope}"))


def _filtered(location: FoundLog, **fields: str) -> str:
    return path("runs", location.id, **fields) + "#events"


def _damage(summary: LogFacts) -> Html | None:
    if not summary.damaged_lines:
        return None
    rows = [
        (words(bad.file), f"{bad.offset:,}", f"{bad.length:,}", words(bad.reason))
        for bad in summary.damage[:DAMAGE_SHOWN_MAX]
    ]
    is_one = summary.damaged_lines == 1
    verb = "line is not an event and is" if is_one else "lines are not events and are"
    caption = f"{summary.damaged_lines:,} {verb} passed over"
    if len(rows) < summary.damaged_lines:
        caption += f"; the first {len(rows)} of them"
    return joined(el("h2", "Damage"), table(caption, _DAMAGE, rows))


def _form(location: FoundLog, question: Question) -> Html:
    *fields, where = [_field(question, *field) for field in _FIELDS]
    failed = {None: "", True: "1", False: "0"}[question.filter.failed]
    outcomes = (("", "All"), ("1", "Failures"), ("0", "All but failures"))
    fields.append(choice("failed", "Failures", failed, outcomes))
    orders = (("oldest", "Oldest first"), ("newest", "Newest first"))
    order = choice("order", "Order", orders[question.is_newest_first][0], orders)
    form = el(
        "form",
        el("div", *fields, order, where, class_="fields"),
        el(
            "div",
            el("button", "Show", type="submit"),
            el("a", "All events", href=path("runs", location.id)),
            class_="do",
        ),
        method="get",
        action=path("runs", location.id) + "#events",
        role="search",
        aria_label="Filter the events",
    )
    return el("details", el("summary", "Filter and order"), form, open=bool(question.fields))


def choice(name: str, label: str, value: str, choices: Iterable[tuple[str, str]]) -> Html:
    """Returns a field of a form with some values and their texts, of which one is chosen."""
    options = [
        el("option", cut(text, 80), value=key, selected=key == value) for key, text in choices
    ]
    return el("div", el("label", label, for_=name), el("select", *options, id=name, name=name))


def _field(question: Question, name: str, label: str, example: str) -> Html:
    inputs = [
        el(
            "input",
            id=f"{name}{number or ''}",
            name=name,
            value=value,
            placeholder=example or None,
            autocomplete="off",
            spellcheck="false",
            aria_label=label if number else None,
        )
        for number, value in enumerate(shown_values(question, name))
    ]
    kind = "wide" if name == "where" else None
    return el("div", el("label", label, for_=name), *inputs, class_=kind)


def _comparison(location: FoundLog, names: Sequence[str]) -> Html | None:
    others = [name for name in names if name != location.id][:OTHERS_MAX]
    if not others:
        return None
    field = choice("other", "With", "", [(name, name) for name in others])
    form = el(
        "form",
        el("div", field, class_="fields"),
        el("div", el("button", "Compare", type="submit"), class_="do"),
        method="get",
        action=path("runs", location.id, "diff"),
    )
    return el("details", el("summary", "Compare with another"), form)


def _events(log: OpenLog, location: FoundLog, question: Question, results: Page) -> Html:
    if not results.events:
        hint = None if results.total else log.hint(question.filter)
        text = "No event matches" if question.fields else "There are no events yet"
        return el("p", words(f"{text}: {hint}" if hint else f"{text}."), class_="empty")
    is_run = location.is_simulation
    rows = [_row(log, location, event, is_run) for event in results.events]
    order = "newest first" if question.is_newest_first else "in total order"
    part = (
        f"{len(rows):,} of {results.total:,}" if results.total > len(rows) else f"{results.total:,}"
    )
    behind = ", behind those of the pages before" if question.cursor else ""
    caption = f"{part} events, {order}{behind}"
    columns = [column for column in _EVENTS if is_run or column.name != "turn"]
    return joined(table(caption, columns, rows), _page_links(location, question, results))


def _row(log: OpenLog, location: FoundLog, event: Event, is_run: bool) -> list[Child]:
    turn = None if event.turn_number is None else f"{event.turn_number}"
    return [
        moment(event.timestamp),
        *((turn,) if is_run else ()),
        words(event.event_type, 60),
        words(event.actor, 60) if event.actor else None,
        _text_link(location, event, log),
    ]


def _text_link(location: FoundLog, event: Event, log: OpenLog) -> Html:
    """Returns the text that the other columns leave out, else the short id, as a link."""
    text = log.vocabulary.in_columns(event) or short_id(event.event_id)
    event_mark = mark(event)
    event_text = link(words(text), path("runs", location.id, "events", event.event_id))
    if event_mark is not None:
        event_text = joined(event_mark, " ", event_text)
    if BODY_DIGEST in event.members:
        return joined(event_text, " ", el("span", "without its body", class_="quiet"))
    return event_text


def event_link(location: FoundLog, event: Event, log: OpenLog) -> Html:
    """Returns the sentence of an event as a link to its page."""
    return link(
        words(log.vocabulary.summary(event)), path("runs", location.id, "events", event.event_id)
    )


def _page_links(location: FoundLog, question: Question, results: Page) -> Html:
    links: list[Child] = []
    if question.cursor:
        links.append(el("a", "First page", href=path("runs", location.id, **question.query())))
    if results.next_cursor:
        address = path("runs", location.id, **question.query(cursor=results.next_cursor))
        links.append(el("a", "Next page", href=address + "#events", rel="next"))
    same = {key: value for key, value in question.query().items() if key != "order"}
    links.append(el("a", "As JSON", href=path("logs", location.id, "events", **same)))
    links.append(el("a", "As lines", href=path("logs", location.id, "events.ndjson", **same)))
    return el("nav", *links, class_="pages", aria_label="Pages of events")


def sentences(log: OpenLog, location: FoundLog, events: Sequence[Event]) -> list[Html]:
    """Returns the sentences of events as list items, each a link."""
    return [el("li", event_link(location, event, log)) for event in events]
