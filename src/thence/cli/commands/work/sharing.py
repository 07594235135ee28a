"""The commands of `thence work` by which events come from and go to others."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import click

from thence.cli import DAMAGED
from thence.cli.commands.work.command_runner import command, feature_option, run, session_command
from thence.cli.output import current
from thence.cli.shared.render import counted
from thence.core.codec import BadLine, parse
from thence.core.event import Event
from thence.core.vocabulary import WORK
from thence.git.files import TreeFiles
from thence.git.locks import PLANNING, locked
from thence.log.open import new_id
from thence.log.recovery.writers import redactions_of
from thence.work.day_lines import FOLDER, RedactedLines, is_day_file, lines_with_positions
from thence.work.journal import board_branch
from thence.work.journal.board_remote import link_of
from thence.work.journal.store import WorkEvent
from thence.work.names import resolve
from thence.work.plan.spec_kitty import NOT_A_SLUG, ImportedEvent, Unread, history_in
from thence.work.project.options import read_options
from thence.work.session.session import CommandResult, Session

_SHOWN_MAX = 5
# a feature with an event of these types was begun here: its files hold nothing new
_BEGUN = ("SpecCreated", "FeatureCreated", "WPCreated")
_TRACKED = (
    f"git tracks files in {FOLDER}, to which thence appends: type git rm -r --cached {FOLDER},"
    " then commit that"
)
_FAR_AHEAD = "its clock is further ahead than any log gets"


def publish(session: Session) -> CommandResult:
    """Push events to other clones, and pull theirs.

    They go to the branch thence-board of the remote, which nothing else uses: no branch of yours
    moves. Events that others have published come with every `git fetch` too.
    """
    repo = session.project.repo
    session.refresh()
    options = read_options(session.project)
    link = link_of(repo, session.refs, options, session.board.targets)
    published = board_branch.publish(session.project, repo, link, session.refresh_events)
    data = {
        "remote": link.remote,
        "branch": link.branch,
        "commit": published.commit,
        "pushed": published.pushed,
        "pulled": session.events_received,
        "redacted": published.redacted,
    }
    name = f"{link.remote}/{link.branch}"
    lines = [f"{name} has all events"]
    if published.commit is not None:
        lines = [f"pushed {counted(published.pushed, 'event')} to {name}"]
    if published.redacted:
        redacted = counted(published.redacted, "line")
        lines.append(f"redacted {redacted} there; older commits of it keep them")
    if session.events_received:
        lines.append(f"pulled {counted(session.events_received, 'event')} of others")
    return session.result(data, lines)


publish_command = session_command(publish, "publish", "thence work publish")


class _DayFiles(NamedTuple):
    """The number of day-file lines that were imported, and the lines that could not be read."""

    lines: int
    unread: list[Unread]


@command("import", "thence work import --dry-run")
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what would be imported.")
@feature_option
def import_command(is_dry: bool, feature: str | None) -> int:
    """Import the history in planning files into the log, once.

    It reads the lanes and Activity Log lines of package files, tasks.md, meta.json, and the lines
    of day files that other tools wrote. It reports the number of parts that it can't read, and
    names them with -v; the exit code is 3 then.
    """
    is_detailed = current().is_verbose
    return run(
        lambda session: import_history(session, feature, is_dry=is_dry, is_detailed=is_detailed)
    )


def import_history(
    session: Session, feature: str | None = None, *, is_dry: bool = False, is_detailed: bool = False
) -> CommandResult:
    """Appends the missing history of planning files to the log, with `source` and `source_id`.

    Lines of day files in the working tree are imported as they are. Lines that can't be read are
    reported, and left where they are; the exit code is 3 where they are in planning files. A second
    import brings nothing, and so do features that were begun here. The text names all features and
    parts with `is_detailed` alone. Raises what the append raises, and GitFailed.
    """
    with locked(session.project.shared_folder / PLANNING):
        taken = _day_files(session, is_dry)
        session.refresh()
        events = session.store.read()
        imported = {(event.header.source, event.header.source_id) for event in events}
        first = (event for event in events if event.event_type in _BEGUN)
        own = {event.stream for event in first if not event.header.source}
        slugs = session.planning.slugs()
        chosen = slugs if feature is None else [resolve(feature, slugs)]
        histories = {slug: history_in(session.planning, slug) for slug in chosen if slug not in own}
        counts: dict[str, int] = {}
        for slug, history in histories.items():
            fresh = [one for one in history.events if (one.source, one.source_id) not in imported]
            counts[slug] = len(fresh)
            if fresh and not is_dry:
                session.append(*_new_events(session, slug, fresh))
    unread = [part for history in histories.values() for part in history.unread]
    unread += taken.unread
    if session.project.main.git.run("ls-files", "-z", "--", f"{FOLDER}/"):
        session.warnings.append(_TRACKED)
    if feature is None:
        folders = map(session.planning.path, session.planning.other_folders())
        unread += [Unread(path, 0, NOT_A_SLUG) for path in folders]
    data = {
        "features": counts,
        "lines": taken.lines,
        "unread": [part._asdict() for part in unread],
        "bad_lines": len(taken.unread),
        "dry_run": is_dry,
    }
    lines = _lines(counts, taken.lines, is_dry, is_detailed)
    lines += _unread_lines(unread, len(unread) if is_detailed else _SHOWN_MAX)
    return session.result(data, lines, DAMAGED if len(unread) > len(taken.unread) else 0)


def _lines(
    imported: dict[str, int], lines_taken: int, is_dry: bool, is_detailed: bool
) -> list[str]:
    word = "would import" if is_dry else "imported"
    lines = [f"{slug}: {word} {count} events" for slug, count in imported.items()]
    if len(lines) > 1 and not is_detailed:
        features = sum(count > 0 for count in imported.values())
        lines = [f"{word} {sum(imported.values()):,} events of {features:,} features"]
    if lines_taken:
        lines.append(f"day files: {word} {lines_taken:,} lines")
    return lines or ["there is no history to import"]


def _unread_lines(unread: Sequence[Unread], shown_max: int) -> list[str]:
    """Returns a line for each part that could not be read, or one for all if they are many."""
    lines = [
        f"not read: {part.file}{f':{part.line}' if part.line else ''}: {part.reason}"
        for part in unread
    ]
    if len(lines) <= shown_max:
        return lines
    folders = {part.file for part in unread if part.reason == NOT_A_SLUG}
    named = [f"not read: {path}: {NOT_A_SLUG}" for path in sorted(folders)]
    rest = [part for part in unread if part.file not in folders]
    files = len({part.file for part in rest})
    count = f"not read: {len(rest):,} parts of {files:,} files; -v or --json names them"
    return [*named, *([count] if rest else [])]


def _day_files(session: Session, is_dry: bool) -> _DayFiles:
    """Imports the lines of the working tree's day files that the journal lacks."""
    unread: list[Unread] = []
    redactions = RedactedLines(redactions_of(session.project.home))
    positions = _line_positions(session.project.files, redactions, unread)
    if is_dry or not positions:
        ids = {event.event_id for event in session.store.read()}
        parsed = [(line, parse(line, WORK)) for line in positions]
        lines = {event.event_id for _, event in parsed if isinstance(event, Event)} - ids
        bad = [(line, event) for line, event in parsed if isinstance(event, BadLine)]
        unread += [Unread(*positions[line], bad_line.reason) for line, bad_line in bad]
        return _DayFiles(len(lines), unread)
    relayed = session.store.log.relay(positions)
    unread += [Unread(*positions[line], bad_line.reason) for line, bad_line in relayed.bad]
    unread += [Unread(*positions[parked.line], _FAR_AHEAD) for parked in relayed.parked]
    return _DayFiles(len(relayed.taken), sorted(unread))


def _line_positions(
    files: TreeFiles, redactions: RedactedLines, unread: list[Unread]
) -> dict[bytes, tuple[str, int]]:
    """Returns each line of the day files, as it may be kept, with its first file and number."""
    positions: dict[bytes, tuple[str, int]] = {}
    try:
        names = [name for name in files.names(FOLDER) if is_day_file(os.fsencode(name))]
    except (FileNotFoundError, NotADirectoryError):
        return positions
    except OSError as error:
        unread.append(Unread(FOLDER, 0, error.strerror or str(error)))
        return positions
    for path in (f"{FOLDER}/{name}" for name in names):
        try:
            data = files.read(path)
        except OSError as error:
            unread.append(Unread(path, 0, error.strerror or str(error)))
            continue
        for line, position in lines_with_positions(data, path):
            line = redactions.instead_of(line)
            positions.setdefault(line, (position.file, position.line))
    return positions


def _new_events(session: Session, slug: str, fresh: list[ImportedEvent]) -> list[WorkEvent]:
    feature = session.board.features.get(slug)
    created = feature.created_event if feature else None
    events = []
    for one in fresh:
        event_id = new_id()
        causes: tuple[str, ...] = ()
        if one.event_type == "FeatureCreated":
            created = event_id
        elif one.event_type == "WPCreated" and created:
            causes = (created,)
        events.append(
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
    return events
