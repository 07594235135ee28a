"""One agent as a process whose children never outlive it, nor the process that started it.

An agent has a session and a process group of its own, no terminal, its prompt on stdin from a file,
stdout and stderr in a file, and no other descriptor. A `supervisor` starts it, and holds the
claim's descriptor until all processes of the agent have ended. It ends them when the agent ends,
when this process says so, and when this process dies. If the supervisor itself is killed, `poll`
ends the agent; if this process is dead too, the next holder of the claim does, by the mark in the
claim.
"""

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal, NamedTuple

from thence.git.git import USER_VARIABLES, own_variables
from thence.work import supervisor
from thence.work.project.project_id import CONFIG

OUTPUT_BYTES_MAX = 64 * 1024 * 1024
GRACE_S = 1.0  # time for the processes that an agent leaves behind to end by themselves
_AFTER_KILL_S = 1.0
_TAIL_BYTES = 16_384
_TAIL_CHARACTERS_MAX = 2_000
_WORDS_CHARACTERS_MAX = 600
_READ_BYTES = 4_096
# control sequences of a terminal
_CONTROLS = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)

# names of the variables that agents and gates are given, and patterns with `*` as in file names:
# what programs need to be found, to find their own files, to use the user's language and to reach
# the network; none is made to hold a secret. A program that searches for a key finds it all the
# same: it runs with the user's rights.
BASE = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "TMPDIR"),
    *("LANG", "LANGUAGE", "LC_*", "XDG_*_HOME"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    *USER_VARIABLES,
)
_OURS = "THENCE_"
_NAMED_MAX = 5
_KEYS = ("*_KEY", "*_TOKEN", "*_SECRET", "*_PASSWORD", "*_CREDENTIALS")

AgentOutcome = Literal[
    "done", "failed", "timed_out", "stalled", "killed", "not_started", "too_much_output"
]


class AgentSpec(NamedTuple):
    """The command of an agent, and its limits.

    `env` are variables on top of our own that `passed_on` lets pass; `passes` are names
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


class AgentRunResult(NamedTuple):
    """The end of a run.

    "done": the agent exited with 0. "failed": with another code, or by a signal that was not
    ours. "killed": it was stopped, or lost its supervisor. "too_much_output": more than
    OUTPUT_BYTES_MAX, of which the first are kept. `code` or `signal` is that of the agent itself;
    both are None with "not_started", and where its supervisor was killed. `tail` are the last lines
    of its output, at most 2,000 printable characters, or the reason that it was not started.
    """

    how: AgentOutcome
    code: int | None
    signal: int | None
    seconds: float
    tail: str


class AgentRun:
    """An agent that was started. Call `poll` until it returns the end.

    An AgentRun that is garbage-collected ends its agent.
    """

    def __init__(self, order: AgentSpec) -> None:
        self._order = order
        self._begun_s = self._moved_s = time.monotonic()
        self._seconds: float | None = None
        self._how: AgentOutcome | None = None
        self._ended: AgentRunResult | None = None
        self._pid = 0
        self._code: int | None = None
        self._has_ended = self._is_ending = False
        self._refusal: str | None = None
        self._lines = b""
        self._progress: object = None
        self._size_bytes = 0
        self._resources = ExitStack()
        try:
            with ExitStack() as resources:
                self._begin(resources)
                self._resources = resources.pop_all()
        except (OSError, ValueError) as error:
            reason = supervisor.reason(error)
            self._ended = AgentRunResult("not_started", None, None, 0.0, reason)

    def poll(self, progress: object = None) -> AgentRunResult | None:
        """Returns the end of the run, None while it lasts; never waits for the agent.

        Ends the run when its time is up. `progress` is any value that changes with each commit.
        Once the end is returned, no process of the agent lives and only `AgentSpec.lease` itself
        holds the claim.
        """
        if self._ended is None:
            self._listen()
            now_s = time.monotonic()
            if not self._is_ending and not self._has_ended and (how := self._why(now_s, progress)):
                self._how = how
                self._end(GRACE_S)
            status = self._supervisor.poll()
            if status is not None:
                self._listen()
                self._collect(status)
        return self._ended

    def stop(self, grace_s: float) -> None:
        """Ends the agent and its children: asks them, and kills them after the grace.

        Returns at once; `poll` returns the end later. A second call with 0 kills them now.
        """
        if self._ended is None and not self._has_ended:
            self._how = self._how or "killed"
            self._end(max(0.0, grace_s))

    def _begin(self, resources: ExitStack) -> None:
        order = self._order
        mark = self._mark = secrets.token_hex(16)
        ours = own_variables()
        variables = {**passed_on(ours, order.passes), "PWD": str(order.folder), **order.env}
        message = supervisor.message(os.fspath(order.folder), order.argv, variables)
        order.output.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._output = os.open(order.output, flags, 0o666)
        resources.callback(os.close, self._output)
        with TemporaryFile(dir=order.output.parent) as prompt:
            prompt.write(order.prompt)
            prompt.seek(0)
            passed = (prompt.fileno(), self._output, order.lease)
            program = os.path.abspath(supervisor.__file__)
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", program, *map(str, passed), mark, f"{GRACE_S:g}"],
                bufsize=0,
                cwd="/",
                # it belongs to no agent itself, not even to one that started us
                env={name: ours[name] for name in ours if name != supervisor.VARIABLE},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=passed,
            )
        orders, told = self._supervisor.stdin, self._supervisor.stdout
        assert orders is not None
        assert told is not None
        self._orders, self._told = orders, told
        for opened in (self._supervisor.wait, orders.close, told.close):
            resources.callback(opened)
        os.set_blocking(told.fileno(), False)
        with suppress(BrokenPipeError):
            while message:
                message = message[orders.write(message) :]

    def _listen(self) -> None:
        """Reads what the supervisor tells."""
        while data := self._told.read(_READ_BYTES):
            self._lines += data
        *lines, self._lines = self._lines.split(b"\n")
        for line in lines:
            what, _, text = line.partition(b" ")
            if what == supervisor.REFUSED:
                self._refusal = text.decode("utf-8", "replace")
            elif what == supervisor.PID:
                self._pid = int(text)
            else:
                self._code, self._seconds = int(text), time.monotonic() - self._begun_s
                self._has_ended = what == supervisor.ENDED

    def _why(self, now_s: float, progress: object) -> AgentOutcome | None:
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
        with suppress(BrokenPipeError):
            self._orders.write(b"%.3f\n" % grace_s)

    def _collect(self, status: int) -> None:
        """Sets the end of the run, once the supervisor has ended."""
        if status:  # it was killed, or could not end all
            supervisor.end(self._pid or None, self._mark, GRACE_S, _AFTER_KILL_S)
        size_bytes = os.fstat(self._output).st_size
        if self._refusal is not None:
            how: AgentOutcome = "not_started"
            tail = f"{self._refusal}: {self._order.argv[0]}"
        else:
            how = self._how or "killed"
            if self._has_ended:
                how = _own_end(self._code or 0, size_bytes)
            begin = max(0, size_bytes - _TAIL_BYTES)
            tail = last_words(os.pread(self._output, _TAIL_BYTES, begin))
        if size_bytes > OUTPUT_BYTES_MAX:
            os.ftruncate(self._output, OUTPUT_BYTES_MAX)
        code = self._code
        exited = code if code is not None and code >= 0 else None
        killed_by = -code if code is not None and code < 0 else None
        seconds = time.monotonic() - self._begun_s if self._seconds is None else self._seconds
        self._ended = AgentRunResult(how, exited, killed_by, seconds, tail)
        self._resources.close()


def start(order: AgentSpec) -> AgentRun:
    """Starts an agent and returns at once.

    Raises nothing if the system refuses: then a later `poll` returns "not_started" with the reason,
    at the latest when the program is not found.
    """
    return AgentRun(order)


def passed_on(variables: Mapping[str, str], names: Sequence[str] = ()) -> dict[str, str]:
    """Returns the variables that an agent or a gate is given.

    `names` are names and patterns beside BASE. No pattern matches thence's own variables, such as
    THENCE_TOKEN: only the whole name does.
    """
    return {name: value for name, value in variables.items() if _is_named(name, BASE, names)}


def hints(program: str, variables: Collection[str], names: Sequence[str] = ()) -> list[str]:
    """Returns a warning on a program that ended at once, if it may lack a key.

    `variables` are the names of ours; the warning names those that look like a key and are not
    passed on.
    """
    keys = sorted(
        name
        for name in variables
        if any(fnmatchcase(name, pattern) for pattern in _KEYS)
        and not name.startswith(_OURS)
        and not _is_named(name, BASE, names)
    )
    if not keys:
        return []
    option = f"is named in {CONFIG}: orchestrate: {{environment: [{keys[0]}]}}"
    listed = ", ".join(keys[:_NAMED_MAX])
    return [f"{program} ended at once, and is not given {listed}; one that it needs {option}"]


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


def words_of(ended: AgentRunResult) -> str:
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


def _own_end(code: int, size_bytes: int) -> AgentOutcome:
    if size_bytes > OUTPUT_BYTES_MAX:
        return "too_much_output"
    return "failed" if code else "done"


def _is_named(name: str, *lists: Sequence[str]) -> bool:
    is_ours = name.startswith(_OURS)
    return any(
        pattern == name or (not is_ours and fnmatchcase(name, pattern))
        for patterns in lists
        for pattern in patterns
    )
