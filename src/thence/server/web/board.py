"""The board of a project as columns of cards, now or as it was after any of its events."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from thence.core.event import Event
from thence.core.markup import Child, Html, el, joined, link, moment, path, words
from thence.core.sentences.events import counted
from thence.server.logs.root import FoundLog, OpenLog
from thence.work.board.board import fold, people
from thence.work.board.move_request import can_begin_on
from thence.work.board.state import (
    DONE,
    FOR_REVIEW,
    LANES,
    PLANNED,
    Board,
    FeatureState,
    PackageState,
)

# a replay of more takes the server too long: 3 s for 40,000
EVENTS_MAX = 20_000
CARDS_MAX = 100  # of one column of a feature
_HEADS = {
    "planned": "Planned",
    "doing": "Doing",
    "for_review": "For review",
    "done": "Done",
    "rejected": "Rejected",
}
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def board_section(
    log: OpenLog, location: FoundLog, events: int, at: str | None
) -> tuple[list[Child], Html]:
    """Returns the board of a project's log, after the event `at` or after all of them.

    Before it stands its verdict: what waits longest, and what is held up.
    Raises EventNotFound, `read_failed`.
    """
    if events > EVENTS_MAX:
        text = f"A board of {events:,} events is not drawn here: "
        return [], joined(el("h2", "Board"), el("p", text, el("code", "thence work status")))
    if at is not None:
        log.reader.get(at)
    replayed = list[Event]()
    for event in log.reader.read():
        replayed.append(event)
        if event.event_id == at:
            break
    if not replayed:
        return [], Html()
    times = {event.event_id: event.timestamp for event in replayed}
    now = max(times.values()) if at else datetime.now(UTC).isoformat()
    board = fold(replayed)
    parts = [
        *_conflicts(location, board),
        _slider(location, replayed, events, at),
        *(_feature(location, feature, times, now) for feature in board.features.values()),
    ]
    section = el(
        "section",
        el("h2", "Board"),
        el("div", *parts, class_="board-at", data_at=len(replayed), data_events=events),
        id="board",
        data_log=path("logs", location.id),
        data_pages=path("runs", location.id),
    )
    return _verdict(board, times, now), section


def _verdict(board: Board, times: Mapping[str, str], now: str) -> list[Child]:
    """Returns what waits longest, how much is done, what others hold up, open conflicts."""
    packages = [
        (feature, package)
        for feature in board.features.values()
        for package in feature.packages.values()
    ]
    blocked = sum(
        package.lane == PLANNED
        and not all(can_begin_on(feature, package, other) for other in package.dependencies)
        for feature, package in packages
    )
    done = sum(package.lane == DONE for _, package in packages)
    conflicts = sum(conflict.is_open for conflict in board.conflicts)
    parts = f"{done:,} of {len(packages):,} packages done"
    parts += f", {blocked:,} blocked" if blocked else ""
    parts += f", {counted(conflicts, 'open conflict')}" if conflicts else ""
    waiting = _waits_longest(board, times, now)
    return [*waiting, "; ", parts] if waiting else [parts]


def _waits_longest(board: Board, times: Mapping[str, str], now: str) -> list[Child]:
    """Returns which package waits longest for a review; nothing if none does."""
    waiting = [
        (times.get(package.lane_event or "", now), package, feature)
        for feature in board.features.values()
        for package in feature.packages.values()
        if package.lane == FOR_REVIEW
    ]
    if not waiting:
        return []
    since, package, feature = min(waiting, key=lambda one: one[0])
    name = words(f"{package.wp_id} of {feature.slug}")
    return ["waits longest for review: ", name, f", for {_span(since, now)}"]


def _conflicts(location: FoundLog, board: Board) -> Iterator[Html]:
    for conflict in board.conflicts:
        if conflict.is_open:
            subject = conflict.subject.rpartition("/")[2]
            text = f"{subject}: an open conflict of {', '.join(people(conflict))}"
            yield el(
                "p", link(words(text), _event(location, conflict.winner.event_id)), role="alert"
            )


def _slider(
    location: FoundLog, replayed: Sequence[Event], events: int, at: str | None
) -> Html | None:
    """Returns the links through time; the script makes a slider of them."""
    if events < 2:
        return None
    board = path("runs", location.id)
    before = replayed[-2].event_id if len(replayed) > 1 else None
    parts: list[Child] = [
        el("a", "Earlier", href=path("runs", location.id, board=before) + "#board", rel="prev")
        if before
        else None,
        el(
            "span",
            f"after {len(replayed):,} of {events:,} events, ",
            moment(replayed[-1].timestamp),
        ),
        el("a", "Now", href=f"{board}#board") if at else None,
    ]
    return el("nav", *parts, class_="pages", aria_label="The board through time")


def _feature(location: FoundLog, feature: FeatureState, times: Mapping[str, str], now: str) -> Html:
    title = f"{feature.slug}  {feature.title}" if feature.title else feature.slug
    done = f"{feature.done_count:,} of {len(feature.packages):,} done"
    columns = [
        _column(location, lane, packages, times, now)
        for lane, packages in feature.by_lane().items()
        if packages or lane in LANES[:4]
    ]
    head = el("h3", words(title), " ", el("span", done, class_="quiet"))
    return el("section", head, el("div", *columns, class_="board"), aria_label=feature.slug)


def _column(
    location: FoundLog,
    lane: str,
    packages: Sequence[PackageState],
    times: Mapping[str, str],
    now: str,
) -> Html:
    oldest = sorted(packages, key=lambda package: times.get(package.lane_event or "", now))
    cards = [_card(location, package, times, now) for package in oldest[:CARDS_MAX]]
    if len(oldest) > CARDS_MAX:
        cards.append(el("li", f"and {len(oldest) - CARDS_MAX:,} more", class_="quiet"))
    head = el("h4", words(_HEADS.get(lane, lane)), " ", el("span", len(packages), class_="quiet"))
    return el("div", head, el("ul", *cards))


def _card(location: FoundLog, package: PackageState, times: Mapping[str, str], now: str) -> Html:
    """Returns a package's card: who has it, since when it is in its column, what holds it up."""
    name = words(f"{package.wp_id}  {package.title}".rstrip(), 120)
    last = package.lane_event or package.created_event
    facts: list[Child] = []
    if package.agent:
        facts.append(words(package.agent, 60))
    if package.lane_event in times:
        facts.append(f"for {_span(times[package.lane_event or ''], now)}")
    open_gates = [gate.gate_type for gate in package.gates.values() if not gate.is_passed]
    if open_gates:
        facts.append(words(f"gates open: {', '.join(open_gates)}"))
    if package.dependencies and package.lane != DONE:
        facts.append(words(f"after {', '.join(package.dependencies)}"))
    listed = [part for fact in facts for part in (", ", fact)][1:]
    heading = link(name, _event(location, last)) if last else name
    return el("li", heading, el("div", *listed, class_="quiet") if listed else None)


def _event(location: FoundLog, event_id: str) -> str:
    return path("runs", location.id, "events", event_id)


def _span(since: str, now: str) -> str:
    """Returns the time between two timestamps in words."""
    seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds()
    for size, unit in _UNITS:
        if seconds >= size:
            return counted(int(seconds // size), unit)
    return "less than a minute"
