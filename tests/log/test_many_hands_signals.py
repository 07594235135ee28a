"""Signals amid appends: handlers that emit, append or raise, and processes stopped or killed."""

import contextlib
import logging
import os
import random
import signal
import threading
import time

import pytest
from tests.log.faults import WAIT_S
from tests.log.processes import lines, ran, started

import thence
from thence.core.codec import numbers
from thence.core.vocabulary import PLAIN
from thence.errors import LogBusy
from thence.log.files.disk import Disk
from thence.log.open import Log, LogSettings
from thence.log.write.drafting import guarded, warn

pytestmark = pytest.mark.xdist_group("heavy")


class Alarm(Exception):
    """What a handler raises into the code that it interrupts."""


class Alarms:
    """Real alarms, one at a time, each after a random part of the time that an append takes."""

    def __init__(self, handler):
        self.count = 0
        self._handler = handler
        self._is_set = False
        self._seed = random.randrange(2**32)
        self._random = random.Random(self._seed)

    def __enter__(self):
        time.strptime("", "")  # its module is read now, not amid an alarm
        print("seed", self._seed)
        self._before = signal.signal(signal.SIGALRM, self._ring)
        return self

    def __exit__(self, *_):
        self._is_set = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def set(self, within_s=0.001):
        self._is_set = True
        signal.setitimer(signal.ITIMER_REAL, self._random.uniform(0.00001, within_s))

    def unset(self):
        self._is_set = False

    def _ring(self, number, frame):
        if self._is_set:
            self._is_set = False
            self.count += 1
            self._handler()


def judged(folder, acknowledged):
    """Check a log whose events carry n: all acknowledged there, none twice; return the n's."""
    with thence.open(folder) as log:
        assert log.verify().findings == ()
        found = [event.payload["n"] for event in log.read() if "n" in event.payload]
    assert [numbers(line)[1] for line in lines(folder)] == list(range(1, len(lines(folder)) + 1))
    assert len(set(found)) == len(found)
    assert set(acknowledged) <= set(found)
    return found


@pytest.mark.promise("P1")
def test_handlers_that_emit_or_append_thousands_of_times_lose_nothing(tmp_path):
    done, refused, number = [], [], iter(range(1_000_000))

    def handler():
        emitted, appended = next(number), next(number)
        log.emit("emitted", {"n": emitted})
        done.append(emitted)
        if alarms.count % 3:
            return
        try:  # who would wait here would wait for itself, and the test end by its own limit
            log.append("appended", {"n": appended}, timeout_s=100 * WAIT_S)
            done.append(appended)
        except LogBusy as error:
            refused.append(str(error))

    with Log(tmp_path, PLAIN, LogSettings(max_file_size=100_000)) as log, Alarms(handler) as alarms:
        while alarms.count < 2_000:
            alarms.set()
            own = next(number)
            log.append("own", {"n": own}, timeout_s=WAIT_S)
            done.append(own)
            if alarms.count % 8 == 0:
                queued = next(number)
                log.emit("queued", {"n": queued})
                done.append(queued)
    assert 0 < len(refused) < 667
    assert all("signal handler" in text for text in refused)
    assert sorted(judged(tmp_path, done)) == sorted(done)


@pytest.mark.promise("P1")
@pytest.mark.parametrize("others", ["none", "same log", "another opening"])
def test_handlers_that_raise_amid_an_append_strand_nobody(tmp_path, others):
    def handler():
        raise Alarm

    done, number, is_over = [], iter(range(1_000_000)), False
    log = Log(tmp_path, PLAIN, LogSettings(max_file_size=100_000))
    other = log if others == "same log" else thence.open(tmp_path)
    log.emit("first")
    log.flush()  # the thread is at work: Python itself can't bear an alarm amid Thread.start
    theirs = [[] for _ in range(0 if others == "none" else 2)]

    def work(own):
        while not is_over:
            own.append(other.append("other", timeout_s=WAIT_S).seq)

    def many(alarms):
        """Python 3.13 catches no alarm at the end of a turn of a loop that stands within `try`."""
        alarms.set()
        for _ in range(1_000):
            own = next(number)
            log.append("own", {"n": own}, timeout_s=WAIT_S)
            done.append(own)
            if own % 5 == 0:
                log.emit("queued", {"n": next(number)})
                log.flush(WAIT_S)
        alarms.unset()

    threads = [threading.Thread(target=work, args=(own,)) for own in theirs]
    for thread in threads:
        thread.start()
    try:
        with Alarms(handler) as alarms:
            while alarms.count < 700:
                with contextlib.suppress(Alarm):
                    many(alarms)
    finally:
        is_over = True
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    log.append("after", timeout_s=WAIT_S)
    assert log.close()
    assert other.close()
    judged(tmp_path, done)
    seqs = [seq for own in theirs for seq in own]
    assert len(set(seqs)) == len(seqs)


@pytest.mark.promise("W6")
def test_close_that_a_handler_breaks_off_is_closed_again_with_all_there(tmp_path):
    def handler():
        raise Alarm

    emitted = []
    with Alarms(handler) as alarms:
        while alarms.count < 50:
            log = thence.open(tmp_path)
            for _ in range(20):
                emitted.append(len(emitted))
                log.emit("t", {"n": emitted[-1]})
            try:  # no alarm may ring behind it, not even in the end of a `with`
                alarms.set()
                log.close()
                alarms.unset()
            except Alarm:
                alarms.unset()
            assert log.close()
    assert judged(tmp_path, emitted) == emitted


def test_ctrl_c_amid_an_append_leaves_the_log_whole(tmp_path):
    class Interrupting(Disk):
        calls = ("try_lock", "path_id", "write", "file_id", "unlock", "sync_data")
        name = ""

        def interrupt(self, name):
            if self.name == name:
                self.name = ""
                signal.raise_signal(signal.SIGINT)

    def interrupting(name):
        def call(disk, *arguments):
            disk.interrupt(name)
            found = getattr(Disk, name)(disk, *arguments)
            disk.interrupt(f"after {name}")
            return found

        return call

    for name in Interrupting.calls:
        setattr(Interrupting, name, interrupting(name))
    disk, done = Interrupting(), []
    with Log(tmp_path, PLAIN, disk=disk) as log, thence.open(tmp_path) as other:
        for n, name in enumerate(Interrupting.calls * 2):
            done.append(log.append("t", {"n": 3 * n}).payload["n"])
            disk.name = name if n < len(Interrupting.calls) else f"after {name}"
            with contextlib.suppress(KeyboardInterrupt):
                log.append("interrupted", {"n": 3 * n + 1}, timeout_s=WAIT_S)
            disk.name = ""
            done.append(other.append("t", {"n": 3 * n + 2}, timeout_s=0).payload["n"])
    judged(tmp_path, done)


STOPPING = """
import os, signal, sys
from threading import Thread
import thence
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import Disk
from thence.log.open import Log

class Stopping(Disk):
    is_armed = False

    def write(self, descriptor, data):
        if self.is_armed:
            self.is_armed = False
            written = super().write(descriptor, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGSTOP)
            return written
        return super().write(descriptor, data)

disk = Stopping()
log = Log(thence.open(sys.argv[1]).folder, PLAIN, disk=disk)
log.append("before", {"n": 0})
disk.is_armed = True
log.append("stopped", {"n": 1})
log.append("after", {"n": 2})
log.close()
"""


class Knocking(Disk):
    """Says when the lock was refused for the first time."""

    def __init__(self):
        self.refused = threading.Event()

    def try_lock(self, descriptor):
        is_taken = super().try_lock(descriptor)
        if not is_taken:
            self.refused.set()
        return is_taken


@pytest.fixture
def stopped(tmp_path):
    """Start a process that stops itself under the append lock, half a line written."""
    process = started(STOPPING, tmp_path)
    assert os.waitid(os.P_PID, process.pid, os.WSTOPPED).si_status == signal.SIGSTOP
    yield process
    process.kill()
    process.communicate()


@pytest.mark.promise("W9")
def test_process_that_is_stopped_holding_the_lock_is_waited_for_and_named(tmp_path, stopped):
    disk = Knocking()
    with Log(tmp_path, PLAIN, disk=disk) as log, thence.open(tmp_path) as hasty:
        begin = time.monotonic()
        with pytest.raises(LogBusy, match=f"process {stopped.pid} has held the append lock"):
            hasty.append("hasty", timeout_s=0.2)
        assert time.monotonic() - begin >= 0.2
        waiting = [
            threading.Thread(target=log.append, args=("patient", {"n": 3 + n})) for n in range(4)
        ]
        for thread in waiting:
            thread.start()
        assert disk.refused.wait(WAIT_S)
        assert log.emit("queued", {"n": 7})
        assert all(thread.is_alive() for thread in waiting)
        stopped.send_signal(signal.SIGCONT)
        for thread in waiting:
            thread.join(WAIT_S)
        assert stopped.wait(WAIT_S) == 0
        assert hasty.append("hasty", {"n": 8}).payload["n"] == 8
    assert set(judged(tmp_path, range(9))) == set(range(9))


@pytest.mark.promise("W9", "W12")
def test_process_that_is_killed_holding_the_lock_frees_it_and_its_tail_is_moved(tmp_path, stopped):
    disk = Knocking()
    with Log(tmp_path, PLAIN, disk=disk) as log:
        waiting = threading.Thread(target=log.append, args=("patient", {"n": 3}))
        waiting.start()
        assert disk.refused.wait(WAIT_S)
        stopped.kill()
        waiting.join(WAIT_S)
        assert judged(tmp_path, [0, 3]) == [0, 3]
        told = [event.event_type for event in log.read()]
    assert told == ["before", "log.recovered", "patient"]


def test_handler_that_emits_while_the_process_makes_its_first_id_waits_for_nothing(tmp_path):
    code = """
import os, signal, sys, thence
log, urandom = thence.open(sys.argv[1]), os.urandom
def interrupted(size):
    os.urandom = urandom
    signal.raise_signal(signal.SIGUSR1)
    return urandom(size)
signal.signal(signal.SIGUSR1, lambda *_: log.emit("emitted"))
os.urandom = interrupted
log.append("appended")
assert log.close()
"""
    thence.open(tmp_path).close()
    ran(code, tmp_path)
    events = list(thence.open(tmp_path).read())
    assert sorted(event.event_type for event in events) == ["appended", "emitted"]
    assert len({event.event_id for event in events}) == 2


class Ringing:
    """A lock that a signal meets when it is taken."""

    def __init__(self):
        self.lock = threading.RLock()

    def acquire(self):
        self.lock.acquire()
        signal.raise_signal(signal.SIGUSR1)

    def release(self):
        self.lock.release()

    __enter__ = acquire

    def __exit__(self, *_):
        self.release()


class Amid(logging.Handler):
    """A handler of records that a signal meets when it has taken its lock."""

    def __init__(self):
        super().__init__()
        self.records = []

    def createLock(self):
        self.lock = Ringing()

    def emit(self, record):
        self.records.append(record)


@pytest.mark.promise("P1")
@pytest.mark.parametrize("tell", [warn, guarded(warn)])
def test_record_that_a_raising_signal_handler_breaks_into_keeps_no_later_one_waiting(tell):
    def ring(*_):
        raise KeyboardInterrupt

    def interrupted():
        tell("torn", {"n": 1})
        time.sleep(WAIT_S)  # at the latest here the handler is called

    before = signal.signal(signal.SIGUSR1, ring)
    amid, logger = Amid(), logging.getLogger("thence")
    logger.addHandler(amid)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        later = threading.Thread(target=tell, args=("torn", {"n": 2}), daemon=True)
        later.start()
        later.join(WAIT_S)
        assert not later.is_alive()
    finally:
        logger.removeHandler(amid)
        signal.signal(signal.SIGUSR1, before)
    assert sorted(record.getMessage() for record in amid.records) == ["torn (n 1)", "torn (n 2)"]


def test_record_waits_only_a_second_for_a_lock_that_who_tells_it_holds(monkeypatch):
    amid = Amid()
    logger = logging.getLogger("thence")
    monkeypatch.setattr(signal, "raise_signal", lambda _: None)
    logger.addHandler(amid)
    try:
        with amid.lock:
            warn("torn", {"n": 1})
            assert not amid.records
        until_s = time.monotonic() + WAIT_S
        while not amid.records:
            assert time.monotonic() < until_s
            time.sleep(0.001)
    finally:
        logger.removeHandler(amid)
