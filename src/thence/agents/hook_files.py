"""A file in which an agent or git keeps hooks: read, changed, and brought back as it was.

What is in such a file is kept, and a file that can't be understood is left alone. The text of a
file before the change is kept in the user's state folder, and comes back as it was where nobody
else has changed the file since. A project's settings with paths of this machine are hidden from
git.
"""

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, cast

from thence.agents.fired import common_folder, repository, users_folder
from thence.files import replace_file

SETTINGS_BYTES_MAX = 4 * 1024 * 1024
_MARK = "# thence hook install\n"

# makes a new text of a file's text; None stands for no file
Edit = Callable[[str | None], str | None]


class HookFile(NamedTuple):
    """One file of an agent or of git: what was done to it, or its state.

    `state` is "installed", "unchanged", "removed", "absent", "gone" of a hook that somebody else
    has taken out, or "left", of a file that was not touched for the reason in `note`. `lines` are
    what a person may add to the file that `note` names.
    """

    tool: str
    path: Path
    state: str
    note: str = ""
    lines: tuple[str, ...] = ()


def changed(
    tool: str, path: Path, change: Edit, *, is_removal: bool = False, fresh_mode: int = 0o600
) -> HookFile:
    """Writes what a function makes of a file's text; of None it is removed."""
    link = _link_of_clone(path)
    if link is not None:
        return HookFile(tool, path, "left", f"{link} is a symbolic link, and none is followed here")
    try:
        text = read_text(path)
        fresh = change(text)
    except ValueError as error:
        return HookFile(tool, path, "left", str(error))
    if fresh == text:
        return HookFile(tool, path, "absent" if is_removal else "unchanged")
    kept = _kept_path(path)
    if is_removal:
        fresh = _kept(kept, text, fresh)
    elif kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        digest = sha256(_bytes(fresh or "")).hexdigest()
        members = {"before": _kept(kept, text, text), "after": digest}
        replace_file(kept, json.dumps(members).encode(), 0o600)
    path = path.resolve()  # dotfiles are often kept elsewhere
    if fresh is None:
        path.unlink()
        with suppress(OSError):  # other files are in it
            path.parent.rmdir()
        return HookFile(tool, path, "removed")
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if text is not None else fresh_mode
    replace_file(path, _bytes(fresh), mode)
    return HookFile(tool, path, "removed" if is_removal else "installed")


def read_text(path: Path) -> str | None:
    """Returns a file's text, byte for byte; None where there is no file. Raises ValueError."""
    try:
        with path.open("rb") as file:
            data = file.read(SETTINGS_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(data) > SETTINGS_BYTES_MAX:
        raise ValueError(f"it has more than {SETTINGS_BYTES_MAX:,} bytes")
    return data.decode("utf-8", "surrogateescape")


def readable_text(path: Path) -> str:
    """Returns a file's text, "" where it can't be read."""
    with suppress(ValueError, OSError):
        return read_text(path) or ""
    return ""


def git_state(path: Path) -> str:
    """Returns git's two letters for a file of a working tree, such as "??", or ""."""
    place = repository(str(path.parent))
    if place is None or path.is_relative_to(common_folder(place[1])):
        return ""
    argv = ["git", "-C", str(path.parent), "status", "--porcelain", "-uall", "--", path.name]
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout[:2]


def hide_from_git(path: Path, is_hidden: bool) -> None:
    """Adds a file to what git ignores in this repository alone, or takes it out again."""
    place = repository(str(path.parent))
    if place is None:
        return
    lines = f"{_MARK}/{path.relative_to(place[0])}\n"
    exclude = Path(common_folder(place[1]), "info", "exclude").resolve()
    text = readable_text(exclude)
    rest = text.replace(lines, "")
    if is_hidden:
        exclude.parent.mkdir(exist_ok=True)
        rest += lines if rest.endswith("\n") or not rest else f"\n{lines}"
    if rest != text:
        replace_file(exclude, _bytes(rest))


def _link_of_clone(path: Path) -> Path | None:
    """Returns a symbolic link in a working tree: its maker would choose what is written."""
    place = repository(str(Path.cwd()))
    root = Path(place[0]) if place else None
    if root is None or not path.is_relative_to(root) or path.is_relative_to(root / ".git"):
        return None
    inside = [path, *path.parents]
    return next((part for part in inside[: inside.index(root)] if part.is_symlink()), None)


def _kept_path(path: Path) -> Path | None:
    """Returns the file that keeps a file's text from before `install`, and a digest of after it."""
    folder = users_folder("XDG_STATE_HOME", ".local/state", "thence/hooks")
    name = sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    return Path(folder, f"{name}.json") if folder else None


def _kept(kept: Path | None, text: str | None, default: str | None) -> str | None:
    """Returns the text before `install`, `default` where the file is not as that has left it."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        members = json.loads(kept.read_bytes()) if kept is not None else {}
        if members["after"] == sha256(_bytes(text or "")).hexdigest():
            return cast("str | None", members["before"])
    return default


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
