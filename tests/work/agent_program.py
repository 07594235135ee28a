"""An agent that does as it is told by a file: a real program for tests of what runs agents.

`python agent_program.py SCRIPT.json [WP01] [PHASE]`. The script maps a package ("WP01"), one in
a phase ("WP01/review", which goes before), or any ("*") to a list of attempts, each a list of
steps; attempts behind the last are like it. A step is a list: its name, then its arguments.
Attempts are counted in files beside the script, one for each: `SCRIPT.json.WP01.review.2`, which
holds the process id. Nothing but the standard library is used.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PAUSE_S = 0.02
CHUNK = b"all work and no play\n" * 3_000
Steps = list[list]


def attempt_of(script: Path, name: str) -> int:
    """Take the number of this attempt, from 1 on; two at once never have the same."""
    number = 1
    while True:
        try:
            with open(f"{script}.{name.replace('/', '.')}.{number}", "x") as file:
                file.write(str(os.getpid()))
            return number
        except FileExistsError:
            number += 1


def steps_of(script: Path, wp_id: str, phase: str) -> Steps:
    told = json.loads(script.read_text("utf-8"))
    number = attempt_of(script, f"{wp_id}/{phase}")
    attempts = next((told[key] for key in (f"{wp_id}/{phase}", wp_id, "*") if key in told), [[]])
    return attempts[min(number, len(attempts)) - 1]


def do(steps: Steps) -> None:
    for name, *arguments in steps:
        DOING[name](*arguments)


def write(name: str, text: str) -> None:
    """Write a file, with folders as needed."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, "utf-8")


def append(name: str, text: str) -> None:
    with open(name, "a", encoding="utf-8") as file:
        file.write(text)


def commit(message: str) -> None:
    """Commit all that has changed in this folder, or nothing if nothing has."""
    subprocess.run(["git", "add", "--all"], check=True)
    subprocess.run(["git", "commit", "--quiet", "--allow-empty", "-m", message], check=True)


def say(text: str) -> None:
    print(text, flush=True)


def flood(size_bytes: int) -> None:
    """Print so many bytes; with -1 never stop."""
    printed = 0
    while size_bytes < 0 or printed < size_bytes:
        part = CHUNK if size_bytes < 0 else CHUNK[: size_bytes - printed]
        printed += os.write(1, part)


def hang() -> None:
    while True:
        signal.pause()


def beat(name: str) -> None:
    """Write to a file again and again, for ever: whoever reads it sees that this one lives."""
    number = 0
    while True:
        number += 1
        with open(name, "a", encoding="ascii") as file:
            file.write(f"{number}\n")
        time.sleep(PAUSE_S)


def ignore(*names: str) -> None:
    """Ignore signals, such as SIGTERM."""
    for name in names:
        signal.signal(getattr(signal, name), signal.SIG_IGN)


def on_term(steps: Steps) -> None:
    """Do something when asked to end, then go on as before."""
    signal.signal(signal.SIGTERM, lambda *_: do(steps))


def fork(kind: str, steps: Steps) -> None:
    """Let another process do something: a "child", one with a "session" of its own, or a
    "daemon", which has that too and no parent any more."""
    if os.fork():
        if kind == "daemon":
            os.wait()
        return
    if kind != "child":
        os.setsid()
    if kind == "daemon" and os.fork():
        os._exit(0)
    code = 1
    try:
        do(steps)
        code = 0
    finally:
        os._exit(code)


def alone(name: str) -> None:
    """Lock a file until this process ends; if another one has it, leave a file that says so."""
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT)  # held open, for nobody closes it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        Path(f"{name}.twice").write_text(str(os.getpid()), "ascii")


def record(name: str) -> None:
    """Add the commit that this folder stands at to a file."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, check=True)
    with open(name, "ab") as file:
        file.write(done.stdout)


def note(name: str) -> None:
    """Write the id of this process to a file, whole."""
    draft = f"{name}.{os.getpid()}"
    Path(draft).write_text(str(os.getpid()), "ascii")
    os.replace(draft, name)


def wait_for(*names: str) -> None:
    """Wait until files are there."""
    while not all(map(os.path.exists, names)):
        time.sleep(PAUSE_S)


def crash(name: str) -> None:
    """End by a signal, such as SIGSEGV."""
    number = getattr(signal, name)
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    hang()


def keep_prompt(name: str) -> None:
    """Write what stdin holds to a file."""
    Path(name).write_bytes(sys.stdin.buffer.read())


def describe(name: str) -> None:
    """Write what this process was given to a file, as JSON."""
    told = {
        "argv": sys.argv,
        "folder": os.getcwd(),
        "variables": dict(os.environ),
        "descriptors": [number for number in range(1_024) if is_open(number)],
        "is_leader": os.getsid(0) == os.getpgid(0) == os.getpid(),
        "has_terminal": has_terminal(),
        "blocked": [int(each) for each in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    }
    Path(name).write_text(json.dumps(told), "utf-8")


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return any(map(os.isatty, range(3)))
    return True


def run(*argv: str) -> None:
    """Run a program and go on, whatever it says."""
    subprocess.run(argv, stdin=subprocess.DEVNULL, check=False)


def judge(verdict: str) -> None:
    """Say what a reviewer says at its end, such as "approve"."""
    say(f"VERDICT: {verdict}")


DOING: dict[str, Callable[..., None]] = {
    "write": write,
    "append": append,
    "commit": commit,
    "print": say,
    "flood": flood,
    "hang": hang,
    "beat": beat,
    "ignore": ignore,
    "on_term": on_term,
    "fork": fork,
    "alone": alone,
    "record": record,
    "note": note,
    "wait_for": wait_for,
    "sleep": time.sleep,
    "crash": crash,
    "prompt": keep_prompt,
    "describe": describe,
    "run": run,
    "verdict": judge,
    "exit": sys.exit,
}


def main(script: str, wp_id: str = "*", phase: str = "implementation") -> None:
    do(steps_of(Path(script), wp_id, phase))


if __name__ == "__main__":
    main(*sys.argv[1:])
