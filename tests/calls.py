"""The calls that a piece of code makes, as Python's profiler sees them."""

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import thence

ROOT = Path(thence.__file__).parent


@contextmanager
def called(is_here: bool = True) -> Iterator[list[CodeType]]:
    """Give the functions that are called, a call each, in threads that begin meanwhile too.

    Unless `is_here`, in these threads alone. What earlier tests left for the garbage collector is
    closed before, not amid it.
    """
    codes: list[CodeType] = []

    def look(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            codes.append(frame.f_code)

    gc.collect()
    gc.disable()
    threading.setprofile(look)
    if is_here:
        sys.setprofile(look)
    try:
        yield codes
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        gc.enable()


def counted(way: str, calls: list[CodeType]) -> tuple[int, int]:
    """Print the functions of thence among some calls; return how many they are, in how many files.

    What has no name of its own, such as a comprehension, is part of the function around it.
    """
    codes = {
        code
        for code in calls
        if code.co_filename.startswith(str(ROOT)) and not code.co_name.startswith("<")
    }
    files = {Path(code.co_filename).relative_to(ROOT).as_posix() for code in codes}
    print(f"{way}: {len(codes)} functions in {len(files)} files")
    for code in sorted(codes, key=lambda code: (code.co_filename, code.co_firstlineno)):
        print(f"    {Path(code.co_filename).relative_to(ROOT)} {code.co_qualname}")
    return len(codes), len(files)
