"""Hooks in the settings of agents and of git: put in, taken out, looked at.

What stands in these files is kept, and a file that can't be understood is left alone. What was put
in is known again by the program that it calls, so that taking it out takes nothing else. The text
of a file before the change is kept in the user's state folder, and comes back as it was where
nobody else has changed the file since.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, cast

from thence.agents import fired
from thence.agents.fired import log_of, repository, users_folder
from thence.errors import ThenceError
from thence.files import replace_file

SETTINGS_BYTES_MAX = 4 * 1024 * 1024
TIMEOUT_S = 10
_CLAUDE_EVENTS = (
    *("SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PostToolUse"),
    *("PostToolUseFailure", "SubagentStart", "SubagentStop", "Stop", "PreCompact", "PostCompact"),
    *("Notification", "PermissionRequest"),
)
_MATCHED = ("PreToolUse", "PostToolUse", "PostToolUseFailure", "PermissionRequest")
_CODEX_EVENTS = ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop")
EVENTS = {"claude-code": _CLAUDE_EVENTS, "codex": _CODEX_EVENTS}
GIT_HOOKS = ("post-commit", "post-rewrite", "post-merge")
_SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "ash"}
_SIGN = "thence/agents/fired.py"
HELPER = "hook.sh"
_BEGIN, _END = "# >>> thence hook >>>\n", "# <<< thence hook <<<\n"
_NEW_SCRIPT = "#!/bin/sh\n"
# the helper lies in the git folder, which no clone brings; the block does nothing without it
_RUN = (
    f'thence_hook="$(git rev-parse --git-common-dir)/{fired.LOG}/{HELPER}"\n'
    'if [ -x "$thence_hook" ]; then\n    {words}\nfi\n'
)
_WORDS = {
    "post-commit": '"$thence_hook" post-commit || :',
    "post-merge": '"$thence_hook" post-merge || :',
    # the lines on stdin are kept for what stands below
    "post-rewrite": (
        'thence_pairs="$(cat)"\n'
        '    printf \'%s\\n\' "$thence_pairs" | "$thence_hook" post-rewrite "by=$1" || :\n'
        "    exec <<THENCE_PAIRS\n$thence_pairs\nTHENCE_PAIRS"
    ),
}
_HELPER = """\
#!/bin/sh
# thence: called by the hooks of git in this repository
hook="$1"
shift
case "$hook" in
post-commit) set -- "commit=$(git rev-parse HEAD)" ;;
post-merge)
    set -- "commit=$(git rev-parse HEAD)" "parents=$(git log -1 --format=%P)" \\
        "how=$(git reflog -1 --format=%gs)"
    ;;
esac
exec {command} git "$hook" "$@" "git_dir=$GIT_DIR"
"""


# makes a new text of a file's text; None stands for no file
Edit = Callable[[str | None], str | None]


class HookFile(NamedTuple):
    """One file of an agent or of git: what was done to it, or how it stands.

    `state` is "installed", "unchanged", "removed", "absent", or "left", of a file that was not
    touched for the reason in `note`.
    """

    tool: str
    path: Path
    state: str
    note: str = ""


def command(tool: str) -> str:
    """Returns the words by which a shell calls the fired program for an agent."""
    program = shlex.join((sys.executable, "-I", "-S", fired.__file__))
    return f"{program} {tool} || true"


def install(tool: str, *, is_users: bool) -> list[HookFile]:
    """Puts hooks in for this folder's repository or for the user.

    Raises ThenceError where there is no place for them, or a file can't be written.
    """
    if tool == "git":
        return list(_in_git(is_users, is_removal=False))
    path = _settings(tool, is_users)
    other = _settings(tool, not is_users) if repository(str(Path.cwd())) else path
    if other != path and _has_own(other, tool):
        note = f"{other} has them already, and both would run"
        return [HookFile(tool, path, "unchanged", note)]
    return [_changed(tool, path, partial(_with_hooks, tool))]


def uninstall(tool: str, *, is_users: bool) -> list[HookFile]:
    """Takes out what `install` put in, and nothing else; raises as that does."""
    if tool == "git":
        return list(_in_git(is_users, is_removal=True))
    return [_changed(tool, _settings(tool, is_users), _without_hooks, is_removal=True)]


def status() -> list[HookFile]:
    """Returns how each place stands that this folder's agents and git read."""
    in_repository = repository(str(Path.cwd())) is not None
    changes = []
    for tool in ("claude-code", "codex"):
        for is_users in (False, True) if in_repository else (True,):
            path = _settings(tool, is_users)
            if _has_own(path, tool):
                changes.append(HookFile(tool, path, "installed"))
            elif _says(path, _SIGN):
                note = "it calls another thence; install again"
                changes.append(HookFile(tool, path, "left", note))
            else:
                changes.append(HookFile(tool, path, "absent"))
    paths = _git_hooks(is_users=False) if in_repository else ()
    states = ((path, "installed" if _says(path, _BEGIN) else "absent") for path in paths)
    return [*changes, *(HookFile("git", path, state) for path, state in states)]


def log_here() -> Path:
    """Returns the place of the log for this folder; raises ThenceError for a user without one."""
    name, _ = log_of(str(Path.cwd()))
    if not name:
        raise ThenceError(
            "could not choose a log",
            cause="this folder is in no repository, and HOME is not set",
            hint="go to a repository, or set HOME",
        )
    return Path(name)


def _settings(tool: str, is_users: bool) -> Path:
    """Returns the file of an agent's hooks.

    A project's is the one that is not shared: it holds the path of a program on this machine.
    """
    users, projects = {
        "claude-code": (".claude/settings.json", ".claude/settings.local.json"),
        "codex": (".codex/hooks.json", ".codex/hooks.json"),
    }[tool]
    if is_users:
        return Path.home() / users
    place = repository(str(Path.cwd()))
    if place is None:
        raise ThenceError(
            f"could not install hooks of {tool} for a project",
            place=Path.cwd(),
            cause="this folder is in no git repository",
            hint="go to one, or install them for all you do: --user",
        )
    return Path(place[0], projects)


def _changed(tool: str, path: Path, change: Edit, *, is_removal: bool = False) -> HookFile:
    """Writes what a function makes of a file's text; of None it is removed."""
    link = _link_of_clone(path)
    if link is not None:
        return HookFile(tool, path, "left", f"{link} is a symbolic link, and none is followed here")
    try:
        text = _read(path)
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
    fresh_mode = 0o755 if tool == "git" else 0o600
    mode = path.stat().st_mode & 0o777 if text is not None else fresh_mode
    replace_file(path, _bytes(fresh), mode)
    state, note = ("removed", "") if is_removal else ("installed", _warning(tool, path))
    return HookFile(tool, path, state, note)


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


def _read(path: Path) -> str | None:
    """Returns a file's text, byte for byte; None where there is no file. Raises ValueError."""
    try:
        with path.open("rb") as file:
            data = file.read(SETTINGS_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(data) > SETTINGS_BYTES_MAX:
        raise ValueError(f"it has more than {SETTINGS_BYTES_MAX:,} bytes")
    return data.decode("utf-8", "surrogateescape")


def _says(path: Path, sign: str) -> bool:
    with suppress(ValueError):
        return sign in (_read(path) or "")
    return False


def _warning(tool: str, path: Path) -> str:
    """Returns a warning where git would commit a file."""
    if repository(str(path.parent)) is None:
        return ""
    argv = ["git", "-C", str(path.parent), "check-ignore", "-q", path.name]
    if subprocess.run(argv, check=False, capture_output=True).returncode != 1:
        return ""
    if tool == "git":
        return "it is in the working tree: what was added does nothing in other clones"
    return "it names a program of this machine: do not commit it (.git/info/exclude)"


def _parsed(text: str | None) -> dict[str, Any]:
    """Reads settings; raises ValueError that says what to do."""
    if text is None or not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON ({error}); correct it, then install again") from None
    hooks = value.get("hooks", {}) if isinstance(value, dict) else None
    if not isinstance(hooks, dict) or not all(
        isinstance(groups, list) for groups in hooks.values()
    ):
        raise ValueError("its hooks have no form that is known; add them by hand: see --help")
    return dict(value)


def _with_hooks(tool: str, text: str | None) -> str:
    settings = _parsed(text)
    words = command(tool)
    hooks = settings.setdefault("hooks", {})
    is_changed = False
    for event in EVENTS[tool]:
        groups = hooks.setdefault(event, [])
        own = [entry for group in groups for entry in _own(group)]
        for entry in own:
            is_changed |= entry["command"] != words
            entry["command"] = words
        if not own:
            entry = {"type": "command", "command": words, "timeout": TIMEOUT_S}
            matcher = {"matcher": "*"} if event in _MATCHED and tool == "claude-code" else {}
            groups.append({**matcher, "hooks": [entry]})
            is_changed = True
    return _written(settings, text) if is_changed else text or ""


def _without_hooks(text: str | None) -> str | None:
    """Returns settings without the hooks of ours, and without what becomes empty by that."""
    if text is None or _SIGN not in text:
        return text
    settings = _parsed(text)
    hooks = settings.get("hooks", {})
    ours = [(event, group) for event in hooks for group in hooks[event] if _own(group)]
    for event, group in ours:
        own = _own(group)
        group["hooks"] = [entry for entry in group["hooks"] if entry not in own]
        if not group["hooks"]:
            hooks[event].remove(group)
        if not hooks[event]:
            del hooks[event]
    if ours and not hooks:
        del settings["hooks"]
    rest = _written(settings, text) if settings else None
    return rest if ours else text


def _own(group: object) -> list[dict[str, Any]]:
    """Returns the entries of a group that call a program of ours."""
    entries = group.get("hooks") if isinstance(group, dict) else None
    maps = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return [entry for entry in maps if _SIGN in str(entry.get("command"))]


def _has_own(path: Path, tool: str) -> bool:
    """Reports whether an agent's settings call the program of this installation."""
    try:
        hooks = _parsed(_read(path)).get("hooks", {})
    except ValueError:
        return False
    entries = (entry for groups in hooks.values() for group in groups for entry in _own(group))
    return any(entry["command"] == command(tool) for entry in entries)


def _written(settings: Mapping[str, Any], text: str | None) -> str:
    """Returns settings as JSON, in the manner of the text before: its indent, its last newline."""
    lines = (text or "").splitlines()
    inner = next((line for line in lines[1:] if line.strip()), "  ")
    indent: str | int = inner[: len(inner) - len(inner.lstrip())] or 2
    fresh = json.dumps(settings, indent=indent, ensure_ascii=False)
    return fresh + ("\n" if text is None or text.endswith("\n") else "")


def _git_hooks(is_users: bool) -> list[Path]:
    """Returns the hooks of this repository, wherever git looks for them."""
    operation = "could not install hooks of git"
    if is_users:
        raise ThenceError(
            operation,
            cause="git has no hooks for all repositories that leave each one's own in force",
            hint="install them in each repository: thence hook install git",
        )
    argv = ["git", "rev-parse", "--is-bare-repository", "--git-path", "hooks"]
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
    except OSError as error:
        raise ThenceError(operation, cause=f"git: {error}", hint="install git") from error
    if done.returncode or not repository(str(Path.cwd())) or not done.stdout.startswith("false"):
        raise ThenceError(
            operation,
            place=Path.cwd(),
            cause="this folder is no working tree of a git repository of this user",
            hint="go to one, or make one: git init",
        )
    folder = Path(done.stdout.splitlines()[1].rstrip("\n")).absolute()
    return [folder / name for name in GIT_HOOKS]


def _in_git(is_users: bool, *, is_removal: bool) -> Iterator[HookFile]:
    paths, helper = _git_hooks(is_users), log_here() / HELPER
    if not is_removal:
        helper.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        program = shlex.join((sys.executable, "-I", "-S", fired.__file__))
        replace_file(helper, _HELPER.format(command=program).encode())
        helper.chmod(0o755)
    for path in paths:
        edit = _remove_block if is_removal else partial(_add_block, path.name)
        change = _changed("git", path, edit, is_removal=is_removal)
        if change.state == "installed":
            path.chmod(path.stat().st_mode | 0o111)
        yield change
    if is_removal:
        helper.unlink(missing_ok=True)


def _add_block(name: str, text: str | None) -> str:
    """Returns a hook with our block before all else, where nothing can end the script first."""
    text = _NEW_SCRIPT if text is None else text
    plain = _remove_block(text) or _NEW_SCRIPT
    first, newline, rest = plain.partition("\n")
    program = first.removeprefix("#!").split()[:2] if first.startswith("#!") else []
    if not newline or not {os.path.basename(word) for word in program} & _SHELLS:
        raise ValueError(f"it is no shell script that is known; run {HELPER} of the log from it")
    return f"{first}\n{_BEGIN}{_RUN.format(words=_WORDS[name])}{_END}{rest}"


def _remove_block(text: str | None) -> str | None:
    """Returns a hook without our block; None where nothing else is in it."""
    if text is None or _BEGIN not in text or _END not in text:
        return text
    before, _, rest = text.partition(_BEGIN)
    plain = before + rest.partition(_END)[2]
    return None if plain == _NEW_SCRIPT else plain
