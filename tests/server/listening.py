"""A client of server-sent events, which reads frames of a real connection and reconnects."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import httpx2
from tests.server.serving import Serving

from thence.core.vocabulary import SIM
from thence.log.files.disk import OS_DISK
from thence.log.read.reader import events

SECONDS_MAX = 60


class Heard(NamedTuple):
    """A frame."""

    id: str
    data: bytes


def frames(answer: httpx2.Response, opened: threading.Event | None = None) -> Iterator[Heard]:
    """Yields the frames of a stream, read by the HTML standard, without comments."""
    event_id, data, rest = "", list[bytes](), b""
    for block in answer.iter_raw():
        if opened is not None:
            opened.set()  # the beginning is sent once the first frames are read
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"id":
                event_id = value.decode()
            elif name == b"data":
                data.append(value)
            elif not line and data:
                yield Heard(event_id, b"\n".join(data))
                data = []


def heard(server: Serving, path: str, count: int, **options: object) -> list[Heard]:
    """Returns the first frames of a stream, then closes it."""
    found: list[Heard] = []
    with server.client.stream("GET", path, **options) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        if count:
            for frame in frames(answer):
                found.append(frame)
                if len(found) == count:
                    break
    return found


class Listening(threading.Thread):
    """A thread that listens until `count` events have come."""

    def __init__(self, url: str, path: str, count: int, **options: object) -> None:
        super().__init__(daemon=True)
        self._client = httpx2.Client(base_url=url, timeout=SECONDS_MAX, verify=False)
        self._path = path
        self._count = count
        self._options = options
        self.heard: list[Heard] = []
        self.is_open = threading.Event()
        self.start()

    def run(self) -> None:
        with suppress(httpx2.RemoteProtocolError):  # the server has ended
            self._listen()

    def _listen(self) -> None:
        with self._client, self._client.stream("GET", self._path, **self._options) as answer:
            for frame in frames(answer, self.is_open):
                self.heard.append(frame)
                if len(self.heard) == self._count:
                    return

    @property
    def ids(self) -> list[str]:
        return [frame.id for frame in self.heard]


def arrived(folder: Path) -> list[bytes]:
    """Returns the lines of a run in order of arrival, read by the library."""
    return [event.line for event in events(OS_DISK, folder, SIM)]
