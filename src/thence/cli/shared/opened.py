"""A log opened for one command; its lines that are no events are counted on stderr."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thence.cli.output import Output
from thence.cli.shared.locate import find_log
from thence.cli.shared.pages import names_of
from thence.cli.shared.render import counted
from thence.core.event import Event
from thence.core.nearest import TYPO_LIKENESS, nearest
from thence.core.query.lookup import named_by
from thence.core.values.codec import BadLine, has_valid_crc, have_valid_crcs, parse
from thence.errors import EventNotFound
from thence.log.read.reader import blocks
from thence.log.storage.disk import OS_DISK
from thence.replica import Log, open_log


@contextmanager
def open_for_reading(out: Output, log: str | None, *, by_index: bool = True) -> Iterator[Log]:
    """Opens the log that a command reads, and closes it.

    Damaged or unfinished lines, which are passed over, are counted on stderr: without `by_index`,
    for a command that asks no index, by reading the log.
    """
    with open_log(find_log(out, log), create=False) as replica:
        if by_index and replica.answers.lacks_index():
            _build_index(out, replica)
        _note_passed_over(out, replica, log, by_index)
        yield replica


def _build_index(out: Output, replica: Log) -> None:
    """Builds the index of a large log that has none, with its progress on a terminal."""
    from thence.cli.shared.progress import bytes_read
    from thence.log.storage.segment import segments

    paths = segments(OS_DISK, replica.folder)
    path_ids = filter(None, (OS_DISK.path_id(str(path)) for path in paths))
    with bytes_read(out, sum(size for _, size in path_ids)) as show:
        replica.answers.indexed().refresh(on_read=show)


def find_event(out: Output, replica: Log, text: str, *, to_explain: bool = False) -> Event:
    """Returns the event that a user names; for a subject or a type, notes which event that is.

    With `to_explain` it is the event that `Log.why` takes.
    """
    try:
        event = replica.answers.to_explain(text) if to_explain else replica.find(text)
    except EventNotFound as error:
        if to_explain and not text.startswith("@"):
            near = nearest(text, names_of(replica, "type"), likeness=TYPO_LIKENESS)
            error.hint += f"; the nearest type is {near[0]}" if near else ""
        raise
    kind = named_by(text, event)
    if kind == "type":
        others = replica.query(type=text, limit=1).total - 1
        note = f"{counted(others, 'other')} of it" if others else "no other is of it"
        out.notice(f"{text} is a type: its latest event is {event.event_id}; {note}")
    elif kind == "subject":
        page = replica.query(subject=event.subject, limit=1, descending=True)
        others = page.total - 1
        others_text = f"{counted(others, 'other event')} {'is' if others == 1 else 'are'} on it"
        note = others_text if others else "no other is on it"
        is_latest = page.events[0] == event
        what = "latest event" if is_latest else "last failure, without a success since,"
        out.notice(f"{text} is a subject: its {what} is {event.event_id}; {note}")
    return event


def segment_sizes(folder: Path) -> list[int]:
    """Returns the size of each segment of a log in bytes."""
    from thence.log.storage.segment import segments

    path_ids = (OS_DISK.path_id(str(path)) for path in segments(OS_DISK, folder))
    return [path_id[1] for path_id in path_ids if path_id is not None]


def command(words: str, log: str | None) -> str:
    """Returns a command to type next, in the form that works here: program, words, log."""
    option = f" --log {shlex.quote(log)}" if log else ""
    return f"{program()} {words}{option}"


def program() -> str:
    """Returns the words by which a shell in this folder calls this program."""
    import shutil

    program_path = Path(sys.argv[0])
    if program_path.name != "thence" or not program_path.is_file():
        return f"{_shell_path(Path(sys.executable))} -m thence"
    found = shutil.which("thence")
    if found is not None and Path(found).resolve() == program_path.resolve():
        return "thence"
    return _shell_path(program_path)


def _shell_path(path: Path) -> str:
    """Returns a program's path, relative if it is below this folder, else absolute."""
    absolute = path.absolute()
    try:
        return shlex.quote(str(absolute.relative_to(Path.cwd())))
    except ValueError:
        return shlex.quote(str(absolute))


def _note_passed_over(out: Output, replica: Log, log: str | None, by_index: bool) -> None:
    if out.is_quiet:
        return
    from thence.log.storage.segment import strays

    if by_index:
        from thence.index.plan.overview import passed_over

        damaged, torn = passed_over(replica.answers.index())
    else:
        damaged, torn = _count_passed_over(replica)
    if damaged:
        verb = "line is" if damaged == 1 else "lines are"
        verify_command = command("verify", log)
        out.notice(f"{damaged} damaged {verb} passed over; `{verify_command}` tells where")
    if torn:
        out.notice("the last line is unfinished and passed over")
    for path in strays(OS_DISK, replica.folder):
        out.notice(f"{path.name} is no segment's name: the file is passed over")


def _count_passed_over(replica: Log) -> tuple[int, int]:
    """Counts the damaged and the unfinished lines of a log by reading them."""
    damaged = torn = 0
    for block in blocks(OS_DISK, replica.folder):
        lines = block.data.split(b"\n")
        if not block.is_whole:
            torn += 1
        elif not have_valid_crcs(lines):
            unverified = (line for line in lines if line and not has_valid_crc(line))
            damaged += sum(
                isinstance(parse(line, replica.vocabulary), BadLine) for line in unverified
            )
    return damaged, torn
