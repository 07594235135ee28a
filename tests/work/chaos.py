"""A feature of many packages worked off by eight agents while everything breaks around them.

`python -m tests.work.chaos FAULTS [SEED] [PACKAGES]` injects so many faults, one after another, and
restarts the orchestrator whenever it dies; where a feature is done before, another one follows. At
the end of each all must be done: no commit of an agent lost, no package worked on by two at once,
nobody's uncommitted work gone, one claim each.
"""

import fcntl
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.cli.installed import THENCE, environment, thence
from tests.git.repositories import commit, git, make_repository
from tests.work.agents import living

HERE = Path(__file__).resolve().parent
SLUG = "001-chaos"
AGENTS = 8
PACKAGES = 40
FAULTS_A_FEATURE = 100
LIMIT_S = 900.0
BETWEEN_S = (0.05, 0.4)
YEAR_S = 31_536_000
DISK = "512m"
HELD = "is working on it, and has been for"
# its git was killed before it began work
UNBEGUN = "it was killed by signal 9\n  next: try again\n"
STASH = re.compile(r"git stash push --include-untracked -- [^;\n]*")


class Chaos:
    """One project, its orchestrator, and what is done to both."""

    def __init__(self, folder: Path, faults: int, seed: int, packages: int) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.names = [f"WP{number:02}" for number in range(1, packages + 1)]
        self.left = faults
        self.done: Counter[str] = Counter()
        self.starts = 0
        self.kept: dict[str, Path] = {}
        self.ledger = folder / "ledger"
        self.ledger.mkdir()
        self.script = folder / "script.json"
        self.offset = folder / "offset"
        self.offset.write_text("0")
        self.top = make_repository(folder / "top é")
        self.process: subprocess.Popen[bytes] | None = None
        self.told = (folder / "told").open("wb")
        self._plan()

    def _plan(self) -> None:
        parts = ["# Tasks"]
        for number, name in enumerate(self.names):
            before = self.names[max(0, number - 8) : number]
            on = self.chance.sample(before, min(len(before), self.chance.randrange(3)))
            words = f"- Depends on {', '.join(on)}" if on else "- None"
            heading = f"## Work Package {name}: Do {name} (Priority: P{number % 3})"
            parts.append(f"{heading}\n\n### Dependencies\n{words}")
        for arguments in (["setup-spec"], ["setup-spec", "Chaos"]):
            self._thence("work", *arguments)
        (self.top / f"kitty-specs/{SLUG}/tasks.md").write_text("\n\n".join(parts) + "\n")
        self._thence("work", "finalize-tasks")
        self.script.write_text(json.dumps({name: self._attempts(name) for name in self.names}))
        config = self.top / ".kittify/config.yaml"
        argv = [sys.executable, os.fspath(HERE / "agent_program.py"), os.fspath(self.script)]
        agent = {"command": [*argv, "{wp_id}", "{phase}"], "timeout": 8, "stall": 5}
        told = {
            "slots": AGENTS,
            "retries": 20,
            "backoff": 0.1,
            "agents": {"coder": agent, "second": agent},
        }
        text = f"{config.read_text()}orchestrate: {json.dumps(told)}\n"
        commit(self.top, {".kittify/config.yaml": text}, "Set agents up")

    def _attempts(self, name: str) -> list[list[list[object]]]:
        """Return what an agent does at a package, the first time and later."""
        begin = [["alone", os.fspath(self.ledger / f"{name}.lock")]]
        shared = f"shared-{self.chance.randrange(6)}"
        work = [
            ["sleep", round(self.chance.uniform(0.0, 0.6), 2)],
            ["write", f"{name}.txt", f"{name}\n"],
            ["commit", f"Do {name}"],
            ["record", os.fspath(self.ledger / f"{name}.commits")],
        ]
        clash = [["write", shared, f"{name}\n"]] if self.chance.random() < 0.3 else []
        again = [["run", "git", "merge", "--quiet", "-m", "Merge main", "main"], *clash]
        first = [*begin, *clash, *work]
        if self.chance.random() < 0.1:
            first = [*begin, ["hang"]]
        elif self.chance.random() < 0.1:
            # what an agent leaves behind in a session of its own goes on
            first = [["ignore", "SIGTERM"], ["fork", "session", [["hang"]]], *begin, *work]
        return [first, [*begin, *again, *work]]

    def run(self) -> None:
        """Break one thing after another until there is no fault left, then wait for the end."""
        until_s = time.monotonic() + LIMIT_S
        while True:
            assert time.monotonic() < until_s, f"it is not finished after {LIMIT_S:g} s"
            if self.process is None or self.process.poll() is not None:
                if self.process is not None and self.process.returncode == 0:
                    break
                self._start()
            if self.left > 0:
                time.sleep(self.chance.uniform(*BETWEEN_S))
                fault = self.chance.choice(FAULTS)
                if fault(self):
                    self.done[fault.__name__] += 1
                    self.left -= 1
            else:
                time.sleep(0.05)

    def _start(self) -> None:
        self.starts += 1
        if self.process is not None and not self._put_aside():
            code = self.process.returncode
            is_left = code == 1 and HELD in self.words()
            is_unbegun = code == 1 and self.words().endswith(UNBEGUN)
            is_ended = is_left or is_unbegun or code == -signal.SIGKILL
            assert is_ended, f"it ended with {code}:\n{self.words()}"
            if is_left or self.chance.random() < 0.5:
                self.end_agents()  # as a person does
        self.process = subprocess.Popen(
            [THENCE, "work", "orchestrate", "--feature", SLUG],
            cwd=self.top,
            env=self._variables(),
            stdout=self.told,
            stderr=self.told,
            start_new_session=True,
        )

    def end_agents(self) -> None:
        """End the agents that have lost their orchestrator, and what agents have left behind."""
        for line in living(os.fspath(self.script)):
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)

    def _put_aside(self) -> bool:
        """Type the step that is named where a git was killed amid its checkout, if one is."""
        stashes = (
            STASH.findall(self.words()) if self.process and self.process.returncode == 1 else []
        )
        if stashes and git(self.top, "status", "--porcelain", "--", "*.txt"):
            git(self.top, *shlex.split(stashes[-1])[1:])
            return True
        return False

    def _variables(self) -> dict[str, str]:
        stepping = os.fspath(HERE / "stepping")
        return environment(PYTHONPATH=stepping, STEPPED_BY=os.fspath(self.offset))

    def _thence(self, *arguments: str) -> str:
        ended = thence(*arguments, cwd=self.top)
        assert ended.code == 0, ended.err
        return ended.out

    def words(self) -> str:
        """Return the last words of the orchestrators."""
        return (self.folder / "told").read_text("utf-8", "replace")[-3_000:]

    def agents(self) -> list[int]:
        """Return the processes of agents that run, by the notes that they leave."""
        found = []
        for note in self.folder.glob("script.json.WP*"):
            with suppress(ValueError, OSError):
                process = int(note.read_text())
                os.kill(process, 0)
                found.append(process)
        return found

    def worktrees(self) -> list[Path]:
        return [path for path in (self.top / ".worktrees").glob("*") if (path / ".git").exists()]

    def lanes(self) -> dict[str, str]:
        (feature,) = json.loads(self._thence("work", "status", "--json"))["features"]
        return {each["wp_id"]: lane for lane, those in feature["lanes"].items() for each in those}

    def judge(self) -> list[str]:
        """Return what was broken of what is promised."""
        found = [f"{name} is in {lane}" for name, lane in self.lanes().items() if lane != "done"]
        known = set(git(self.top, "rev-list", "main").split())
        for name in self.names:
            recorded = self.ledger / f"{name}.commits"
            commits = recorded.read_text().split() if recorded.exists() else ["of none"]
            found += [
                f"commit {oid} of {name} is not in main" for oid in commits if oid not in known
            ]
        found += [f"{path.name}: two at once" for path in self.ledger.glob("*.twice")]
        for text, path in self.kept.items():
            in_main = git(self.top, "log", "--format=%h", "-S", text, "main", "--", path.name)
            if not in_main and not path.exists():
                found.append(f"{path} is gone, and nobody committed it")
        events = [json.loads(line) for line in self._thence("log", "--json").splitlines()]
        claims = Counter(
            event["payload"]["wp_id"]
            for event in events
            if event["event_type"] == "WPStatusChanged"
            and event["payload"]["previous_status"] == "planned"
        )
        found += [f"{name} was claimed {n} times" for name, n in claims.items() if n != 1]
        kinds = Counter(event["event_type"] for event in events)
        if kinds["FeatureCompleted"] != 1:
            found.append(f"{kinds['FeatureCompleted']} times completed")
        if thence("verify", cwd=self.top).code:
            found.append("the journal has damage")
        return found


def kill_orchestrator(chaos: Chaos) -> bool:
    if chaos.process is None or chaos.process.poll() is not None:
        return False
    chaos.process.kill()
    chaos.process.wait()
    return True


def kill_agent(chaos: Chaos) -> bool:
    return _killed(chaos, chaos.agents())


def kill_child(chaos: Chaos) -> bool:
    """Kill what an agent or the orchestrator has started."""
    parents = [*chaos.agents(), *([chaos.process.pid] if chaos.process else [])]
    told = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in told.stdout.splitlines()]
    return _killed(chaos, [child for child, parent in pairs if parent in parents])


def _killed(chaos: Chaos, processes: list[int]) -> bool:
    if not processes:
        return False
    with suppress(ProcessLookupError):
        os.kill(chaos.chance.choice(processes), signal.SIGKILL)
    return True


def stop_agent(chaos: Chaos) -> bool:
    """Let an agent hang."""
    processes = chaos.agents()
    if not processes:
        return False
    with suppress(ProcessLookupError):
        os.kill(chaos.chance.choice(processes), signal.SIGSTOP)
    return True


def hold_a_lock(chaos: Chaos) -> bool:
    """Keep others from the journal, or from committing, for a moment."""
    name = chaos.chance.choice(("thence/git.lock", "thence/worktrees.lock", "journal"))
    (home,) = (chaos.top / ".git/thence").glob("*-*-*/.thence")
    path = home / "lock" if name == "journal" else chaos.top / ".git" / name
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        time.sleep(chaos.chance.uniform(0.1, 1.0))
    return True


def lock_the_index(chaos: Chaos) -> bool:
    """Lock the main working tree as a git of the user does."""
    path = chaos.top / ".git/index.lock"
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    time.sleep(chaos.chance.uniform(0.1, 1.5))
    path.unlink(missing_ok=True)
    return True


def delete_a_worktree(chaos: Chaos) -> bool:
    """Delete a worktree by hand, with what stood in it."""
    found = chaos.worktrees()
    if not found:
        return False
    path = chaos.chance.choice(found)
    chaos.kept = {text: kept for text, kept in chaos.kept.items() if path not in kept.parents}
    for _ in range(3):  # its agent may be writing
        shutil.rmtree(path, ignore_errors=True)
    return True


def leave_work_behind(chaos: Chaos) -> bool:
    """Write something into a worktree that nobody has committed."""
    found = chaos.worktrees()
    if not found:
        return False
    path = chaos.chance.choice(found) / f"mine-{len(chaos.kept)}-{chaos.chance.randrange(10**6)}"
    with suppress(OSError):
        path.write_text(f"{path.name} is mine\n")
        chaos.kept[f"{path.name} is mine"] = path
    return True


def step_the_clock(chaos: Chaos) -> bool:
    chaos.offset.write_text(str(chaos.chance.choice((0, -YEAR_S, YEAR_S, -3, 3_600))))
    return True


def fill_the_disk(chaos: Chaos) -> bool:
    """Let nobody write for a moment: no file of the project can grow or be made."""
    file = chaos.folder / "filler"
    room = shutil.disk_usage(chaos.folder)
    if room.total > 2 * 1024**3:
        return False  # a disk of this machine, and none of our own
    with suppress(OSError), file.open("wb") as filler:
        while filler.write(bytes(65_536)):
            filler.flush()
    time.sleep(chaos.chance.uniform(0.1, 0.6))
    file.unlink(missing_ok=True)
    return True


FAULTS: tuple[Callable[[Chaos], bool], ...] = (
    kill_orchestrator,
    kill_agent,
    kill_child,
    stop_agent,
    hold_a_lock,
    lock_the_index,
    delete_a_worktree,
    leave_work_behind,
    step_the_clock,
    fill_the_disk,
)


@contextmanager
def small_disk() -> Iterator[Path]:
    """Give a disk of its own, which can be filled, or a folder where this user may mount none."""
    with tempfile.TemporaryDirectory() as name:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", name]
        is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        try:
            yield Path(name)
        finally:
            if is_mounted:
                subprocess.run(["umount", "-l", name], check=True)


def campaign(folder: Path, faults: int, seed: int, packages: int) -> Chaos:
    """Run one, and say with its seed what was broken."""
    chaos = Chaos(folder, faults, seed, packages)
    try:
        chaos.run()
        broken = chaos.judge()
    except BaseException:
        print(f"seed {seed}: {dict(chaos.done)}\n{chaos.words()}")
        raise
    finally:
        if chaos.process is not None and chaos.process.poll() is None:
            chaos.process.kill()
            chaos.process.wait()
        chaos.end_agents()
        chaos.told.close()
    assert not broken, f"seed {seed}: {broken}\n{chaos.words()}"
    return chaos


def campaigns(faults: int, seed: int, packages: int) -> Iterator[Chaos]:
    """Work one feature after another off until so many faults were injected."""
    while faults > 0:
        print(f"seed {seed}", flush=True)
        with small_disk() as folder:
            chaos = campaign(folder, min(faults, FAULTS_A_FEATURE), seed, packages)
        faults, seed = faults - sum(chaos.done.values()), seed + 1
        yield chaos


def main(faults: str, seed: str = "", packages: str = str(PACKAGES)) -> int:
    begun_s = time.monotonic()
    number = int(seed or random.randrange(2**32))
    ended = list(campaigns(int(faults), number, int(packages)))
    done = sum((chaos.done for chaos in ended), Counter[str]())
    starts, seconds = sum(chaos.starts for chaos in ended), time.monotonic() - begun_s
    told = ", ".join(f"{name} {count}" for name, count in sorted(done.items()))
    print(f"{sum(done.values())} faults in {seconds:.0f} s, {starts} starts: {told}")
    print(f"{len(ended)} features of {packages} packages are done, nothing was lost")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
