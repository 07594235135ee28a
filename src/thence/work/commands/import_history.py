"""`thence work import`: brings what planning files and other tools tell into the log, once."""

from thence.core.event import Event
from thence.errors import PlanningError
from thence.log.disk import OS_DISK
from thence.log.notice import warn
from thence.log.process import new_id
from thence.log.relaying import Relayed, relay
from thence.work.daylines import FOLDER, is_day_file, lines_in
from thence.work.desk import Desk
from thence.work.existing import history_in
from thence.work.legacy import Happened, History
from thence.work.locks import held
from thence.work.moving import made_durable
from thence.work.naming import resolve
from thence.work.result import Result
from thence.work.store import Said

_SHOWN_MAX = 20
# what tells that a feature was begun here, so that its files tell nothing new
_BEGUN = ("SpecCreated", "FeatureCreated", "WPCreated")


def import_history(desk: Desk, feature: str | None, *, is_dry: bool = False) -> Result:
    """Appends what the log lacks of the history in planning files, with `source` and `source_id`.

    Lines of day files in the working tree are taken over as they are. What can't be read is
    told, and left where it is. A second time brings nothing, and so do features that were begun
    here. Raises what the append raises.
    """
    with held(desk.shared / "import.lock"):
        taken = _day_files(desk, is_dry)
        desk.look()
        events = desk.store.read()
        known = {(event.header.source, event.header.source_id) for event in events}
        own = {
            event.stream for event in events if event.event_type in _BEGUN and not _source(event)
        }
        slugs = [slug for slug in _chosen(desk, feature) if slug not in own]
        histories = {slug: history_in(desk.planning, slug, None) for slug in slugs}
        brought: dict[str, int] = {}
        for slug, history in histories.items():
            fresh = [one for one in history.happened if (one.source, one.source_id) not in known]
            brought[slug] = len(fresh)
            if fresh and not is_dry:
                desk.say(*_said(desk, slug, fresh))
                made_durable(desk)
    unread = [
        {"file": each.file, "line": each.line, "reason": each.reason}
        for history in histories.values()
        for each in history.unread
    ]
    lines_taken = len(taken.taken) if taken else 0
    bad = len(taken.bad) if taken else 0
    data = {
        "features": brought,
        "lines": lines_taken,
        "unread": unread,
        "bad_lines": bad,
        "dry_run": is_dry,
    }
    return desk.result(data, _lines(brought, lines_taken, bad, histories, is_dry))


def _source(event: Event) -> str | None:
    return event.header.source


def _lines(
    brought: dict[str, int],
    lines_taken: int,
    bad: int,
    histories: dict[str, History],
    is_dry: bool,
) -> list[str]:
    word = "would bring" if is_dry else "brought"
    lines = [f"{slug}: {word} {count} events" for slug, count in brought.items()]
    if lines_taken or bad:
        lines.append(f"day files: {word} {lines_taken} lines, {bad} could not be read")
    unread = [each for history in histories.values() for each in history.unread]
    lines += [f"not read: {each.file}:{each.line}: {each.reason}" for each in unread[:_SHOWN_MAX]]
    if len(unread) > _SHOWN_MAX:
        lines.append(f"not read: {len(unread) - _SHOWN_MAX} more; --json tells all")
    return lines or ["there is no history to bring"]


def _chosen(desk: Desk, feature: str | None) -> list[str]:
    known = desk.planning.slugs()
    if feature is None:
        return known
    return [resolve(feature, known)]


def _day_files(desk: Desk, is_dry: bool) -> Relayed | None:
    folder = desk.project.root / FOLDER
    try:
        names = sorted(path for path in folder.iterdir() if is_day_file(path.name.encode()))
    except OSError:
        return None
    try:
        lines = [line for path in names for line in lines_in(path.read_bytes())]
    except OSError as error:
        raise PlanningError(
            "could not read", place=folder, cause=error.strerror or error, hint="look at the path"
        ) from error
    if is_dry or not lines:
        return None
    replica = desk.store.replica
    replica.prepare()
    where = (OS_DISK, desk.project.home, replica.vocabulary)
    return relay(*where, lines, replica.notice, warn)


def _said(desk: Desk, slug: str, fresh: list[Happened]) -> list[Said]:
    found = desk.board.features.get(slug)
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
            Said(
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
