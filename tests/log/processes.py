"""Real processes for tests: another Python that runs a text of code, watched from outside."""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

WAIT_S = 60.0
# holds the append lock until a line comes, or the end
HOLD = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print(os.getpid(), flush=True)
sys.stdin.readline()
"""
# appends so many events by a name into segments of 2,000 bytes, and prints the number of each
APPEND = """
import sys
from pathlib import Path
from thence.core.vocabulary import PLAIN
from thence.log.open import Log, LogSettings
with Log(Path(sys.argv[1]), PLAIN, LogSettings(max_file_size=2000)) as log:
    for n in range(int(sys.argv[2])):
        print(log.append("t", {"writer": sys.argv[3], "n": n}).seq, flush=True)
"""


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python that runs the code with arguments in sys.argv; its pipes are text."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(code: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the code to its end; what it printed is in the result."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def forked(work: Callable[[], object]) -> int:
    """Fork and do the work in the child; `ended_well` waits for it."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended_well(process: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def in_child(work: Callable[[], object]) -> None:
    """Do the work in a forked child, which must come to its end."""
    assert ended_well(forked(work))


def lines(folder: Path) -> list[bytes]:
    """Read all whole lines of a log's files, oldest file first."""
    found: list[bytes] = []
    names = sorted(folder.glob("events_*.jsonl"))
    for path in [*names, folder / "events.jsonl"]:
        data = path.read_bytes() if path.exists() else b""
        assert not data or data.endswith(b"\n"), f"{path} ends in half a line"
        found += data.splitlines()
    return found


def descriptors(folder: Path) -> list[str]:
    """List a folder and the files below it, as far as this process holds them open."""
    held = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            held.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:  # it was the one that listed them
            continue
    return sorted(path for path in held if f"{path}/".startswith(f"{folder}/"))
