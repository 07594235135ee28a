"""The background sync of an open log: a round every five minutes, and at once by a live connection.

Nothing waits for it. After a failure it tries again, the longer the more failures there are in a
row; when the login has ended it warns once and waits for a new one. Over all processes one round of
a log runs at a time.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from threading import Event as Signal
from threading import Lock, Thread, current_thread

from thence.errors import NotLoggedIn, SyncRefused, ThenceError, WriterClosed
from thence.files import file_lock
from thence.log.files.disk import monotonic_ns
from thence.log.open import Log, warn
from thence.sync.credentials import CredentialStore
from thence.sync.engine import SyncEngine
from thence.sync.live import BACKOFF_MAX_S, LiveConnection, Random, ServiceSignals, backoff_s
from thence.sync.rounds import EngineFactory, run_round
from thence.sync.target import RESTORED, SyncReport, enabled_target, presence_path, recorded

INTERVAL_S = 300.0
STOP_S = 1.5
_LOOK_S = 1.0

Wait = Callable[[Signal, float], bool]


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
        engine: EngineFactory = SyncEngine,
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
        self._signals = ServiceSignals()
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
        """Starts the thread; a service that runs already stays as it is."""
        with self._mutex:
            if self.state != "stopped" and not self._signals.stop.is_set():
                return
            self._signals = signals = ServiceSignals()
            self._state = "waiting"
            live = LiveConnection(self._log, self._store, signals, self._uniform)
            self._threads = [
                Thread(target=self._run, args=(signals,), name="thence-sync", daemon=True),
                Thread(target=live.run, name="thence-sync-live", daemon=True),
            ]
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        """Ends the thread and returns within 2 s, whatever the network does; again does nothing.

        A request that is under way is left behind, and its round goes no further.
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

    def _run(self, signals: ServiceSignals) -> None:
        stop = signals.stop
        presence: FileIO | None = None
        failures = 0
        try:
            while signals.begin_round():
                with suppress(ThenceError):  # a folder that can't be written: rounds report it
                    presence = presence or file_lock(presence_path(self._log.folder))
                self._state = "syncing"
                report = self._round(stop)
                if report is not None and isinstance(report.error, WriterClosed):
                    return
                if report is not None and not stop.is_set():
                    failures = failures + 1 if report.needs_retry else 0
                    self._has_warned = self._has_warned and report.error is not None
                    if report.is_restored:
                        warn("log_restored", {"log": str(self._log.folder), "next": RESTORED})
                try:
                    self._pause(report, failures, signals)
                except Exception as error:  # boundary: no error ends the sync of a long process
                    warn("sync_failed", {"error": repr(error)})
                    stop.wait(BACKOFF_MAX_S)
        finally:
            signals.end()
            if presence is not None:
                presence.close()

    def _round(self, stop: Signal) -> SyncReport | None:
        """Runs a round; None in another process's turn, which is no failure."""
        try:
            report = run_round(
                self._log,
                self._store,
                engine=self._engine,
                wait=lambda seconds: self._wait(stop, seconds),
            )
        except Exception as cause:  # boundary: no error of a round ends the sync of a long process
            warn("sync_failed", {"error": repr(cause)})
            place, text = self._log.folder, repr(cause)
            error = SyncRefused("could not sync", place=place, cause=text, code="sync_error")
            report = recorded(self._log.folder, SyncReport(error=error), is_background=True)
        self._last = report or self._last
        return report

    def _pause(self, report: SyncReport | None, failures: int, signals: ServiceSignals) -> None:
        """Waits for the next round."""
        if report is None:
            self._state = "other process"
            self._wait(signals.stop, _LOOK_S)
        elif isinstance(report.error, NotLoggedIn):
            self._wait_for_login(report.error, signals.stop)
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

    def _wait_for_login(self, error: NotLoggedIn, stop: Signal) -> None:
        """Warns once, and waits until there is a login that has not ended."""
        self._state = "logged out"
        if not self._has_warned:
            self._has_warned = True
            warn("logged_out", {"error": str(error), "next": error.hint})
        if self._has_login():  # it looks good here, and the server refuses it all the same
            self._wait(stop, BACKOFF_MAX_S)
        while not self._has_login() and not self._wait(stop, _LOOK_S):
            continue

    def _has_login(self) -> bool:
        try:
            target = enabled_target(self._log.folder)
            return not self._store.login(target.server, target.user).has_ended
        except SyncRefused:
            return False
