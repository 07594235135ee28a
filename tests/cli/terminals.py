"""A terminal for the installed command, with its screen."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

from tests.cli.installed import THENCE, environment

WAIT_S = 120.0
_SEQUENCE = re.compile(r"\x1b\[(?P<numbers>[?0-9;]*)(?P<letter>[A-Za-z])|\r|\n|[^\x1b\r\n]+")
_BEGUN = re.compile(r"\x1b(\[[?0-9;]*)?\Z")


class Screen:
    """The screen of a terminal that knows only the escape sequences of a redrawn board.

    `frames` are the lines of the screen before each erasure.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines = [""]
        self.row = self.column = 0
        self.is_cursor_shown = True
        self.colours: set[str] = set()
        self.frames: list[list[str]] = []
        self._rest = ""
        self._has_more = False

    def feed(self, text: str) -> None:
        text = self._rest + text
        begun = _BEGUN.search(text)
        self._rest = text[begun.start() :] if begun else ""
        text = text.removesuffix(self._rest)
        place = 0
        while place < len(text):
            found = _SEQUENCE.match(text, place)
            assert found, f"a sequence that nobody knows: {text[place : place + 20]!r}"
            place = found.end()
            self._do(found)

    def _do(self, found: re.Match[str]) -> None:
        numbers, letter = found["numbers"], found["letter"]
        if letter is None:
            self._write(found[0])
        elif (numbers, letter) == ("2", "K"):
            if self._has_more:
                self.frames.append([line.rstrip() for line in self.lines])
            self._has_more = False
            self.lines[self.row] = ""
        elif letter == "A":
            self.row -= int(numbers or 1)
            assert self.row >= 0, "nothing stands above the first line"
        elif letter == "m":
            self.colours.add(numbers)
        else:
            assert numbers == "?25", found[0]
            self.is_cursor_shown = letter == "h"

    def _write(self, text: str) -> None:
        if text == "\r":
            self.column = 0
        elif text == "\n":
            self.row += 1
            self.lines += [""] * (self.row + 1 - len(self.lines))
        else:
            self._has_more = True
            for letter in text:
                if self.column == self.columns:
                    self._write("\r")
                    self._write("\n")
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + letter + line[self.column + 1 :]
                self.column += 1

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip()


class Terminal:
    """The command on a terminal of its own; `screen` is what it shows."""

    def __init__(self, cwd: Path, *arguments: str, columns: int = 80, **env: str) -> None:
        self.screen = Screen(columns)
        self.told = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            [THENCE, *arguments],
            cwd=cwd,
            env=environment(**env),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def until(self, condition: Callable[[Screen], object]) -> None:
        """Read what is shown until a condition holds."""
        end_s = time.monotonic() + WAIT_S
        while not condition(self.screen):
            assert self._read(end_s), f"it did not come about:\n{self.screen}"

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        end_s = time.monotonic() + WAIT_S
        while self._read(end_s):
            pass
        os.close(self._master)
        return self.process.wait(WAIT_S)

    def close(self) -> None:
        """End what still runs."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
            self.process.wait(WAIT_S)

    def _read(self, end_s: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, end_s - time.monotonic()))
        try:
            block = os.read(self._master, 65536) if ready else b""
        except OSError:  # the other end is closed
            return False
        text = self._decoder.decode(block)
        self.told += text
        self.screen.feed(text)
        return bool(block)
