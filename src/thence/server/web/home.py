"""The page of all runs, sweeps and logs under the root, which waits for none of them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from starlette.responses import Response

from thence.core.clock import microseconds
from thence.core.markup import Child, Column, Html, el, joined, link, moment, path, table, words
from thence.core.sentences.events import counted, duration
from thence.server.logs.root import FoundLog
from thence.server.logs.summaries import Listed, RunRecord
from thence.server.routes.state import ServerState
from thence.server.web.files import files_link
from thence.server.web.layout import page
from thence.server.web.parts import failures_link, mirrored_words, numbers, sparkline, status

LOGS_COUNTED_MAX = 1_000
# of these, unless all are asked for: a browser takes half a second to lay out a thousand
LOGS_SHOWN = 200
SETTINGS_SHOWN_MAX = 4
# after how many seconds a page loads again that lacks what is being counted
RELOADED_AFTER_S = "3"
# after how many seconds the script looks again at what is there
RENEWED_AFTER_S = 5

_COLUMNS = (
    Column("Compare", "tick"),
    Column("Run or log", names_row=True),
    *numbers("Seed"),
    Column("Status", "status"),
    *numbers("Turns", "Events", "Failures", "Tokens", "Cost", "Duration"),
    Column("Course", "course"),
    Column("Last event (UTC)", name="to"),
    Column("Damage", "damage"),
)

_OTHERS = (Column("Sweep", names_row=True), Column("State", "what"))


class _Row(NamedTuple):
    log: FoundLog
    record: RunRecord
    listed: Listed | None
    differs: str


def home(
    state: ServerState,
    locations: Sequence[FoundLog | None],
    others: Sequence[tuple[Html, str]],
    has_all: bool = False,
) -> Response:
    """Returns the page, with the log of the latest event first, after those not counted yet."""
    bad_ids = state.summaries.unreadable
    logs = [
        (log, state.summaries.listed(log)) for log in locations if log and log.id not in bad_ids
    ]
    unread = len(locations) - len(logs)

    def age(pair: tuple[FoundLog, Listed | None]) -> tuple[bool, str]:
        last = pair[1].facts.last if pair[1] else None
        return pair[1] is None, last.timestamp if last else ""

    logs.sort(key=age, reverse=True)
    rows = _rows(state, logs[:LOGS_COUNTED_MAX])
    shown = rows if has_all else rows[:LOGS_SHOWN]
    # what grows is no reason to load again: it would untick what is to be compared
    is_waiting = any(listed is None for _, listed in logs)
    content = [
        el("p", f"{unread} more can't be read.", role="alert") if unread else None,
        el("div", _verdict(rows), data_live=True),
        table("Sweeps", _OTHERS, [(name, words(text)) for name, text in others])
        if others
        else None,
        el("div", _table(state, rows, shown), id="home", data_live=True, data_every=RENEWED_AFTER_S)
        if rows
        else None,
    ]
    if not rows and not others:
        example = el("code", "thence sim run spatial_trade_network")
        text = " creates one; it shows up when you reload this page."
        content.append(
            el("p", "There are no runs or logs here yet. ", example, text, class_="empty")
        )
    if len(logs) > len(shown):
        more = None if has_all else link(f"Show {len(rows):,}", "/?all=1")
        content.append(el("p", f"The {len(shown):,} latest of {len(logs):,} are shown. ", more))
    if is_waiting:
        text = "This page reloads by itself until all are counted."
        content.append(el("p", text, role="status", class_="quiet"))
    answer = page("thence: runs and logs", el("h1", "Runs and logs"), *content)
    if is_waiting:
        answer.headers["Refresh"] = RELOADED_AFTER_S
    return answer


def _rows(state: ServerState, logs: Sequence[tuple[FoundLog, Listed | None]]) -> list[_Row]:
    """Returns rows with the settings in which a run differs from others of its scenario."""
    records = [state.summaries.record(state.root, log) for log, _ in logs]
    values: dict[str, dict[str, set[str | None]]] = defaultdict(lambda: defaultdict(set))
    for record in records:
        for key in record.settings:
            values[record.scenario][key] = set()
    for record in records:
        for key, texts in values[record.scenario].items():
            texts.add(record.settings.get(key))
    rows = []
    for (log, listed), record in zip(logs, records, strict=True):
        own = values[record.scenario].items() if record.scenario else ()
        keys = [key for key, texts in own if len(texts) > 1 and key in record.settings]
        differs = [f"{key}={record.settings[key]}" for key in keys[:SETTINGS_SHOWN_MAX]]
        if len(keys) > len(differs):
            differs.append(f"{len(keys) - len(differs):,} more differ")
        rows.append(_Row(log, record, listed, "; ".join(differs)))
    return rows


def _verdict(rows: Sequence[_Row]) -> Html | None:
    runs = [row for row in rows if row.log.is_simulation]
    failed = sum(
        run.status == "failed"
        or run.ended.text != run.status  # decisions failed
        or bool(listed and listed.facts.failures)
        for _, run, listed, _ in runs
    )
    text = f"{failed:,} of {len(runs):,} runs had failures"
    if running := sum(row.record.status == "running" for row in runs):
        text += f", {running:,} {'is' if running == 1 else 'are'} running"
    return el("p", text, class_="verdict") if runs else None


def _table(state: ServerState, rows: Sequence[_Row], shown: Sequence[_Row]) -> Html:
    runs = sum(row.log.is_simulation for row in rows)
    events = sum(row.listed.facts.events for row in rows if row.listed)
    kinds = ((runs, "run"), (len(rows) - runs, "log"))
    parts = [counted(number, noun) for number, noun in kinds if number]
    cells = [_cells(state, row, len(rows) > 1) for row in shown]
    # a column without anything takes no room
    used = [at for at in range(len(_COLUMNS)) if any(line[at] not in (None, "") for line in cells)]
    columns = [_COLUMNS[at] for at in used]
    caption = f"{', '.join([*parts, counted(events, 'event')])}; the latest first"
    listing = table(caption, columns, ([line[at] for at in used] for line in cells))
    if len(rows) < 2:
        return listing
    button = el("button", "Compare", type="submit")
    form = el("form", button, method="get", action="/runs", id="compare", class_="plain")
    return joined(listing, form)


def _cells(state: ServerState, row: _Row, is_compared: bool) -> tuple[Child, ...]:
    log, run, listed = row.log, row.record, row.listed
    tick = {"type": "checkbox", "name": "run", "value": log.id, "form": "compare"}
    box = el("input", **tick, aria_label=f"Compare {log.id}") if is_compared else None
    failed = listed.facts.failures if listed else None
    state_words = status(run, failed) if log.is_simulation else log.kind
    altered = f"altered: {', '.join(run.altered)}" if run.altered else ""
    origin = "; ".join(filter(None, (f"branch of {run.parent}" if run.parent else "", altered)))
    name = joined(
        el("a", words(run.name), href=path("runs", log.id)),
        el("div", words(log.id), class_="quiet id") if run.name != log.id else None,
        el("div", words(row.differs), class_="quiet") if row.differs else None,
        el("div", words(origin), class_="quiet") if origin else None,
        el("div", words(mirrored_words(run.mirrored)), class_="quiet") if run.mirrored else None,
        el("div", files_link(log)) if state.has_files(log) else None,
    )
    if listed is None:
        about = el("span", "not counted yet", class_="quiet")
        return box, joined(name, el("div", about)), _number(run.seed), state_words, *_NONE
    facts, figures = listed.facts, listed.figures
    begin_us = microseconds(facts.start_time or "")
    lasted_us = 0 if begin_us is None else (figures.last_us or 0) - begin_us
    bad = facts.damaged_lines
    turns = _number(facts.turns) if log.is_simulation else None
    cost = None if figures.cost is None else f"{figures.cost:,.4g}"
    over = "turns" if log.is_simulation and facts.turns else "time"
    top, parts = max(figures.course, default=0), len(figures.course)
    peak = f"events over {over}, {top:,} at most in one of {parts} parts"
    return (
        box,
        name,
        _number(run.seed),
        state_words,
        turns,
        _number(facts.events),
        failures_link(log, facts.failures, class_="status-failed"),
        _number(figures.tokens),
        cost,
        duration(lasted_us / 1e6) if lasted_us > 0 else None,
        sparkline(figures.course, peak),
        moment(facts.last.timestamp if facts.last else None),
        counted(bad, "bad line") if bad else None,
    )


_NONE: tuple[Child, ...] = (None,) * (len(_COLUMNS) - 4)


def _number(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"
