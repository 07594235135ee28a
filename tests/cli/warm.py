"""The installed command in a process of its own, forked from one that has its modules loaded.

What the command does there is what it does for a user: it has a process, a folder, an environment
and streams of its own, any number run at once, and it ends with an exit code, behind its threads
and what is registered for the exit. Only the start is shared, for most of the time of a short
command is imports, and the modules are not taken apart again. Where the start itself, a
signal, a terminal, a pipe, or a variable that Python reads at its start is what a test is about,
it takes `thence` of `tests.cli.installed`. The process that forks ends with the tests.
"""

import atexit
import contextlib
import gc
import importlib
import json
import logging  # noqa: F401 - else a first fork would import it, and complain of that
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, NoReturn

from tests.cli.installed import THENCE, Ended, environment

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("thence.cli", "thence.work")
SERVERS = ("thence.cli", "thence.server")
# what commands import as late as they can
LATE = ("rich.live", "rich.table", "ruamel.yaml", "structlog")
COMMAND = """
import sys
from thence.cli.main import main
sys.exit(main())
"""
READ_AT_START = ("PYTHON", "LANG", "LC_")
WAIT_S = 100
STREAMS = 5  # what is wanted, stdin, stdout, stderr, where the exit code goes


def warm(
    *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, is_one_stream: bool = False
) -> Ended:
    """Run the command to its end, with nothing to read; both streams may be one, as for a user."""
    file = tempfile.TemporaryFile
    with file() as out, file() as err:
        second = out if is_one_stream else err
        asked = {"arguments": [*map(str, arguments)], "cwd": str(cwd), "alarm_s": WAIT_S}
        process = _forked(COMMANDS, {**asked, "code": COMMAND}, env or {}, out, second)
        code = process.wait(2 * WAIT_S)
        assert code != -signal.SIGALRM, f"{arguments} took {WAIT_S} s"
        for stream in (out, err):
            stream.seek(0)
        return Ended(code, out.read().decode(), err.read().decode())


class Forked:
    """A running process, with what tests use of `subprocess.Popen`."""

    def __init__(self, ending: IO[bytes], stdout: IO[bytes] | None = None) -> None:
        self._ending = ending
        self.stdout = stdout
        self.pid = int(ending.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._ending], [], [], 0)[0]:
            self.returncode = int(self._ending.readline())
            self._ending.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not select.select([self._ending], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def server(
    *arguments: object,
    env: Mapping[str, str],
    stderr: IO[bytes] | int | None = None,
    code: str = COMMAND,
) -> Forked:
    """Start a server, whose stdout is a pipe; `code` is run in place of the command."""
    asked = {"arguments": [*map(str, arguments)], "cwd": os.getcwd(), "alarm_s": 0, "code": code}
    told, out = os.pipe()
    with open(os.devnull, "wb") as nothing, open(out, "wb") as stdout:
        err = {subprocess.DEVNULL: nothing, None: sys.__stderr__}.get(stderr, stderr)
        process = _forked(SERVERS, asked, env, stdout, err)
    process.stdout = os.fdopen(told, "rb")
    return process


def is_read_at_start(env: Mapping[str, str]) -> bool:
    """Report whether Python reads one of these variables at its start."""
    return any(
        name.startswith(READ_AT_START) and value != os.environ.get(name)
        for name, value in env.items()
    )


def _forked(
    rooms: tuple[str, ...],
    asked: dict[str, object],
    env: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes] | int,
) -> Forked:
    assert not is_read_at_start(env)
    with tempfile.TemporaryFile() as wanted, open(os.devnull, "rb") as nothing:
        wanted.write(json.dumps({**asked, "env": environment(**env)}).encode())
        wanted.flush()
        ended, ending = os.pipe()
        err = stderr if isinstance(stderr, int) else stderr.fileno()
        given = [wanted.fileno(), nothing.fileno(), stdout.fileno(), err, ending]
        socket.send_fds(_forker(rooms), [b"."], given)
        os.close(ending)
        return Forked(open(ended, "rb"))


@cache
def _forker(rooms: tuple[str, ...]) -> socket.socket:
    """Start the process that forks; it ends after this process, when the socket is closed."""
    ours, theirs = socket.socketpair()
    with theirs:
        forker = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.warm", str(theirs.fileno()), *rooms],
            cwd=ROOT,
            env=environment(),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        forker.wait(WAIT_S)

    atexit.register(end)
    return ours


def _serve(number: int, rooms: list[str]) -> NoReturn:
    """Fork for each request, report the child and its exit; the child ends as its program does."""
    requests = socket.socket(fileno=number)
    for room in rooms:
        package = importlib.import_module(room)
        for found in pkgutil.walk_packages(package.__path__, f"{room}."):
            importlib.import_module(found.name)
    for name in LATE:
        importlib.import_module(name)
    os.chdir("/")
    ended, ending = os.pipe()
    os.set_blocking(ending, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ending, warn_on_full_buffer=False)
    gc.collect()
    gc.freeze()
    running: dict[int, int] = {}  # where the exit of each process goes
    while True:
        if ended in select.select([requests, ended], [], [])[0]:
            os.read(ended, 1_024)
            while running and (exited := os.waitpid(-1, os.WNOHANG))[0]:
                with contextlib.suppress(BrokenPipeError), open(running.pop(exited[0]), "wb") as to:
                    to.write(b"%d\n" % os.waitstatus_to_exitcode(exited[1]))
            continue
        asked, streams, _, _ = socket.recv_fds(requests, 1, STREAMS)
        if not asked:
            sys.exit()
        *streams, told = streams
        process = os.fork()
        if not process:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            requests.close()
            for each in (ended, ending, told, *running.values()):
                os.close(each)
            _end(_ran(_begin(*streams)))
        running[process] = told
        with contextlib.suppress(BrokenPipeError):  # the tests have ended
            os.write(told, b"%d\n" % process)
        for stream in streams:
            os.close(stream)


def _begin(wanted: int, stdin: int, stdout: int, stderr: int) -> str:
    """Take the folder, variables and streams that are wanted; return the code to run."""
    with open(wanted, "rb") as file:
        file.seek(0)
        request = json.load(file)
    for target, stream in enumerate((stdin, stdout, stderr)):
        os.dup2(stream, target)
        os.close(stream)
    for name, number in (("stdout", 1), ("stderr", 2)):  # made for what it is, a pipe or a file
        had = getattr(sys, name)
        made = os.fdopen(number, "w", encoding=had.encoding, errors=had.errors, closefd=False)
        made.reconfigure(line_buffering=number == 2)
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    signal.alarm(request["alarm_s"])
    sys.argv = [str(THENCE), *request["arguments"]]
    return str(request["code"])


def _ran(code: str) -> int:
    """Run a program in this process; return its exit code."""
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else ended.code is not None
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """End the process as the interpreter does, but for taking apart what the start has loaded."""
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2:])
