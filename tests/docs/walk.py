"""Pages whose shell examples are run: what is shown below each command is what it really says.

`python -m tests.docs.walk docs/guides/work/cut-a-feature.md` writes the page anew with what the
commands say today.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"^```(console|markdown|sh|yaml) ?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HOME = "~/sync"
STAND_INS = Path(__file__).parent / "stand_ins"
MASKS = (
    (re.compile(r"commit\s+[0-9a-f]{12}\b"), "commit id"),
    (re.compile(r"\[[0-9A-Z]{18}\]"), "[id]"),
    (re.compile(r"\b[0-9A-Z]{26}\b"), "id"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "uuid"),
    (re.compile(r"^[0-9a-f]{7,12}(?= )", re.MULTILINE), "commit"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "day"),
    (re.compile(r"(next: thence effects) \w+"), r"\1 id"),
    (re.compile(r"\(\d+\.\d s\)"), "(seconds)"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?"), "time"),
)


class Said(NamedTuple):
    """One command of a page: what is shown below it, and what it said."""

    command: str
    shown: str
    said: str
    status: int


def made(folder: Path) -> Path:
    """Make a repository with one commit, as a reader has it."""
    folder.mkdir(parents=True, exist_ok=True)
    for arguments in (
        ("init", "--quiet", "--initial-branch", "main"),
        ("config", "user.name", "Ada"),
        ("config", "user.email", "ada@example.com"),
        ("commit", "--quiet", "--allow-empty", "--message", "Begin"),
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


def walked(page: str, folder: Path) -> list[Said]:
    """Run a page's commands, one after the other, in a folder."""
    here = str(folder)
    said: list[Said] = []
    for kind, name, text in BLOCK.findall(page):
        if kind != "console":
            if name:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
            continue
        for command, shown in commands(text):
            script = f"{command}\nstatus=$?\npwd >&3\nexit $status\n"
            reader, writer = os.pipe()
            with os.fdopen(reader) as where:
                done = subprocess.run(
                    ["bash", "-c", script.replace(">&3", f">&{writer}")],
                    cwd=here,
                    env=environment(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=(writer,),
                    text=True,
                    check=False,
                )
                os.close(writer)
                here = where.read().strip() or here
            said.append(
                Said(command, shown, done.stdout.replace(str(folder), HOME), done.returncode)
            )
    return said


def commands(block: str) -> list[tuple[str, str]]:
    """Split a block into its commands, each with what is shown below it."""
    found: list[tuple[str, str]] = []
    for line in block.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].rstrip("\n"), ""))
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def masked(text: str) -> str:
    """Take out of a text what differs from run to run."""
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    return text


def environment() -> dict[str, str]:
    """Return the variables of a user who has installed thence and set nothing."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "THENCE"))
    }
    path = (os.fspath(Path(sys.executable).parent), os.fspath(STAND_INS), os.environ["PATH"])
    return {**kept, "PATH": os.pathsep.join(path), "NO_COLOR": "1"}


def rewritten(page: str, folder: Path) -> str:
    """Return a page with what its commands say below each of them."""
    said = iter(walked(page, folder))

    def block(match: re.Match[str]) -> str:
        kind, _, text = match.groups()
        if kind != "console":
            return match[0]
        parts = [
            f"$ {each.command}\n{each.said}" for _, each in zip(commands(text), said, strict=False)
        ]
        return "```console\n" + "".join(parts) + "```"

    return BLOCK.sub(block, page)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        path.write_text(rewritten(path.read_text(), made(Path(scratch).resolve() / "sync")))
