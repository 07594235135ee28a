"""A log opened for one command, with what stands in it beside events told on stderr."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thence.cli.shared.locate import find_log
from thence.cli.shared.render import counted
from thence.cli.voice import Voice
from thence.core.event import Event
from thence.core.values.codec import BadLine, has_valid_crc, parse
from thence.log.read.reader import raw_lines
from thence.log.storage.disk import OS_DISK
from thence.replica import Log, open_log


@contextmanager
def opened(voice: Voice, log: str | None) -> Iterator[Log]:
    """Opens the log that a command reads, and closes it.

    Lines that are passed over because they are damaged or unfinished are counted.
    """
    with open_log(find_log(voice, log), create=False) as replica:
        _tell_passed_over(voice, replica, log)
        yield replica


def asked_event(voice: Voice, replica: Log, text: str) -> Event:
    """Returns the event that a user names; of a subject that it is the latest is told."""
    event = replica.find(text)
    is_named = text.startswith("@last") or event.event_id.startswith((text, text.upper()))
    if not is_named and event.subject:
        others = replica.query(subject=event.subject, limit=1).total - 1
        are = f"{counted(others, 'other event')} {'is' if others == 1 else 'are'} on it"
        rest = are if others else "no other is on it"
        voice.note(f"{text} is a subject: its latest event is {event.event_id}; {rest}")
    return event


def command(words: str, log: str | None) -> str:
    """Writes a command to type next, in the form that works here: program, words, log."""
    named = f" --log {shlex.quote(log)}" if log else ""
    return f"{program()} {words}{named}"


def program() -> str:
    """Returns how a shell in this folder calls this very program."""
    import shutil

    called = Path(sys.argv[0])
    if called.name != "thence" or not called.is_file():
        return f"{_nearest(Path(sys.executable))} -m thence"
    found = shutil.which("thence")
    if found is not None and Path(found).resolve() == called.resolve():
        return "thence"
    return _nearest(called)


def _nearest(path: Path) -> str:
    """Writes a program's path from this folder if it lies below, else whole."""
    whole = path.absolute()
    try:
        return shlex.quote(str(whole.relative_to(Path.cwd())))
    except ValueError:
        return shlex.quote(str(whole))


def _tell_passed_over(voice: Voice, replica: Log, log: str | None) -> None:
    if voice.is_quiet:
        return
    from thence.log.storage.segment import strays

    index = replica.answers.index()
    if index is None:
        damaged, torn = _passed_over(replica)
    else:
        from thence.index.plan.overview import passed_over

        damaged, torn = passed_over(index)
    if damaged:
        lines = "line is" if damaged == 1 else "lines are"
        where = command("verify", log)
        voice.note(f"{damaged} damaged {lines} passed over; `{where}` tells where")
    if torn:
        voice.note("the last line is unfinished and passed over")
    for path in strays(OS_DISK, replica.folder):
        voice.note(f"{path.name} is no segment's name: the file is passed over")


def _passed_over(replica: Log) -> tuple[int, int]:
    """Counts the damaged and the unfinished lines of a small log by reading them."""
    damaged = torn = 0
    for _, line, is_whole in raw_lines(OS_DISK, replica.folder):
        if is_whole and has_valid_crc(line):
            continue
        if not is_whole:
            torn += 1
        elif isinstance(parse(line, replica.vocabulary), BadLine):
            damaged += 1
    return damaged, torn
