"""Kills at random instants of any program that logs, with a count of what its log kept.

The program prints the id of each record once its logger has acknowledged it. It is killed
with SIGKILL, its children too, and started again on the same file, so that a half line that
one start leaves meets the next. Nothing of thence reads the log: ids are looked for in the
bytes of whole lines, or in what a reading command prints.

A SIGKILL is no power cut: what a program has handed to the operating system survives it.
"""

import os
import re
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import IO, NamedTuple

from bench.tails import Tails, files
from thence.errors import ThenceError

FILE = "events.jsonl"
VARIABLE = "THENCE_BENCH_FILE"
PLACE = "{file}"
HEARD_BYTES_MAX = 64 * 1024 * 1024
READING_S_MAX = 120.0
_END_S = 10.0
_ENDING_S = 1.0
_EARLY = 0.2
_READ_BYTES = 65_536
_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_-]{5,}")
_CONTRACT = (
    "it must log to the path in THENCE_BENCH_FILE (or {file}) until it is killed, and print"
    " each record's id with a newline, flushed, once its logger has taken the record"
)


class KillTrial(NamedTuple):
    """What is killed, how often and when.

    `within_s` is the time after the first id in which the kill falls; `timeout_s` is how
    long the first id is waited for. `reading` is a command that prints the records, None
    where the file has one on each line.
    """

    command: str
    reading: str | None
    kills: int
    seed: int
    within_s: float
    timeout_s: float


class ProgramFailed(ThenceError):
    """Error: a program under test could not be started, or did not do what the test asks."""


class Kept(NamedTuple):
    """What a log kept of what was acknowledged.

    `present` ids stand in a whole line, `damaged` ones in half or glued lines only, `lost`
    ones nowhere. `torn` counts the half lines found at the end of a file after a kill,
    `glued` those that the next start wrote on behind; None where a command reads the log.
    """

    acknowledged: int
    present: int
    damaged: int
    lost: int
    torn: int | None
    glued: int | None

    @property
    def is_whole(self) -> bool:
        """Whether everything acknowledged is there and no line was spoilt by the next."""
        return self.present == self.acknowledged and not self.glued


def run(trial: KillTrial, told: Callable[[int], None]) -> Kept:
    """Kills the program so many times and counts what its log kept.

    `told` hears the number of each kill. Raises ProgramFailed when the command can't be
    started, prints no id in time, ends by itself, makes no file, or prints an id twice.
    """
    with tempfile.TemporaryDirectory(prefix="thence-bench-") as place:
        folder = Path(place) / "log"
        folder.mkdir()
        with (Path(place) / "stderr").open("a+b") as errors:
            program = Program(trial, folder / FILE, errors)
            acknowledged: set[bytes] = set()
            tails = Tails(folder)
            for number in range(1, trial.kills + 1):
                ids = program.live(is_first=number == 1)
                if len(ids) != len(set(ids)) or not acknowledged.isdisjoint(ids):
                    raise program.failed("it printed an id twice", "make ids that are unique")
                acknowledged.update(ids)
                tails.look()
                told(number)
            if not any(True for _ in files(folder)):
                raise program.failed(f"it made no file {folder / FILE}", _CONTRACT)
            return _counted(trial, program, acknowledged, tails)


def _counted(trial: KillTrial, program: "Program", acknowledged: set[bytes], tails: Tails) -> Kept:
    if trial.reading is not None:
        read = acknowledged.intersection(_ID.findall(program.read(trial.reading)))
        return Kept(len(acknowledged), len(read), 0, len(acknowledged) - len(read), None, None)
    present: set[bytes] = set()
    damaged: set[bytes] = set()
    for line, is_whole in tails.lines():
        (present if is_whole else damaged).update(acknowledged.intersection(_ID.findall(line)))
    damaged -= present
    lost = len(acknowledged) - len(present) - len(damaged)
    return Kept(len(acknowledged), len(present), len(damaged), lost, tails.torn, tails.glued)


class Program:
    """The program that logs, started again for each of its lives."""

    def __init__(self, trial: KillTrial, file: Path, errors: IO[bytes]) -> None:
        self._trial = trial
        self._file = file
        self._errors = errors
        self._chance = Random(trial.seed)
        self._start_s = 0.0

    def live(self, is_first: bool) -> list[bytes]:
        """Starts the program and kills it; returns the ids that it printed.

        Some lives end before their first id, when the program sets right what the last one
        left; never the first one.
        """
        heard = bytearray()
        is_early = not is_first and self._chance.random() < _EARLY
        share = self._chance.random()
        started_s = time.monotonic()
        with self._started(self._trial.command, subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                pipe = process.stdout.fileno()
                if is_early:
                    self._hear(process, heard, started_s + share * self._start_s)
                else:
                    self._hear(process, heard, started_s + self._trial.timeout_s, until_id=True)
                    first_s = time.monotonic()
                    self._start_s = first_s - started_s
                    self._hear(process, heard, first_s + share * self._trial.within_s)
            finally:
                _kill(process)
            deadline_s = time.monotonic() + _END_S
            while _is_ready(pipe, deadline_s) and (said := os.read(pipe, _READ_BYTES)):
                heard += said
        return self._ids(bytes(heard))

    def read(self, reading: str) -> bytes:
        """Returns what the reading command prints; raises ProgramFailed."""
        with self._started(reading, subprocess.PIPE) as process:
            try:
                said, _ = process.communicate(timeout=READING_S_MAX)
            except subprocess.TimeoutExpired as error:
                cause = f"it read for more than {READING_S_MAX:g} s"
                raise self.failed(cause, "kill it less often", reading) from error
            finally:
                _kill(process)
        if process.returncode:
            cause = f"it ended with {process.returncode}{self._last_words()}"
            raise self.failed(cause, "it must print the records in the file", reading)
        return bytes(said)

    def failed(self, cause: str, hint: str, command: str | None = None) -> ProgramFailed:
        """Returns the error that tells what the program did wrong."""
        shown = command or self._trial.command
        return ProgramFailed("could not go on with", place=shown, cause=cause, hint=hint)

    def _started(self, command: str, out: int) -> "subprocess.Popen[bytes]":
        argv = [part.replace(PLACE, str(self._file)) for part in shlex.split(command)]
        self._errors.seek(0)
        self._errors.truncate()
        try:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=self._errors,
                env={**os.environ, VARIABLE: str(self._file)},
                start_new_session=True,
                bufsize=0,
            )
        except (OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or error
            raise ProgramFailed(
                "could not start",
                place=command,
                cause=cause,
                hint="check the command; for a shell's own words use: sh -c '…'",
            ) from error

    def _hear(
        self,
        process: "subprocess.Popen[bytes]",
        heard: bytearray,
        deadline_s: float,
        until_id: bool = False,
    ) -> None:
        """Reads on until the deadline, or until a whole id was read."""
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        while _is_ready(pipe, deadline_s):
            said = os.read(pipe, _READ_BYTES)
            heard += said
            if not said:
                raise self._ended(process, bool(heard))
            if (until_id and b"\n" in said) or len(heard) > HEARD_BYTES_MAX:
                return
        if until_id:
            cause = f"it printed no id in {self._trial.timeout_s:g} s{self._last_words()}"
            raise self.failed(cause, _CONTRACT)

    def _ended(self, process: "subprocess.Popen[bytes]", has_spoken: bool) -> ProgramFailed:
        try:
            process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            return self.failed("it closed its stdout", _CONTRACT)
        when = "before it was killed" if has_spoken else "before it printed an id"
        return self.failed(
            f"it ended with {process.returncode} {when}{self._last_words()}", _CONTRACT
        )

    def _ids(self, heard: bytes) -> list[bytes]:
        ids = [line.strip() for line in heard.split(b"\n")[:-1]]
        for each in ids:
            if not _ID.fullmatch(each):
                shown = each[:40].decode("utf-8", "backslashreplace")
                raise self.failed(
                    f"it printed {shown!r}, which is not an id",
                    "print one id a line: 6 or more letters, digits, - and _",
                )
        return ids

    def _last_words(self) -> str:
        """Quotes the last line of stderr."""
        size_bytes = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size_bytes - _READ_BYTES))
        lines = self._errors.read().decode("utf-8", "backslashreplace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"; it said: {last}" if last else ""


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kills a program with all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:  # macOS, for a group of which only the dead leader is left
        if sys.platform == "linux":
            raise
    process.wait(_END_S)


def _is_ready(pipe: int, deadline_s: float) -> bool:
    """Waits until there is something to read; False when the time is up."""
    return bool(select.select([pipe], [], [], max(0.0, deadline_s - time.monotonic()))[0])


def as_json(trial: KillTrial, kept: Kept) -> dict[str, object]:
    """Returns the outcome as JSON values."""
    head = {"ok": kept.is_whole, "command": trial.command, "kills": trial.kills}
    return {**head, "seed": trial.seed, **kept._asdict()}


def rows(trial: KillTrial, kept: Kept) -> Iterator[tuple[str, str, str]]:
    """Yields the rows of the table: word, number, what it counts."""
    yield "kills", f"{trial.kills:,}", f"seed {trial.seed}"
    yield "acknowledged", f"{kept.acknowledged:,}", "records whose ids were printed"
    yield "present", f"{kept.present:,}", "of them stand in a whole line"
    yield "damaged", f"{kept.damaged:,}", "of them stand in half or glued lines only"
    yield "lost", f"{kept.lost:,}", "of them stand nowhere"
    if kept.torn is not None:
        yield "torn", f"{kept.torn:,}", "half lines at the end of a file after a kill"
        yield "glued", f"{kept.glued:,}", "of them were written on behind by the next start"


def drawn(table: Sequence[tuple[str, str, str]]) -> list[str]:
    """Returns rows as aligned lines."""
    digits = max(len(number) for _, number, _ in table)
    return [f"{word:<12}  {number:>{digits}}  {what}" for word, number, what in table]
