"""Whether the tests notice a mutant: each one runs in a fork of a process that has them collected.

pytest collects once; then, in place of its loop over the tests, children are forked, each with
one mutant awake and the tests that bear on it, up to the first that fails. A child that hangs in
a test for much longer than the test takes is killed with all it started: the verdict is a timeout.
"""

import contextlib
import os
import resource
import selectors
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from mutmut.mutation.trampoline import set_mutant_under_test
from tools.mutants.bearing import OPTIONS, SameDraws
from tools.mutants.copy import COPY, import_from

KILLED, SURVIVED, TIMEOUT, NO_TESTS = "killed", "survived", "timeout", "no tests"
MEMORY_BYTES_MAX = 6 * 2**30
FILE_BYTES_MAX = 2**30
POLL_S = 0.02


@dataclass(frozen=True)
class Task:
    """One mutant and the tests that it is put to, with the seconds that each may take."""

    mutant: str
    tests: list[tuple[str, float]]


@dataclass(frozen=True)
class Verdict:
    """What came of a task; the test is the one that failed or hung."""

    task: Task
    outcome: str
    test: str = ""


@dataclass
class Child:
    """A running task: its process, the pipe on which it tells its progress, its present test."""

    task: Task
    pid: int
    told: int
    folder: str
    heard: bytes = b""
    place: int = 0
    deadline_s: float = 0.0


def judge(
    files: list[str], tasks: Iterator[Task], tell: Callable[[Verdict], None], workers: int
) -> None:
    """Put each task's mutant to its tests; the tasks are drawn one by one as a worker is free."""
    import_from(COPY / "src")
    set_mutant_under_test("")
    loop = Loop(tasks, tell, workers)
    out = os.dup(1)
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 1)
    try:
        code = pytest.main([*OPTIONS, "--timeout=0", *files], plugins=[SameDraws(), loop])
    finally:
        os.dup2(out, 1)
    if code != 0 or not loop.is_done:
        raise SystemExit(f"pytest could not collect the tests (exit code {code})")


class Loop:
    """The plugin that stands in place of pytest's own loop."""

    def __init__(
        self, tasks: Iterator[Task], tell: Callable[[Verdict], None], workers: int
    ) -> None:
        self.tasks, self.tell, self.workers = tasks, tell, workers
        self.is_done = False
        self.items: dict[str, pytest.Item] = {}
        self.failed = False

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Fork a child for each task, as many at once as there are workers."""
        self.items = {item.nodeid: item for item in session.items}
        running: list[Child] = []
        with selectors.DefaultSelector() as selector:
            while True:
                while len(running) < self.workers and (task := next(self.tasks, None)):
                    child = self.start(task)
                    running.append(child)
                    selector.register(child.told, selectors.EVENT_READ, child)
                if not running:
                    break
                for key, _ in selector.select(POLL_S):
                    listen(key.data)
                for child in list(running):
                    if (verdict := ended(child)) is not None:
                        running.remove(child)
                        selector.unregister(child.told)
                        clear(child)
                        self.tell(verdict)
        self.is_done = True
        return True

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Notice a failure, in the child."""
        self.failed = self.failed or report.failed

    def start(self, task: Task) -> Child:
        """Fork a child that runs a task."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        folder = tempfile.mkdtemp(prefix="thence-mutant-")
        pid = os.fork()
        if pid == 0:
            os.close(read)
            self.run(task, write, folder)
        os.close(write)
        child = Child(task, pid, read, folder)
        child.deadline_s = time.monotonic() + task.tests[0][1]
        return child

    def run(self, task: Task, told: int, folder: str) -> NoReturn:
        """Run a task's tests up to the first that fails, then end, whatever happens."""
        mine = os.getpid()
        code = 1
        try:
            os.setsid()
            os.environ["TMPDIR"] = tempfile.tempdir = folder
            quiet = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(quiet, stream)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, resource.RLIM_INFINITY))
            set_mutant_under_test(task.mutant)
            # a test whose name changes from run to run is not among them
            items = [self.items.get(test) for test, _ in task.tests]
            for item, next_item in zip(items, [*items[1:], None], strict=True):
                os.write(told, b".")
                if item is None:
                    continue
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)
                if self.failed or os.getpid() != mine:
                    break
            else:
                code = 0
        finally:
            if code == 0 and os.getpid() == mine:
                os.write(told, b"s")
            os._exit(code)


def listen(child: Child) -> None:
    """Hear how far a child is; a new test has its own deadline."""
    with contextlib.suppress(BlockingIOError):
        child.heard += os.read(child.told, 4096)
    place = child.heard.count(b".") - 1
    if place > child.place:
        child.place = place
        child.deadline_s = time.monotonic() + child.task.tests[place][1]


def ended(child: Child) -> Verdict | None:
    """Judge a child that has ended or is late; None is one that may go on."""
    pid, status = os.waitpid(child.pid, os.WNOHANG)
    if pid == 0:
        if time.monotonic() < child.deadline_s:
            return None
        outcome = TIMEOUT
    else:
        listen(child)
        survived = os.waitstatus_to_exitcode(status) == 0 and child.heard.endswith(b"s")
        outcome = SURVIVED if survived else KILLED
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    if pid == 0:
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
    test = "" if outcome == SURVIVED else child.task.tests[child.place][0]
    return Verdict(child.task, outcome, test)


def clear(child: Child) -> None:
    """Take away what a child has left."""
    os.close(child.told)
    for path in Path(child.folder).rglob("*"):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.chmod(0o700)
    shutil.rmtree(child.folder, ignore_errors=True)
