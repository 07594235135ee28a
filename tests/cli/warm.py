"""The installed command in a process of its own, forked from one that has its modules loaded.

What the command does there is what it does for a user: it has a process, a folder, an environment
and streams of its own, any number run at once, and it ends with an exit code, behind its threads
and what is registered for the exit. Only the start is shared, for most of the time of a short
command is imports, and the modules are not taken apart again. Where the start itself, a
signal, a terminal, a pipe, or a variable that Python reads at its start is what a test is about,
it takes `thence` of `tests.cli.installed`. The process that forks ends with the tests.
"""

import atexit
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
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NoReturn

from tests.cli.installed import THENCE, Ended, environment

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("thence.cli", "thence.work")
READ_AT_START = ("PYTHON", "LANG", "LC_")
WAIT_S = 100
STREAMS = 5  # what is wanted, stdin, stdout, stderr, where the exit code goes


def warm(
    *arguments: object,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    is_one_stream: bool = False,
) -> Ended:
    """Run the command to its end, with nothing to read; both streams may be one, as for a user."""
    assert not any(
        name.startswith(READ_AT_START) and value != os.environ.get(name)
        for name, value in (env or {}).items()
    )
    request = {
        "arguments": list(map(str, arguments)),
        "cwd": str(cwd),
        "env": environment(**(env or {})),
    }
    file = tempfile.TemporaryFile
    with file() as wanted, open(os.devnull, "rb") as nothing, file() as out, file() as err:
        wanted.write(json.dumps(request).encode())
        wanted.flush()
        ended, ending = os.pipe()
        with open(ended, "rb") as answer:
            second = out if is_one_stream else err
            given = [*(each.fileno() for each in (wanted, nothing, out, second)), ending]
            socket.send_fds(_forker(), [b"."], given)
            os.close(ending)
            assert select.select([answer], [], [], 2 * WAIT_S)[0], f"{arguments} goes on and on"
            code = json.loads(answer.read() or b"null")
        assert code is not None, f"{arguments} ended without an exit code"
        assert code != -signal.SIGALRM, f"{arguments} took {WAIT_S} s"
        for stream in (out, err):
            stream.seek(0)
        return Ended(code, out.read().decode(), err.read().decode())


@cache
def _forker() -> socket.socket:
    """Start the process that forks; it ends after this process, when the socket is closed."""
    ours, theirs = socket.socketpair()
    with theirs:
        forker = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.warm", str(theirs.fileno())],
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


def _serve(number: int) -> int:
    """Fork for each request; return in the forked process, with the exit code of its command."""
    requests = socket.socket(fileno=number)
    for room in ROOMS:
        package = importlib.import_module(room)
        for found in pkgutil.walk_packages(package.__path__, f"{room}."):
            importlib.import_module(found.name)
    from thence.cli.main import main

    os.chdir("/")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    gc.collect()
    gc.freeze()
    while True:
        asked, streams, _, _ = socket.recv_fds(requests, 1, STREAMS)
        if not asked:
            return 0
        if not os.fork():
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _begin(*streams)
            _end(main())
        for stream in streams:
            os.close(stream)


def _begin(wanted: int, stdin: int, stdout: int, stderr: int, ending: int) -> None:
    """Fork once more and report the exit of the child; only the child returns, as the command."""
    process = os.fork()
    if process:
        for stream in (wanted, stdin, stdout, stderr):
            os.close(stream)
        _, status = os.waitpid(process, 0)
        os.write(ending, json.dumps(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.close(ending)
    with open(wanted, "rb") as file:
        file.seek(0)
        request = json.load(file)
    for target, stream in enumerate((stdin, stdout, stderr)):
        os.dup2(stream, target)
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    signal.alarm(WAIT_S)
    sys.argv = [str(THENCE), *request["arguments"]]


def _end(code: int) -> NoReturn:
    """End the process as the interpreter does, but for taking apart what the start has loaded."""
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(_serve(int(sys.argv[1])))
