"""One agent as a process whose children never outlive it, nor the process that started it.

An agent has a session and a process group of its own, no terminal, its prompt on stdin from a file,
stdout and stderr in a file, and no other descriptor. A watchdog also holds the descriptor of the
claim. The watchdog is a shell that waits for a pipe whose other end only this process holds. When
the pipe is closed, by this process or by its death, the watchdog runs `process_ending`: all
processes of the agent are asked to end, then killed, and only then does the watchdog release the
claim. `launching` holds the agent back until the watchdog knows its process id. A killed watchdog
gets a successor; if this process is dead too, the next holder of the claim ends the agent, by the
mark in the claim.
"""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Literal, NamedTuple

from thence.work import process_ending
from thence.work.journal import claims
from thence.work.orchestrate import launching
from thence.work.orchestrate.environment import passed_on
from thence.work.vcs.git import own_variables

OUTPUT_BYTES_MAX = 64 * 1024 * 1024
GRACE_S = 1.0  # time for the processes that an agent leaves behind to end by themselves
_TAIL_BYTES = 16_384
_TAIL_CHARACTERS_MAX = 2_000
_WORDS_CHARACTERS_MAX = 600
_ANSWER_BYTES_MAX = 4_096
_SUCCESSORS_MAX = 3
_SHELL = "/bin/sh"
# control sequences of a terminal
_CONTROLS = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)
# $0 is a Python, $1 the program that ends an agent, $2 the agent's mark
_WATCHDOG = f"""\
trap '' HUP INT TERM
IFS= read -r group || exit 0
IFS= read -r grace || grace={GRACE_S:g}
trap 'kill -s KILL -- "-$group"' EXIT
"$0" -I -S "$1" "$group" "$2" "$grace" && trap - EXIT
"""

How = Literal["done", "failed", "timed_out", "stalled", "killed", "not_started", "too_much_output"]


class AgentCommand(NamedTuple):
    """The command of an agent, and its limits.

    `env` are variables on top of our own that `environment.passed_on` lets pass; `passes` are names
    that it lets pass beside its list. `output` is truncated. `stall_s` is the longest time without
    output and progress. `lease` is a descriptor that is held open until all processes of the agent
    have ended.
    """

    argv: tuple[str, ...]
    folder: Path
    env: Mapping[str, str]
    prompt: bytes
    output: Path
    timeout_s: float
    stall_s: float
    lease: int
    passes: tuple[str, ...] = ()


class Ended(NamedTuple):
    """The end of a run.

    "done": the agent exited with 0. "failed": with another code, or by a signal that was not
    ours. "killed": it was stopped, or lost its watchdog. "too_much_output": more than
    OUTPUT_BYTES_MAX, of which the first are kept. `code` or `signal` is that of the agent itself;
    both are None with "not_started". `tail` are the last lines of its output, at most 2,000
    printable characters, or the reason that it was not started.
    """

    how: How
    code: int | None
    signal: int | None
    seconds: float
    tail: str


class Run:
    """An agent that was started. Call `poll` until it returns the end.

    A Run that is garbage-collected ends its agent.
    """

    def __init__(self, order: AgentCommand) -> None:
        self._order = order
        self._begun_s = self._moved_s = time.monotonic()
        self._seconds: float | None = None
        self._how: How | None = None
        self._ended: Ended | None = None
        self._is_ending = False
        self._successors = 0
        self._progress: object = None
        self._size_bytes = 0
        self._held = ExitStack()
        try:
            with ExitStack() as begun:
                self._begin(begun)
                self._held = begun.pop_all()
        except (OSError, ValueError) as error:
            self._ended = Ended("not_started", None, None, 0.0, _reason(error))

    @property
    def pid(self) -> int:
        """The id of the agent and of its process group; 0 if it could not be started."""
        return 0 if self._ended and self._ended.how == "not_started" else self._agent.pid

    def poll(self, progress: object = None) -> Ended | None:
        """Returns the end of the run, None while it lasts; never waits.

        Ends the run when its time is up. `progress` is any value that changes with each commit.
        Once the end is returned, no process of the agent lives and only `AgentCommand.lease` itself
        holds the claim.
        """
        if self._ended is None:
            code = self._agent.poll()
            now_s = time.monotonic()
            if code is not None and self._seconds is None:
                self._seconds = now_s - self._begun_s
            if not self._is_ending:
                self._how = self._why(now_s, progress) if code is None else None
                if code is not None or self._how:
                    self._end(GRACE_S)
            if self._watchdog.poll() and self._successors < _SUCCESSORS_MAX:
                self._succeed()
            if self._watchdog.poll() is not None:
                self._collect(code)
        return self._ended

    def stop(self, grace_s: float) -> None:
        """Ends the agent and its children: asks them, and kills them after the grace.

        Returns at once; `poll` returns the end later. A second call with 0 kills them now.
        """
        if self._ended is not None or self._agent.poll() is not None:
            return
        if not self._is_ending:
            self._how = "killed"
            self._end(grace_s)
        elif grace_s <= 0:
            self._kill()

    def _begin(self, begun: ExitStack) -> None:
        order = self._order
        mark = self._mark = secrets.token_hex(16)
        ours = passed_on(own_variables(), order.passes)
        variables = {**ours, "PWD": str(order.folder), **order.env}
        order_bytes = launching.message(order.argv, {**variables, process_ending.VARIABLE: mark})
        order.output.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._output = os.open(order.output, flags, 0o666)
        begun.callback(os.close, self._output)
        with ExitStack() as passing:
            prompt = passing.enter_context(TemporaryFile(dir=order.output.parent))
            prompt.write(order.prompt)
            prompt.seek(0)
            asked, asking = _pipe(passing, passing)
            self._answer, answering = _pipe(begun, passing)
            self._lease = os.dup(order.lease)
            begun.callback(os.close, self._lease)
            self._watchdog = _watchdog(mark, self._lease)
            begun.callback(self._watchdog.wait)
            assert self._watchdog.stdin is not None
            begun.callback(self._watchdog.stdin.close)
            claims.mark(self._lease, mark)
            self._agent = _start_held(order, prompt, self._output, asked, answering)
            # the watchdog gets the process id before the agent is started
            self._watchdog.stdin.write(b"%d\n" % self._agent.pid)
            with suppress(BrokenPipeError), os.fdopen(asking, "wb", closefd=False) as pipe:
                pipe.write(order_bytes)

    def _why(self, now_s: float, progress: object) -> How | None:
        """Returns the reason to end a running agent, None if it may go on."""
        size_bytes = os.fstat(self._output).st_size
        if size_bytes > OUTPUT_BYTES_MAX:
            return "too_much_output"
        if size_bytes != self._size_bytes or progress != self._progress:
            self._size_bytes, self._progress, self._moved_s = size_bytes, progress, now_s
        if now_s - self._begun_s >= self._order.timeout_s:
            return "timed_out"
        return "stalled" if now_s - self._moved_s >= self._order.stall_s else None

    def _end(self, grace_s: float) -> None:
        self._is_ending = True
        assert self._watchdog.stdin is not None
        with suppress(BrokenPipeError):
            self._watchdog.stdin.write(b"%.3f\n" % max(0.0, grace_s))
        self._watchdog.stdin.close()

    def _succeed(self) -> None:
        """Starts another watchdog after one that was killed; it ends the agent."""
        self._successors += 1
        self._is_ending = True
        if self._seconds is None:
            self._how = self._how or "killed"
        try:
            self._watchdog = _watchdog(self._mark, self._lease)
        except OSError:
            return
        self._held.callback(self._watchdog.wait)
        assert self._watchdog.stdin is not None
        with self._watchdog.stdin as pipe, suppress(BrokenPipeError):
            pipe.write(b"%d\n%.3f\n" % (self._agent.pid, GRACE_S))

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._agent.pid, signal.SIGKILL)

    def _collect(self, code: int | None) -> None:
        """Sets the end of the run, once the watchdog and the agent have ended."""
        if self._watchdog.returncode:
            self._kill()
        else:
            claims.unmark(self._lease)
        if code is None:
            return
        refused = os.read(self._answer, _ANSWER_BYTES_MAX)
        size_bytes = os.fstat(self._output).st_size
        how = "not_started" if refused else self._how or _own_end(code, size_bytes)
        if refused:
            tail = f"{refused.decode('utf-8', 'replace')}: {self._order.argv[0]}"
        else:
            begin = max(0, size_bytes - _TAIL_BYTES)
            tail = last_words(os.pread(self._output, _TAIL_BYTES, begin))
        if size_bytes > OUTPUT_BYTES_MAX:
            os.ftruncate(self._output, OUTPUT_BYTES_MAX)
        exited = code if code >= 0 and not refused else None
        self._ended = Ended(how, exited, -code if code < 0 else None, self._seconds or 0.0, tail)
        self._held.close()


def start(order: AgentCommand) -> Run:
    """Starts an agent and returns at once.

    Raises nothing if the system refuses: then a later `poll` returns "not_started" with the reason,
    at the latest when the program is not found.
    """
    return Run(order)


def last_words(output: bytes) -> str:
    """Returns the last lines of an output, at most 2,000 characters, all of them printable.

    A line that was overwritten is kept in its last state; colours are removed.
    """
    text = _CONTROLS.sub("", output.decode("utf-8", "replace").replace("\r\n", "\n"))
    lines = (line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n"))
    bare = "\n".join(
        "".join(sign if sign.isprintable() else " " for sign in line) for line in lines
    ).strip("\n")
    if len(bare) <= _TAIL_CHARACTERS_MAX:
        return bare
    short = bare[-_TAIL_CHARACTERS_MAX:]
    return short.partition("\n")[2] or short


def words_of(ended: Ended) -> str:
    """Returns the end of a process as text, with its last output."""
    by_itself = f"it ended with exit code {ended.code}"
    how = {
        "failed": by_itself if ended.code is not None else f"it died of signal {ended.signal}",
        "killed": f"it was killed by signal {ended.signal}",
        "timed_out": f"it took longer than {ended.seconds:.0f} s",
        "stalled": "it printed and committed nothing for too long",
        "not_started": "it could not be started",
        "too_much_output": "it printed too much",
    }.get(ended.how, ended.how)
    tail = " ".join(ended.tail.split())[-_WORDS_CHARACTERS_MAX:]
    return f"{how}: {tail}" if tail else how


def _own_end(code: int, size_bytes: int) -> How:
    if size_bytes > OUTPUT_BYTES_MAX:
        return "too_much_output"
    return "failed" if code else "done"


def _watchdog(mark: str, lease: int) -> "subprocess.Popen[bytes]":
    """Starts a watchdog, which belongs to no agent itself, not even to one that started us."""
    variables = {
        name: value for name, value in own_variables().items() if name != process_ending.VARIABLE
    }
    return subprocess.Popen(
        [_SHELL, "-c", _WATCHDOG, sys.executable, os.path.abspath(process_ending.__file__), mark],
        bufsize=0,
        cwd="/",
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=(lease,),
    )


def _start_held(
    order: AgentCommand, prompt: IO[bytes], output: int, asked: int, answering: int
) -> "subprocess.Popen[bytes]":
    """Starts the program that becomes the agent when it gets its message."""
    program = os.path.abspath(launching.__file__)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", program, str(asked), str(answering)],
        cwd=order.folder,
        stdin=prompt,
        stdout=output,
        stderr=output,
        start_new_session=True,
        pass_fds=(asked, answering),
    )


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for stack, descriptor in zip((reading, writing), ends, strict=True):
        stack.callback(os.close, descriptor)
    return ends


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
