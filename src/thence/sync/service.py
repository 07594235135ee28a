"""The background sync of an open log: a round every five minutes, and at once by a live connection.

Nothing waits for it. After a failure it tries again, the longer the more failures there are in a
row; when the login has ended it warns once and waits for a new one. Over all processes one round of
a log runs at a time. By the live connection nothing but hints comes in and nothing goes out: lines
go by rounds, which are acknowledged. While it is open, an append by any process is noticed too, by
the segment's size. A server or proxy that speaks no WebSocket is no error.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from io import FileIO
from logging import CRITICAL, getLogger
from threading import Event as Signal
from threading import Lock, Thread, current_thread
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    WebSocketException,
)

from thence.core.ready import ready
from thence.errors import NotLoggedIn, SyncRefused, ThenceError, WriterClosed
from thence.files import file_lock
from thence.log.files.disk import FileId, monotonic_ns
from thence.log.files.segment import current_path
from thence.log.open import OS_DISK, Log, warn
from thence.sync.client import client_to, is_loopback_server, trusted_certificates
from thence.sync.credentials import CredentialStore
from thence.sync.engine import BACKOFF_MAX_S, Random, SyncEngine, backoff_s, run_round
from thence.sync.target import (
    LIVE,
    PRESENCE,
    RESTORED,
    TARGET,
    SyncReport,
    enabled_target,
    recorded,
    sync_folder,
)

INTERVAL_S = 300.0
STOP_S = 1.5
_TURN_S = 1.0
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
_LATER = (401, 403, 408, 429)

Wait = Callable[[Signal, float], bool]


class _Signals(NamedTuple):
    """The signals of one start of a service: each of them is set at its end, `stop` first.

    The live connection sets `wake` when there may be something to sync, and `connected` when it is
    made.
    """

    stop: Signal
    wake: Signal
    connected: Signal

    def end(self) -> None:
        for signal in self:
            signal.set()


class BackgroundSyncService:
    """The background sync of an open log, whose sync is enabled. Start it, and stop it.

    `interval_s` is the time between rounds. `engine` makes the engine, `store` holds the logins,
    `uniform` gives the chance of a backoff, and `wait` pauses until a signal or for some seconds,
    and reports whether the signal is set. It is a context manager too.
    """

    def __init__(
        self,
        log: Log,
        interval_s: float = INTERVAL_S,
        *,
        store: CredentialStore | None = None,
        engine: Callable[..., SyncEngine] = SyncEngine,
        uniform: Random = random.uniform,
        wait: Wait = Signal.wait,
    ) -> None:
        self._log = log
        self._interval_s = interval_s
        self._store = store or CredentialStore()
        self._engine = engine
        self._uniform = uniform
        self._wait = wait
        self._mutex = Lock()
        self._signals = _Signals(Signal(), Signal(), Signal())
        self._threads: list[Thread] = []
        self._state = "stopped"
        self._last: SyncReport | None = None
        self._has_warned = False

    @property
    def state(self) -> str:
        """The state: stopped, syncing, waiting, backing off, other process, or logged out."""
        threads = self._threads
        return self._state if threads and threads[0].is_alive() else "stopped"

    @property
    def last_error(self) -> ThenceError | None:
        """The error of the last round, None if it had none."""
        return self._last.error if self._last else None

    def start(self) -> None:
        """Starts the threads; a service that runs already stays as it is."""
        with self._mutex:
            if self.state != "stopped" and not self._signals.stop.is_set():
                return
            self._signals = _Signals(Signal(), Signal(), Signal())
            self._state = "waiting"
            works = {"thence-sync": self._run_rounds, "thence-sync-live": self._run_live}
            self._threads = [
                Thread(target=work, args=(self._signals,), name=name, daemon=True)
                for name, work in works.items()
            ]
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        """Ends the threads and returns within 2 s, whatever the network does; again does nothing.

        A request in progress is abandoned, and its round goes no further.
        """
        with self._mutex:
            threads, self._threads = self._threads, []
            self._signals.end()
        until_ns = monotonic_ns() + STOP_S * 1e9
        for thread in threads:
            if thread is not current_thread():
                thread.join(max((until_ns - monotonic_ns()) / 1e9, 0.0))

    def __enter__(self) -> "BackgroundSyncService":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run_rounds(self, signals: _Signals) -> None:
        presence: FileIO | None = None
        failures = 0
        try:
            while True:
                signals.wake.clear()
                signals.connected.clear()
                if signals.stop.is_set():
                    return
                with suppress(ThenceError):  # a folder that can't be written: rounds report it
                    presence = presence or file_lock(sync_folder(self._log.folder) / PRESENCE)
                self._state = "syncing"
                try:  # None in another process's turn, which is no failure
                    report = run_round(
                        self._log,
                        self._store,
                        engine=self._engine,
                        wait=lambda seconds: self._wait(signals.stop, seconds),
                    )
                    self._last = report or self._last
                    if report is not None and isinstance(report.error, WriterClosed):
                        return
                    if report is not None and not signals.stop.is_set():
                        failures = failures + 1 if report.needs_retry else 0
                        self._has_warned = self._has_warned and report.error is not None
                        if report.is_restored:
                            warn("log_restored", {"log": str(self._log.folder), "next": RESTORED})
                    self._pause(report, failures, signals)
                except Exception as cause:  # boundary: no error ends the sync of a long process
                    warn("sync_failed", {"error": repr(cause)})
                    self._state = "backing off"
                    error = SyncRefused("could not sync", cause=repr(cause), code="sync_error")
                    report = SyncReport(error=error)
                    self._last = recorded(self._log.folder, report, is_background=True)
                    self._wait(signals.stop, BACKOFF_MAX_S)
        finally:
            signals.end()
            if presence is not None:
                presence.close()

    def _pause(self, report: SyncReport | None, failures: int, signals: _Signals) -> None:
        """Waits for the next round; warns once of a login that has ended, and waits for another."""
        if report is None:
            self._state = "other process"
            self._wait(signals.stop, _TURN_S)
        elif isinstance(report.error, NotLoggedIn):
            self._state = "logged out"
            if not self._has_warned:
                self._has_warned = True
                warn("logged_out", {"error": str(report.error), "next": report.error.hint})
            if self._has_login():  # it looks good here, and the server refuses it all the same
                self._wait(signals.stop, BACKOFF_MAX_S)
            while not self._has_login() and not self._wait(signals.stop, _TURN_S):
                continue
        elif failures:
            self._state = "backing off"
            delay_s = backoff_s(failures, self._uniform)
            if isinstance(report.error, SyncRefused):
                delay_s = max(delay_s, report.error.retry_after_s)
            # a server that is back ends it early
            is_away = report.error_code == "server_unreachable"
            self._wait(signals.connected if is_away else signals.stop, delay_s)
        else:
            self._state = "waiting"
            self._wait(signals.wake, self._interval_s)

    def _has_login(self) -> bool:
        try:
            target = enabled_target(self._log.folder)
            return not self._store.login(target.server, target.user).has_ended
        except ThenceError:
            return False

    def _run_live(self, signals: _Signals) -> None:
        """Connects, and again whenever the connection ends, until the service does."""
        failures, has_warned = 0, False
        while not signals.stop.is_set():
            try:
                least_s = 0.0
                try:
                    if asyncio.run(self._listen(signals)):
                        failures = 0
                except SyncRefused as error:
                    is_other = error.code == "bad_answer"
                    least_s = UNSUPPORTED_S if is_other else error.retry_after_s
                except ImportError:  # a proxy may need a package
                    least_s = UNSUPPORTED_S
                except (ThenceError, WebSocketException, OSError, EOFError):
                    pass
                failures += 1
                delay_s = max(least_s, backoff_s(failures, self._uniform))
            except Exception as error:  # boundary: no error of it ends the sync of a long process
                if not has_warned:
                    has_warned = True
                    warn("sync_failed", {"error": repr(error)})
                delay_s = BACKOFF_MAX_S
            signals.stop.wait(delay_s)

    async def _listen(self, signals: _Signals) -> bool:
        """Holds a connection until it ends, or the service; reports whether it lasted.

        It takes hints, and looks at the segment and the target. Others see it by a lock.
        """
        folder = self._log.folder

        def mark() -> tuple[tuple[FileId, int] | None, ...]:
            files = (current_path(folder), sync_folder(folder) / TARGET)
            return tuple(OS_DISK.path_id(str(path)) for path in files)

        target = enabled_target(folder)
        with closing(client_to(target, self._store)) as client:
            token = client.live_token()
        if signals.stop.is_set():
            return False
        query = urlencode({"log": target.log, "kind": target.kind, "token": token})
        is_tls = target.server.startswith("https:")
        with ExitStack() as stack:
            async with _Opening(
                f"ws{target.server.removeprefix('http')}/ws/v1/events/?{query}",
                ssl=trusted_certificates() if is_tls else None,
                proxy=None if is_loopback_server(target.server) else True,
                compression=None,
                user_agent_header="thence",
                open_timeout=OPEN_S,
                close_timeout=_CLOSE_S,
                max_size=FRAME_BYTES_MAX,
                logger=_SILENT,
            ) as connection:
                since_ns = monotonic_ns()
                known = None
                while not signals.stop.is_set():
                    try:
                        async with asyncio.timeout(LOOK_S):
                            frame = await connection.recv()
                        kind = msgspec.json.decode(frame, type=ready(_Frame)).type
                    except ConnectionClosed:
                        break
                    except (TimeoutError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                        kind = ""  # none came, or one of another form
                    if kind == "snapshot":
                        with suppress(ThenceError):  # of another process's connection
                            stack.enter_context(file_lock(sync_folder(folder) / LIVE, LOOK_S))
                        known = mark()
                        signals.connected.set()
                        signals.wake.set()
                    elif kind == "committed":
                        signals.wake.set()
                        await asyncio.sleep(HINT_S)
                    elif known is not None and known != (present := mark()):
                        if present[1] != known[1]:  # another target
                            break
                        known = present
                        signals.wake.set()
        return monotonic_ns() - since_ns >= LASTING_S * 1e9


class _Opening(connect):
    """The opening of a connection; it follows no redirect, whatever it leads to."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Returns what is raised; SyncRefused, `bad_answer`, where no WebSocket is spoken."""
        if isinstance(exc, InvalidMessage) or not isinstance(exc, InvalidHandshake):
            return exc  # it ended before an answer
        status = exc.response.status_code if isinstance(exc, InvalidStatus) else 0
        is_away = status in _LATER or status >= 500
        code = "server_unreachable" if is_away else "bad_answer"
        return SyncRefused("could not open", cause=f"status {status}", code=code)


class _Frame(msgspec.Struct):
    type: str = ""


# in place of the library's own, which would show the token, and tracebacks, in a program's logs
_SILENT = getLogger(f"{__name__}.websockets")
_SILENT.setLevel(CRITICAL + 1)
