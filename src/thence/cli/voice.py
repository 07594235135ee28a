"""Where a command's words go: results to stdout, talk to stderr.

Under --json nothing but JSON reaches stdout. This is the one door to the terminal: whatever a
line holds, a terminal obeys nothing in it but our own colours, and no text in it begins a line.
"""

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from thence.settings import Settings

WIDTH_COLUMNS = 80
WIDTH_COLUMNS_MIN = 40
WIDTH_COLUMNS_MAX = 100


class Painted:
    """A part of a line in a style of ours, as `click.style` takes it."""

    __slots__ = ("style", "text")

    def __init__(self, text: str, **style: Any) -> None:
        self.text = text
        self.style = style


Line = str | Painted | tuple[str | Painted, ...]

# what a terminal obeys, and JSON may hold as it is
_OBEYED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


def plain(text: str) -> str:
    """Writes out what a terminal would obey: control characters, direction marks, newlines."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def drawn(line: Line) -> str:
    """Returns a line as a terminal may have it: its texts harmless, in our colours."""
    if isinstance(line, str):
        return plain(line)
    if isinstance(line, Painted):
        return click.style(plain(line.text), **line.style)
    return "".join(map(drawn, line))


class Voice:
    """How one command speaks: what the settings, the flags and the terminal allow."""

    def __init__(self, settings: Settings, arguments: Sequence[str] = ()) -> None:
        self.settings = settings
        self.is_json = "--json" in arguments
        self.is_debug = "--debug" in arguments
        self.is_quiet = False
        self.is_verbose = False
        self.has_lost_stdout = False
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")

    @property
    def width(self) -> int:
        """How many columns a paragraph may take: the terminal's, from 40 to 100."""
        return max(WIDTH_COLUMNS_MIN, min(self.columns or WIDTH_COLUMNS, WIDTH_COLUMNS_MAX))

    @property
    def columns(self) -> int | None:
        """The width of the terminal that stdout is, None if it is none."""
        if not sys.stdout.isatty():
            return None
        if self.settings.columns:
            return self.settings.columns
        try:
            return os.get_terminal_size(sys.stdout.fileno()).columns or WIDTH_COLUMNS
        except OSError:
            return WIDTH_COLUMNS

    def say(self, *lines: Line) -> None:
        """Writes lines of a result, an empty one if none is given."""
        try:
            click.echo("\n".join(map(drawn, lines)))
        except OSError:
            self.give_up_stdout()
            raise

    def note(self, *lines: Line) -> None:
        """Tells something about the result on stderr, unless the user wants quiet."""
        if not self.is_quiet:
            self.warn(*lines)

    def warn(self, *lines: Line) -> None:
        """Writes lines to stderr, whatever the user wants."""
        click.echo("\n".join(map(drawn, lines)), err=True)

    def json(self, value: object) -> None:
        """Writes a JSON value as one line; values of msgspec.Raw stand as they are."""
        import msgspec

        self.line(msgspec.json.encode(value))

    def line(self, line: bytes) -> None:
        """Writes a stored line with its newline: as it is, but for a terminal with escapes."""
        if sys.stdout.isatty():
            text = line.decode(errors="replace").replace("\r", " ")  # a blank between members
            line = _OBEYED.sub(_escaped, text).encode()
        try:
            sys.stdout.buffer.write(line + b"\n")
        except OSError:
            self.give_up_stdout()
            raise

    def keep(self, value: object) -> None:
        """Keeps a value from being freed, where the process is about to end anyhow.

        Millions of objects take a tenth of a second to be freed one by one.
        """
        import gc

        kept = [value]
        kept.append(kept)
        gc.freeze()

    def interrupted(self) -> None:
        """Tells that Ctrl-C ended the command; the pipe may be gone as well."""
        try:
            self.flush()
            click.echo("interrupted", err=True)
        except OSError:
            return

    def flush(self) -> None:
        """Writes out what was said; raises OSError where stdout takes no more."""
        try:
            sys.stdout.flush()
        except OSError:
            self.give_up_stdout()
            raise

    def give_up_stdout(self) -> None:
        """Lets what stdout did not take go nowhere: the interpreter flushes once more."""
        self.has_lost_stdout = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def current() -> Voice:
    """Returns the voice of the command that runs."""
    voice = click.get_current_context().find_object(Voice)
    assert voice is not None
    return voice
