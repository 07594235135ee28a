"""A command killed alone at any moment: the same one, typed again, does all of its work."""

import fcntl
import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import pytest
from tests.cli.installed import THENCE, environment
from tests.cli.warm import warm
from tests.cli.work.orchestra import DO, SLUG, is_alive
from tests.cli.work.projects import done, project
from tests.git.repositories import commit, git
from tests.tiers import tenth
from tests.work.boards import synced

KILLS = tenth(30, 3)
PACKAGES_MAX = 3 * KILLS  # a command may end before it is killed
ORCHESTRATORS_KILLED = tenth(12, 4)


def killed(folder, *arguments, after_s):
    """Run a command and kill its process, not the git that it has started; tell if it was."""
    process = subprocess.Popen(
        [THENCE, *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.kill()
    return process.wait() == -signal.SIGKILL


@pytest.mark.promise("L16")
@pytest.mark.whole
def test_command_that_was_killed_is_completed_by_the_same_command(tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, kills = random.Random(seed), []
    repo = project(tmp_path / "r")
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch", "main", os.fspath(remote))
    git(repo, "remote", "add", "origin", os.fspath(remote))
    git(repo, "push", "--quiet", "--set-upstream", "origin", "main")

    def status_s():
        start_s = time.monotonic()
        done(repo, "status")
        return time.monotonic() - start_s

    took_s = min(status_s() for _ in range(3))

    def twice(*command):
        """Kill a command, then type it again, which has to succeed."""
        kills.append(killed(repo, *command, after_s=chance.uniform(0.5, 6.0) * took_s))
        warm(*command, cwd=repo).done()

    for number in range(1, PACKAGES_MAX + 1):
        package = f"WP{number:02}"
        done(repo, "finalize-tasks", "--add", f"Package {number}")
        twice("work", "implement", package)
        tree = repo / ".worktrees" / f"000-general-{package}"
        commit(tree, {f"files/{number}": f"{number}\n"})
        twice("work", "merge", package)
        assert git(repo, "show", f"main:files/{number}") == f"{number}", f"seed {seed}"
        twice("sync", "now")
        if sum(kills) >= KILLS:
            break
    board = done(repo, "status", "--json").json["features"]
    assert len(board[0]["lanes"]["for_review"]) == number, f"seed {seed}"
    assert git(repo, "status", "--porcelain") == "", f"seed {seed}"
    assert warm("verify", cwd=repo).code == 0, f"seed {seed}"
    git(tmp_path, "clone", "--quiet", os.fspath(remote), "clone")
    synced(tmp_path / "clone")
    assert done(tmp_path / "clone", "status", "--json").json["features"] == board, f"seed {seed}"
    print(f"{sum(kills)} of {len(kills)} were killed")
    assert sum(kills) >= KILLS, "hardly any command was killed"


@pytest.mark.promise("L17")
@pytest.mark.whole
def test_orchestrate_that_was_killed_goes_on_when_it_is_typed_again(make, tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    names = [f"WP{number:02}" for number in range(1, 9)]
    project = make({name: names[:1] if name > "WP04" else [] for name in names}, slots=2)
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    at_work = [["alone", str(ledger / "{wp}")], ["note", str(ledger / "{wp}.pid")], ["sleep", 0.4]]
    project.tell(ANY=[[*at_work, *DO, ["record", str(ledger / "{wp}.done")]]])
    command = ("work", "orchestrate", "--feature", SLUG)
    kills, runs = 0, 0
    while kills < ORCHESTRATORS_KILLED and len(project.events("WPStatusChanged")) < 24:
        after_s = chance.uniform(0.2, 1.5)
        kills += killed(project.folder, *command, after_s=after_s)
        runs += 1
    warm(*command, cwd=project.folder).done()
    assert set(project.lanes().values()) == {"done"}, f"seed {seed}"
    assert not list(ledger.glob("*.twice")), f"seed {seed}: two agents at one package"
    for name in names:
        moves = project.events("WPStatusChanged", wp_id=name)
        lanes = [event["payload"]["new_status"] for event in moves]
        assert lanes == ["doing", "for_review", "done"], f"seed {seed}, {name}: {lanes}"
        commits = set((ledger / f"{name}.done").read_text().split())
        on_main = git(project.folder, "rev-list", "main").split()
        assert commits <= {*on_main}, f"seed {seed}: a commit of {name} was lost"
        assert git(project.folder, "show", f"main:{name}.txt") == "done", f"seed {seed}"
        assert not is_alive(int((ledger / f"{name}.pid").read_text())), f"seed {seed}"
    assert len(project.events("FeatureCompleted")) == 1, f"seed {seed}"
    assert git(project.folder, "status", "--porcelain") == "", f"seed {seed}"
    assert warm("verify", cwd=project.folder).code == 0, f"seed {seed}"
    leases = [*(project.folder / ".git/thence").glob("*-*/claims/*")]
    assert leases
    for lease in leases:
        with lease.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it any more
    print(f"{kills} of {runs} were killed")
    assert kills >= ORCHESTRATORS_KILLED // 3, "hardly any orchestrator was killed"
