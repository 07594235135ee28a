"""`thence work import`: brings what planning files and other tools tell into the log, once."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from thence.core.event import Event
from thence.core.values.codec import BadLine, parse
from thence.core.values.vocabulary import WORK
from thence.replica import new_id
from thence.work.day_lines import FOLDER, is_day_file, places_in
from thence.work.journal.store import WorkEvent
from thence.work.naming import resolve
from thence.work.plan.existing import history_in
from thence.work.plan.legacy import Happened, Unread
from thence.work.result import CommandResult
from thence.work.session.moving import check_written
from thence.work.session.session import Session
from thence.work.vcs.files import TreeFiles
from thence.work.vcs.locks import held

_SHOWN_MAX = 20
# what tells that a feature was begun here, so that its files tell nothing new
_BEGUN = ("SpecCreated", "FeatureCreated", "WPCreated")
_FAR_AHEAD = "its clock is further ahead than any log gets"


class _DayFiles(NamedTuple):
    """How many lines of day files were taken over, and which could not be read."""

    lines: int
    unread: list[Unread]


def import_history(session: Session, feature: str | None, *, is_dry: bool = False) -> CommandResult:
    """Appends what the log lacks of the history in planning files, with `source` and `source_id`.

    Lines of day files in the working tree are taken over as they are. What can't be read is
    told, and left where it is. A second time brings nothing, and so do features that were begun
    here. Raises what the append raises.
    """
    with held(session.shared_folder / "import.lock"):
        taken = _day_files(session, is_dry)
        session.look()
        events = session.store.read()
        known = {(event.header.source, event.header.source_id) for event in events}
        own = {
            event.stream for event in events if event.event_type in _BEGUN and not _source(event)
        }
        slugs = [slug for slug in _chosen(session, feature) if slug not in own]
        histories = {slug: history_in(session.planning, slug) for slug in slugs}
        brought: dict[str, int] = {}
        for slug, history in histories.items():
            fresh = [one for one in history.happened if (one.source, one.source_id) not in known]
            brought[slug] = len(fresh)
            if fresh and not is_dry:
                session.append(*_said(session, slug, fresh))
                check_written(session)
    unread = [each for history in histories.values() for each in history.unread]
    unread += taken.unread
    data = {
        "features": brought,
        "lines": taken.lines,
        "unread": [each._asdict() for each in unread],
        "bad_lines": len(taken.unread),
        "dry_run": is_dry,
    }
    return session.result(data, _lines(brought, taken.lines, unread, is_dry))


def _source(event: Event) -> str | None:
    return event.header.source


def _lines(
    brought: dict[str, int], lines_taken: int, unread: Sequence[Unread], is_dry: bool
) -> list[str]:
    word = "would bring" if is_dry else "brought"
    lines = [f"{slug}: {word} {count} events" for slug, count in brought.items()]
    if lines_taken:
        lines.append(f"day files: {word} {lines_taken} lines")
    lines = lines or ["there is no history to bring"]
    lines += [f"not read: {_place(each)}: {each.reason}" for each in unread[:_SHOWN_MAX]]
    if len(unread) > _SHOWN_MAX:
        lines.append(f"not read: {len(unread) - _SHOWN_MAX} more; --json tells all")
    return lines


def _place(each: Unread) -> str:
    return f"{each.file}:{each.line}" if each.line else each.file


def _chosen(session: Session, feature: str | None) -> list[str]:
    known = session.planning.slugs()
    if feature is None:
        return known
    return [resolve(feature, known)]


def _day_files(session: Session, is_dry: bool) -> _DayFiles:
    """Takes over what the journal lacks of the working tree's day files."""
    unread: list[Unread] = []
    places = _places(session.project.files, unread)
    if is_dry or not places:
        held = {event.event_id for event in session.store.read()}
        parsed = [(line, parse(line, WORK)) for line in places]
        lines = {each.event_id for _, each in parsed if isinstance(each, Event)} - held
        bad = [(line, each) for line, each in parsed if isinstance(each, BadLine)]
        unread += [Unread(*places[line], each.reason) for line, each in bad]
        return _DayFiles(len(lines), unread)
    made = session.store.replica.relay(places)
    unread += [Unread(*places[line], each.reason) for line, each in made.bad]
    unread += [Unread(*places[each.line], _FAR_AHEAD) for each in made.parked]
    return _DayFiles(len(made.taken), sorted(unread))


def _places(files: TreeFiles, unread: list[Unread]) -> dict[bytes, tuple[str, int]]:
    """Returns each line of the day files with the file and number at which it stands first."""
    places: dict[bytes, tuple[str, int]] = {}
    try:
        names = [name for name in files.names(FOLDER) if is_day_file(os.fsencode(name))]
    except (FileNotFoundError, NotADirectoryError):
        return places
    except OSError as error:
        unread.append(Unread(FOLDER, 0, error.strerror or str(error)))
        return places
    for name in names:
        try:
            data = files.read(f"{FOLDER}/{name}")
        except OSError as error:
            unread.append(Unread(f"{FOLDER}/{name}", 0, error.strerror or str(error)))
            continue
        for line, place in places_in(data, f"{FOLDER}/{name}"):
            places.setdefault(line, (place.file, place.line))
    return places


def _said(session: Session, slug: str, fresh: list[Happened]) -> list[WorkEvent]:
    found = session.board.features.get(slug)
    created = found.created_event if found else None
    said = []
    for one in fresh:
        event_id = new_id()
        causes: tuple[str, ...] = ()
        if one.event_type == "FeatureCreated":
            created = event_id
        elif one.event_type == "WPCreated" and created:
            causes = (created,)
        said.append(
            WorkEvent(
                one.event_type,
                one.payload,
                slug,
                causes,
                actor=one.actor,
                source=one.source,
                source_id=one.source_id,
                timestamp=one.timestamp or None,
                event_id=event_id,
            )
        )
    return said
