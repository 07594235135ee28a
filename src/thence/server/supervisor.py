"""Several processes that answer on one socket: another takes the place of each that dies.

They are forked before anything heavy is imported and before a database is open. One whose parent
has died ends as if it had a signal: it waits for the end of a pipe that only the parent writes to.
"""

import os
import signal
import time
from collections.abc import Callable
from threading import Thread
from types import FrameType

from thence.errors import ThenceError

PROCESSES_MAX = 64
# a process that ends so soon after it began waits before the next one, and so many give up
_SOON_S = 2.0
_SOON_MAX = 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Supervisor:
    """The processes of one server; each calls `serve` with its number, from 1, and ends with it.

    `serve` returns an exit code. `tell` is called with a sentence for each process that is followed
    by another.
    """

    def __init__(self, serve: Callable[[int], int], tell: Callable[[str], None]) -> None:
        self._serve = serve
        self._tell = tell
        self._numbers: dict[int, int] = {}
        self._begun_s: dict[int, float] = {}
        self._ends = self._is_interrupted = False
        self._end_of_parent, self._held_by_parent = os.pipe()

    def run(self, count: int) -> None:
        """Returns once all processes have ended after SIGTERM, which is handed on to them.

        Raises KeyboardInterrupt at that time after SIGINT, and ThenceError when one process after
        another ends as soon as it has begun.
        """
        handlers = {number: signal.signal(number, self._hand_on) for number in _SIGNALS}
        try:
            for number in range(1, count + 1):
                self._begin(number)
            self._follow_all()
        finally:
            self._hand_on()
            while self._numbers:
                self._reaped()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if self._is_interrupted:
            raise KeyboardInterrupt

    def _follow_all(self) -> None:
        """Begins another process for each that ends, until a signal came."""
        soon = 0
        while self._numbers:
            number, code, lived_s = self._reaped()
            if self._ends:
                continue
            soon = soon + 1 if lived_s < _SOON_S else 0
            if soon > _SOON_MAX:
                raise ThenceError(
                    "could not keep the processes of the server",
                    cause=f"{soon} of them ended as soon as they began, the last with {code}",
                    hint="read what they said above; try one alone, without --workers",
                )
            self._tell(f"process {number} of the server ended with {code}; another follows it")
            if soon:
                time.sleep(_SOON_S / _SOON_MAX)
            if not self._ends:
                self._begin(number)

    def _begin(self, number: int) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        process_id = os.fork()
        if not process_id:
            self._be(number)
        self._numbers[process_id] = number
        self._begun_s[process_id] = time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if self._ends:  # the signal came meanwhile
            self._hand_on()

    def _be(self, number: int) -> None:
        """Serves in a new process, and ends it."""
        code = 1
        try:
            os.close(self._held_by_parent)
            Thread(target=self._end_with_parent, name="thence-parent", daemon=True).start()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, _exit)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            code = self._serve(number)
        finally:
            os._exit(code)

    def _end_with_parent(self) -> None:
        os.read(self._end_of_parent, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _hand_on(self, number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        self._ends = True
        self._is_interrupted |= number == signal.SIGINT
        for process_id in tuple(self._numbers):
            os.kill(process_id, signal.SIGTERM)

    def _reaped(self) -> tuple[int, int, float]:
        """Returns the number of a process that has ended, its exit code, and how long it lived."""
        process_id, status = os.wait()
        lived_s = time.monotonic() - self._begun_s.pop(process_id)
        return self._numbers.pop(process_id), os.waitstatus_to_exitcode(status), lived_s


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
