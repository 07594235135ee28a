"""Programs of the system that tests run: Debian's packages bring them where root may install."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
_LOCK = Path(tempfile.gettempdir(), "thence-tests-apt.lock")


def provided(package: str, find: Callable[[], T | None], missing: str) -> T:
    """Returns what is found, once apt-get has installed a package where it may; else fails.

    One process at a time installs: apt-get refuses a second one.
    """
    place = find()
    if place is None and os.geteuid() == 0 and shutil.which("apt-get"):
        with _LOCK.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (place := find()) is None:
                for asked in (["update"], ["install", "-y", "--no-install-recommends", package]):
                    argv = ["apt-get", "-qq", *asked]
                    told = subprocess.run(argv, capture_output=True, text=True, check=False).stderr
                missing += f"\napt-get said: {told.strip()}"
                place = find()
    if place is None:
        pytest.fail(missing, pytrace=False)
    return place
