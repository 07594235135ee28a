"""The installed command, run as users do: a process with arguments, streams and exit code."""

import ctypes
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THENCE = Path(sys.executable).parent / "thence"
_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_WAIT_S = 100


@dataclass(frozen=True)
class Ended:
    """The result of a command: its exit code and its two streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def done(self) -> "Ended":
        """Return the result of a command that has to succeed."""
        assert self.code == 0, self
        return self

    def failure(self, code: int) -> str:
        """Return what a command told that has to fail with this code, in three lines."""
        assert self.code == code, self
        assert is_three_lines(self.err), self.err
        return self.err


def environment(**extra: str) -> dict[str, str]:
    """The tests' environment without what a developer may have set for thence, Python or colour."""
    mine = ("THENCE_", "PYTHON", "NO_COLOR", "TERM", "COLUMNS", "FORCE_COLOR", "LC_ALL")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(mine)}
    return kept | {"TERM": "xterm-256color", **extra}


def thence(
    *arguments: object,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    obeys_permissions: bool = False,
) -> Ended:
    """Run the command to its end."""
    first = drop_override if obeys_permissions else None
    return ran(THENCE, *arguments, cwd=cwd, env=env, stdin=stdin, first=first)


def ran(
    *words: object,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    first: Callable[[], object] | None = None,
) -> Ended:
    """Run any program to its end; `first` is called in its process before it begins."""
    done = subprocess.run(
        [*map(str, words)],
        cwd=cwd,
        env=environment(**(env or {})),
        input=stdin,
        capture_output=True,
        check=False,
        timeout=_WAIT_S,
        preexec_fn=first,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def begin(*words: object, cwd: Path, **env: str) -> subprocess.Popen[str]:
    """Start a program, whose pipes are text."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*map(str, words)],
        cwd=cwd,
        env=environment(**env),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


# goes before a program of the command: its bar is drawn at once, however short the work is
DRAWN_AT_ONCE = """
import sys
from thence.cli.shared import progress
progress.DRAWN_AFTER_S = progress.WRITTEN_AFTER_S = 0
"""
# the command, whose bar is drawn at once
WITH_BAR = (
    sys.executable,
    "-c",
    f"{DRAWN_AT_ONCE}from thence.cli.main import main\nsys.exit(main())",
)
# runs a command, and sends a signal to its process as it calls a function for the n-th time
SIGNALLED = """
import os, sys
from thence.cli.main import main
name, count, number, *words = sys.argv[1:]
calls = 0
def watch(frame, event, function):
    global calls
    called = {"call": frame.f_code.co_name, "c_call": getattr(function, "__qualname__", "")}
    if called.get(event) == name:
        calls += 1
        if calls == int(count):
            sys.setprofile(None)
            os.kill(os.getpid(), int(number))
sys.setprofile(watch)
sys.exit(main(words))
"""
_INSIDE = """
import sys

class Inside:
    def find_spec(self, name, path=None, target=None):
        if name == "thence.cli.frame":
            sys.meta_path.remove(self)
            print("inside", flush=True)

sys.meta_path.insert(0, Inside())
from thence.cli.main import main
sys.exit(main())
"""


def begun(*arguments: object, cwd: Path, **env: str) -> subprocess.Popen[str]:
    """Start the command; return once it has begun, from when on it takes a Ctrl-C quietly."""
    process = begin(sys.executable, "-c", _INSIDE, *arguments, cwd=cwd, **env)
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    return process


def in_shell(script: str, cwd: Path) -> Ended:
    """Run a script, in which a pipe fails where one of its programs does."""
    return ran("bash", "-o", "pipefail", "-c", script, cwd=cwd)


def in_python(code: str, *arguments: object, cwd: Path, **env: str) -> Ended:
    """Run a program of Python."""
    return ran(sys.executable, "-c", code, *arguments, cwd=cwd, env=env)


def on_terminal(
    cwd: Path,
    *arguments: str,
    columns: int | None = 80,
    interrupt: bytes | None = None,
    answer: tuple[bytes, bytes] | None = None,
    answers: Sequence[tuple[bytes, bytes]] = (),
    out: Path | None = None,
    program: Sequence[str] = (str(THENCE),),
    **env: str,
) -> tuple[int, str]:
    """Run the command on a terminal of its own; return its exit code and what it showed.

    Ctrl-C is typed when what matches `interrupt` is shown: not for a question, since Python may
    miss it as it begins to read. With `answer`, a question and a line, the line is typed whenever
    the question is the end of what is shown; `answers` are typed once each, in order. With `out`
    that file is its stdout; `program` runs in place of the command.
    """
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(cwd)
        if out is not None:
            os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT), 1)
        signal.alarm(_WAIT_S)  # outlives the exec, and ends the command
        size = {"COLUMNS": str(columns), "LINES": "40"} if columns else {}
        os.execve(program[0], [*program, *arguments], environment(**size, **env))
    shown = b""
    while True:
        try:
            block = os.read(terminal, 65536)
        except OSError:
            break
        if not block:
            break
        shown += block
        if interrupt and re.search(interrupt, shown):
            os.write(terminal, b"\x03")
            interrupt = None
        if answer and re.search(answer[0] + rb"\Z", shown):
            os.write(terminal, answer[1])
        if answers and re.search(answers[0][0] + rb"\Z", shown):
            os.write(terminal, answers[0][1])
            answers = answers[1:]
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code != -signal.SIGALRM, f"{arguments} took {_WAIT_S} s and showed {shown!r}"
    return code, shown.decode()


def drop_override() -> None:
    """Take from a child that runs as root the rights that other users lack."""
    if sys.platform == "linux" and os.geteuid() == 0:
        for power in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, power, 0, 0, 0)


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Take the right to write from a folder and all in it for a while."""
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def is_three_lines(err: str) -> bool:
    """Report whether an error has the lines for message, cause and next step."""
    lines = err.splitlines()
    starts = ("thence: ", "  why:  ", "  next: ")
    return len(lines) >= 3 and all(
        line.startswith(start) and len(line) > len(start)
        for line, start in zip(lines[-3:], starts, strict=True)
    )
