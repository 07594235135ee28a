"""A server as users run it: a process with a port of its own, and an HTTP client."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from tests.cli import warm

ENDS_S = 60

_APP = """
import socket, sys, json
import uvicorn
from thence.server.app import create_app

root, port, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
listener = socket.create_server(("127.0.0.1", port))
print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
config = uvicorn.Config(create_app(root, **options), log_level="error")
uvicorn.Server(config).run(sockets=[listener])
"""


class Serving:
    """A running server and a client of it."""

    def __init__(self, process: warm.Forked, url: str) -> None:
        self.process = process
        self.url = url
        # over plain HTTP: without the authorities, which take long to read
        self.client = httpx2.Client(base_url=url, timeout=60, verify=False)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.client.get(path, **options)

    def json(self, path: str, **params: Any) -> Any:
        """Returns the answer to a request that must succeed."""
        answer = self.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def kib(self, name: str) -> int:
        """Returns what the system counts of the process's memory: VmRSS, or VmHWM, the most."""
        told = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(told.partition(f"{name}:")[2].split()[0])

    def code(self, path: str, **params: Any) -> tuple[int, str]:
        """Returns status and code of a request that must fail, in the one form of errors."""
        answer = self.get(path, params=params)
        told = answer.json()
        assert set(told) == {"code", "message"}
        assert told["message"]
        return answer.status_code, told["code"]

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yields the pages from the first to the last, by cursor."""
        page = self.json(path, **params)
        yield page
        while page["has_more"]:
            page = self.json(path, **params, cursor=page["next_cursor"])
            yield page


@contextmanager
def serving(root: Path, *arguments: object, **env: str) -> Iterator[Serving]:
    """Runs the command `thence serve` on any free port."""
    options = [] if "--port" in arguments else ["--port", 0]
    with _running(warm.server("serve", root, "--json", *options, *arguments, env=env)) as made:
        yield made


@contextmanager
def altered_serving(root: Path, alteration: str, **env: str) -> Iterator[Serving]:
    """Runs the same command behind statements that alter the program."""
    code = f"{alteration}\n{warm.COMMAND}"
    argv = ("serve", root, "--json", "--port", 0)
    with _running(warm.server(*argv, env=env, code=code)) as made:
        yield made


@contextmanager
def app_serving(root: Path | None, port: int = 0, **options: object) -> Iterator[Serving]:
    """Serves `create_app` by uvicorn in a process of its own."""
    with _running(warm.server(root, port, json.dumps(options), env={}, code=_APP)) as made:
        yield made


@contextmanager
def _running(process: warm.Forked) -> Iterator[Serving]:
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        assert first, "the server ended before it said where it is"
        made = Serving(process, json.loads(first)["url"])
        with made.client:
            yield made
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
