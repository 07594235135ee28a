"""Ending some work at a line of the code, by SIGKILL."""

import os
import signal
import sys
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any

Line = tuple[str, int]
Work = Callable[[], object]


def lines_of(functions: Iterable[Callable[..., Any]]) -> list[Line]:
    """Return the lines of functions, each with its file."""
    codes: list[CodeType] = [function.__code__ for function in functions]  # type: ignore[attr-defined]
    found = {
        (code.co_filename, line)
        for code in codes
        for _, _, line in code.co_lines()
        if line is not None and line != code.co_firstlineno
    }
    return sorted(found)


def reached(lines: Iterable[Line], work: Work) -> list[Line]:
    """Do some work to its end and return which of the lines were done."""
    wanted, found = set(lines), set()
    files = {file for file, _ in wanted}

    def traced(frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            found.add((frame.f_code.co_filename, frame.f_lineno))
        return traced if frame.f_code.co_filename in files else None

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        work()
    finally:
        sys.settrace(before)
    return sorted(wanted & found)


def killed_at(line: Line, work: Work) -> bool:
    """Do some work in a process that is killed at a line; tell whether it came so far."""

    def traced(frame: FrameType, event: str, _: object) -> Any:
        if event == "line" and (frame.f_code.co_filename, frame.f_lineno) == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return traced if frame.f_code.co_filename == line[0] else None

    child = os.fork()
    if not child:
        try:
            sys.settrace(traced)
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
