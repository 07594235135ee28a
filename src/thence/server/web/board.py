"""The board of a project as columns of cards, now or as it was after any of its events.

Where the log is the journal of a repository on this machine, the cards of the board as it is now
say where the code is, and have the task's text. Only the cache of git's answers is written.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from thence.core.event import Event
from thence.core.markup import Child, Html, el, link, moment, path, words
from thence.core.sentences.events import counted, duration
from thence.errors import ThenceError
from thence.server.logs.root import FoundLog, OpenLog
from thence.server.web.parts import event_address, seconds_between
from thence.work.board.board import fold, people
from thence.work.board.move_request import SHORT, LandingStatus, can_begin_on, is_closed
from thence.work.board.remarks import remarks
from thence.work.board.state import (
    COLUMNS,
    DOING,
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


def board_section(log: OpenLog, events: int, at: str | None) -> tuple[list[Child], Html]:
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
    board, address = fold(replayed), path("runs", log.id)
    codes, texts = _known_here(log, board) if at is None else ({}, {})
    look = _Look(log, times, now, codes, texts)
    parts: list[Html] = []
    for conflict in board.conflicts:
        if conflict.is_open:
            subject = conflict.subject.rpartition("/")[2]
            text = f"{subject}: an open conflict of {', '.join(people(conflict))}"
            to_winner = link(words(text), event_address(log, conflict.winner.event_id))
            parts.append(el("p", to_winner, role="alert"))
    if events > 1:  # the script makes a slider of these links
        before = path("runs", log.id, board=replayed[-2].event_id) if len(replayed) > 1 else None
        place = f"after {len(replayed):,} of {events:,} events, "
        steps = [
            el("a", "Earlier", href=f"{before}#board", rel="prev") if before else None,
            el("span", place, moment(replayed[-1].timestamp)),
            el("a", "Now", href=f"{address}#board") if at else None,
        ]
        parts.append(el("nav", *steps, class_="pages", aria_label="The board through time"))
    finished: list[Html] = []
    for feature in board.features.values():
        title = f"{feature.name}  {feature.title}" if feature.title else feature.name
        done = f"{feature.done_count:,} of {len(feature.packages):,} done"
        head = el("h3", words(title), " ", el("span", done, class_="quiet"))
        columns = [
            _column(look, feature, column, packages)
            for column, packages in feature.by_column().items()
            if packages or column in COLUMNS[:-1]
        ]
        lanes = {package.lane for package in feature.packages.values()}
        is_finished = bool(lanes) and lanes <= {DONE, REJECTED}
        shown = el("div", *columns, class_="board")
        section = el("section", head, shown, aria_label=feature.slug)
        (finished if is_finished else parts).append(section)
    if finished:
        head = el("summary", counted(len(finished), "finished feature"))
        parts.append(el("details", head, *finished))
    section = el(
        "section",
        el("h2", "Board"),
        el("div", *parts, class_="board-at", data_at=len(replayed), data_events=events),
        id="board",
        data_log=path("logs", log.id),
        data_pages=address,
    )
    return _verdict(board, times, now), section


# by feature and package
_Codes = Mapping[tuple[str, str], LandingStatus]
_Texts = Mapping[tuple[str, str], str]


class _Look(NamedTuple):
    """What cards are drawn from: the log, the events' times, now, and what this machine knows.

    That is where packages' code is, and their text.
    """

    log: FoundLog
    times: Mapping[str, str]
    now: str
    codes: _Codes
    texts: _Texts


def _known_here(log: FoundLog, board: Board) -> tuple[_Codes, _Texts]:
    """Returns what the repository says whose journal the log is; nothing for other logs."""
    from thence.work.orchestrate.prompts import assignment  # for journals alone
    from thence.work.session.package_code import code_of_packages
    from thence.work.session.session import Session

    codes: _Codes = {}
    texts: dict[tuple[str, str], str] = {}
    git_folder = log.folder.parent.parent
    if git_folder.name != ".git" or log.folder.parent.name != "thence":
        return codes, texts
    with (
        suppress(ThenceError, OSError),
        Session(git_folder.parent, create=False) as session,
    ):
        if session.project.home == log.folder:
            session.show(board)
            codes = code_of_packages(session.snapshot, board.features.values(), (DONE, FOR_REVIEW))
            for feature in board.features.values():
                for package in feature.packages.values():
                    if package.lane in (DONE, REJECTED) or len(texts) >= TEXTS_MAX:
                        continue
                    with suppress(ThenceError):
                        target, folder = session.snapshot.target_of(feature), session.project.root
                        task = assignment(session.planning, feature, package, target, folder)
                        texts[feature.slug, package.wp_id] = task.section or task.text
    return codes, texts


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
    waiting = [
        (times.get(package.lane_event or "", now), package.wp_id, feature.slug)
        for feature, package in packages
        if package.lane == FOR_REVIEW and not package.is_approved
    ]
    if not waiting:
        return [parts]
    since, wp_id, slug = min(waiting, key=lambda one: one[0])
    name = words(f"{wp_id} of {slug}")
    return ["waits longest for review: ", name, f", {_for(since, now)}; {parts}"]


def _column(
    look: _Look, feature: FeatureState, column: str, packages: Sequence[PackageState]
) -> Html:
    def since(package: PackageState) -> str:
        return look.times.get(package.lane_event or "", look.now)

    oldest = sorted(packages, key=since)
    cards = [_card(look, feature, package) for package in oldest[:CARDS_MAX]]
    if len(oldest) > CARDS_MAX:
        cards.append(el("li", f"and {len(oldest) - CARDS_MAX:,} more", class_="quiet"))
    name = column.replace("_", " ").capitalize()
    head = el("h4", words(name), " ", el("span", len(packages), class_="quiet"))
    return el("div", head, el("ul", *cards))


def _card(look: _Look, feature: FeatureState, package: PackageState) -> Html:
    """Returns a package's card: who has it, since when it is in its column, what holds it up.

    Open packages that it waits for are named with who has or reviews them. Below are the branch,
    the commit that was handed in, the landing, and the task's text.
    """
    key, times = (feature.slug, package.wp_id), look.times
    name = words(f"{package.wp_id}  {package.title}".rstrip(), 120)
    last = package.lane_event or package.created_event
    facts: list[Child] = []
    if package.agent:
        facts.append(words(package.agent, 60))
    if package.lane_event in times:
        facts.append(_for(times[package.lane_event or ""], look.now))
    if package.lane == FOR_REVIEW and package.reviewer and not package.is_approved:
        facts.append(words(f"review by {package.reviewer}", 60))
    facts += map(words, remarks(package, look.codes.get(key)))
    if package.times_sent_back:
        facts.append(f"sent back {counted(package.times_sent_back, 'time')}")
    waits = list[str]()
    for wp_id in package.dependencies:
        if package.lane != DONE and not is_closed(feature, package, wp_id):
            other, who = feature.packages.get(wp_id), None
            if other and other.lane in (DOING, FOR_REVIEW):
                in_review = other.lane == FOR_REVIEW and not other.is_approved
                who = (other.reviewer if in_review else None) or other.agent
            waits.append(f"{wp_id} ({who})" if who else wp_id)
    if waits:
        facts.append(words(f"after {', '.join(waits)}"))
    if package.workspace:
        facts.append(words(f"branch {package.workspace}"))
    if package.reviewed:
        facts.append(f"commit {package.reviewed.commit[:SHORT]}")
    if package.landed:
        commit = f" in {package.landed.commit[:SHORT]}" if package.landed.commit else ""
        facts.append(words(f"landed{commit} ({package.landed.how.replace('_', ' ')})"))
    elif package.lane == DONE:
        facts.append("landing not recorded")
    listed = [part for fact in facts for part in (", ", fact)][1:]
    heading = link(name, event_address(look.log, last)) if last else name
    below = el("div", *listed, class_="quiet") if listed else None
    text = look.texts.get(key)
    task = words(text, TEXT_CHARACTERS_MAX) if text else None
    details = el("details", el("summary", "task"), el("pre", task)) if task else None
    return el("li", heading, below, details)


def _for(begin: str, end: str) -> str:
    seconds = seconds_between(begin, end)
    return f"for {duration(seconds) if seconds >= 60 else 'less than a minute'}"
