"""Hooks in the settings of agents: put in, taken out, looked at.

What is in a file is kept, and a file that can't be understood is left alone. An entry of ours is
known again by the script that it runs, so that taking it out takes nothing else. The text of a
file before the change is kept in the user's state folder, and comes back as it was where nobody
else has changed the file since.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, cast

from thence.errors import ThenceError
from thence.files import replace_file
from thence.trace.agents import hook_script as script
from thence.trace.agents.fired import common_folder, repository
from thence.trace.agents.known_agents import AGENTS

SETTINGS_BYTES_MAX = 4 * 1024 * 1024
_TIMEOUTS_S = {"codex": {"SessionEnd": 3, "Interrupt": 3}}  # it warns of more
_PLUGIN = Path(__file__).with_name("opencode_plugin.js")
# the second one where a line before it had no end
_MARKS = ("# thence hook install\n", "\n# thence hook install (a line break before this)\n")

# makes a new text of a file's text; None stands for no file
Edit = Callable[[str | None], str | None]


class HookFile(NamedTuple):
    """One file of an agent or of git: what was done to it, or its state.

    `state` is "installed", "unchanged", "removed", "absent"; "gone" of a hook that somebody else
    has taken out, "no program" of one that calls what does not start, or "left" of a file that was
    not touched. `note` has the reason or the remedy, `lines` what a person may add to a file.
    """

    tool: str
    path: Path
    state: str
    note: str = ""
    lines: tuple[str, ...] = ()


def install(tool: str, is_users: bool) -> Iterator[HookFile]:
    """Puts hooks of an agent in for this folder's repository or for the user, file by file.

    Raises ThenceError where there is no place for them, or a file can't be written.
    """
    paths = settings_of(tool, is_users)
    others = settings_of(tool, not is_users) if repository(str(Path.cwd())) else paths
    is_others = others != paths and _has_own(others[0], tool, not is_users)
    helper = script.helper_of(is_users != is_others)
    script.write_helper(helper)
    for path, other in zip(paths, others, strict=True):
        if is_others:
            note = f"{other} has them already, and both would run"
            yield HookFile(tool, path, "unchanged", note)
        else:
            yield _installed(tool, path, helper, is_users)


def _installed(tool: str, path: Path, helper: Path, is_users: bool) -> HookFile:
    """Puts hooks of an agent into one file."""
    words = script.command(helper, tool)
    form, mode = AGENTS[tool].form, 0o600
    edit = partial(_with_hooks, tool, words)
    if form != "settings":
        plugin = _PLUGIN.read_text().replace("HELPER", json.dumps(str(helper)))
        fresh = f"#!/bin/sh\n{words}\n" if form == "scripts" else f"// {words}\n{plugin}"
        edit, mode = partial(_with_script, fresh), 0o700
    change = changed(tool, path, edit, fresh_mode=mode)
    state = git_state(path) if change.state != "left" else ""
    if is_hidden := state == "??" and not is_users:
        _hide(path, True)
    advice = ".git/info/exclude has it" if is_hidden else "do not commit it"
    return change._replace(note=f"it names a folder of this machine: {advice}") if state else change


def uninstall(tool: str, is_users: bool) -> Iterator[HookFile]:
    """Takes out what `install` put in, and nothing else; raises as that does."""
    is_settings = AGENTS[tool].form == "settings"
    for path in settings_of(tool, is_users):
        edit = _without_hooks if is_settings else _without_script
        change = changed(tool, path, edit, is_removal=True)
        if not is_users:
            _hide(path, False)
        yield change


def settings_states() -> Iterator[HookFile]:
    """Yields the state of each file of settings that this folder's agents read.

    Of agents that nobody uses here only the first two are told.
    """
    scopes = (False, True) if repository(str(Path.cwd())) is not None else (True,)
    for tool in AGENTS:
        for is_users, path in (
            (scope, path) for scope in scopes for path in settings_of(tool, scope)
        ):
            if not _commands(path):
                if tool in ("claude-code", "codex"):
                    yield HookFile(tool, path, "absent")
            elif not _has_own(path, tool, is_users):
                note = "it runs the hooks of another folder; install again"
                yield HookFile(tool, path, "left", note)
            elif script.broken(script.helper_of(is_users)):
                yield HookFile(tool, path, "no program", script.INSTALL.format(tool))
            else:
                yield HookFile(tool, path, "installed")


def settings_of(tool: str, is_users: bool) -> list[Path]:
    """Returns the files of an agent's hooks; raises ThenceError outside a repository.

    A project's is the one that is not shared, if the agent has one: it holds the path of a folder
    on this machine.
    """
    agent = AGENTS[tool]
    names = agent.events if agent.form == "scripts" else ("",)
    if is_users:
        return [script.users_path(*agent.user) / name for name in names]
    place = repository(str(Path.cwd()))
    if place is None:
        raise ThenceError(
            f"could not install hooks of {tool} for a project",
            place=Path.cwd(),
            cause="this folder is in no git repository",
            hint="go to one, or install them for all you do: --user",
        )
    return [Path(place[0], agent.project, name) for name in names]


def changed(
    tool: str, path: Path, change: Edit, *, is_removal: bool = False, fresh_mode: int = 0o600
) -> HookFile:
    """Writes what a function makes of a file's text; of None it is removed."""
    link = _link_of_clone(path)
    if link is not None:
        return HookFile(tool, path, "left", f"{link} is a symbolic link, and not followed here")
    try:
        text = read_text(path)
        fresh = change(text)
    except ValueError as error:
        return HookFile(tool, path, "left", str(error))
    if fresh == text:
        return HookFile(tool, path, "absent" if is_removal else "unchanged")
    # the text from before `install`, and a digest of that after it
    name = sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    kept = script.users_path("XDG_STATE_HOME", ".local/state", f"thence/hooks/{name}.json")
    if is_removal:
        fresh = _kept(kept, text, fresh)
    else:
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        digest = sha256(_bytes(fresh or "")).hexdigest()
        members = {"before": _kept(kept, text, text), "after": digest}
        replace_file(kept, json.dumps(members).encode(), 0o600)
    path = path.resolve()  # dotfiles are often kept elsewhere
    if fresh is None:
        path.unlink()
        with suppress(OSError):  # other files are in it
            path.parent.rmdir()
            if path.parent.name in ("hooks", "plugins"):  # a folder in the agent's own
                path.parent.parent.rmdir()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if text is not None else fresh_mode
        replace_file(path, _bytes(fresh), mode)
    if is_removal:
        with suppress(OSError):  # what stays there is used no more
            kept.unlink()
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


def _hide(path: Path, is_hidden: bool) -> None:
    """Adds a file of a working tree to `.git/info/exclude`, or takes it out again."""
    root, git_folder = repository(str(path.parent)) or ("", "")
    exclude = Path(common_folder(git_folder), "info", "exclude").resolve()
    text, line = readable_text(exclude), f"/{path.relative_to(root)}\n"
    rest = text
    for mark in _MARKS[::-1]:
        rest = rest.replace(mark + line, "")
    if is_hidden:
        exclude.parent.mkdir(exist_ok=True)
        rest += _MARKS[bool(rest) and not rest.endswith("\n")] + line
    if rest != text:
        replace_file(exclude, _bytes(rest), exclude.stat().st_mode & 0o777 if text else 0o666)


def _link_of_clone(path: Path) -> Path | None:
    """Returns a symbolic link in a working tree: its maker would choose what is written."""
    place = repository(str(Path.cwd()))
    root = Path(place[0]) if place else None
    if root is None or not path.is_relative_to(root) or path.is_relative_to(root / ".git"):
        return None
    inside = [path, *path.parents]
    return next((part for part in inside[: inside.index(root)] if part.is_symlink()), None)


def _kept(kept: Path, text: str | None, default: str | None) -> str | None:
    """Returns the text before `install`, `default` where the file is not as that has left it."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        members = json.loads(kept.read_bytes())
        if members["after"] == sha256(_bytes(text or "")).hexdigest():
            return cast("str | None", members["before"])
    return default


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _parsed(text: str | None) -> dict[str, Any]:
    """Reads settings; raises ValueError that says what to do."""
    if text is None or not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error}); correct it, then install again") from None
    hooks = value.get("hooks", {}) if isinstance(value, dict) else None
    if not isinstance(hooks, dict) or not all(
        isinstance(groups, list) for groups in hooks.values()
    ):
        raise ValueError("its hooks have an unknown form; add them by hand: see --help")
    return dict(value)


def _with_hooks(tool: str, words: str, text: str | None) -> str:
    settings = _parsed(text)
    hooks = settings.setdefault("hooks", {})
    before = json.dumps(hooks)
    for event in AGENTS[tool].events:
        groups = hooks.setdefault(event, [])
        own = [entry for group in groups for entry in _own(group)]
        for entry in own:
            entry["command"] = words
        if not own:
            timeout = _TIMEOUTS_S.get(tool, {}).get(event, AGENTS[tool].timeout)
            entry = {"type": "command", "command": words, "timeout": timeout}
            groups.append({"hooks": [entry]})
    return _written(settings, text) if json.dumps(hooks) != before else text or ""


def _without_hooks(text: str | None) -> str | None:
    """Returns settings without the hooks of ours, and without what becomes empty by that."""
    if text is None or script.HELPER not in text:
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


def _with_script(fresh: str, text: str | None) -> str:
    """Returns a file of ours, which only takes the place of one of ours."""
    if text is not None and not _own_lines(text):
        raise ValueError(f"it is no file of thence; run from it: {_own_lines(fresh)[0]}")
    return fresh


def _without_script(text: str | None) -> str | None:
    return None if _own_lines(text or "") else text


def _own_lines(text: str) -> list[str]:
    """Returns the first lines of a file, without marks of comments, that run a script of ours."""
    lines = (line.removeprefix("// ") for line in text.splitlines()[:2])
    return [line for line in lines if script.runs_helper(line)]


def _own(group: object) -> list[dict[str, Any]]:
    """Returns the entries of a group that run a script of ours."""
    entries = group.get("hooks") if isinstance(group, dict) else None
    maps = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return [entry for entry in maps if script.runs_helper(entry.get("command"))]


def _has_own(path: Path, tool: str, is_users: bool) -> bool:
    """Reports whether an agent's settings run the script of this repository, or of the user."""
    return script.command(script.helper_of(is_users), tool) in _commands(path)


def _commands(path: Path) -> set[str]:
    """Returns the commands in an agent's settings that run a script of ours."""
    if path.suffix != ".json":
        return {*_own_lines(readable_text(path))}
    with suppress(ValueError, OSError):
        hooks = _parsed(read_text(path)).get("hooks", {})
        groups = (group for groups in hooks.values() for group in groups)
        return {entry["command"] for group in groups for entry in _own(group)}
    return set()


def _written(settings: Mapping[str, Any], text: str | None) -> str:
    """Returns settings as JSON, in the manner of the text before: its indent, its last newline."""
    lines = (text or "").splitlines()
    inner = next((line for line in lines[1:] if line.strip()), "  ")
    indent: str | int = inner[: len(inner) - len(inner.lstrip())] or 2
    fresh = json.dumps(settings, indent=indent, ensure_ascii=False)
    return fresh + ("\n" if text is None or text.endswith("\n") else "")
