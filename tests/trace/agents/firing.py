"""Hooks fired as agents and git fire them: the real program, by its path, under a shell."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cli.installed import Ended, environment
from tests.cli.warm import warm

import thence
from thence.trace.agents import fired
from thence.trace.agents.intake import take_in

PROGRAM = Path(fired.__file__)
COMMAND = f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(PROGRAM))}"
AGENT_VARIABLES = (*fired.AGENT_VARIABLES, *fired.NAMING_VARIABLES)
WAIT_S = 60
# variables by which git takes a submodule from a folder
FROM_FOLDERS = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow"}
FROM_FOLDERS["GIT_CONFIG_VALUE_0"] = "always"
Env = Mapping[str, str] | None


def clean_environment(home: Path, **extra: str) -> dict[str, str]:
    """An environment in which the developer's own agent and git do not matter."""
    kept = environment(HOME=str(home), **extra)
    names = (*AGENT_VARIABLES, "GIT_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    for name in names:
        if name not in extra:
            kept.pop(name, None)
    return kept | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _WHO},
    }


_WHO = (("NAME", "Ada"), ("EMAIL", "ada@example.com"))


def git(*arguments: object, cwd: Path, env: Mapping[str, str]) -> str:
    argv = ["git", *map(str, arguments)]
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def fire(
    stdin: Mapping[str, Any] | bytes,
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str],
    bridge: str = "claude-code",
) -> subprocess.CompletedProcess[bytes]:
    """Fire one hook as `sh -c` does for an agent, and see that it disturbs nobody."""
    words = " ".join([COMMAND, bridge, *map(shlex.quote, arguments), "|| true"])
    env = {fired.CLAUDE_FOLDER: str(cwd), **env} if bridge == "claude-code" else env
    data = stdin if isinstance(stdin, bytes) else json.dumps(stdin).encode()
    done = subprocess.run(
        ["/bin/sh", "-c", words], input=data, cwd=cwd, env=env, capture_output=True, timeout=WAIT_S
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return done


def log_in(repository: Path) -> Path:
    return repository / ".git" / "thence" / "agents"


def events(folder: Path) -> list[thence.Event]:
    """What the log holds when all that waits is taken in."""
    take_in(folder)
    with thence.open(folder) as log:
        assert log.verify().findings == ()
        stored = list(log.read())
        # one that is appended twice would be served once
        assert sum(path.read_bytes().count(b"\n") for path in folder.glob("events*.jsonl")) == len(
            stored
        )
        return stored


def hook(name: str, session: str = "s-1", **members: Any) -> dict[str, Any]:
    """The JSON of a hook, by the members that Claude Code documents."""
    return {"session_id": session, "hook_event_name": name, **members}


class SessionProcess:
    """A process in the place of an agent, which runs commands as it is told."""

    def __init__(self, cwd: Path, env: Mapping[str, str]) -> None:
        words = [sys.executable, "-I", "-S", str(Path(__file__).with_name("session_program.py"))]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(words, env=env, cwd=cwd, **pipes)

    def run(self, shell: str, cwd: Path, stdin: str = "") -> str:
        """Have it run a command, and return what that printed."""
        order, answers = self.process.stdin, self.process.stdout
        order.write(json.dumps({"shell": shell, "cwd": str(cwd), "stdin": stdin}) + "\n")
        order.flush()
        answer = json.loads(answers.readline())
        assert answer["code"] == 0, (shell, answer["out"])
        return str(answer["out"]).strip()

    def fire(self, cwd: Path, name: str, session: str, **members: Any) -> None:
        """Have it fire a hook of Claude Code."""
        words = f"{fired.CLAUDE_FOLDER}=. {COMMAND} claude-code || true"
        assert self.run(words, cwd, json.dumps(hook(name, session, **members))) == ""

    def end(self) -> None:
        """End the process."""
        with self.process as process:
            process.stdin.close()


class Shop:
    """A repository at `top`, with the environment of its user and its log of agents."""

    def __init__(self, top: Path, env: dict[str, str]) -> None:
        self.top, self.env, self.log = top, env, log_in(top)

    def git(self, *words: object, cwd: Path | None = None, env: Env = None) -> str:
        return git(*words, cwd=cwd or self.top, env=env or self.env)

    def fire(self, stdin: Any, *words: str, bridge: str = "claude-code", **place: Any) -> None:
        fire(stdin, *words, bridge=bridge, **{"cwd": self.top, "env": self.env, **place})

    def quiet(self, argv: Sequence[object], stdin: bytes | str = b"", **place: Any) -> None:
        """Run a program, and see that it disturbs nobody."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        where = {"cwd": self.top, "env": self.env, "timeout": WAIT_S, **place}
        done = subprocess.run([*map(str, argv)], input=data, capture_output=True, **where)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), argv

    def run(self, *words: object, cwd: Path | None = None, env: Env = None) -> Ended:
        return warm(*words, cwd=cwd or self.top, env=env or self.env)

    def hook(self, *words: object, code: int = 0, **place: Any) -> Ended:
        """Run `thence hook`, which ends with a code."""
        ended = self.run("hook", *words, **place)
        assert ended.code == code, ended.err
        return ended

    def events(self) -> list[thence.Event]:
        return events(self.log)
