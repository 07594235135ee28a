"""Real coding agents against the hooks: `make real-agents`.

`python -m tests.trace.agents.real [SCENARIO…]` plays the scenarios in a network namespace of its
own and prints how right the log is about each. It ends with 0 if all is right, 1 if something is
wrong, and 2, with a sentence, where a program that it needs can't be had.
"""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.trace.agents.real.judge import COLUMNS, Count, judge
from tests.trace.agents.real.model import Model
from tests.trace.agents.real.scenarios import FILES, HOOKS, SCENARIOS, Scenario
from tests.trace.agents.real.stage import Stage

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
INSTALLED = ROOT / ".real-agents"
PROGRAMS = INSTALLED / "node_modules/.bin"
_INSIDE = "THENCE_TEST_NAMESPACE"
# the shell is the init of the namespace, and reaps what agents leave; all ends with it
_NAMESPACE = ("unshare", "-rnpf", "--mount-proc", "--kill-child", "sh", "-c", '"$@"; exit $?', "sh")
INSTALL_S = 600


class Missing(Exception):
    """A program that can't be had; the text is a sentence."""


def install() -> None:
    """Installs the pinned packages, where they are not; raises Missing."""
    for program in ("npm", "node", "tmux", "unshare"):
        if shutil.which(program) is None:
            raise Missing(f"{program} is not on PATH, and the real agents need it.")
    lock = "package-lock.json"
    installed = INSTALLED / "of.json"  # the lock by which they were installed
    if installed.exists() and installed.read_bytes() == (HERE / lock).read_bytes():
        return
    shutil.rmtree(INSTALLED, ignore_errors=True)
    INSTALLED.mkdir()
    for name in ("package.json", lock):
        shutil.copy(HERE / name, INSTALLED / name)
    # not `ci`: that refuses a lock without the packages of platforms that a registry does not have
    argv = ["npm", "install", "--no-save", "--no-audit", "--no-fund"]
    done = subprocess.run(argv, cwd=INSTALLED, capture_output=True, text=True, timeout=INSTALL_S)
    if done.returncode:
        shutil.rmtree(INSTALLED)
        reason = next((line for line in done.stderr.splitlines() if "npm" in line), "no reason")
        raise Missing(f"npm could not install the agents: {reason}.")
    shutil.copy(HERE / lock, installed)


def enter() -> None:
    """Starts this program again in a namespace; where it is in one, brings loopback up."""
    if _INSIDE not in os.environ:
        can = subprocess.run([*_NAMESPACE, "true"], check=False, capture_output=True, text=True)
        if can.returncode:
            raise Missing(f"this system gives no network namespace: {can.stderr.strip()}.")
        sys.stdout.flush()
        argv = [*_NAMESPACE, sys.executable, "-m", "tests.trace.agents.real", *sys.argv[1:]]
        os.execvpe(argv[0], argv, {**os.environ, _INSIDE: "1"})
    up = struct.pack("16sH14s", b"lo", 0x1 | 0x8 | 0x40, b"")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS


def play(name: str, scenario: Scenario, recording: Path | None) -> dict[str, Count]:
    """Plays a scenario, and returns its counts; a failure of the play itself is in them."""
    place = tempfile.TemporaryDirectory(prefix="real-", ignore_cleanup_errors=True)
    with place as folder, Model() as model:
        stage = Stage(Path(folder).resolve(), PROGRAMS, model)
        try:
            stage.repo.mkdir()
            stage.sh(f"git init -qb main && {FILES} && git add . && git commit -qm Begin")
            for letter in sorted({script[0] for script in scenario.scripts}):
                stage.sh(f"thence hook install {HOOKS[letter]}")
            stage.sh("thence hook install git")
            if recording:
                stage.record(recording)
            stage.play(scenario)
            if recording:
                stage.keep(recording / "transcripts")
            return judge(stage, scenario)
        except Exception as error:
            traceback.print_exc()
            return {"calls": Count(0, 1, (f"{name} could not be played: {error}",))}
        finally:
            stage.close()


def _cell(count: Count | None) -> str:
    if count is None:
        return "-"
    return f"{count.right}/{count.total}" + (" !" if count.faults else "")


def main(names: Sequence[str]) -> int:
    """Plays scenarios and prints the table; returns the exit code."""
    recording = None
    if names[:1] == ["--record"]:
        recording, names = Path(names[1]).absolute(), names[2:]
    if unknown := [name for name in names if name not in SCENARIOS]:
        print(f"no scenario {unknown[0]}; there are {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    try:
        install()
        enter()
    except Missing as error:
        print(error, file=sys.stderr)
        return 2
    faults: list[str] = []
    print(f"{'':56}{''.join(f'{column:>11}' for column in COLUMNS)}")
    for name in names or SCENARIOS:
        start_s = time.monotonic()
        counts = play(name, SCENARIOS[name], recording)
        own = [fault for count in counts.values() for fault in count.faults]
        faults += [f"{name}: {fault}" for fault in own]
        cells = "".join(f"{_cell(counts.get(column)):>11}" for column in COLUMNS)
        word = "wrong" if own else "right"
        title = SCENARIOS[name].title
        print(f"{title:56}{cells}  {word}  {time.monotonic() - start_s:.0f} s", flush=True)
    print("\n".join(("", *faults)) if faults else "all is right")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
