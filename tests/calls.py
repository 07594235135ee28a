"""The calls that a piece of code makes, as Python's profiler sees them."""

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType


@contextmanager
def called() -> Iterator[list[CodeType]]:
    """Give the functions that are called, a call each, in threads that begin meanwhile too.

    What earlier tests left for the garbage collector is closed before, not amid it.
    """
    codes: list[CodeType] = []

    def look(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            codes.append(frame.f_code)

    gc.collect()
    gc.disable()
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        yield codes
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        gc.enable()
