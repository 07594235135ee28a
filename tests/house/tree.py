"""The tree as the house tests see it: files that git tracks or would track, and parsed modules."""

import ast
import atexit
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "src/thence"


@dataclass(frozen=True)
class Module:
    """One Python file: its place in the tree, its text, its syntax tree."""

    path: str
    text: str
    syntax: ast.Module

    @property
    def room(self) -> str:
        """The top-level folder or module of the package that it belongs to, else ''."""
        inside = self.path.removeprefix(f"{PACKAGE}/")
        return "" if inside == self.path else inside.split("/")[0].removesuffix(".py")

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def parsed(path: str, text: str) -> Module:
    """Make a module from text, as the samples in the tests do."""
    return Module(path, text, ast.parse(text))


@cache
def tracked_files() -> tuple[str, ...]:
    """Files that are tracked or new and not ignored, as paths from the top of the tree."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = sorted(set(listed.stdout.split("\0")) - {""})
    return tuple(name for name in names if (ROOT / name).is_file())


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """The Python files under these folders."""
    chosen = tuple(folder + "/" for folder in folders)
    paths = [name for name in tracked_files() if name.endswith(".py") and name.startswith(chosen)]
    return tuple(map(_module, paths))


@cache
def _module(name: str) -> Module:
    return parsed(name, (ROOT / name).read_text(encoding="utf-8"))


# the interpreter takes 40 s to free two million nodes as it ends, and half a second before
atexit.register(modules.cache_clear)
atexit.register(_module.cache_clear)


def texts(*suffixes: str) -> Iterator[tuple[str, str]]:
    """Tracked text files with one of these endings (all, if none is given) and what they say."""
    for name in tracked_files():
        if suffixes and not name.endswith(suffixes):
            continue
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
