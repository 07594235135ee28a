"""A page of the docs, followed from its top: all its blocks run, in order, in one folder.

`console` has commands behind `$`, each with what it prints; `sh` is a script; the `python` blocks
of a page share their names, and a plain block behind one holds what it prints. A block with a name
behind its language is the file of that name; `text` without a name is a picture. A comment before a
block, `<!-- not run: reason -->`, leaves it out. `python -m tests.docs.walk PAGE` writes the page
anew with what is printed today.
"""

import contextlib
import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from tests.cli.warm import warm

BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]*) -->\n+)?"
    r"^```(?P<language>\w*) ?(?P<name>\S*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
# a line at the top of a page: who runs its blocks instead, and whether it begins in a repository
RUN_BY = re.compile(r"^<!-- run by: (.*) -->$", re.MULTILINE)
IN_A_REPOSITORY = "<!-- begins in: a git repository -->"
FILES = ("csv", "json", "markdown", "py", "python", "sh", "text", "toml", "yaml")
QUOTED = re.compile(r"'[^']*'")
SHELL = re.compile(r"[|&;<>$`*?~#(){}\[\]\\\n]")
ANSWERS_S = 10.0
LOOK_EVERY_S = 0.02
STAND_INS = Path(__file__).parent / "stand_ins"
MASKS = (
    (re.compile(r"(?<!\d)\d{4}-\d\d-\d\d[T_ ]\d\d[:-]?\d\d([:-]?\d\d)?([.-]\d+)?Z?"), "moment"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "day"),
    (re.compile(r"\b\d\d:\d\d(:\d\d(\.\d+)?)?\b"), "time"),
    (re.compile(r"-\d{8}T\d{6}Z-\w{6}"), "-run"),
    (re.compile(r"\b(?=\w*\d)[0-9A-Z]{26}\b|\b(?=\w*\d)[0-9A-Z]{18}\b"), "id"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "uuid"),
    (re.compile(r"\b(?=\w*\d)[0-9a-f]{7,64}\b"), "hex"),
    (re.compile(r"(password|token): \S+"), r"\1: secret"),
    (re.compile(r"\b[\d,]+ bytes|\b[\d.]+ [kM]B\b"), "size"),
    (re.compile(r"\(\d+\.\d s\)"), "(seconds)"),
    (re.compile(r"\b(after|in) [\d.]+ ?[mµ]?s\b"), r"\1 a moment"),
    (re.compile(r"\blocal:[\w.-]+"), "local:user"),
    (re.compile(r"~/\w+"), "~/folder"),
    (re.compile(r"\s+"), " "),
)


class Block(NamedTuple):
    """One block of a page, and where its text is."""

    reason: str | None
    language: str
    name: str
    text: str
    span: tuple[int, int]
    is_output: bool


class Said(NamedTuple):
    """One command or example: what the page shows below it, and what it printed."""

    command: str
    shown: str
    said: str
    status: int
    span: tuple[int, int]


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page; a plain one right behind a `python` one is its output."""
    found: list[Block] = []
    ended, language = 0, ""
    for match in BLOCK.finditer(page):
        follows = language == "python" and not page[ended : match.start()].strip()
        is_output = follows and match["language"] == ""
        ended, language = match.end(), match["language"] if not match["name"] else ""
        found.append(Block(*match.group(*BLOCK.groupindex), match.span("text"), is_output))
    return found


def refused(block: Block) -> bool:
    """Whether a block can't be run, and nothing says why."""
    runs = block.language in ("console", "python", "sh", "bash", "text") or block.is_output
    return block.reason is None and not runs and not (block.language in FILES and block.name)


def commands(block: str) -> list[tuple[str, str]]:
    """Split a block into its commands, each with what is shown below it."""
    found: list[tuple[str, str]] = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].rstrip("\n"), ""))
        elif found and found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line.rstrip()}", "")
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def masked(text: str) -> str:
    """Take out of a text what differs from run to run, and how it is broken into lines."""
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    return text.strip()


def environment(home: Path) -> dict[str, str]:
    """Return the variables of a user who has installed thence and set nothing."""
    others = ("GIT_", "THENCE", "XDG_", "PYTHON", "PYTEST", "LC_ALL", "COLUMNS")
    agents = ("CLAUDE", "CODEX", "AGENT", "OPENCODE", "AI_AGENT")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(others + agents)}
    path = (os.fspath(Path(sys.executable).parent), os.fspath(STAND_INS), os.environ["PATH"])
    return {**kept, "PATH": os.pathsep.join(path), "NO_COLOR": "1", "HOME": os.fspath(home)}


@contextlib.contextmanager
def as_user(folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Give this process the variables and folder of a user, for the Python of a page."""
    before, here = dict(os.environ), Path.cwd()
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        os.chdir(here)


class Walk:
    """A reader who follows one page, with a home and a folder that are new."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.here = os.fspath(folder)
        self.variables = environment(home)
        self.names: dict[str, object] = {"__name__": "page"}
        self.instead: dict[str, str] = {}
        self.servers: list[subprocess.Popen[bytes]] = []
        self.said: list[Said] = []

    def follow(self, page: str, only: str = "") -> None:
        """Run all blocks of a page, or those of one language."""
        listed = blocks(page)
        for block, behind in zip_longest(listed, listed[1:]):
            is_run = block.reason is None and not block.is_output
            if is_run and only in ("", block.language):
                self._run(block, behind if behind and behind.is_output else None)

    def end_server(self) -> None:
        """End the server that was started last."""
        server = self.servers.pop()
        server.send_signal(signal.SIGTERM)
        server.wait(ANSWERS_S)

    def _run(self, block: Block, output: Block | None) -> None:
        if block.name:
            path = Path(self.here, block.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._here(block.text))
        elif block.language == "console":
            start = block.span[0]
            for command, shown in commands(block.text):
                start += len(f"$ {command}\n")
                span = (start, start + len(shown))
                said, status = self._command(command, shown)
                self.said.append(Said(command, shown, self._page(said), status, span))
                start += len(shown)
        elif block.language in ("sh", "bash"):
            said, status = self._shell(f"set -e\n{block.text}")
            self.said.append(Said(block.text, said, said, status, block.span))
        elif block.language == "python":
            printed = io.StringIO()
            with as_user(Path(self.here), self.variables), contextlib.redirect_stdout(printed):
                exec(compile(self._here(block.text), "page", "exec"), self.names)
            span = output.span if output else block.span
            shown = output.text if output else ""
            self.said.append(Said(block.text, shown, self._page(printed.getvalue()), 0, span))

    def _command(self, command: str, shown: str) -> tuple[str, int]:
        if command == "kill %1":
            self.end_server()
            return "", 0
        if not command.endswith(" &"):
            return self._plain(command) or self._shell(command)
        port = free_port()
        program = command.removesuffix(" &")
        if program.startswith("thence "):
            usual = "8378" if "server run" in program else "8377"
            program += f" --port {port}"
        else:  # its port is its last word
            program, _, usual = program.rpartition(" ")
            program += f" {port}"
        self.instead[f"127.0.0.1:{usual}"] = f"127.0.0.1:{port}"
        with tempfile.TemporaryFile() as output:
            self.servers.append(
                subprocess.Popen(
                    ["bash", "-c", f"exec {program}"],
                    cwd=self.here,
                    env=self.variables,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )
            until = time.monotonic() + ANSWERS_S
            said = ""
            while time.monotonic() < until:
                output.seek(0)
                said = output.read().decode()
                if answers(port) and masked(self._page(said)) == masked(shown):
                    break
                time.sleep(LOOK_EVERY_S)
        return said, 0

    def _plain(self, command: str) -> tuple[str, int] | None:
        """Run a command of thence that needs no shell, in a process that is quick to start."""
        command = self._here(command)
        if not command.startswith("thence ") or SHELL.search(QUOTED.sub("", command)):
            return None
        with as_user(Path(self.here), self.variables):
            ended = warm(*shlex.split(command)[1:], cwd=Path(self.here), is_one_stream=True)
        return ended.out, ended.code

    def _shell(self, words: str) -> tuple[str, int]:
        script = f"{self._here(words)}\nstatus=$?\npwd >&$WHERE\nexit $status\n"
        reader, writer = os.pipe()
        with os.fdopen(reader) as where:
            done = subprocess.run(
                ["bash", "-c", script.replace("$WHERE", str(writer))],
                cwd=self.here,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(writer,),
                text=True,
                check=False,
            )
            os.close(writer)
            self.here = where.read().strip() or self.here
        return done.stdout, done.returncode

    def _here(self, text: str) -> str:
        """Put the addresses of this run into words of the page."""
        for usual, ours in self.instead.items():
            text = text.replace(usual, ours)
        return text

    def _page(self, text: str) -> str:
        """Put the addresses and folders of the page into what was printed."""
        for usual, ours in self.instead.items():
            text = text.replace(ours, usual)
        home = os.fspath(self.folder.parent)
        text = re.sub(rf"{re.escape(home)}(?=\W|$)", "~", text)
        return text.replace(f"~/{self.folder.name}", "~/shop") if "~" in text else text


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def made(folder: Path, home: Path) -> Path:
    """Make a repository with one commit, as a reader has it."""
    folder.mkdir(parents=True, exist_ok=True)
    for arguments in (
        ("init", "--quiet", "--initial-branch", "main"),
        ("config", "user.name", "Ada"),
        ("config", "user.email", "ada@example.com"),
        ("commit", "--quiet", "--allow-empty", "--message", "Begin"),
    ):
        subprocess.run(["git", *arguments], cwd=folder, env=environment(home), check=True)
    return folder


def walked(page: str, home: Path, before: str = "", only: str = "") -> list[Said]:
    """Follow a page in the folder `shop` of a new home, as it is from its top.

    `before` is a section of another page to follow first; what it prints is not returned.
    """
    folder = home / "shop"
    folder.mkdir(parents=True)
    settings = "[user]\nname = Ada\nemail = ada@example.com\n[init]\ndefaultBranch = main\n"
    (home / ".gitconfig").write_text(settings)
    if IN_A_REPOSITORY in page:
        made(folder, home)
    walk = Walk(folder, home)
    try:
        walk.follow(before)
        walk.said.clear()
        walk.follow(page, only)
    finally:
        while walk.servers:
            walk.end_server()
    return walk.said


def rewritten(page: str, walk: list[Said]) -> str:
    """Return a page with what its commands and examples print today."""
    for each in reversed(walk):
        has_place = page[slice(*each.span)] != each.command
        if has_place and masked(each.said) != masked(each.shown):
            said = each.said + "\n" * (each.said[-1:] not in ("", "\n"))
            page = page[: each.span[0]] + said + page[each.span[1] :]
    return page


if __name__ == "__main__":
    from tests.docs.test_pages import followed

    path = Path(sys.argv[1]).resolve()
    path.write_text(rewritten(path.read_text(), followed(path)))
