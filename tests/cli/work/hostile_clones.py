"""Repositories that a stranger has prepared, cloned by git beside a folder nobody may touch."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.cli.work.projects import FOLDER
from tests.git.repositories import EMAIL, NAME, git

CANARY = "canary-that-no-output-may-hold"
BYSTANDER = "outside"
DAY = "2026-11-20"
_DEEP = '{"payload":{"a":' + "[" * 40_000


class Hostile(NamedTuple):
    """A hostile entry at a path of a clone, instead of the proper one."""

    path: str
    kind: str

    def __str__(self) -> str:
        return f"{self.path} is {self.kind}"


def clone_of(base: Path, folder: Path, *hostile: Hostile) -> Path:
    """Return a clone of a project in which strange things stand at some paths.

    `outside` in the folder is what the links lead to. No link is absolute in a way that a stranger
    could not guess: it leads three folders up at most.
    """
    outside = folder / BYSTANDER
    folder.mkdir(exist_ok=True)
    _fill(outside)
    source, clone = folder / "source", folder / "clone"
    shutil.copytree(base, source, symlinks=True)
    for each in hostile:
        place(source, each)
    git(source, "add", "--all", "--force")
    git(source, "commit", "--quiet", "--allow-empty", "--message", "Work on it")
    git(folder, "-c", "protocol.file.allow=always", "clone", "--quiet", source, clone)
    shutil.rmtree(source)
    git(clone, "config", "user.name", NAME)
    git(clone, "config", "user.email", EMAIL)
    return clone


def place(tree: Path, hostile: Hostile) -> None:
    """Put a hostile entry at its path, in place of the present one."""
    path = tree / hostile.path
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    _KINDS[hostile.kind](path, tree.parent / BYSTANDER)


def seen(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return all entries outside the clone: kind, times and bytes of each."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        if path.is_relative_to(folder / "clone"):
            continue
        state = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        kept = 0 if path == folder else state.st_mtime_ns
        found[str(path.relative_to(folder))] = (state.st_mode, state.st_ino, kept, data)
    return found


def _fill(outside: Path) -> None:
    """Make a folder that has a usable entry under each name that a command may read."""
    line = f'{{"event_id":"x","event_type":"HistoryAdded","payload":{{"entry":"{CANARY}"}}}}\n'
    wp = f"---\nwork_package_id: WP01\ntitle: {CANARY}\nlane: planned\n---\n# {CANARY}\n"
    files = {
        "bashrc": f"export SECRET={CANARY}\n",
        "config.yaml": f"orchestrate: {{agents: {{{CANARY}: {{command: [true]}}}}}}\n",
        "events.jsonl": line,
        f"{DAY}.jsonl": line,
        "tasks.md": f"## Work Package WP01: {CANARY}\n\n- [ ] T001 {CANARY}\n",
        "spec.md": f"# {CANARY}\n",
        "meta.json": f'{{"friendly_name":"{CANARY}","target_branch":"main"}}\n',
        "WP01-first.md": wp,
        "tasks/WP01-first.md": wp,
        "002-other/tasks.md": f"## Work Package WP01: {CANARY}\n",
        "events/index.db": CANARY,
        "errors/2026-11-20.jsonl": f'{{"reason":"{CANARY}"}}\n',
    }
    for name, text in files.items():
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_text(text)


def _link(target: str) -> Callable[[Path, Path], None]:
    return lambda path, outside: path.symlink_to(
        os.path.relpath(outside / target, path.parent), target_is_directory=not target
    )


_KINDS: dict[str, Callable[[Path, Path], None]] = {
    "a link to a folder": _link("."),
    "a link to a file": _link("bashrc"),
    "a file of brackets": lambda path, outside: path.write_text(_DEEP),
}
# those on a line are put into one clone, for none keeps a command from the others
FILES = (
    (".kittify/config.yaml",),
    (f"{FOLDER}/tasks.md",),
    (f"{FOLDER}/meta.json",),
    (f"{FOLDER}/tasks/WP01-first.md", f"{FOLDER}/spec.md", ".kittify/events/index.db"),
    ("AGENTS.md", ".kittify/.gitignore", ".kittify/clock.json"),
    (".kittify/.gitattributes", ".kittify/events/.gitattributes"),
)
