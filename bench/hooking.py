"""What a hook costs the tool call that waits for it, and what a command pays to take it in."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from thence.trace.agents import fired
from thence.trace.agents.fired import LOG, SPOOL
from thence.trace.agents.intake import take_in

ROUNDS = 101
TARGET = 2.5
TAKEN_IN = 1_000
CALL = {
    "session_id": "s-1",
    "prompt_id": "p-1",
    "transcript_path": "projects/shop/s-1.jsonl",
    "cwd": "shop",
    "permission_mode": "default",
    "hook_event_name": "PreToolUse",
    "tool_name": "Edit",
    "tool_use_id": "t-1",
    "tool_input": {"file_path": "shop/a.py", "old_string": "a", "new_string": "b" * 900},
}


def _seconds(argv: list[str], folder: Path, data: bytes) -> float:
    start = time.perf_counter()
    subprocess.run(argv, cwd=folder, input=data, check=True)
    return time.perf_counter() - start


def figures(folder: Path) -> dict[str, list[float]]:
    """Returns seconds of whole processes, each round all in turn, after a round not counted."""
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    program = [sys.executable, "-I", "-S", fired.__file__, "claude-code"]
    data = json.dumps(CALL).encode()
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -I -S -c pass": [sys.executable, "-I", "-S", "-c", "pass"],
        "fired": program,
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(ROUNDS + 1):
        for name, argv in commands.items():
            took = _seconds(argv, folder, data)
            if number:
                seconds[name].append(took)
    return seconds


def take_in_ms(folder: Path) -> float:
    """Returns milliseconds of one event among 1,000 that a command takes in."""
    log = folder / ".git" / LOG
    for path in (log / SPOOL).glob("*.json"):
        path.unlink()
    for number in range(TAKEN_IN):
        data = json.dumps({**CALL, "tool_use_id": f"t-{number}"}).encode()
        content = fired.record(fired.head_of("claude-code", str(folder), str(folder), data), data)
        (log / SPOOL / f"{time.time_ns():020d}-{os.getpid()}-{number:06x}.json").write_bytes(
            content
        )
    start = time.perf_counter()
    count = take_in(log)
    assert count == TAKEN_IN, count
    return (time.perf_counter() - start) * 1e3 / count


def rows(place: Path, row: Callable[[str, str, str, bool], None]) -> None:
    """Prints the rows."""
    folder = place / "hooks"
    folder.mkdir()
    seconds = figures(folder)
    ms = {name: statistics.median(values) * 1e3 for name, values in seconds.items()}
    ratio = ms["fired"] / ms["python -c pass"]
    row("a fired hook / python -c pass", f"{ratio:.2f}", f"{TARGET}", ratio <= TARGET)
    told = ", ".join(f"{name} {value:.1f}" for name, value in ms.items())
    print(f"    medians of {ROUNDS}, in ms: {told}")
    print(f"    an event among {TAKEN_IN:,} that a command takes in: {take_in_ms(folder):.2f} ms")
