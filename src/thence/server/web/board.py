"""The board of a project as columns of cards, now or as it was after any of its events.

Where the log is the journal of a repository on this machine, the cards of the board as it is now
say where the code is, and have the task's text. Only the cache of git's answers is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from thence.core.event import Event
from thence.core.markup import Child, Html, el, link, moment, path, words
from thence.core.sentences.events import counted
from thence.errors import ThenceError
from thence.server.logs.root import FoundLog, OpenLog
from thence.work.board.board import fold, people
from thence.work.board.move_request import SHORT, LandingStatus, can_begin_on
from thence.work.board.remarks import remarks
from thence.work.board.state import (
    COLUMNS,
    DONE,
    FOR_REVIEW,
    PLANNED,
    REJECTED,
    Board,
    FeatureState,
    PackageState,
)

CARDS_MAX = 100  # of one column of a feature
TEXTS_MAX = 200  # tasks whose text is read
TEXT_CHARACTERS_MAX = 4_000
_HEADS = {
    "planned": "Planned",
    "doing": "Doing",
    "for_review": "For review",
    "approved": "Approved",
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
    here = _here(location, board) if at is None else _Here({}, {})
    look = _Look(location, times, now, here)
    features = board.features.values()
    parts = [
        *_conflicts(location, board),
        _slider(location, replayed, events, at),
        *(_feature(look, feature) for feature in features if not _is_finished(feature)),
    ]
    if finished := [feature for feature in features if _is_finished(feature)]:
        head = el("summary", f"{counted(len(finished), 'finished feature')}")
        parts.append(el("details", head, *(_feature(look, feature) for feature in finished)))
    section = el(
        "section",
        el("h2", "Board"),
        el("div", *parts, class_="board-at", data_at=len(replayed), data_events=events),
        id="board",
        data_log=path("logs", location.id),
        data_pages=path("runs", location.id),
    )
    return _verdict(board, times, now), section


class _Here(NamedTuple):
    """What this machine knows: where packages' code is, and their text, by feature and package."""

    codes: Mapping[tuple[str, str], LandingStatus]
    texts: Mapping[tuple[str, str], str]


class _Look(NamedTuple):
    """What cards are drawn from: the log, the events' times, now, and what is known here."""

    location: FoundLog
    times: Mapping[str, str]
    now: str
    here: _Here


def _here(location: FoundLog, board: Board) -> _Here:
    """Returns what the repository says whose journal the log is; nothing for other logs."""
    from thence.work.orchestrate.prompts import assignment  # for journals alone
    from thence.work.session.package_code import code_of_packages
    from thence.work.session.session import Session

    codes: Mapping[tuple[str, str], LandingStatus] = {}
    texts: dict[tuple[str, str], str] = {}
    git_folder = location.folder.parent.parent
    if git_folder.name != ".git" or location.folder.parent.name != "thence":
        return _Here(codes, texts)
    with (
        suppress(ThenceError, OSError),
        Session(git_folder.parent, create=False) as session,
    ):
        if session.project.home == location.folder:
            session.show(board)
            codes = code_of_packages(session, board.features.values(), (DONE, FOR_REVIEW))
            for feature in board.features.values():
                for package in feature.packages.values():
                    if package.lane in (DONE, REJECTED) or len(texts) >= TEXTS_MAX:
                        continue
                    with suppress(ThenceError):
                        target, folder = session.target_of(feature), session.project.root
                        task = assignment(session.planning, feature, package, target, folder)
                        texts[feature.slug, package.wp_id] = task.text or task.section
    return _Here(codes, texts)


def _is_finished(feature: FeatureState) -> bool:
    lanes = {package.lane for package in feature.packages.values()}
    return bool(lanes) and lanes <= {DONE, REJECTED}


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
        if package.lane == FOR_REVIEW and not package.is_approved
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


def _feature(look: _Look, feature: FeatureState) -> Html:
    title = f"{feature.name}  {feature.title}" if feature.title else feature.name
    done = f"{feature.done_count:,} of {len(feature.packages):,} done"
    columns = [
        _column(look, feature, column, packages)
        for column, packages in feature.by_column().items()
        if packages or column in COLUMNS[:-1]
    ]
    head = el("h3", words(title), " ", el("span", done, class_="quiet"))
    return el("section", head, el("div", *columns, class_="board"), aria_label=feature.slug)


def _column(
    look: _Look, feature: FeatureState, column: str, packages: Sequence[PackageState]
) -> Html:
    def since(package: PackageState) -> str:
        return look.times.get(package.lane_event or "", look.now)

    oldest = sorted(packages, key=since)
    cards = [_card(look, feature, package) for package in oldest[:CARDS_MAX]]
    if len(oldest) > CARDS_MAX:
        cards.append(el("li", f"and {len(oldest) - CARDS_MAX:,} more", class_="quiet"))
    head = el(
        "h4", words(_HEADS.get(column, column)), " ", el("span", len(packages), class_="quiet")
    )
    return el("div", head, el("ul", *cards))


def _card(look: _Look, feature: FeatureState, package: PackageState) -> Html:
    """Returns a package's card: who has it, since when it is in its column, what holds it up.

    Below are the branch, the commit that was handed in, the landing, and the task's text.
    """
    key, times = (feature.slug, package.wp_id), look.times
    name = words(f"{package.wp_id}  {package.title}".rstrip(), 120)
    last = package.lane_event or package.created_event
    facts: list[Child] = []
    if package.agent:
        facts.append(words(package.agent, 60))
    if package.lane_event in times:
        facts.append(f"for {_span(times[package.lane_event or ''], look.now)}")
    facts += map(words, remarks(package, look.here.codes.get(key)))
    if package.times_sent_back:
        facts.append(f"sent back {counted(package.times_sent_back, 'time')}")
    if package.dependencies and package.lane != DONE:
        facts.append(words(f"after {', '.join(package.dependencies)}"))
    if package.workspace:
        facts.append(words(f"branch {package.workspace.branch}"))
    if package.reviewed:
        facts.append(f"commit {package.reviewed.commit[:SHORT]}")
    if package.landed:
        commit = f" in {package.landed.commit[:SHORT]}" if package.landed.commit else ""
        facts.append(words(f"landed{commit} ({package.landed.how.replace('_', ' ')})"))
    elif package.lane == DONE:
        facts.append("landing not recorded")
    listed = [part for fact in facts for part in (", ", fact)][1:]
    heading = link(name, _event(look.location, last)) if last else name
    below = el("div", *listed, class_="quiet") if listed else None
    text = look.here.texts.get(key)
    task = words(text, TEXT_CHARACTERS_MAX) if text else None
    details = el("details", el("summary", "task"), el("pre", task)) if task else None
    return el("li", heading, below, details)


def _event(location: FoundLog, event_id: str) -> str:
    return path("runs", location.id, "events", event_id)


def _span(since: str, now: str) -> str:
    """Returns the time between two timestamps in words."""
    seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(since)).total_seconds()
    for size, unit in _UNITS:
        if seconds >= size:
            return counted(int(seconds // size), unit)
    return "less than a minute"
