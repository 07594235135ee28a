"""What holds for every test."""

import gc
import signal

import pytest
from hypothesis import HealthCheck, settings

# A shell that runs the tests in the background has Ctrl-C ignored, and so would every program
# that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline on the wall says how busy the machine is, not what the code under test does.
settings.register_profile("thence", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("thence")

# The files with the longest tests, longest first. They begin before all others, lest one worker
# is busy with the last of them while the rest have nothing to do.
LONGEST = (
    "work/test_chaos.py",
    "crash/test_power_cuts.py",
    "index/test_shelves.py",
    "index/test_stretch.py",
    "cli/test_diff_speed.py",
    "work/test_running.py",
    "index/test_database.py",
    "cli/test_main.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first; what is as long as another stays in the random order it has."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    name = item.path.as_posix()
    return next((at for at, file in enumerate(LONGEST) if name.endswith(file)), len(LONGEST))


def pytest_collection() -> None:
    """Let the garbage collector rest meanwhile: all that is imported and collected stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays to the end."""
    gc.collect()
    gc.freeze()
    gc.enable()
