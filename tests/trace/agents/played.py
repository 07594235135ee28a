"""Sessions of coding agents that work in a real repository, and the events that they leave.

The events are those that the bridges write; nothing else is played.
"""

from collections.abc import Callable, Mapping
from difflib import unified_diff
from itertools import count
from pathlib import Path
from typing import Any

from tests.git.repositories import git, make_repository

import thence
from thence.core.event import Event
from thence.core.new_event import HostEvent
from thence.git.blame import blame
from thence.git.repository import Repository, repository
from thence.log.open import Log
from thence.trace.agents.ownership import Owner, Ownership

_numbers = count(1)
PAY = "def pay(total):\n    return total\n"


class PlayedRepository:
    """A repository with a log of agents in its git folder."""

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, str | bytes] | None = None,
        *,
        is_recorded: bool = True,
    ) -> None:
        self.top = make_repository(folder, files)
        self.log: Log = thence.open(self.top / ".git/thence/agents", bodies_from=1024)
        if is_recorded:
            self.committed(self.top)

    @classmethod
    def of(cls, top: Path) -> "PlayedRepository":
        """Take a repository that is there."""
        played = object.__new__(cls)
        played.top, played.log = top, thence.open(top / ".git/thence/agents", bodies_from=1024)
        return played

    @property
    def repo(self) -> Repository:
        return repository(self.top)

    def worktree(self, name: str) -> Path:
        """Make a worktree with a branch of its own."""
        folder = self.top.parent / name
        git(self.top, "worktree", "add", "-q", "-b", name, folder, "main")
        return folder

    def record(
        self,
        event_type: str,
        payload: Mapping[str, Any],
        subject: str,
        actor: str,
        stream: str | None,
        causes: tuple[str, ...] = (),
        **more: Any,
    ) -> Event:
        source = "git" if actor == "git" or event_type in ("commit", "rewrite") else "claude-code"
        place = {"source": source, "source_id": f"{next(_numbers):020}"}
        new = HostEvent(
            event_type, payload, subject, actor, stream, causes or None, **place, **more
        )
        return self.log.append_many([new])[0]

    def committed(
        self, root: Path, by: str = "person", causes: tuple[str, ...] = (), **known: Any
    ) -> str:
        """Record the commit that a working tree stands at, as the git hook does."""
        commit = git(root, "rev-parse", "HEAD")
        actor = known.pop("actor", "git")
        payload = {"commit": commit, "root": str(root), "by": by, **known}
        session = known.get("session")
        self.record("commit", payload, f"commit/{commit}", actor, session, causes)
        return commit

    def rewritten(self, old: str, new: str, by: str = "rebase") -> None:
        self.record("rewrite", {"old": old, "new": new, "by": by}, f"commit/{new}", "git", None)

    def person(self, root: Path, files: Mapping[str, str], message: str, **author: str) -> str:
        """Commit files as a person does whom the hook saw."""
        write(root, files)
        commit(root, message, **author)
        return self.committed(root)


class Session:
    """One agent, or with `agent` a subagent, in a working tree."""

    def __init__(
        self, played: PlayedRepository, name: str, root: Path | None = None, ask: str = ""
    ) -> None:
        self.played, self.name, self.root = played, name, root or played.top
        self.actor, self.agent, self.agent_type = "claude-code", None, None
        begun = played.record("session.begun", self.facts(), f"session/{name}", self.actor, name)
        self.cause = begun.event_id
        if ask:
            self.ask(ask)

    def facts(self, **more: Any) -> dict[str, Any]:
        members = {"session": self.name, "root": str(self.root), "agent": self.agent}
        named = {**members, "agent_type": self.agent_type, **more}
        return {key: value for key, value in named.items() if value is not None}

    def _record(self, kind: str, subject: str, facts: Mapping[str, Any], **more: Any) -> Event:
        payload = self.facts(**facts)
        causes = (self.cause,)
        return self.played.record(kind, payload, subject, self.actor, self.name, causes, **more)

    def ask(self, text: str) -> Event:
        prompt = self._record("prompt", f"session/{self.name}", {"prompt": text})
        self.cause = prompt.event_id
        return prompt

    def subagent(self, kind: str, task: str) -> "Session":
        """Begin a subagent of a type, with its task."""
        number = next(_numbers)
        tool_input = {"prompt": task, "subagent_type": kind}
        facts = {"tool": "Task", "input": tool_input}
        call = self._record("tool.begun", f"tool/{number}", facts, begins=True)
        sub = object.__new__(Session)
        sub.__dict__.update(self.__dict__)
        sub.agent, sub.agent_type, sub.actor = f"a{number}", kind, f"claude-code/{kind}"
        sub.cause = call.event_id
        sub.cause = sub._record("subagent.begun", f"agent/{sub.agent}", {}, begins=True).event_id
        return sub

    def edit(self, path: str, old: str, new: str) -> Event:
        """Replace a text in a file."""
        file = self.root / path
        text = file.read_bytes().decode()
        assert old in text, (path, old)
        now = text.replace(old, new, 1)
        file.write_text(now, newline="")
        return self.edited("Edit", path, *sides(hunks(text, now)))

    def write(self, path: str, content: str) -> Event:
        """Write a whole file; the answer has the one before."""
        file = self.root / path
        before = file.read_bytes().decode() if file.exists() else None
        write(self.root, {path: content})
        texts = {"added": content, "removed": before or "", "is_hunk": True}
        return self.edited("Write", path, texts)

    def edited(
        self,
        tool: str,
        path: str,
        *texts: Mapping[str, Any],
        meanwhile: Callable[[], object] = lambda: None,
        **noted: str,
    ) -> Event:
        subject = f"tool/{next(_numbers)}"
        facts = {"tool": tool, "input": {"file_path": str(self.root / path)}, **noted}
        begun = self._record("tool.begun", subject, facts, begins=True)
        meanwhile()
        payload = self.facts(tool=tool, files=[{"path": path, **one} for one in texts])
        causes = (begun.event_id,)
        return self.played.record(
            "tool.ended", payload, subject, self.actor, self.name, causes, ends=begun.event_id
        )

    def commit(self, message: str, *paths: str) -> str:
        """Commit by a call of the shell, all changes or those of some paths."""
        return self.run(lambda: commit(self.root, message, paths=paths), f"git commit -m {message}")

    def run(self, act: Any, command: str) -> str:
        subject = f"tool/{next(_numbers)}"
        facts = {"tool": "Bash", "input": {"command": command}}
        begun = self._record("tool.begun", subject, facts, begins=True)
        act()
        known = {"session": self.name, "agent": self.agent, "actor": self.actor}
        known = {key: value for key, value in known.items() if value}
        made = self.played.committed(self.root, "agent", (begun.event_id,), **known)
        payload, causes = self.facts(tool="Bash"), (begun.event_id,)
        self.played.record(
            "tool.ended", payload, subject, self.actor, self.name, causes, ends=begun.event_id
        )
        return made


def hunks(old: str, new: str) -> list[dict[str, Any]]:
    """Return the hunks between two texts as Claude Code has them."""
    lines = [*unified_diff(old.split("\n")[:-1], new.split("\n")[:-1], n=3, lineterm="")][2:]
    starts = [at for at, line in enumerate(lines) if line.startswith("@@")]
    return [
        {"lines": lines[start + 1 : end]}
        for start, end in zip(starts, [*starts[1:], None], strict=True)
    ]


def sides(patch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return hunks as an edit has them in its event."""
    return [
        {
            name: "".join(f"{line[1:]}\n" for line in hunk["lines"] if line[0] in f" {sign}")
            for name, sign in (("added", "+"), ("removed", "-"))
        }
        | {"is_hunk": True}
        for hunk in patch
    ]


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, newline="")


def commit(root: Path, message: str, paths: tuple[str, ...] = (), **author: str) -> None:
    git(root, "add", "-A", *(("--", *paths) if paths else ()))
    name, mail = author.get("name", "Ada"), author.get("mail", "ada@example.org")
    options = ("-c", f"user.name={name}", "-c", f"user.email={mail}")
    git(root, *options, "commit", "-q", "--allow-empty", "-m", message)


def owners(played: PlayedRepository, path: str, root: Path | None = None) -> list[Owner]:
    repo = repository(root or played.top)
    lines, ownership = blame(repo, path), Ownership(played.log, repo)
    return [ownership.of_line(lines, at) for at in range(len(lines))]


def told(owner: Owner) -> str:
    if owner.kind != "agent":
        return f"{owner.kind} {owner.name}".strip()
    return "/".join(filter(None, (owner.session, owner.agent_type)))


def of_commit(played: PlayedRepository, sha: str) -> Owner:
    return Ownership(played.log, played.repo).of_commit(sha)
