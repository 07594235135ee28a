"""One agent as a process, and what it leaves behind.

An agent has a session and a process group of its own, no terminal, its prompt on stdin from a file,
stdout and stderr in a file, and the claim's descriptor, so that it holds the claim even if this
process is killed. When it has ended, or is to end, its group is asked to end, because a killed git
leaves its locks behind, and is killed after a grace. A process that has left the group goes on; it
loses the claim when that is dropped.
"""

import math
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal, NamedTuple

from thence.git.git import own_variables
from thence.work.session.lane_changes import RUN_VARIABLE

OUTPUT_BYTES_MAX = 64 * 1024 * 1024
GRACE_S = 1.0  # time for the processes that an agent leaves behind to end by themselves
_AFTER_KILL_S = 1.0
_TAIL_BYTES = 16_384
_TAIL_CHARACTERS_MAX = 2_000
_WORDS_CHARACTERS_MAX = 600
# control sequences of a terminal
_CONTROLS = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\r\n]*(?:\x07|\x1b\\)|[ -/]*[0-~])"
)

AgentOutcome = Literal[
    "done", "failed", "timed_out", "stalled", "killed", "not_started", "too_much_output"
]


class AgentSpec(NamedTuple):
    """The command of an agent, and its limits.

    `env` are variables on top of our own. `output` is truncated. `stall_s` is the longest time
    without output and progress. `lease` is a descriptor that the agent inherits.
    """

    argv: tuple[str, ...]
    folder: Path
    env: Mapping[str, str]
    prompt: bytes
    output: Path
    timeout_s: float
    stall_s: float
    lease: int


class AgentRunResult(NamedTuple):
    """The end of a run.

    "done": the agent exited with 0. "failed": with another code, or by a signal that was not
    ours. "killed": it was stopped. "too_much_output": more than OUTPUT_BYTES_MAX, of which the
    first are kept. `code` or `signal` is that of the agent itself; both are None with
    "not_started". `tail` are the last lines of its output, at most 2,000 printable characters, or
    the reason that it was not started.
    """

    how: AgentOutcome
    code: int | None
    signal: int | None
    seconds: float
    tail: str


class AgentRun:
    """An agent that was started. Call `poll` until it returns the end.

    `pid` is its process and its process group, None if it was not started.
    """

    def __init__(self, order: AgentSpec) -> None:
        self._order = order
        self._begun_s = self._moved_s = time.monotonic()
        self._seconds: float | None = None
        self._kill_s = math.inf
        self._how: AgentOutcome | None = None
        self._ended: AgentRunResult | None = None
        self._seen: tuple[int, object] = (0, None)
        self.pid: int | None = None
        variables = {
            **own_variables(),
            "PWD": str(order.folder),
            **order.env,
            RUN_VARIABLE: "1",
        }
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        try:
            with ExitStack() as resources:
                order.output.parent.mkdir(parents=True, exist_ok=True)
                self._output = os.open(order.output, flags, 0o666)
                resources.callback(os.close, self._output)
                with TemporaryFile(dir=order.output.parent) as prompt:
                    prompt.write(order.prompt)
                    prompt.seek(0)
                    self._process = subprocess.Popen(
                        order.argv,
                        cwd=order.folder,
                        env=variables,
                        stdin=prompt,
                        stdout=self._output,
                        stderr=self._output,
                        start_new_session=True,
                        pass_fds=(order.lease,),
                    )
                self.pid = self._process.pid
                self._resources = resources.pop_all()
        except (OSError, ValueError) as error:
            reason = str(error)
            if isinstance(error, OSError) and error.strerror:
                name = error.filename or order.argv[0]
                reason = f"{error.strerror}: {os.fsdecode(name)}"
            self._ended = AgentRunResult("not_started", None, None, 0.0, reason)

    def poll(self, progress: object = None) -> AgentRunResult | None:
        """Returns the end of the run, None while it lasts; never waits for the agent.

        Ends the run when its time is up. `progress` is any value that changes with each commit.
        Once the end is returned, no process of the agent's group lives.
        """
        if self._ended is not None:
            return self._ended
        now_s, code = time.monotonic(), self._process.poll()
        size_bytes = os.fstat(self._output).st_size
        if (size_bytes, progress) != self._seen:
            self._seen, self._moved_s = (size_bytes, progress), now_s
        how: AgentOutcome | None = None
        if size_bytes > OUTPUT_BYTES_MAX:
            how = "too_much_output"
        elif code is None and now_s - self._begun_s >= self._order.timeout_s:
            how = "timed_out"
        elif code is None and now_s - self._moved_s >= self._order.stall_s:
            how = "stalled"
        self._how = self._how or how
        if code is not None and self._seconds is None:
            self._seconds = now_s - self._begun_s
            self._end(GRACE_S)  # what it has left behind
        elif how and self._kill_s == math.inf:
            self._end(GRACE_S)
        if now_s >= self._kill_s:
            self._signal(signal.SIGKILL)
        # where nobody waits for the dead they count as alive
        if code is not None and (not self._signal(0) or now_s > self._kill_s + _AFTER_KILL_S):
            tail_begin = max(0, size_bytes - _TAIL_BYTES)
            tail = last_words(os.pread(self._output, _TAIL_BYTES, tail_begin))
            if size_bytes > OUTPUT_BYTES_MAX:
                os.ftruncate(self._output, OUTPUT_BYTES_MAX)
            self._ended = AgentRunResult(
                self._how or ("failed" if code else "done"),
                code if code >= 0 else None,
                -code if code < 0 else None,
                self._seconds or 0.0,
                tail,
            )
            self._resources.close()
        return self._ended

    def stop(self, grace_s: float) -> None:
        """Ends the agent and its group: asks them, and kills them after the grace.

        Returns at once; `poll` returns the end later. A second call with 0 kills them now.
        """
        if self._ended is None and self._process.poll() is None:
            self._how = self._how or "killed"
            self._end(grace_s)

    def _end(self, grace_s: float) -> None:
        """Asks the group to end, unless it was asked, and sets the time to kill it."""
        if self._kill_s == math.inf:
            self._signal(signal.SIGTERM)
        self._kill_s = min(self._kill_s, time.monotonic() + grace_s)

    def _signal(self, number: int) -> bool:
        """Sends a signal to the group; returns False if nobody of it is left."""
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # on macOS of a group of dead processes
            return False
        return True


def plain_text(output: bytes) -> str:
    """Returns an output as text, without the control sequences of a terminal."""
    return _CONTROLS.sub("", output.decode("utf-8", "replace"))


def on_one_line(text: str) -> str:
    """Returns a text with a space for each character that is not printable."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def last_words(output: bytes) -> str:
    """Returns the last lines of an output, at most 2,000 characters, all of them printable.

    A line that was overwritten is kept in its last state; colours are removed.
    """
    text = plain_text(output).replace("\r\n", "\n")
    lines = (line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n"))
    bare = "\n".join(map(on_one_line, lines)).strip("\n")
    if len(bare) <= _TAIL_CHARACTERS_MAX:
        return bare
    short = bare[-_TAIL_CHARACTERS_MAX:]
    return short.partition("\n")[2] or short


def words_of(ended: AgentRunResult) -> str:
    """Returns the end of a process as text, with its last output."""
    by_itself = f"it ended with exit code {ended.code}"
    how = {
        "failed": by_itself if ended.code is not None else f"it died of signal {ended.signal}",
        "killed": f"it was killed by signal {ended.signal}",
        "timed_out": f"it took longer than {int(ended.seconds)} s",
        "stalled": "it printed and committed nothing for too long",
        "not_started": "it could not be started",
        "too_much_output": "it printed too much",
    }.get(ended.how, ended.how)
    tail = " ".join(ended.tail.split())[-_WORDS_CHARACTERS_MAX:]
    return f"{how}: {tail}" if tail else how
