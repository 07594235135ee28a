"""The page of one run or log: its verdict, its summary, its filter, its events in total order.

The verdict says what the index knows without reading many lines; what is not known is left out.
The list has the events of the window that the address names, as the picture has.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Literal, NamedTuple
from urllib.parse import urlencode

from msgspec import structs
from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.responses import Response

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
from thence.core.query.where import OPERATORS
from thence.core.redaction import BODY_DIGEST
from thence.core.sentences.events import counted, duration, short_id
from thence.core.vocabulary import PLAIN, WORK
from thence.errors import EventNotFound, InvalidFilter
from thence.log.index import query
from thence.log.index.lookup import arrival_of
from thence.log.index.overview import LogFacts, Standing, longest_step, standing
from thence.log.index.page import Page, PageBounds
from thence.log.index.query import ALL, Within
from thence.server.errors import parameter_problem
from thence.server.logs.root import FoundLog, OpenLog
from thence.server.logs.summaries import RunRecord
from thence.server.routes.parameters import PageFilter, Paging
from thence.server.web.layout import page
from thence.server.web.parts import (
    choice,
    event_link,
    failures_link,
    form,
    log_link,
    mark,
    mirrored_words,
    status,
)
from thence.server.web.session import agents_verdict, cut_link, is_of_agents, sessions_section
from thence.server.web.spending import spending_section

EVENTS = 100
NAMES_SHOWN_MAX = 12
DAMAGE_SHOWN_MAX = 20
# to count refused actions, the lines of so many events are searched
REFUSED_READ_MAX = 5_000
_OPEN_READ_MAX = 20
_REJECTED = "error_type = action_rejected"
_REFUSED = Filter.of(type="SYSTEM", where=_REJECTED)
# what a link to a row of where it went asks for
_ROWS = ("calls", "said")
_NAMES = ("type", "actor", "subject", "stream", *_ROWS)
_LISTS = (*_NAMES[:4], "where")
# what an address says of the picture, which the script reads
_OF_PICTURE = frozenset(("axis", "from", "to", "lanes", "find", "var", "at", "board", "part"))
_POSITION = re.compile(r"[0-9]{1,16}", re.ASCII)
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


class PageParameters(PageFilter, Paging):
    """A page of events as a browser asks for it."""

    order: Literal["oldest", "newest"] = "oldest"


class Question(NamedTuple):
    """The fields of a form with what they ask, or the `problem` of a form that can't be read.

    `picture` is what the address says of the picture, which a filter keeps.
    """

    fields: dict[str, list[str]]
    asked: PageParameters = PageParameters()
    filter: Filter = Filter()
    problem: str | None = None
    picture: Mapping[str, str] = {}

    @property
    def found(self) -> dict[str, list[str]]:
        """The fields that choose events, in whatever order."""
        return {key: self.fields[key] for key in self.fields if key not in ("cursor", "order")}

    def query(self, **changed: str | None) -> dict[str, str | list[str] | None]:
        """Returns the query of a link to the same question, or to a changed one."""
        kept = {key: values for key, values in self.fields.items() if key != "cursor"}
        return {**kept, **changed}


def read_question(query: QueryParams) -> Question:
    """Reads the fields of the form."""
    fields: dict[str, list[str]] = {}
    picture: dict[str, str] = {}
    for key, value in query.multi_items():
        if key in _OF_PICTURE:
            picture[key] = value
        elif value.strip():  # a name may have blanks at its ends
            fields.setdefault(key, []).append(value if key in _NAMES else value.strip())
    picture.pop("part", None)
    text = (fields.get("words") or [""])[-1]
    if any(map(text.__contains__, OPERATORS)):
        with suppress(InvalidFilter):  # then they are words
            Filter.of(where=text)
            fields.setdefault("where", []).append(text)
            del fields["words"]
    single = {key: values if key in _LISTS else values[-1] for key, values in fields.items()}
    try:
        asked = PageParameters.model_validate(single)
        return Question(fields, asked, asked.filter(), None, picture)
    except ValidationError as error:
        problem = parameter_problem(error, PageParameters.model_fields)
        return Question(fields, problem=problem, picture=picture)
    except InvalidFilter as error:
        problem = f"{error}; {error.hint}" if error.hint else str(error)
        return Question(fields, problem=problem, picture=picture)


def run_page(
    log: OpenLog,
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
        bounds: PageBounds = {"limit": EVENTS, "cursor": question.asked.cursor}
        bounds["descending"] = question.asked.order == "newest"
        filter, within = _within(log, question)
        results = query.page(log.index, filter, log.mark, within, **bounds)
        events = _events(log, question, results, is_part=(filter, within) != (question.filter, ALL))
    problem = el("p", question.problem, role="alert") if question.problem else None
    of_board: list[Child] = []
    section, sessions = Html(), Html()
    if log.vocabulary.name == WORK.name:
        from thence.server.web.board import board_section  # a replay's modules, for boards alone

        of_board, section = board_section(log, summary.events, at)
    elif log.vocabulary.name == PLAIN.name and is_of_agents(log, summary):
        sessions = sessions_section(log, summary)
    # the script fills it
    picture = el(
        "section",
        id="look",
        class_="look",
        aria_label="The picture of the log",
        data_log=path("logs", log.id),
        data_pages=path("runs", log.id),
        data_question=urlencode(question.found, doseq=True) or None,
        data_axis="turn" if log.is_simulation else None,
        data_variables=" ".join(run.variables) or None,
        hidden=True,
    )
    body = (
        el("h1", words(run.name)),
        el("div", _verdict(log, run, summary, of_board), data_live=True),
        el(
            "details",
            el("summary", "Facts"),
            el("div", _summary(log, run, summary, question), data_live=True),
        ),
        _damage(summary),
        section,
        picture,
        sessions,
        beside,
        el(
            "div",
            None if log.vocabulary.name == WORK.name else spending_section(log, summary),
            data_live=True,
        ),
        _comparison(log, names),
        el("h2", "Events", id="events"),
        problem,
        _form(log, question),
        el("div", events, data_live=True),
    )
    return page(cut(run.name, 80), *body, trail=(log_link(log),), status=422 if problem else 200)


def _within(log: OpenLog, question: Question) -> tuple[Filter, Within]:
    """Returns the filter with the window of the picture, and among what it chooses.

    Raises HTTPException while words are being added.
    """
    filter, span = question.filter, None
    axis, *ends = (question.picture.get(key, "") for key in ("axis", "from", "to"))
    if all(map(_POSITION.fullmatch, ends)):
        first, last = int(ends[0]), int(ends[1]) - 1
        if first <= last and axis in ("turn", "time"):
            names = ("turn_first", "turn_last") if axis == "turn" else ("since", "until")
            least, most = (getattr(filter, name) for name in names)
            first = first if least is None else max(first, least)
            last = last if most is None else min(last, most)
            filter = structs.replace(filter, **{names[0]: first, names[1]: last})
        elif first <= last:
            span = first + 1, last + 1
    elif all(ends):
        with suppress(EventNotFound):
            arrivals = [
                log.index.answer(partial(arrival_of, log.index, event_id=end)) for end in ends
            ]
            span = arrivals[0], arrivals[1]
    return filter, question.asked.within(log)._replace(arrivals=span)


def _verdict(log: OpenLog, run: RunRecord, facts: LogFacts, board: list[Child]) -> Html:
    """Returns the line; `board` is what a board says of its packages. Raises `read_failed`."""
    now = standing(log.index, _OPEN_READ_MAX)
    failures = failures_link(log, facts.failures, counted(facts.failures, "failure"))
    if log.is_simulation and (facts.events or run.ended.decisions):
        parts = [*_of_run(log, run, facts, now)]
    elif not facts.events:
        parts = [["no events yet"]]
    elif log.vocabulary.name == WORK.name:
        parts = [board, [failures] if facts.failures else []]
    elif is_of_agents(log, facts):
        parts = [*agents_verdict(log, facts, now), [failures] if facts.failures else []]
    elif now.steps:
        of_steps = f" of {counted(now.steps, 'step')}"
        newest = [": ", cut_link(log, now.newest[0])] if now.newest else []
        parts = [[failures, of_steps], [f"{now.open_steps:,} open", *newest]]
        if longest := longest_step(log.index, log.longest):
            lasted = f" ({duration(longest[1])})"
            parts.append(["the longest: ", cut_link(log, longest[0]), lasted])
    else:
        parts = [[failures, f" of {counted(facts.events, 'event')}"]]
    if facts.damaged_lines:
        parts.append([counted(facts.damaged_lines, "damaged line")])
    line = [child for part in parts if part for child in ("; ", *part)][1:]
    is_bad = facts.failures or (log.is_simulation and run.ended.text != run.status)
    return el("p", *line, class_="verdict bad" if is_bad else "verdict") if line else Html()


def _of_run(log: OpenLog, run: RunRecord, facts: LogFacts, now: Standing) -> Iterator[list[Child]]:
    yield [words(run.status, 40), f", {counted(facts.turns, 'turn')}"]
    decisions, number = run.ended.decisions, counted(facts.failures, "failure")
    failures, results = failures_link(log, facts.failures, number), list[Child]()
    if decisions and run.ended.text != run.status:  # it names the decisions that failed
        failed = path("runs", log.id, type="SYSTEM", where="error_type = agent_failed") + "#events"
        results = [el("a", decisions, href=failed), ", ", failures]
    elif decisions:
        results = [decisions, *((", ", failures) if facts.failures else ())]
    else:
        results = [failures]
    is_short = decisions and facts.by_type.get("SYSTEM", 0) <= REFUSED_READ_MAX
    if is_short and (refused := query.count(log.index, _REFUSED)):
        asked = path("runs", log.id, type="SYSTEM", where=_REJECTED) + "#events"
        results += [", ", el("a", counted(refused, "action") + " rejected", href=asked)]
    yield results
    if now.tokens is not None:
        yield [counted(now.tokens, "token"), "" if now.cost is None else f", cost {now.cost:.3g}"]


def _summary(log: FoundLog, run: RunRecord, summary: LogFacts, question: Question) -> Html:
    is_run, events = log.is_simulation, f"{summary.events:,}"
    if summary.unverified:
        events += f", {summary.unverified:,} of them another tool's, which nothing verifies"
    return facts(
        (
            ("Status", status(run, summary.failures) if is_run else None),
            ("Mirrors", mirrored_words(run.mirrored) if run.mirrored else None),
            ("Reason", run.reason),
            ("Error", run.error),
            ("Branch of", run.parent),
            ("Altered", ", ".join(run.altered)),
            ("Events", events),
            ("Failures", failures_link(log, summary.failures)),
            ("Turns", f"{summary.turns:,}" if is_run else None),
            ("First event (UTC)", moment(summary.first.timestamp) if summary.first else None),
            ("Last event (UTC)", moment(summary.last.timestamp) if summary.last else None),
            ("Types", _names(log, "type", summary.by_type, question)),
            (
                "Actors",
                _names(log, "actor", summary.by_actor, question, "STATE" in summary.by_type),
            ),
        )
    )


def _names(
    log: FoundLog,
    key: str,
    counts: Mapping[str, int],
    question: Question,
    has_variables: bool = False,
) -> Html | None:
    """Returns names with their numbers; an agent's also lead to its variables, without an actor."""

    kept = {key: question.picture[key] for key in question.picture if key not in ("from", "to")}

    def filtered(content: Child, **fields: str) -> Html:
        # what it counts lies in no window
        return link(content, path("runs", log.id, **kept, **fields) + "#events")

    items: list[Child] = []
    for name, count in islice(counts.items(), NAMES_SHOWN_MAX):
        named = filtered(words(name, 60), **{key: name}) if name else "(empty)"
        parts: list[Child] = [named, el("span", f"{count:,}", class_="quiet")]
        if has_variables and log.is_simulation:
            scope = json.dumps(f"agent/{name}", ensure_ascii=False)
            parts.append(filtered("variables", type="STATE", where=f"scope = {scope}"))
        items.append(el("li", *[child for part in parts for child in (" ", part)][1:]))
    if len(counts) > len(items):
        items.append(el("li", f"and {len(counts) - len(items):,} more", class_="quiet"))
    return el("ul", *items, class_="flat") if items else None


def _damage(summary: LogFacts) -> Html | None:
    if not summary.damaged_lines:
        return None
    rows = [
        (words(bad.file), f"{bad.offset:,}", f"{bad.length:,}", words(bad.reason))
        for bad in summary.damage[:DAMAGE_SHOWN_MAX]
    ]
    is_one = summary.damaged_lines == 1
    verb = "line is not an event and is" if is_one else "lines are not events and are"
    caption = f"{summary.damaged_lines:,} {verb} skipped"
    if len(rows) < summary.damaged_lines:
        caption += f"; the first {len(rows)} of them"
    return joined(el("h2", "Damage"), table(caption, _DAMAGE, rows))


def _form(log: FoundLog, question: Question) -> Html:
    """Returns the box for words or a comparison, with the filter; it keeps the picture."""
    label = el("label", "Words, or key > value", for_="words")
    text = question.fields.get("words", [""])[-1]
    box = el("input", id="words", name="words", type="search", value=text)
    *fields, where = [_field(question, *field) for field in _FIELDS]
    failed = {None: "", True: "1", False: "0"}[question.filter.failed]
    outcomes = (("", "All"), ("1", "Failures"), ("0", "All but failures"))
    fields.append(choice("failed", "Failures", failed, outcomes))
    orders = (("oldest", "Oldest first"), ("newest", "Newest first"))
    order = choice("order", "Order", question.asked.order, orders)
    address = path("runs", log.id)
    pairs = [
        *question.picture.items(),
        *((key, one) for key in _ROWS for one in question.fields.get(key, ())),
    ]
    kept = (el("input", type="hidden", name=name, value=value) for name, value in pairs)
    return el(
        "form",
        el("div", label, box),
        el("span", *kept, hidden=True, data_live=True),  # a window may move
        el(
            "details",
            el("summary", "Filter and order"),
            el("div", *fields, order, where, class_="fields"),
            open=bool(question.fields.keys() - {"words", "cursor", *_ROWS}),
        ),
        el("button", "Find", type="submit"),
        " ",
        el("a", "All events", href=address),
        method="get",
        action=f"{address}#events",
        role="search",
        aria_label="Find and filter the events",
    )


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
        for number, value in enumerate(question.fields.get(name) or [""])
    ]
    kind = "wide" if name == "where" else None
    return el("div", el("label", label, for_=name), *inputs, class_=kind)


def _comparison(log: FoundLog, names: Sequence[str]) -> Html | None:
    if not names:
        return None
    own = el("input", type="hidden", name="run", value=log.id)
    field = choice("run", "With", "", [(name, name) for name in names])
    button = el("button", "Compare", type="submit")
    body = form([own, field], button, method="get", action=path("runs"))
    return el("details", el("summary", "Compare with another"), body)


def _events(log: OpenLog, question: Question, results: Page, is_part: bool) -> Html:
    """Returns the table; it `is_part` of what the filter finds, by words or the window."""
    if not results.events:
        hint = None if results.total else log.reader.unknown_key(question.filter.where)
        is_asked = is_part or question.fields
        text = "No event matches" if is_asked else "There are no events yet"
        return el("p", words(f"{text}: {hint}" if hint else f"{text}."), class_="empty")
    columns = [column for column in _EVENTS if log.is_simulation or column.name != "turn"]
    rows = []
    for event in results.events:
        turn = None if event.turn_number is None else f"{event.turn_number}"
        # what the other columns leave out
        text = log.vocabulary.in_columns(event) or short_id(event.event_id)
        outcome, what = mark(event), event_link(log, event, text)
        if outcome is not None:
            what = joined(outcome, " ", what)
        if BODY_DIGEST in event.members:
            what = joined(what, " ", el("span", "without its body", class_="quiet"))
        rows.append(
            [
                moment(event.timestamp),
                *((turn,) if log.is_simulation else ()),
                words(event.event_type, 60),
                words(event.actor, 60) if event.actor else None,
                what,
            ]
        )
    order = "newest first" if question.asked.order == "newest" else "in total order"
    part = f"{len(rows):,} of " if results.total > len(rows) else ""
    behind = ", after those of the previous pages" if question.asked.cursor else ""
    where = " in the window of the picture" if {"from", "to"} <= question.picture.keys() else ""
    caption = f"{part}{counted(results.total, 'event')}{where}, {order}{behind}"
    listing = table(caption, columns, rows)
    asked, links = question.query(), list[Child]()
    if question.asked.cursor:
        links.append(el("a", "First page", href=path("runs", log.id, **question.picture, **asked)))
    if results.next_cursor:
        asked_next = question.query(cursor=results.next_cursor)
        address = path("runs", log.id, **question.picture, **asked_next)
        links.append(el("a", "Next page", href=address + "#events", rel="next"))
    kinds = (("As JSON", "events"), ("As lines", "events.ndjson"))
    for name, kind in () if is_part else kinds:
        links.append(el("a", name, href=path("logs", log.id, kind, **question.found)))
    return joined(listing, el("nav", *links, class_="pages", aria_label="Pages of events"))
