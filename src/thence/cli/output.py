"""The output of a command: results go to stdout, notes to stderr.

Under --json nothing but JSON reaches stdout. All output to a terminal passes through this module:
no content of a line controls the terminal, but our own colours, and no content begins a new line.
"""

import os
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from thence.cli import INTERRUPTED
from thence.core.json_values import printable
from thence.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

WIDTH_COLUMNS = 80
WIDTH_COLUMNS_MIN = 40
WIDTH_COLUMNS_MAX = 100


class Painted:
    """A part of a line with a style for `click.style`."""

    __slots__ = ("style", "text")

    def __init__(self, text: str, **style: Any) -> None:
        self.text = text
        self.style = style


Line = str | Painted | tuple[str | Painted, ...]

# characters that control a terminal and that JSON may hold unescaped
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


def escaped(json: bytes) -> bytes:
    """Returns a line of JSON with escapes for what controls a terminal, such as one after a pipe.

    It is of megabytes perhaps: where there is nothing to escape no copy is made.
    """
    if json.isascii() and b"\x7f" not in json and b"\r" not in json:
        return json
    text = json.decode(errors="replace").replace("\r", " ")  # a blank between members
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()


def drawn(line: Line) -> str:
    """Returns a line for a terminal: its texts escaped, in our colours."""
    if isinstance(line, str):
        return printable(line)
    if isinstance(line, Painted):
        return click.style(printable(line.text), **line.style)
    return "".join(map(drawn, line))


def wrapped(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """Breaks a paragraph into lines; `first` and `rest` are the indents of the lines."""
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=first,
        subsequent_indent=" " * len(first) if rest is None else rest,
        break_on_hyphens=False,
    )


def relative_path(path: "Path") -> "Path":
    """Returns a path as a user types it in this folder."""
    here = path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


class Output:
    """The output of one command, by its settings, its flags and the terminal."""

    def __init__(self, settings: Settings, arguments: Sequence[str] = ()) -> None:
        self.settings = settings
        self.is_json = "--json" in arguments
        self.is_debug = "--debug" in arguments
        self.is_quiet = False
        self.is_verbose = False
        self.has_lost_stdout = False
        self.resumption = ""  # how to go on after Ctrl-C, where there is a way
        self.is_endless = False  # Ctrl-C is the usual end, which needs no report
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")

    @property
    def width(self) -> int:
        """The columns of a paragraph: those of the terminal, from 40 to 100."""
        return max(WIDTH_COLUMNS_MIN, min(self.columns or WIDTH_COLUMNS, WIDTH_COLUMNS_MAX))

    @property
    def columns(self) -> int | None:
        """The width of the terminal on stdout, None if stdout is no terminal."""
        if not sys.stdout.isatty():
            return None
        if self.settings.columns:
            return self.settings.columns
        try:
            return os.get_terminal_size(sys.stdout.fileno()).columns or WIDTH_COLUMNS
        except OSError:
            return WIDTH_COLUMNS

    def write(self, *lines: Line) -> None:
        """Writes lines of a result, an empty one if none is given."""
        try:
            click.echo("\n".join(map(drawn, lines)))
        except OSError:
            self.give_up_stdout()
            raise

    def notice(self, *lines: Line) -> None:
        """Writes lines about the result to stderr, unless the user gave --quiet."""
        if not self.is_quiet:
            self.warn(*lines)

    def warn(self, *lines: Line) -> None:
        """Writes lines to stderr, even under --quiet."""
        click.echo("\n".join(map(drawn, lines)), err=True)

    def report(self, message: str, cause: object, hint: str) -> None:
        """Writes an error to stderr as three lines: what failed, why, and what to do next."""
        self.warn(f"thence: {message}", f"  why:  {cause}", f"  next: {hint}")

    def json(self, value: object) -> None:
        """Writes a JSON value as one line; values of msgspec.Raw are copied unchanged."""
        import msgspec

        self.line(msgspec.json.encode(value))

    def result(self, value: object, lines: Sequence[Line], notes: Sequence[Line] = ()) -> None:
        """Writes a result: under --json its value, else its lines, and what is to say of it."""
        if self.is_json:
            self.json(value)
            return
        for line in lines:
            self.write(line)
        for note in notes:
            self.notice(note)

    def line(self, line: bytes) -> None:
        """Writes a line of JSON with its newline, such as a stored line."""
        try:
            sys.stdout.buffer.write(escaped(line))
            sys.stdout.buffer.write(b"\n")
        except OSError:
            self.give_up_stdout()
            raise

    def interrupted(self) -> None:
        """Reports that Ctrl-C ended the command; the pipe may be gone as well."""
        try:
            self.flush()
            if not self.is_endless:
                click.echo("interrupted", err=True)
            if self.resumption:
                click.echo(f"next: {self.resumption}", err=True)
        except OSError:
            return

    def flush(self) -> None:
        """Flushes stdout; raises OSError where stdout takes no more."""
        try:
            sys.stdout.flush()
        except OSError:
            self.give_up_stdout()
            raise

    def end_at_once(self, ended: KeyboardInterrupt | SystemExit) -> NoReturn:
        """Ends a server that a signal ended, even if its threads are still answering questions."""
        self.flush()
        sys.stderr.flush()
        code = ended.code if isinstance(ended, SystemExit) else INTERRUPTED
        os._exit(code if isinstance(code, int) else 0)

    def give_up_stdout(self) -> None:
        """Sends unwritten output to /dev/null: the interpreter flushes stdout once more."""
        self.has_lost_stdout = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def current() -> Output:
    """Returns the output of the command that runs."""
    out = click.get_current_context().find_object(Output)
    assert out is not None
    return out
