"""A Redis server for the tests alone: a socket in a folder of its own, and nothing kept on disk."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import ConnectionError as NotThere
from redis import Redis
from tests.log.faults import WAIT_S
from tests.server.postgres import end_with_parent
from tests.system_packages import provided

MISSING = (
    "there is no Redis to run the tests of RQ and arq on.\n"
    "Install it: apt-get install redis-server (Debian), dnf install redis (Fedora), "
    "brew install redis (macOS).\n"
    "To leave these tests out: make test-all ARGS=\"-k 'not redis'\""
)


@contextmanager
def redis_server() -> Iterator[Path]:
    """Runs a server, and gives the path of its socket once it answers."""
    program = provided("redis-server", lambda: shutil.which("redis-server"), MISSING)
    with tempfile.TemporaryDirectory(prefix="thence-redis-") as folder:
        socket, log = Path(folder, "socket"), Path(folder, "log")
        argv = [program, "--port", "0", "--unixsocket", str(socket), "--save", ""]
        with log.open("wb") as out:
            process = subprocess.Popen(
                argv, cwd=folder, stdout=out, stderr=out, preexec_fn=end_with_parent
            )
        try:
            deadline = time.monotonic() + WAIT_S
            while not _answers(socket):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"redis-server did not begin: {log.read_text()}", pytrace=False)
                time.sleep(0.02)
            yield socket
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _answers(socket: Path) -> bool:
    with Redis(unix_socket_path=str(socket)) as client:
        try:
            return bool(client.ping())
        except NotThere:
            return False
