"""Three members of a team, whose coding agents work in clones of one repository.

Each has a machine of their own: a home, a clone and a host name. Agents' hooks get what the real
one sent, and what each member has to learn from the others was written down first.
"""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.installed import THENCE, Ended, is_three_lines
from tests.days.people import Day, Person
from tests.server.team.team_server import PASSWORD, TeamServer, team_server
from tests.trace.agents.firing import clean_environment, log_in
from tests.trace.agents.firing import git as run_git

WAIT_S = 60
KEY = "ghp_" + "a1" * 18
NAMED = (
    "import os, socket, sys; socket.sethostname(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])"
)
# of a machine that may give a process another host name
SPACES = [["unshare", *flags, "-u"] for flags in ([], ["-U", "-r"])]
SHOP = """\
def price(order):
    return order.whole


def discount(member):
    return 0
"""


class Machine(Day):
    """A member's machine, with a clone in which hooks are installed."""

    def __init__(self, name: str, folder: Path, origin: Path, space: list[str]) -> None:
        self.name, self.folder, self.top, self._space = name, folder, folder / "shop", space
        (folder / "home").mkdir(parents=True)
        self.env = clean_environment(folder / "home")
        self.person = Person(self, name.title())
        run_git("clone", "-q", origin, self.top, cwd=folder, env=self.env)
        for tool in ("claude-code", "git"):
            self.done("hook", "install", tool)

    def on_host(self, *words: object) -> list[str]:
        """Returns the words of a command that has this machine's host name."""
        named = [*self._space, sys.executable, "-c", NAMED, f"{self.name}-laptop"]
        return [*map(str, (*(named if self._space else ()), *words))]

    def __call__(self, *words: object, stdin: str = "") -> Ended:
        argv, pipes = self.on_host(THENCE, *words), {"capture_output": True, "text": True}
        place = {"cwd": self.top, "env": self.env, "timeout": WAIT_S}
        done = subprocess.run(argv, input=stdin, **place, **pipes)
        return Ended(done.returncode, done.stdout, done.stderr)

    def done(self, *words: object, stdin: str = "") -> Ended:
        ended = self(*words, stdin=stdin)
        assert ended.code == 0, ended.err
        return ended

    def join(self, server: TeamServer) -> Ended:
        words = ("sync", "login", server.url, "--username", self.name, "--password-stdin")
        self.done(*words, stdin=f"{PASSWORD}\n")
        return self("hook", "join", server.url)

    def in_shell(self, words: str) -> str:
        return shlex.join(self.on_host("sh", "-c", words))

    def why(self, line: int) -> str:
        return " ".join(self.done("why", f"shop.py:{line}").out.split())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TeamServer]:
    with team_server(tmp_path / "team") as running:
        for name in ("ben", "cleo"):
            running.add(name)
        yield running


@pytest.fixture
def team(tmp_path: Path, server: TeamServer) -> list[Machine]:
    env = clean_environment(tmp_path)
    origin, first = tmp_path / "origin.git", tmp_path / "first"
    run_git("init", "-q", "-b", "main", first, cwd=tmp_path, env=env)
    (first / "shop.py").write_text(SHOP)
    run_git("add", "-A", cwd=first, env=env)
    run_git("commit", "-q", "-m", "A shop", cwd=first, env=env)
    run_git("clone", "-q", "--bare", first, origin, cwd=tmp_path, env=env)
    spaces = [each for each in SPACES if not subprocess.run([*each, "true"]).returncode]
    return [
        Machine(name, tmp_path / name, origin, spaces[0] if spaces else [])
        for name in ("ada", "ben", "cleo")
    ]


@pytest.mark.promise("A5h", "S10b")
def test_member_learns_which_agent_of_another_wrote_a_line_and_never_a_secret(team, server):
    ada, ben, cleo = team
    with ada.agent("prices") as agent:
        agent.asked(f"Members pay less; the shop's key is {KEY}")
        agent.edits("shop.py", "    return 0\n", "    return member.years\n")
        agent.shell("git commit -qam 'Members pay less' && git push -q origin main")
    assert ada.join(server).code == 0
    ben.person.git("pull", "-q")
    assert "prices" not in ben("why", "shop.py:6").out, "nothing of it goes through git"
    assert ben.join(server).code == 0
    told = ben.why(6)
    assert "is by claude-code in session prices" in told
    assert "Members pay less; the shop's key is" in told

    with ben.agent("orders") as agent:
        agent.asked("Take the discount off")
        agent.edits("shop.py", "order.whole\n", "order.whole - discount(order.member)\n")
        agent.shell("git commit -qam 'Take it off' && git push -q origin main")
    ben.done("sync", "now")
    ada.person.git("pull", "-q")
    ada.done("sync", "now")
    assert "is by claude-code in session orders" in ada.why(2)

    # whose log is not masked shares nothing, and learns nothing
    cleo.person.git("pull", "-q")
    settings = log_in(cleo.top) / ".thence" / "settings.toml"
    settings.write_text("")
    held = server.client("ada").pull(_log_name(ada))[0]
    refused = cleo.join(server)
    assert (refused.code, is_three_lines(refused.err)) == (1, True)
    assert "secret masking is off" in refused.err
    assert server.client("ada").pull(_log_name(ada))[0] == held
    settings.write_text("[redact]\n")
    assert cleo.join(server).code == 0
    for line, session in ((2, "orders"), (6, "prices")):
        assert f"is by claude-code in session {session}" in cleo.why(line)

    for place in (*(log_in(each.top) for each in team), server.data):
        files = [path for path in place.rglob("*") if path.is_file()]
        assert files
        assert not [path for path in files if KEY.encode() in path.read_bytes()]


def _log_name(machine: Machine) -> str:
    first = machine.person.git("rev-list", "--max-parents=0", "HEAD")
    return f"agents-{first}"
