"""Six sessions of agents at once in a real repository, with a person between them.

Each session is a process of its own, which fires the real program of the hooks and runs git, but
for two windows of Codex, which share one; its hooks' JSON is that of `corpus`. Subagents commit at
once, and so do shells that their agent has left behind. The driver knows who wrote each line and
made each commit, by tokens in them, and asks the log.
"""

import contextlib
import random
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from tests.cli.warm import warm
from tests.days import people
from tests.tiers import tenth
from tests.trace.agents.firing import clean_environment, log_in
from tests.trace.agents.firing import git as run_git
from tests.trace.agents.played import hunks

import thence
from thence.git.blame import BlamedLine, blame
from thence.git.repository import repository
from thence.trace.agents.intake import take_in
from thence.trace.agents.ownership import Owner, Ownership

COMMITS, LINES = tenth((40, 200), (12, 60))
SESSIONS, ROUNDS, ROUNDS_OF_ONE = 6, 5, 8
WINDOWS = (4, 5)  # those of Codex in one process
ANSWER_S = 120
SHARED = "src/shared.py"
BLOCK = (
    "def {token}(total):\n    if total is {token}_none:\n        return None\n"
    "    return total * {token}_rate\n\n\n"
)
_TOKEN = re.compile(r"\bt\d+\b")
Truth = tuple[str, str | None]  # a session or a kind of owner, and the type of a subagent


class Score(NamedTuple):
    """How many owners were right, wrong, and told to be unknown, with what was told wrongly."""

    right: int
    wrong: int
    unknown: int
    faults: tuple[str, ...]

    @classmethod
    def of(cls, told: Sequence[tuple[str, Truth, Truth]]) -> "Score":
        """Count what was told, as (what, truth, told) each."""
        right = sum(truth == said for _, truth, said in told)
        unknown = [said for _, truth, said in told if said[0] == "unknown" and said != truth]
        faults = [
            f"{what}: {said}, in truth {truth}" for what, truth, said in told if truth != said
        ]
        return cls(right, len(told) - right - len(unknown), len(unknown), tuple(faults))


class World:
    """A repository with hooks in it, and the truth about all that is done there."""

    def __init__(self, folder: Path, is_one_worktree: bool) -> None:
        self.folder, self.top = folder, folder / "shop"
        (folder / "home").mkdir(parents=True)
        self.env = clean_environment(folder / "home")
        self.lock = threading.RLock()  # of the working tree that all share
        self.has_one = is_one_worktree
        self._tokens, self._titles = count(1), count(1)
        self.truth: dict[str, Truth] = {}
        self.made: dict[str, Truth] = {}
        self.rounds_done = threading.Semaphore(0)
        self.git("init", "-q", "-b", "main", self.top, cwd=folder)

    def git(self, *words: object, cwd: Path | None = None) -> str:
        """Run git as a person does."""
        return run_git(*words, cwd=cwd or self.top, env=self.env)

    def in_shell(self, words: str) -> str:
        """Return a command as a shell runs it on this machine."""
        return words

    def token(self, session: str, kind: str | None = None) -> str:
        """Return a new word by which a line is known to be somebody's."""
        with self.lock:
            token = f"t{next(self._tokens)}"
            self.truth[token] = (session, kind)
            return token

    def title(self, owner: str) -> str:
        """Return a new message by which a commit is known to be somebody's."""
        with self.lock:
            title = f"c{next(self._titles)}"
            self.made[title] = (owner, None)
            return title

    def commit(self, owner: str, files: Mapping[str, str]) -> None:
        """Commit files as a person."""
        with self.lock:
            for name, text in files.items():
                (self.top / name).parent.mkdir(parents=True, exist_ok=True)
                (self.top / name).write_text(text)
            self.git("add", "--", *files)
            self.git("commit", "-q", "-m", self.title(owner), "--", *files)


class Agent(people.Agent):
    """A session: one process, or that of the session `beside`, its hooks, and what it does."""

    call_id = ""

    def __init__(
        self, world: World, number: int, root: Path, beside: "Agent | None" = None
    ) -> None:
        self.world, self.number, self.is_beside = world, number, beside is not None
        self.own_file = f"src/part_{number}.py"
        self.turn = beside.turn if beside else threading.Lock()
        bridge = "codex" if number >= WINDOWS[0] - 1 else "claude-code"
        session = beside.session if beside else None
        super().__init__(world, f"session-{number}", root, bridge, session)

    def run(self, shell: str, stdin: str = "") -> str:
        """Have the process run a command, and return what that printed."""
        with self.turn:
            return super().run(shell, stdin)

    def variables(self) -> dict[str, str]:
        """Return what this agent sets for what it runs."""
        if self.bridge != "codex":
            return super().variables()
        names = {"CODEX_SESSION_ID": self.name, "CODEX_THREAD_ID": self.name}
        return {**names, "CODEX_TOOL_CALL_ID": self.call_id}

    def call(
        self, tool: str, tool_input: Mapping[str, Any], act: Callable[[], Any], **agent: str
    ) -> Any:
        """Call a tool: a hook before it and one after it."""
        members = {"tool_name": tool, **self._members(tool_input), **agent}
        self.call_id = members["tool_use_id"]
        self.hook("PreToolUse-Bash", **members)
        result = act()
        response = {"tool_response": result} if isinstance(result, dict) else {}
        self.hook("PostToolUse-Bash", **members, **response)
        return result

    def edit(self, path: str, old: str, new: str, **agent: str) -> None:
        """Replace a text in a file, as the tool of this agent does."""

        def act() -> object:
            with self.world.lock:
                file = self.root / path
                text = file.read_text() if file.exists() else ""
                assert old in text, (self.name, path, old)
                file.parent.mkdir(exist_ok=True)
                now = text.replace(old, new, 1) if old else new
                file.write_text(now)
            patch = hunks(text, now) if text else []
            return {"originalFile": text or None, "structuredPatch": patch}

        file = str(self.root / path)
        if self.bridge == "codex":
            head = f"*** {'Update' if old else 'Add'} File: {file}\n"
            lines = [f"-{line}" for line in old.splitlines()]
            lines += [f"+{line}" for line in new.splitlines()]
            patch = f"*** Begin Patch\n{head}" + "\n".join(lines) + "\n*** End Patch"
            self.call("apply_patch", {"command": patch}, act, **agent)
        elif old:
            members = {"file_path": file, "old_string": old, "new_string": new}
            self.call("Edit", {**members, "replace_all": False}, act, **agent)
        else:
            self.call("Write", {"file_path": file, "content": new}, act, **agent)

    def add_block(self, path: str, kind: str | None = None, **agent: str) -> str:
        """Write a function into a file, at this agent's place in the shared one."""
        token = self.world.token(self.name, kind)
        block = BLOCK.format(token=token)
        if not (self.root / path).exists():
            self.edit(path, "", block, **agent)
        elif path == SHARED:
            place = f"# place {self.number}\n"
            self.edit(path, place, place + block, **agent)
        else:
            first = (self.root / path).read_text().split("(", 1)[0]
            self.edit(path, f"{first}(", f"{block}{first}(", **agent)
        return token

    def change(self, path: str, token: str, **agent: str) -> None:
        """Change the last line of a function."""
        mark = self.world.token(self.name, agent.get("agent_type"))
        old = BLOCK.format(token=token).rstrip("\n")
        self.edit(path, old, old.replace("total * ", "total + ") + f"  # {mark}", **agent)

    def shell(self, command: str, **agent: str) -> str:
        with self.alone():
            return str(self.call("Bash", {"command": command}, lambda: self.run(command), **agent))

    def alone(self) -> contextlib.AbstractContextManager[Any]:
        """Hold the working tree that all share."""
        return self.world.lock if self.world.has_one else contextlib.nullcontext()

    def committing(self, *paths: str) -> tuple[str, str]:
        """Return the title of a new commit, and the command that makes it."""
        title = self.world.title(self.name)
        names = shlex.join(paths)
        return title, f"git add {names} && git commit -q -m '{title}' -- {names}"

    def commit(self, *paths: str, **agent: str) -> None:
        _, command = self.committing(*paths)
        if self.number in WINDOWS:  # by a script, of whose name nothing is told
            script = self.world.folder / f"save-{self.number}.sh"
            script.write_text(command)
            command = f"sh {script}"
        self.shell(command, **agent)

    def commit_detached(self, *paths: str) -> None:
        """Commit by a shell that goes on when its call has ended, under no process of ours.

        It may as well be the user's, by what can be seen.
        """
        title, command = self.committing(*paths)
        self.world.made[title] = ("unknown", None)
        done = self.world.folder / f"done-{self.number}"
        goes_on = self.world.folder / f"goes-on-{self.number}"
        wait = f"until [ -e {goes_on} ]; do sleep 0.02; done"
        words = shlex.quote(f"{wait}; {command}; touch {done}")
        shell = f"nohup setsid sh -c {words} >/dev/null 2>&1 &"
        with self.alone():
            self.call("Bash", {"command": shell}, lambda: self.run(shell))
            goes_on.touch()
            end = time.monotonic() + ANSWER_S
            while not done.exists():
                assert time.monotonic() < end
                time.sleep(0.02)

    def commit_at_once(self, agents: Sequence[Mapping[str, str]]) -> None:
        """Have the shells of two subagents run git at once, each for a file of its own."""
        for number, agent in enumerate(agents):
            self.hook("SubagentStart-sub", **agent)
            self.add_block(f"src/at_once_{self.number}_{number}.py", agent["agent_type"], **agent)
        with self.alone():
            calls = []
            for number, agent in enumerate(agents):
                _, command = self.committing(f"src/at_once_{self.number}_{number}.py")
                calls.append({**self._members({"command": command}), **agent})
                self.hook("PreToolUse-Bash", **calls[-1])
            for call in calls:
                self.run(call["tool_input"]["command"])
            for call in calls:
                self.hook("PostToolUse-Bash", **call)
        for agent in agents:
            self.hook("SubagentStop-sub", **agent)

    def work(self) -> None:
        """Do some tasks, each with a commit; a subagent does every second one."""
        for number in range(ROUNDS_OF_ONE if self.world.has_one else ROUNDS):
            self.asked(f"Do task {number} of {self.name}, and " + "think about it well. " * 60)
            agent: dict[str, str] = {}
            kind = ("reviewer", "coder")[number % 4 // 2]
            if number % 2 and self.bridge == "claude-code":
                agent = {"agent_id": f"{self.name}-a{number}", "agent_type": kind}
                task = {"prompt": f"Task {number} for you", "subagent_type": kind}
                self.call("Task", task, lambda agent=agent: self.delegate(**agent))
            else:
                self.task()
            if self.bridge == "claude-code" and number == 2:
                self.add_block(self.own_file)
                self.commit_detached(self.own_file)
            elif self.bridge == "claude-code" and number == 3:
                kinds = ({"agent_id": f"{self.name}-{at}", "agent_type": "twin"} for at in "xy")
                self.commit_at_once([*kinds])
            self.hook("Stop")
            self.world.rounds_done.release()

    def delegate(self, **agent: str) -> None:
        self.hook("SubagentStart-sub", **agent)
        self.task(**agent)
        self.hook("SubagentStop-sub", **agent)

    def task(self, **agent: str) -> None:
        kind = agent.get("agent_type")
        token = self.add_block(SHARED, kind, **agent)
        self.add_block(self.own_file, kind, **agent)
        self.change(SHARED, token, **agent)
        self.commit(SHARED, self.own_file, **agent)

    def end(self) -> None:
        """End the session, and its process however that goes."""
        try:
            self.hook("SessionEnd-other")
        finally:
            if not self.is_beside:
                self.stop()


def play(folder: Path, *, is_one_worktree: bool = False, seed: int = 1) -> tuple[Score, Score]:
    """Play all sessions, and return how right the log is about commits, and about lines."""
    world = World(folder, is_one_worktree)
    begin(world)
    agents: list[Agent] = []
    for number in range(SESSIONS):
        beside = agents[WINDOWS[0]] if number in WINDOWS[1:] else None
        root = world.top if is_one_worktree else world.folder / f"tree-{number}"
        if not is_one_worktree:
            world.git("worktree", "add", "-q", "-b", f"b{number}", root, "main")
        agents.append(Agent(world, number, root, beside))
    try:
        with ThreadPoolExecutor(SESSIONS + 1) as pool:
            works = [pool.submit(agent.work) for agent in agents]
            works.append(pool.submit(by_hand, world))
            for future in works:
                future.result()
    finally:
        for agent in reversed(agents):
            agent.end()
    return judge(world, random.Random(seed))


def begin(world: World) -> None:
    """Make the file that all work in, with a place for each; then put in git's hooks.

    Nobody saw who made it.
    """
    parts = []
    for number in range(SESSIONS + 1):
        lines = (f"x = 0  # {world.token('unknown')}\n" for _ in range(8))
        parts.append(f"# place {number}\n{''.join(lines)}")
    world.truth["place"] = ("unknown", None)
    world.commit("unknown", {SHARED: "".join(parts)})
    assert warm("hook", "install", "git", cwd=world.top, env=world.env).code == 0


def by_hand(world: World) -> None:
    """Commit as a person while the sessions go on."""
    path = world.top / SHARED
    for number in range(6):
        for _ in range(3):
            world.rounds_done.acquire(timeout=ANSWER_S)
        token = world.token("person")
        if world.has_one:
            world.commit("person", {f"by_hand_{number}.py": BLOCK.format(token=token)})
        else:
            place = f"# place {SESSIONS}\n"
            text = path.read_text().replace(place, place + BLOCK.format(token=token))
            world.commit("person", {SHARED: text})


def judge(world: World, chance: random.Random) -> tuple[Score, Score]:
    """Ask the log for owners of commits and lines, and count how many are right."""
    folder = log_in(world.top)
    take_in(folder)
    with thence.open(folder) as log:
        ownership = Ownership(log, repository(world.top))
        listed = world.git("log", "--all", "--format=%H %s").splitlines()
        commits = [(line[:40], world.made[line[41:]]) for line in listed]
        commits = chance.sample(commits, min(COMMITS, len(commits)))
        told = [(sha, truth, said_of(ownership.of_commit(sha))) for sha, truth in commits]
        lines = [*_lines(world)]
        lines = chance.sample(lines, min(LINES, len(lines)))
        by_log = []
        answers: dict[Path, Ownership] = {}
        for root, blamed, at, truth in lines:
            own = answers.setdefault(root, Ownership(log, repository(root)))
            what = f"{root.name} {blamed[at].paths} {blamed[at]!r}"
            by_log.append((what, truth, said_of(own.of_line(blamed, at))))
    return Score.of(told), Score.of(by_log)


def said_of(owner: Owner) -> Truth:
    """Return an owner in the words of the truth."""
    if owner.kind != "agent":
        return owner.kind, None
    is_line = owner.edit is not None
    return str(owner.session), owner.agent_type if is_line else None


def _lines(world: World) -> Iterator[tuple[Path, list[BlamedLine], int, Truth]]:
    """Yield all lines of all working trees that somebody's word stands in, or above."""
    roots = [world.top] if world.has_one else [*world.folder.glob("tree-*"), world.top]
    for root in sorted(roots):
        names = world.git("ls-files", "src", "*.py", cwd=root).splitlines()
        for name in dict.fromkeys(names):
            blamed = blame(repository(root), name)
            truth: Truth = ("unknown", None)
            for at, line in enumerate(blamed):
                tokens = _TOKEN.findall(line.text)
                own = world.truth[tokens[-1]] if tokens else truth
                if line.text.startswith("# place"):
                    own = ("unknown", None)
                if line.text.startswith(("def ", "# place")):
                    truth = own
                if line.text.strip():  # of empty lines git can't tell which of two are new
                    yield root, blamed, at, own
