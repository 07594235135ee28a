"""A day in one repository: people and agents work in it, and who wrote each line is known.

Git, its hooks and the program of the hooks are real; what an agent hands to a hook has the form
that the real one sent, in `tests/trace/agents/corpus`. A drawing of a file has before each line
its owner: somebody's name, `ada?` where it is right as well that nobody knows it, `?` where nothing
here can know it. Blank lines have none.
"""

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from tests.cli.warm import warm
from tests.trace.agents.firing import SessionProcess, clean_environment, log_in
from tests.trace.agents.firing import git as run_git
from tests.trace.agents.played import hunks

from thence.trace.agents.installed import HELPER, command

CORPUS = Path(__file__).parents[1] / "trace/agents/corpus"
UNKNOWN = "?"
# the share of lines of whose owner an honest answer may say that it does not know
UNKNOWN_MAX = 1 / 12


class Told(NamedTuple):
    """What `thence blame` says of a line: its owner, and what was asked for."""

    owner: str
    text: str
    ask: str | None


class Day:
    """A repository with hooks, in which Ada begins; `folder` has what else is needed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.top = folder, folder / "shop"
        (folder / "home").mkdir(parents=True)
        self.env = clean_environment(folder / "home")
        self.ada = Person(self, "Ada")
        self.repository(self.top)

    def repository(self, top: Path) -> Path:
        """Makes a repository with hooks."""
        run_git("init", "-q", "-b", "main", top, cwd=self.folder, env=self.env)
        for tool in ("claude-code", "codex", "git"):
            ended = warm("hook", "install", tool, cwd=top, env=self.env)
            assert ended.code == 0, ended.err
        return top

    @contextmanager
    def agent(self, name: str, root: Path | None = None) -> "Iterator[Agent]":
        """Runs a session of Claude Code to its end."""
        agent = Agent(self, name, root or self.top)
        try:
            yield agent
            agent.hook("SessionEnd-other")
        finally:
            agent.stop()

    def in_shell(self, words: str) -> str:
        """Returns a command as a shell runs it on this machine."""
        return words

    def worktree(self, name: str) -> Path:
        """Makes a worktree with a branch of its own."""
        place = self.folder / name
        self.ada.git("worktree", "add", "-q", "-b", name, place, "main")
        return place

    def told(self, path: str, root: Path | None = None) -> list[Told]:
        """Asks for the owner of each line of a file."""
        ended = warm("blame", path, "--json", cwd=root or self.top, env=self.env)
        assert ended.code == 0, ended.err
        return [Told(_owner(line), line["text"], line["ask"]) for line in ended.json["lines"]]

    def judge(self, drawings: Mapping[str, str], root: Path | None = None) -> None:
        """Sees that no owner is wrong, and few are unknown, in all drawn files together."""
        wrong, unknown, count_of_lines = [], [], 0
        for path, drawing in drawings.items():
            truth = [line.rpartition("|") for line in drawing.strip("\n").split("\n")]
            told = self.told(path, root)
            assert [one.text for one in told] == [text for _, _, text in truth], path
            for number, ((name, _, text), one) in enumerate(zip(truth, told, strict=True), 1):
                owner = name.strip()
                if not text.strip() or one.owner in (owner, owner.removesuffix("?")):
                    continue
                entry = f"{path}:{number} {one.owner}, in truth {owner}: {text}"
                if one.owner != UNKNOWN:
                    wrong.append(entry)
                elif not owner.endswith("?"):
                    unknown.append(entry)
            count_of_lines += len(truth)
        assert wrong == [], "\n".join(wrong)
        assert len(unknown) <= count_of_lines * UNKNOWN_MAX, "\n".join(unknown)


def _owner(line: Mapping[str, Any]) -> str:
    if line["kind"] == "agent":
        return str(line["session"])
    return str(line["name"]).lower() if line["kind"] == "person" else UNKNOWN


class Person:
    """Somebody who edits and commits by hand, in a working tree."""

    def __init__(self, day: Day, name: str) -> None:
        self.day, self.name = day, name
        mail = f"{name.lower()}@example.com"
        names = {f"GIT_{who}_NAME": name for who in ("AUTHOR", "COMMITTER")}
        self.env = day.env | names | {"GIT_AUTHOR_EMAIL": mail, "GIT_COMMITTER_EMAIL": mail}

    def git(self, *words: object, root: Path | None = None, **variables: str) -> str:
        """Runs git."""
        return run_git(*words, cwd=root or self.day.top, env=self.env | variables)

    def types(self, files: Mapping[str, str], root: Path | None = None) -> None:
        """Saves files."""
        for name, text in files.items():
            path = (root or self.day.top) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def changes(self, path: str, old: str, new: str, root: Path | None = None) -> None:
        """Replaces a text in a file."""
        place = (root or self.day.top) / path
        text = place.read_text()
        assert text.count(old) == 1, (path, old)
        place.write_text(text.replace(old, new))

    def commits(self, message: str, root: Path | None = None, **variables: str) -> str:
        """Commits all that is in a working tree."""
        self.git("add", "-A", root=root, **variables)
        self.git("commit", "-q", "-m", message, root=root, **variables)
        return self.git("rev-parse", "HEAD", root=root)


class Agent:
    """A session of an agent: a process that fires hooks and runs commands.

    `day` is a `Day`, or what has its `top`, its `env` and its `in_shell`.
    """

    def __init__(
        self,
        day: Any,
        name: str,
        root: Path,
        bridge: str = "claude-code",
        session: SessionProcess | None = None,
    ) -> None:
        self.day, self.name, self.root, self.bridge = day, name, root, bridge
        self._calls = count(1)
        self.prompt_id = ""
        self._corpus, *_ = sorted(CORPUS.glob(f"{bridge}-*"))  # the oldest has all forms
        self._hook = command(log_in(day.top) / HELPER, bridge)
        self.session = session or SessionProcess(root, day.env)
        self.hook("SessionStart-startup")

    def stop(self) -> None:
        """Ends the process."""
        self.session.end()

    def run(self, shell: str, stdin: str = "") -> str:
        """Has the process run a command, with the variables that the agent sets for it."""
        pairs = self.variables().items()
        exported = " ".join(f"{name}={shlex.quote(value)}" for name, value in pairs)
        command = f"export {exported}; {self.day.in_shell(shell)}"
        return self.session.run(command, self.root, stdin)

    def variables(self) -> dict[str, str]:
        """Returns what the agent sets for what it runs."""
        names = {"AI_AGENT": "claude-code", "CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ID": self.name}
        return {**names, "CLAUDE_PROJECT_DIR": str(self.root)}

    def hook(self, form: str, **members: Any) -> None:
        """Fires a hook with the input of the real one, and with these members."""
        sent = json.loads((self._corpus / f"{form}.json").read_text())
        sent |= {"session_id": self.name, "cwd": str(self.root)}
        sent |= dict.fromkeys(sent.keys() & {"prompt_id", "turn_id"}, self.prompt_id)
        assert self.run(self._hook, json.dumps(sent | members)) == ""

    def asked(self, text: str) -> "Agent":
        """Takes what the user asks."""
        self.prompt_id = f"{self.name}-{next(self._calls)}"
        self.hook("UserPromptSubmit", prompt=text)
        return self

    def shell(self, words: str) -> str:
        """Runs a command by the tool for it."""
        members = self._members({"command": words})
        self.hook("PreToolUse-Bash", **members)
        out = self.run(words)
        self.hook("PostToolUse-Bash", **members)
        return out

    def reads(self, path: str) -> None:
        """Reads a file by the tool for it."""
        text = (self.root / path).read_text()
        members = self._members({"file_path": str(self.root / path)})
        self.hook("PreToolUse-Read", **members)
        answer = {"type": "text", "file": {"filePath": str(self.root / path), "content": text}}
        self.hook("PostToolUse-Read", **members, tool_response=answer)

    def edits(self, path: str, old: str, new: str) -> None:
        """Replaces a text in a file by the tool for it."""
        text = (self.root / path).read_text()
        assert text.count(old) == 1, (path, old)
        sent = {"file_path": str(self.root / path), "old_string": old, "new_string": new}
        more = {"oldString": old, "newString": new, "replaceAll": False}
        self._writes("Edit", path, sent, text.replace(old, new), more)

    def writes(self, path: str, text: str) -> None:
        """Writes a whole file by the tool for it."""
        sent = {"file_path": str(self.root / path), "content": text}
        kind = "update" if (self.root / path).exists() else "create"
        self._writes("Write", path, sent, text, {"type": kind, "content": text})

    def _writes(
        self, tool: str, path: str, sent: dict[str, Any], text: str, more: dict[str, Any]
    ) -> None:
        place = self.root / path
        original = place.read_text() if place.exists() else None
        members = self._members({**sent})
        self.hook(f"PreToolUse-{tool}", **members)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        answer = {"filePath": str(place), "originalFile": original, "userModified": False, **more}
        answer["structuredPatch"] = hunks(original, text) if original is not None else []
        self.hook(f"PostToolUse-{tool}", **members, tool_response=answer)

    def _members(self, sent: dict[str, Any]) -> dict[str, Any]:
        return {"tool_input": sent, "tool_use_id": f"{self.name}-{next(self._calls)}"}
