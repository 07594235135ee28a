"""Many commands that make worktrees in one repository at once, in threads and processes.

`python -m tests.git.implementers 100` does it in a hundred repositories, one after another.
"""

import multiprocessing
import sys
import tempfile
import threading
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from tests.git.repositories import WAIT_S, branches, git, make_repository

from thence.git.repository import list_worktrees, repository
from thence.git.worktrees import make

AT_ONCE = 32
_PROCESSES = 4
Told = list[tuple[str, bool, str]]


def in_process(top: Path, names: list[str], start: Barrier, told: "Queue[Told]") -> None:
    """Make a worktree for each name, each in a thread of its own, all at once."""
    found: Told = []

    def work(name: str) -> None:
        try:
            worktree = make(repository(top), name, top / ".worktrees" / name, "main")
            found.append((name, worktree.is_new, ""))
        except BaseException as error:
            found.append((name, False, repr(error)))

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    start.wait(WAIT_S)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    told.put(found)


def one_round(top: Path, names: list[str]) -> Told:
    """Make worktrees of these names from several processes with several threads each."""
    spawning = multiprocessing.get_context("spawn")
    start, told = spawning.Barrier(_PROCESSES), spawning.Queue()
    processes = [
        spawning.Process(target=in_process, args=(top, names[n::_PROCESSES], start, told))
        for n in range(_PROCESSES)
    ]
    for process in processes:
        process.start()
    found = [line for _ in processes for line in told.get(timeout=WAIT_S)]
    for process in processes:
        process.join(WAIT_S)
        assert process.exitcode == 0
    return found


def judged(top: Path, names: set[str], found: Told) -> None:
    """Check that nothing failed, each was made by exactly one, and every one is whole."""
    assert not [line for line in found if line[2]], found
    makers = [name for name, is_new, _ in found if is_new]
    assert sorted(makers) == sorted(names)
    repo = repository(top)
    assert names <= set(branches(repo))
    standing = {each.branch for each in list_worktrees(repo) if not each.is_missing}
    assert names <= standing
    for name in names:
        folder = top / ".worktrees" / name
        assert git(folder, "status", "--porcelain") == ""
        assert (folder / "README.md").exists()
        assert not list((repo.common / "worktrees" / name).glob("*.lock.*"))
        assert not (repo.common / "worktrees" / name / "locked").exists()


def main(rounds: int) -> None:
    """Play rounds, each in a repository of its own; stop at the first that is not as it should."""
    start_s = time.monotonic()
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            files = {f"folder/{n}": f"{n}\n" for n in range(50)}
            top = make_repository(Path(folder) / "project", files)
            names = [f"028-sync-WP{n:02}" for n in range(AT_ONCE)]
            found = one_round(top, names)
            try:
                judged(top, set(names), found)
            except AssertionError:
                print(f"round {number + 1} of {rounds} was not kept", flush=True)
                raise
    took_s = time.monotonic() - start_s
    print(f"{rounds} rounds of {AT_ONCE} worktrees at once, {took_s:.0f} s: none failed")


if __name__ == "__main__":
    main(int(sys.argv[1]))
