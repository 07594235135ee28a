"""The page of all runs and logs under the root."""

from collections.abc import Sequence

from starlette.responses import Response

from thence.core.markup import Child, Column, Html, el, joined, moment, path, table, words
from thence.server.logs.root import FoundLog
from thence.server.logs.run_record import RunRecord, read_record
from thence.server.logs.summaries import LogFacts
from thence.server.routes.state import ServerState
from thence.server.web.layout import page

LOGS_SHOWN_MAX = 1_000

_COLUMNS = (
    Column("Run or log", names_row=True),
    Column("Status", "status"),
    Column("Events", "number", "events"),
    Column("Began (UTC)", name="from"),
    Column("Last event (UTC)", name="to"),
    Column("Damage", "damage"),
)


def home(state: ServerState, locations: Sequence[FoundLog | None]) -> Response:
    """Returns the page, with the log of the latest event first."""
    summaries = [(log, state.summaries.readable(log)) for log in locations if log is not None]
    read = [(log, summary) for log, summary in summaries if summary is not None]
    read.sort(key=lambda pair: _last(pair[1]), reverse=True)
    unread = len(locations) - len(read)
    content = [
        el("p", f"{unread} more can't be read.", role="alert") if unread else None,
        _table(state, read[:LOGS_SHOWN_MAX]) if read else _nothing(),
    ]
    if len(read) > LOGS_SHOWN_MAX:
        content.append(el("p", f"The {LOGS_SHOWN_MAX:,} latest of {len(read):,} are shown."))
    return page("thence: runs and logs", el("h1", "Runs and logs"), *content)


def _nothing() -> Html:
    return el(
        "p",
        "There are no runs or logs here yet. ",
        el("code", "thence sim run spatial_trade_network"),
        " makes one; it shows up when this page is loaded again.",
        class_="empty",
    )


def _table(state: ServerState, read: list[tuple[FoundLog, LogFacts]]) -> Html:
    events = sum(summary.events for _, summary in read)
    parts = [
        f"{count:,} {name}{'' if count == 1 else 's'}"
        for name, count in (
            ("run", sum(log.is_simulation for log, _ in read)),
            ("log", sum(not log.is_simulation for log, _ in read)),
            ("event", events),
        )
        if count or name == "event"
    ]
    caption = f"{', '.join(parts)}; the latest first"
    rows = (_row(log, read_record(state.root, log), summary) for log, summary in read)
    return table(caption, _COLUMNS, rows)


def _row(log: FoundLog, run: RunRecord, summary: LogFacts) -> tuple[Child, ...]:
    link = el("a", words(run.name), href=path("runs", log.id))
    beside = el("div", words(log.id), class_="quiet id") if run.name != log.id else None
    altered = f"altered: {', '.join(run.altered)}" if run.altered else ""
    origin = "; ".join(filter(None, (f"branch of {run.parent}" if run.parent else "", altered)))
    of = el("div", words(origin), class_="quiet") if origin else None
    bad = summary.damaged_lines
    damage = f"{bad:,} bad line{'s' if bad > 1 else ''}" if bad else None
    last = summary.last.timestamp if summary.last else None
    return (
        joined(link, beside, of),
        status(run) if log.is_simulation else "log",
        f"{summary.events:,}",
        moment(summary.start_time),
        moment(last),
        damage,
    )


def status(run: RunRecord) -> Html:
    """Returns the status of a run in words; the colour adds no information."""
    is_bad = run.status == "failed" or (run.status == "completed" and not run.ended.is_good)
    style = "completed" if run.ended.is_good else "failed" if is_bad else None
    return el("span", words(run.ended.text), class_=f"status-{style}" if style else None)


def _last(summary: LogFacts) -> str:
    return summary.last.timestamp if summary.last else ""
