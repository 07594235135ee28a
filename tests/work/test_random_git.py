"""No git command that runs beside writers takes an acknowledged event with it."""

import multiprocessing
import random
import subprocess
import time
from pathlib import Path

import pytest
from tests.git.repositories import make_repository
from tests.work.boards import NAMED, exchange, on_remote

from thence.cli.commands.work.planning import setup_spec
from thence.work.journal.store import EventStore, WorkEvent
from thence.work.session.session import Session

WRITERS = 4
COMMANDS = 90
SHARED_EVERY = 40
SLUG = "001-sync"


def write(
    folder: Path, ledger: Path, number: int, stop: "multiprocessing.synchronize.Event"
) -> None:
    """Append events, and note each id once it is acknowledged; share them now and then."""
    count = 0
    with EventStore.at(folder, actor=f"writer-{number}") as store, ledger.open("a") as ids:
        while not stop.is_set():
            note = {"wp_id": f"WP{number:02}", "entry_type": "note", "entry_content": f"{count}"}
            (event,) = store.append(WorkEvent("HistoryAdded", note, SLUG))
            ids.write(f"{event.event_id}\n")
            ids.flush()
            count += 1
            if number == 1 and count % SHARED_EVERY == 0:
                with Session(folder, actor="writer-1") as session:
                    exchange(session)
            time.sleep(0.002)  # a pace at which git gets its turn


class Player:
    """Runs random git commands as a user would, and counts how many succeeded."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder = folder
        self._chance = chance
        self._made = 0
        self.ran: list[tuple[tuple[str, ...], int, str]] = []

    def git(self, *arguments: str) -> bool:
        done = subprocess.run(
            ["git", *arguments], cwd=self._folder, capture_output=True, text=True, check=False
        )
        self.ran.append((arguments, done.returncode, done.stderr))
        return done.returncode == 0

    def play(self) -> None:
        plays = (
            self.commit,
            self.checkout,
            self.reset,
            self.stash,
            self.clean,
            self.rebase,
            self.abort_a_rebase,
            self.revert,
            self.merge,
            self.cherry_pick,
            self.gc,
            self.worktree,
        )
        self._chance.choice(plays)()

    def commit(self) -> None:
        self._made += 1
        (self._folder / f"file-{self._made}").write_text(f"{self._made}\n")
        self.git("add", f"file-{self._made}")
        self.git("commit", "--quiet", "--message", f"file {self._made}")

    def checkout(self) -> None:
        branch = self._chance.choice(("main", "side"))
        self.git("checkout", "--quiet", "-B", "side") if branch == "side" else self.git(
            "checkout", "--quiet", "main"
        )

    def reset(self) -> None:
        self.git("reset", "--quiet", "--hard", self._chance.choice(("HEAD", "HEAD~1")))

    def stash(self) -> None:
        (self._folder / "README.md").write_text(f"half done {self._chance.random()}\n")
        if self.git("stash", "--quiet"):
            self.git("stash", "drop", "--quiet")

    def clean(self) -> None:
        (self._folder / "rubbish").write_text("x")
        self.git("clean", "--quiet", "-fdx")

    def rebase(self) -> None:
        self.commit()
        self.git("rebase", "--quiet", "HEAD~1")

    def abort_a_rebase(self) -> None:
        """Stop a rebase at its first commit, and give it up."""
        self.commit()
        self.git("rebase", "--quiet", "--exec", "true", "HEAD~1")
        stopped = subprocess.run(
            ["git", "rebase", "--quiet", "--exec", "false", "HEAD~1"],
            cwd=self._folder,
            capture_output=True,
            check=False,
        )
        assert stopped.returncode, "it stops where its command fails"
        self.git("rebase", "--abort")

    def revert(self) -> None:
        self.commit()
        self.git("revert", "--no-edit", "HEAD")

    def merge(self) -> None:
        self.commit()
        self.git("branch", "--force", "other", "HEAD~1")
        self.git("merge", "--quiet", "--no-edit", "other")

    def cherry_pick(self) -> None:
        self.commit()
        self.git("tag", "--force", "picked")
        if self.git("reset", "--quiet", "--hard", "HEAD~1"):
            self.git("cherry-pick", "picked")

    def gc(self) -> None:
        self.git("gc", "--quiet", "--prune=now")

    def worktree(self) -> None:
        path = self._folder.parent / f"tree-{len(self.ran)}"
        if self.git("worktree", "add", "--quiet", "--detach", str(path)):
            self.git("worktree", "remove", "--force", str(path))


@pytest.mark.promise("L1")
def test_every_acknowledged_event_stays_whatever_git_does_beside(tmp_path):
    seed = random.randrange(2**32)
    folder = make_repository(tmp_path / "sync", NAMED)
    with Session(folder) as session:
        setup_spec(session)
    on_remote(folder, tmp_path / "remote.git")
    spawned = multiprocessing.get_context("spawn")
    stop = spawned.Event()
    ledgers = [tmp_path / f"ledger-{number}" for number in range(1, WRITERS + 1)]
    writers = [
        spawned.Process(target=write, args=(folder, ledger, number, stop))
        for number, ledger in enumerate(ledgers, 1)
    ]
    for writer in writers:
        writer.start()
    player = Player(folder, random.Random(seed))
    try:
        while len(player.ran) < COMMANDS or not all(path.exists() for path in ledgers):
            player.play()
    finally:
        stop.set()
        for writer in writers:
            writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS, f"seed {seed}"
    acknowledged = {line for path in ledgers for line in path.read_text().split()}
    with EventStore.at(folder) as store:
        held = {event.event_id for event in store.read()}
        assert store.log.verify().ok
    assert acknowledged <= held, f"seed {seed}: {len(acknowledged - held)} lost"
    assert len(acknowledged) > WRITERS * 10
    failed = [(arguments, words) for arguments, status, words in player.ran if status]
    assert len(failed) <= len(player.ran) / 10, f"seed {seed}: {failed}"
