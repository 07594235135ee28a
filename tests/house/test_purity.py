"""Disk, clock, randomness and event loops stay where the house keeps them.

One file calls the operating system for the log, so that every fault can be injected there; core
reads no clock and no randomness, so that it gives the same result wherever it runs.
"""

import ast
from collections.abc import Iterator

from tests.house.test_imports import imports, sample
from tests.house.test_working_tree import PATH_METHODS
from tests.house.tree import Module, modules

ROOMS = ("src/thence/core/", "src/thence/log/", "src/thence/trace/causes/", "src/thence/sync/wire/")
# SQLite reaches its files by itself
INDEX = "src/thence/log/index/connection.py"
# the forms of the wire are values
PURE = ("src/thence/core/", "src/thence/sync/wire/")
DISK = "src/thence/log/files/disk.py"
# the user's own files of settings, which are no part of a log
SETTINGS = "src/thence/log/masking.py"
FILES = "thence.files"  # for files outside a log
DISK_MODULES = {"os", "fcntl", "mmap", "shutil", "tempfile", "io", "glob", "subprocess"}
DISK_CALLS = {"open", "io.open"}
PURE_ROOM_MODULES = {"os", "random", "secrets", "socket", "threading", "time", "uuid"}
LOCK = ("threading", "Lock")  # by it no two runs differ
CLOCK_CALLS = {"now", "utcnow", "today"}
LOOP_CALLS = {"get_event_loop", "new_event_loop", "run_until_complete", "run_forever"}


def calls(module: Module) -> Iterator[tuple[int, str, str]]:
    """Yield each call: its line, what it is called on, its name."""
    for node in ast.walk(module.syntax):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            yield node.lineno, "", node.func.id
        elif isinstance(node.func, ast.Attribute):
            yield node.lineno, ast.unparse(node.func.value), node.func.attr


def touches_disk(module: Module) -> list[str]:
    """Find the operating system outside the disk's module, in the rooms that must go through it."""
    if not module.path.startswith(ROOMS) or module.path in (DISK, SETTINGS, INDEX):
        return []
    found = [
        f"{module.path}: imports {name}"
        for _, name, _ in imports(module)
        if name.split(".")[0] in DISK_MODULES or name == FILES
    ]
    for line, on, name in calls(module):
        is_path = name in PATH_METHODS - {"open"} and "disk" not in on.lower()
        if f"{on}.{name}".lstrip(".") in DISK_CALLS or (on and is_path):
            found.append(f"{module.path}:{line}: calls {name}, which is for log/files/disk.py")
    return found


def reads_clock_or_chance(module: Module) -> list[str]:
    """Find in core and wire what makes two runs differ."""
    if not module.path.startswith(PURE):
        return []
    found = [
        f"{module.path}: imports {name}"
        for _, name, parts in imports(module)
        if name.split(".")[0] in PURE_ROOM_MODULES and (name, *parts) != LOCK
    ]
    for line, on, name in calls(module):
        if name in CLOCK_CALLS and on.split(".")[-1] in {"datetime", "date"}:
            found.append(f"{module.path}:{line}: reads the clock")
    return found


def runs_event_loop(module: Module) -> list[str]:
    """Find who starts an event loop where only threads work."""
    if not module.path.startswith(ROOMS):
        return []
    taken = [part for _, name, parts in imports(module) if name == "asyncio" for part in parts]
    found = [
        f"{module.path}: imports asyncio.{part}"
        for part in taken
        if part in LOOP_CALLS | {"run", "Runner"}
    ]
    for line, on, name in calls(module):
        if name in LOOP_CALLS or (on == "asyncio" and name in {"run", "Runner"}):
            found.append(f"{module.path}:{line}: runs an event loop ({name})")
    return found


def test_rooms_keep_disk_clock_and_loops_where_they_belong():
    rules = (touches_disk, reads_clock_or_chance, runs_event_loop)
    found = [line for module in modules("src") for rule in rules for line in rule(module)]
    assert not found, "\n".join(found)


def test_disk_is_found_wherever_it_hides():
    for text in (
        "import os",
        "from os import path",
        "import os.path",
        "from thence.files import replace_file",
        "open('a')",
        "Path('a').read_text()",
        "def f(p):\n    p.unlink()",
        "io.open('a')",
    ):
        for path in ("log/write/writer.py", "core/ids.py", "log/open.py", "trace/causes/a.py"):
            assert touches_disk(sample(path, text)), (path, text)
        assert not touches_disk(sample("log/files/disk.py", text))
        assert not touches_disk(sample("cli/show.py", text))


def test_asking_the_disk_object_is_no_touch():
    assert not touches_disk(sample("log/a.py", "self._disk.unlink(p)\ndisk.open(p)\nseg.open()"))


def test_clock_and_chance_are_found_in_core_alone():
    for text in (
        "import time",
        "from random import random",
        "datetime.now(UTC)",
        "import os",
        "datetime.datetime.utcnow()",
        "date.today()",
    ):
        assert reads_clock_or_chance(sample("core/clock.py", text)), text
    assert not reads_clock_or_chance(sample("log/write/writer.py", "import time"))
    assert not reads_clock_or_chance(sample("core/clock.py", "from datetime import datetime, UTC"))


def test_event_loops_are_found():
    for text in (
        "asyncio.run(f())",
        "asyncio.get_event_loop()",
        "from asyncio import run",
        "loop.run_until_complete(f())",
    ):
        assert runs_event_loop(sample("log/write/committer.py", text)), text
    assert not runs_event_loop(sample("log/write/committer.py", "asyncio.get_running_loop()"))
    assert not runs_event_loop(sample("sim/run/engine.py", "asyncio.run(f())"))
