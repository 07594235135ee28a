"""A program that ends an agent with all that it has started.

The watchdog of a run starts this program by its path: `python -I -S process_ending.py GROUP MARK
GRACE_S`. An agent's processes are its process group, its session, and every process whose variables
hold its mark: those that have gone into a session of their own. The program asks them to end,
because a killed git leaves its locks behind. It kills the rest after the grace, and exits with 0
when no process lives. A process that has left the group and has given up its variables is not
found. A process of another user can't be ended.
"""

import os
import signal
import sys
import time
from contextlib import suppress

VARIABLE = "THENCE_RUN"
_AFTER_KILL_S = 10.0
_PAUSE_MIN_S = 0.005
_PAUSE_MAX_S = 0.1
_PROC = "/proc"
# list each process with its variables; the second is the form of macOS
PS = ("ps", "axeww", "-o", "pid=,pgid=,stat=,command=")
_PS_MACOS = ("ps", "-axEww", "-o", "pid=,pgid=,stat=,command=")
_PS_S_MAX = 10.0


def end(group: int | None, mark: str, grace_s: float, after_kill_s: float | None = None) -> bool:
    """Ends all processes of an agent; returns False if a process lives on though it was killed.

    Without a group only processes with the mark are ended: the system reuses a group's id.
    """
    until_s = time.monotonic() + grace_s
    after_kill_s = _AFTER_KILL_S if after_kill_s is None else after_kill_s
    asked: set[int] = set()
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
        elif living - asked:
            _send(living - asked, signal.SIGTERM)
            asked |= living
        if living:
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)
    return True


def members(group: int | None, mark: str) -> set[int]:
    """Returns the processes of an agent; dead processes do not count.

    Where the system can't list them the result is the group alone, as a number below 0.
    """
    variable = f"{VARIABLE}={mark}".encode()
    try:
        if os.path.exists(f"{_PROC}/self/environ"):
            return by_proc(group, variable)
        return by_ps(group, variable, _PS_MACOS if sys.platform == "darwin" else PS)
    except OSError:  # a system that only reports whether there is such a group
        with suppress(ProcessLookupError, PermissionError):
            if group:
                os.killpg(group, 0)
                return {-group}
        return set()


def by_proc(group: int | None, variable: bytes) -> set[int]:
    """Returns the processes of a group, of its session, or with a variable, by Linux's /proc."""
    found = set()
    for name in os.listdir(_PROC):
        if not name.isdigit():
            continue
        try:
            state, _, *ids = _read(f"{_PROC}/{name}/stat").rpartition(b")")[2].split()[:4]
            if state in (b"Z", b"X"):
                continue
            if (group and b"%d" % group in ids) or variable in _read(
                f"{_PROC}/{name}/environ"
            ).split(b"\0"):
                found.add(int(name))
        except (OSError, ValueError):  # it has ended meanwhile, or is another user's
            continue
    return found


def by_ps(group: int | None, variable: bytes, argv: tuple[str, ...]) -> set[int]:
    """Returns the processes of a group or with a variable, by a `ps` that shows both.

    Raises OSError if there is none.
    """
    import subprocess

    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PS_S_MAX, check=True
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"{argv[0]} does not tell what runs") from error
    found = set()
    for line in done.stdout.splitlines():
        pid, pgid, state, *words = line.split()
        if not state.startswith(b"Z") and (int(pgid) == group or variable in words):
            found.add(int(pid))
    return found


def _read(name: str) -> bytes:
    with open(name, "rb") as file:
        return file.read()


def _send(pids: set[int], what: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, what)


if __name__ == "__main__":
    sys.exit(not end(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
