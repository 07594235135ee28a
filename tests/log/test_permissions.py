"""The permissions of a log's files are those that the umask gives: a group can share a log."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISGID

import pytest
from tests.log.processes import ran

import thence

GROUP = 54_321
# as root each user is another one; else all are this one, and share the files all the same
DATABASES = ".thence/index.db", ".thence/sync/outbox.db"
ADA, BEN = (54_322, 54_323) if os.geteuid() == 0 else (os.getuid(),) * 2
APPEND = """
import os, sys, tempfile
from contextlib import closing
from pathlib import Path
import thence
from thence.log.files.disk import OS_DISK
from thence.sync.outbox import Outbox
folder, user, group, umask, count = sys.argv[1], *map(int, sys.argv[2:])

def work(folder):
    with thence.open(folder, max_file_size=2_000, bodies_from=500) as log:
        for number in range(count):
            log.append("noted", {"text": f"{os.getpid()} {number} " * 90}, subject="s")
        log.rebuild()
        assert log.query(subject="s").total >= count
        with closing(Outbox(Path(folder), log.vocabulary)) as outbox:
            outbox.update()
        assert len(log.why(log.append("noted", subject="s")).chain) >= 1

with tempfile.TemporaryDirectory() as warm:  # imports all: a user may not read what root may
    work(warm)
os.environ["HOME"] = "/nowhere"
os.umask(umask)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
work(folder)
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that a group shares, outside of pytest's own, which is its user's alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() == 0:
            os.chown(folder, ADA, GROUP)
        folder.chmod(0o2775)
        yield folder


@pytest.mark.promise("A5")
def test_group_shares_a_log_over_rotations(shared: Path) -> None:
    for user in (ADA, BEN, ADA, BEN):
        ran(APPEND, shared, user, GROUP, 0o002, 5)
    with thence.open(shared) as log:
        assert log.query(type="noted").total == 4 * 6
        assert log.verify().ok
    assert len(list(shared.glob("events_*.jsonl"))) > 3
    assert len(list(shared.glob("bodies_*.jsonl"))) > 3


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o027, 0o077])
def test_every_file_and_folder_has_the_permissions_that_the_umask_gives(shared, umask):
    ran(APPEND, shared, ADA, GROUP, umask, 5)
    modes = {
        path.relative_to(shared).as_posix(): (path.is_dir(), path.stat().st_mode & 0o777)
        for path in shared.rglob("*")
    }
    assert {"events.jsonl", "bodies.jsonl", ".thence/lock", *DATABASES} <= modes.keys()
    wrong = {
        name: oct(mode)
        for name, (is_folder, mode) in modes.items()
        if mode != (0o777 if is_folder else 0o666) & ~umask
    }
    assert wrong == {}
    assert shared.stat().st_mode & S_ISGID
