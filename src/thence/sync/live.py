"""The live connection of a log to its team's server: it reports when a round is worth its while.

Nothing but hints comes in and nothing goes out by it: lines go by rounds, which are acknowledged.
While it is open, an append by any process is noticed too, by the segment's size. A server or proxy
that speaks no WebSocket is no error: rounds go on by their timer.
"""

from collections.abc import Callable
from contextlib import closing
from logging import CRITICAL, Logger, getLogger
from threading import Event as Signal
from typing import Any
from urllib.parse import urlencode

import msgspec
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    WebSocketException,
)
from websockets.sync.client import ClientConnection, connect

from thence.core.ready import ready
from thence.errors import SyncRefused, ThenceError
from thence.log.files.disk import FileId, monotonic_ns
from thence.log.files.segment import current_path
from thence.log.open import OS_DISK, Log, warn
from thence.sync.client import client_to
from thence.sync.connection import is_loopback_server, trusted_certificates
from thence.sync.credentials import CredentialStore
from thence.sync.target import (
    CONNECTED,
    OFFLINE,
    OFFLINE_BATCH_MODE,
    RECONNECT_FAILURES_MAX,
    RECONNECTING,
    enabled_target,
    target_path,
    write_connection,
)

# between two looks at the segment, and at the end of the service
LOOK_S = 0.2
# between two rounds for hints
HINT_S = 0.1
OPEN_S = 10.0
# until a server that speaks no WebSocket is asked again
UNSUPPORTED_S = 60.0
# a connection that ends before this has failed: it is made again, later from time to time
LASTING_S = 10.0
FRAME_BYTES_MAX = 64 * 1024
_CLOSE_S = 0.5
_LATER = (408, 429)
BACKOFF_MIN_S = 0.5
BACKOFF_MAX_S = 30.0
_DOUBLINGS_MAX = 10

Random = Callable[[float, float], float]
# the segment, which each append changes, and the file of the target
_Mark = tuple[tuple[FileId, int] | None, ...]


def backoff_s(failures: int, uniform: Random) -> float:
    """Returns the seconds to wait after some failures in a row: chance, up to a doubling limit.

    The limit is 500 ms after the first failure and 30 s at most ("full jitter": AWS Architecture
    Blog, Exponential Backoff And Jitter, 2015).
    """
    doublings = min(max(failures - 1, 0), _DOUBLINGS_MAX)
    return uniform(0.0, min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2**doublings))


class Unsupported(Exception):
    """Raised where a server, or a proxy before it, speaks no WebSocket."""


class ServiceSignals:
    """The signals of one start of a service: each of them is set at its end, `stop` first.

    A live connection sets `wake` when there may be something to sync, and `connected` when it is
    made.
    """

    def __init__(self) -> None:
        self.stop, self.wake, self.connected = Signal(), Signal(), Signal()

    def begin_round(self) -> bool:
        """Clears what a round now begun answers; returns False at the end of the service."""
        self.wake.clear()
        self.connected.clear()
        return not self.stop.is_set()

    def end(self) -> None:
        """Ends the service."""
        for signal in (self.stop, self.wake, self.connected):
            signal.set()


class LiveConnection:
    """The live connection of an open log, for a thread of its own; `stop` of the signals ends it.

    `uniform` gives the chance of a backoff.
    """

    def __init__(
        self, log: Log, store: CredentialStore, signals: ServiceSignals, uniform: Random
    ) -> None:
        self._log = log
        self._store = store
        self._signals = signals
        self._uniform = uniform
        self._failures = 0
        self._written = ""

    def run(self) -> None:
        """Connects, and again whenever the connection ends, until the service does."""
        has_warned = False
        while not self._signals.stop.is_set():
            try:
                delay_s = self._tried()
            except Exception as error:  # boundary: no error of it ends the sync of a long process
                if not has_warned:
                    has_warned = True
                    warn("sync_failed", {"error": repr(error)})
                delay_s = BACKOFF_MAX_S
            self._signals.stop.wait(delay_s)

    def _tried(self) -> float:
        """Connects once, listens to the end; returns the seconds until the next try."""
        try:
            self._listen()
        except (Unsupported, ImportError):  # a proxy may need a package
            return self._unsupported()
        except SyncRefused as error:
            if error.code == "bad_answer":
                return self._unsupported()
            is_final = error.code in ("not_logged_in", "sync_refused")
            return max(error.retry_after_s, self._failed(OFFLINE if is_final else ""))
        except (ThenceError, WebSocketException, OSError, EOFError):
            pass
        return self._failed()

    def _unsupported(self) -> float:
        self._record(OFFLINE_BATCH_MODE)
        return UNSUPPORTED_S

    def _failed(self, word: str = "") -> float:
        self._failures += 1
        is_trying = self._failures <= RECONNECT_FAILURES_MAX
        self._record(word or (RECONNECTING if is_trying else OFFLINE_BATCH_MODE))
        return backoff_s(self._failures, self._uniform)

    def _record(self, word: str) -> None:
        """Stores the state of the connection for other processes."""
        if word != self._written and not self._signals.stop.is_set():
            self._written = word
            write_connection(self._log.folder, word)

    def _listen(self) -> None:
        """Holds a connection until it ends."""
        target = enabled_target(self._log.folder)
        with closing(client_to(target, self._store)) as client:
            token = client.live_token()
        if self._signals.stop.is_set():
            return
        query = urlencode({"log": target.log, "kind": target.kind, "token": token})
        is_tls = target.server.startswith("https:")
        ca_file = self._store.login(target.server, target.user).ca_file
        with connect(
            f"ws{target.server.removeprefix('http')}/ws/v1/events/?{query}",
            ssl=trusted_certificates(ca_file) if is_tls else None,
            proxy=None if is_loopback_server(target.server) else True,
            compression=None,
            user_agent_header="thence",
            open_timeout=OPEN_S,
            close_timeout=_CLOSE_S,
            max_size=FRAME_BYTES_MAX,
            create_connection=_Opening,
            logger=_silent_logger(),
        ) as connection:
            since_ns = monotonic_ns()
            self._follow(connection)
            if monotonic_ns() - since_ns >= LASTING_S * 1e9:
                self._failures = 0

    def _follow(self, connection: ClientConnection) -> None:
        """Takes hints and looks at the segment until the connection ends, or the service."""
        mark: _Mark | None = None
        while not self._signals.stop.is_set():
            try:
                frame = connection.recv(timeout=LOOK_S)
                kind = msgspec.json.decode(frame, type=ready(_Frame)).type
            except ConnectionClosed:
                return
            except (TimeoutError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                kind = ""  # none came, or one of another form
            if kind == "snapshot":
                self._record(CONNECTED)
                mark = self._mark()
                self._signals.connected.set()
                self._signals.wake.set()
            elif kind == "committed":
                self._signals.wake.set()
                self._signals.stop.wait(HINT_S)
            elif mark is not None and mark != (present := self._mark()):
                if present[1] != mark[1]:  # another target
                    return
                mark = present
                self._signals.wake.set()

    def _mark(self) -> _Mark:
        folder = self._log.folder
        files = (current_path(folder), target_path(folder))
        return tuple(OS_DISK.path_id(str(path)) for path in files)


def _silent_logger() -> Logger:
    """Returns a logger in place of the library's own.

    That would show the token, and tracebacks, in the logs of the program.
    """
    logger = getLogger(f"{__name__}.websockets")
    logger.setLevel(CRITICAL + 1)
    return logger


class _Opening(ClientConnection):
    """A connection whose opening follows no redirect, whatever it leads to."""

    def handshake(self, *arguments: Any, **options: Any) -> None:
        """Opens the connection; raises Unsupported."""
        try:
            super().handshake(*arguments, **options)
        except InvalidStatus as error:
            status = error.response.status_code
            if status in (401, 403) or status in _LATER or status >= 500:
                cause, code = f"status {status}", "server_unreachable"
                raise SyncRefused("could not open", cause=cause, code=code) from error
            raise Unsupported from error
        except InvalidMessage:  # it ended before an answer
            raise
        except InvalidHandshake as error:
            raise Unsupported from error


class _Frame(msgspec.Struct):
    type: str = ""
