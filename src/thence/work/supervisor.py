"""The supervisor of one agent: starts it, waits for its end, ends all that it has started.

`agent_process` starts this program by its path, with `-I -S`. Its stdin brings the agent's command,
then the time that its processes have to end, when they are to be ended; its stdout tells the
agent's process id, its end, or why it was not started. When stdin is closed, as by the death of the
process at its other end, the agent is ended too. The supervisor holds the claim of the package, and
drops it by its own end: by then no process of the agent lives.

An agent's processes are its process group, its session, and every process whose variables or
arguments hold the mark of its run: those that have gone into a session of their own. They are asked
to end first, because a killed git leaves its locks behind. A process that has left the group and
has given up its variables is not seen. A process of another user can't be ended. If a supervisor
itself is killed, the process that started it ends the agent; without that one the next holder of
the claim does, by the mark in the claim.
"""

import os
import select
import signal
import stat
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress

VARIABLE = "THENCE_RUN"
PID, REFUSED, ENDED, STOPPED = b"pid", b"refused", b"ended", b"stopped"

_AFTER_KILL_S = 10.0
_PAUSE_MIN_S = 0.005
_PAUSE_MAX_S = 0.1
_HEADER_BYTES = 8
_READ_BYTES = 65_536
_PROC = "/proc"
# list each process with its variables; the second is the form of macOS
PS = ("ps", "axeww", "-o", "pid=,pgid=,stat=,command=")
_PS_MACOS = ("ps", "-axEww", "-o", "pid=,pgid=,stat=,command=")
_PS_S_MAX = 10.0


def message(folder: str, argv: Sequence[str], variables: Mapping[str, str]) -> bytes:
    """Returns the message with an agent's folder and command, with its size before it.

    Raises ValueError for arguments or variables that no program can be given.
    """
    if not argv or any("=" in name or not name for name in variables):
        raise ValueError("no program, or a variable without a proper name")
    words = [folder, *argv, *(f"{name}={value}" for name, value in variables.items())]
    if any("\0" in word for word in words):
        raise ValueError("embedded null byte")
    text = b"\0".join(map(os.fsencode, (str(len(argv)), *words)))
    return len(text).to_bytes(_HEADER_BYTES) + text


def end(
    group: int | None,
    mark: str,
    grace_s: float,
    after_kill_s: float | None = None,
    wait: Callable[[float], float | None] = time.sleep,
) -> bool:
    """Ends all processes of an agent; returns False if a process lives on though it was killed.

    Without a group only processes with the mark are ended: the system reuses a group's id. `wait`
    waits that many seconds at most, and may return another grace, which begins then.
    """
    until_s = time.monotonic() + grace_s
    after_kill_s = _AFTER_KILL_S if after_kill_s is None else after_kill_s
    told: set[int] = set()
    pause_s = _PAUSE_MIN_S
    empty = 0
    while empty < 2:  # the second listing finds a process that was just being started
        living = members(group, mark)
        empty = 0 if living else empty + 1
        over_s = time.monotonic() - until_s
        if over_s > after_kill_s:
            return False
        if living and over_s >= 0:
            _send({*living, *([-group] if group else [])}, signal.SIGKILL)
        elif living - told:
            _send(living - told, signal.SIGTERM)
            told |= living
        if living:
            grace = wait(pause_s)
            until_s = until_s if grace is None else min(until_s, time.monotonic() + grace)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)
    return True


def members(group: int | None, mark: str) -> set[int]:
    """Returns the processes of an agent; dead processes and the calling one do not count.

    A supervisor that is killed while it starts the agent leaves a child that has not become the
    agent yet: that one still has the supervisor's arguments, with the mark. Where the system can't
    list processes the result is the group alone, as a number below 0.
    """
    words = {mark.encode(), f"{VARIABLE}={mark}".encode()}
    try:
        if os.path.exists(f"{_PROC}/self/environ"):
            return by_proc(group, words) - {os.getpid()}
        ps = _PS_MACOS if sys.platform == "darwin" else PS
        return by_ps(group, words, ps) - {os.getpid()}
    except OSError:  # a system that only reports whether there is such a group
        with suppress(ProcessLookupError, PermissionError):
            if group:
                os.killpg(group, 0)
                return {-group}
        return set()


def by_proc(group: int | None, words: AbstractSet[bytes]) -> set[int]:
    """Returns the processes of a group, of its session, or with a word, by Linux's /proc.

    A word is an argument or a variable.
    """
    processes = set()
    for name in os.listdir(_PROC):
        if not name.isdigit():
            continue
        try:
            state, _, *ids = _read(f"{_PROC}/{name}/stat").rpartition(b")")[2].split()[:4]
            if state in (b"Z", b"X"):
                continue
            if (group and b"%d" % group in ids) or any(
                not words.isdisjoint(_read(f"{_PROC}/{name}/{file}").split(b"\0"))
                for file in ("environ", "cmdline")
            ):
                processes.add(int(name))
        except (OSError, ValueError):  # it has ended meanwhile, or is another user's
            continue
    return processes


def by_ps(group: int | None, words: AbstractSet[bytes], argv: tuple[str, ...]) -> set[int]:
    """Returns the processes of a group or with a word, by a `ps` that shows variables too.

    Raises OSError if there is none.
    """
    import subprocess

    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PS_S_MAX, check=True
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"{argv[0]} could not list the processes") from error
    processes = set()
    for line in done.stdout.splitlines():
        pid, pgid, state, *all_words = line.split()
        if not state.startswith(b"Z") and (int(pgid) == group or not words.isdisjoint(all_words)):
            processes.add(int(pid))
    return processes


def supervise(prompt: int, output: int, lease: int, mark: str, grace_s: float) -> bool:
    """Runs an agent whose command stdin brings; returns False if a process of it lives on."""
    import subprocess

    for descriptor in (prompt, output, lease):
        os.set_inheritable(descriptor, False)
    awake, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    # a function is not inherited by a program, as SIG_IGN would be
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    text = _received(int.from_bytes(_received(_HEADER_BYTES)))
    if not text:  # the starting process died before the message was complete
        return True
    count, folder, *words = text.split(b"\0")
    argv, received = words[: int(count)], words[int(count) :]
    variables = dict(variable.split(b"=", 1) for variable in received)
    try:
        _mark(lease, mark)
        agent = subprocess.Popen(
            argv,
            cwd=folder,
            env={**variables, VARIABLE.encode(): mark.encode()},
            stdin=prompt,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        _mark(lease, "")
        _tell(REFUSED, reason(error))
        return True
    _tell(PID, str(agent.pid))
    orders = _Orders(grace_s)
    grace = None
    while agent.poll() is None and grace is None:
        grace = orders.wait(None, awake)
    code = agent.poll()
    if code is not None:
        _tell(ENDED, str(code))

    def wait(seconds: float) -> float | None:
        agent.poll()  # where nothing lists processes a dead one counts until it was waited for
        return orders.wait(seconds, awake)

    is_over = end(agent.pid, mark, grace_s if grace is None else grace, wait=wait)
    if code is None and agent.poll() is not None:
        _tell(STOPPED, str(agent.returncode))
    if is_over:
        _mark(lease, "")
    return is_over


class _Orders:
    """The orders to end an agent, as stdin brings them: lines with a grace in seconds."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._is_open = True

    def wait(self, seconds: float | None, awake: int) -> float | None:
        """Returns the grace of a new order, None if a signal came or the time is up."""
        watched = [awake, 0] if self._is_open else [awake]
        ready = select.select(watched, (), (), seconds)[0]
        if awake in ready:
            os.read(awake, _READ_BYTES)
        if 0 not in ready:
            return None
        lines = os.read(0, _READ_BYTES).split()
        self._is_open = bool(lines)
        return float(lines[-1]) if lines else self._grace_s


def _received(size: int) -> bytes:
    """Returns so many bytes of stdin, or none if it ends before."""
    data = b""
    while len(data) < size and (part := os.read(0, size - len(data))):
        data += part
    return data if len(data) == size else b""


def _tell(what: bytes, text: str) -> None:
    with suppress(OSError):  # nobody listens any more
        os.write(1, b"%b %b\n" % (what, os.fsencode(text.replace("\n", " "))))


def _mark(lease: int, mark: str) -> None:
    """Writes the mark of a run into its claim, or removes it; a device holds none."""
    if stat.S_ISREG(os.fstat(lease).st_mode):
        os.ftruncate(lease, 0)
        os.pwrite(lease, mark.encode("ascii"), 0)


def reason(error: OSError | ValueError) -> str:
    """Returns the reason that a program could not be started, with the file that it is about."""
    if isinstance(error, OSError) and error.strerror:
        name = error.filename
        return f"{error.strerror}: {os.fsdecode(name)}" if name else error.strerror
    return str(error)


def _read(name: str) -> bytes:
    with open(name, "rb") as file:
        return file.read()


def _send(pids: set[int], what: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, what)


if __name__ == "__main__":
    _prompt, _output, _lease = map(int, sys.argv[1:4])
    sys.exit(not supervise(_prompt, _output, _lease, sys.argv[4], float(sys.argv[5])))
