"""Where a command's words go: results to stdout, talk to stderr.

Under --json nothing but JSON reaches stdout. Text that came out of a log is made harmless
before it reaches a terminal (`thence.cli.render.plain`).
"""

import os
import sys
from collections.abc import Sequence

import click

from thence.settings import Settings

WIDTH_COLUMNS = 80
WIDTH_COLUMNS_MIN = 40
WIDTH_COLUMNS_MAX = 100


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

    def say(self, text: str = "") -> None:
        """Writes a result as text, with its newline."""
        try:
            click.echo(text)
        except OSError:
            self.give_up_stdout()
            raise

    def note(self, text: str) -> None:
        """Tells something about the result on stderr, unless the user wants quiet."""
        if not self.is_quiet:
            click.echo(text, err=True)

    def json(self, value: object) -> None:
        """Writes a JSON value as one line; values of msgspec.Raw stand as they are."""
        import msgspec

        self.line(msgspec.json.encode(value))

    def line(self, line: bytes) -> None:
        """Writes a stored line as it is, with its newline."""
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


def current() -> Voice:
    """Returns the voice of the command that runs."""
    voice = click.get_current_context().find_object(Voice)
    assert voice is not None
    return voice
