"""Hooks in the files of agents and of git: put in, taken out, looked at.

What is in a file is kept, and a file that can't be understood is left alone. What is ours is known
again by the script that it runs, so that taking it out takes nothing else.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from thence.errors import ThenceError
from thence.files import replace_file
from thence.git.repository import repository as repository_of
from thence.trace.agents import hook_script as script
from thence.trace.agents.fired import LOG, common_folder, repository
from thence.trace.agents.known_agents import AGENTS

SETTINGS_BYTES_MAX = 4 * 1024 * 1024
_TIMEOUTS_S = {"codex": {"SessionEnd": 3, "Interrupt": 3}}  # it warns of more
_PLUGIN = Path(__file__).with_name("opencode_plugin.js")
# the last one, which adds the trailer, only where it is asked for
_TRAILER_HOOK = "prepare-commit-msg"
_GIT_HOOKS = ("post-commit", "post-rewrite", "post-merge", _TRAILER_HOOK)
_TRAILER_NOTE = f"it adds the trailer {script.TRAILER} to commits of Claude Code and Codex"
_SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "ash"}
_BEGIN, _END = "# >>> thence hook >>>\n", "# <<< thence hook <<<\n"
_NEW_SCRIPT = "#!/bin/sh\n"
# the script lies in the git folder, which no clone brings; the block does nothing without it
_RUN = f"""\
thence_hook="$(git rev-parse --git-common-dir)/{LOG}/{script.HELPER}"
if [ -r "$thence_hook" ]; then
    %s
fi
"""
_CALL = 'sh "$thence_hook" git %s "$@" || :'
# the lines on stdin are kept for what stands below
_REWRITE = (
    'thence_pairs="$(cat)"\n'
    '    printf \'%%s\\n\' "$thence_pairs" | sh "$thence_hook" git %s "by=$1" || :\n'
    "    exec <<THENCE_PAIRS\n$thence_pairs\nTHENCE_PAIRS"
)

# makes a new text of a file's text; None stands for no file
Edit = Callable[[str | None], str | None]


class HookFile(NamedTuple):
    """One file of an agent or of git: what was done to it, or its state.

    `state` is "installed", "unchanged", "removed", "absent"; "gone" of a hook that somebody else
    has taken out, "no program" of one that calls what is not there, or "left" of a file that was
    not touched. `note` has the reason or the remedy.
    """

    tool: str
    path: Path
    state: str
    note: str = ""


class _Place(NamedTuple):
    """A file for hooks: what puts ours in and takes them out again, and the mode of a new one."""

    path: Path
    add: Edit
    remove: Edit
    mode: int = 0o600


def install(tool: str, is_users: bool, has_trailer: bool = False) -> Iterator[HookFile]:
    """Puts hooks in for this folder's repository or for the user, file by file.

    `has_trailer` has git's write the sessions into the messages of commits. Raises ThenceError
    where there is no place for them, or a file can't be written.
    """
    places = [*_places(tool, is_users)]
    places = [place for place in places if has_trailer or place.path.name != _TRAILER_HOOK]
    has_both = tool != "git" and repository(str(Path.cwd()))
    others = [*_places(tool, not is_users)] if has_both else []
    is_others = any(_state(tool, place, not is_users)[0] == "installed" for place in others)
    helper = script.helper_of(tool, is_users != is_others)
    script.write_helper(helper)
    if tool == "git":
        (helper.parent / script.GIT_MARK).touch()
    for place in places:
        if is_others:
            note = f"{others[0].path} has them already, and both would run"
            yield HookFile(tool, place.path, "unchanged", note)
            continue
        change, note = _changed(tool, place), ""
        if tool == "git" and not place.path.is_relative_to(helper.parents[2]):
            note = "it is in the working tree: the added lines do nothing in other clones"
        elif tool != "git" and not is_users and change.state != "left":
            _hide(place.path)
            note = "it names a folder of this machine: .git/info/exclude has it"
        if change.state != "left":
            change = change._replace(note=note)
        yield change


def uninstall(tool: str, is_users: bool) -> Iterator[HookFile]:
    """Takes out what `install` put in, and nothing else; raises as that does."""
    for place in _places(tool, is_users):
        yield _changed(tool, place, is_removal=True)
        if tool != "git" and not is_users:
            _hide(place.path, is_removal=True)
    if tool == "git":
        (script.helper_of(tool).parent / script.GIT_MARK).unlink(missing_ok=True)


def hook_files() -> Iterator[HookFile]:
    """Yields the state of each file of hooks that this folder's agents and git read.

    Of agents that nobody uses here only the first two are told.
    """
    scopes = (False, True) if repository(str(Path.cwd())) else (True,)
    for tool in (*AGENTS, "git"):
        for is_users in scopes if tool != "git" else scopes[:-1]:
            for place in _places(tool, is_users):
                state, note = _state(tool, place, is_users)
                if place.path.name == _TRAILER_HOOK:
                    is_shown, note = state not in ("absent", "gone"), note or _TRAILER_NOTE
                else:
                    is_shown = state != "absent" or tool in ("claude-code", "codex", "git")
                if is_shown:
                    yield HookFile(tool, place.path, state, note)


def _state(tool: str, place: _Place, is_users: bool) -> tuple[str, str]:
    """Returns the state of a file, and what to do."""
    helper, step = script.helper_of(tool, is_users), script.INSTALL.format(tool)
    with suppress(ValueError, OSError):
        text = read_text(place.path)
        if place.remove(text) != text:
            if place.add(text) != text:
                return "left", f"it runs the hooks of another folder or thence: {step}"
            return ("no program", step) if script.is_broken(helper) else ("installed", "")
    is_gone = tool == "git" and script.has_git_hooks(helper.parent)
    return ("gone", step) if is_gone else ("absent", "")


def settings_of(tool: str, is_users: bool) -> Path:
    """Returns the file of an agent's hooks, or their folder; raises ThenceError.

    A project's is the one that is not shared, if the agent has one: it holds the path of a folder
    on this machine.
    """
    agent, place = AGENTS[tool], repository(str(Path.cwd()))
    if is_users:
        folder, _, name = agent.user.partition("/")
        return script.users_path(agent.variable, folder, name)
    if place is None:
        raise ThenceError(
            f"could not install hooks of {tool} for a project",
            place=Path.cwd(),
            cause="this folder is in no git repository",
            hint="go to one, or install them for all you do: --user",
        )
    return Path(place[0], agent.project)


def _places(tool: str, is_users: bool) -> Iterator[_Place]:
    """Yields the files for the hooks of an agent or of git; raises ThenceError."""
    if tool == "git" and is_users:
        raise ThenceError(
            "could not install git hooks",
            cause="git's hooks for all repositories would replace those of each repository",
            hint="install them in each repository: thence hook install git",
        )
    if tool == "git":
        repo = repository_of(Path.cwd())
        if repo.is_bare:
            raise ThenceError(
                "could not install git hooks",
                place=Path.cwd(),
                cause="this is no working tree of a repository",
                hint="go to one: git worktree list",
            )
        repo.git.run("rev-parse")  # it says what is wrong, but switches hooks off
        argv = ["git", "rev-parse", "--path-format=absolute", "--git-path", "hooks"]
        out = subprocess.run(argv, check=True, capture_output=True).stdout
        folder = Path(os.fsdecode(out).rstrip("\n"))
        # husky runs `.husky/HOOK` from a folder that it writes anew
        folder = folder.parent if folder.match(".husky/_") else folder
        for path in (folder / name for name in _GIT_HOOKS):
            yield _Place(path, partial(_with_block, path), _without_block, 0o755)
        return
    path, helper = settings_of(tool, is_users), script.helper_of(tool, is_users)
    words = script.command(helper, tool)
    if path.suffix == ".json":
        yield _Place(path, partial(_with_hooks, tool, words), _without_hooks)
    elif path.suffix == ".js":
        plugin = _PLUGIN.read_text().replace("HELPER", json.dumps(str(helper)))
        yield _Place(path, partial(_with_script, f"// {words}\n{plugin}"), _without_script)
    else:
        add = partial(_with_script, f"#!/bin/sh\n{words}\n")
        for name in AGENTS[tool].events:
            yield _Place(path / name, add, _without_script, 0o700)


def _changed(tool: str, place: _Place, *, is_removal: bool = False) -> HookFile:
    """Puts hooks into one file, or takes them out; a file without anything else is removed."""
    path = place.path
    link = _link_of_clone(path)
    if link is not None:
        return HookFile(tool, path, "left", f"{link} is a symbolic link, and not followed here")
    try:
        text = read_text(path)
        fresh = place.remove(text) if is_removal else place.add(text)
    except ValueError as error:
        return HookFile(tool, path, "left", str(error))
    if fresh == text:
        return HookFile(tool, path, "absent" if is_removal else "unchanged")
    target = path.resolve()  # dotfiles are often kept elsewhere
    if fresh is None:
        target.unlink()
        with suppress(OSError):  # other files are in it
            target.parent.rmdir()
            if target.parent.name in ("hooks", "plugins"):  # a folder in the agent's own
                target.parent.parent.rmdir()
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if text is not None else place.mode
        mode |= 0 if mode & 0o100 else place.mode & 0o111
        replace_file(target, fresh.encode("utf-8", "surrogateescape"), mode)
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


def _hide(path: Path, *, is_removal: bool = False) -> None:
    """Adds a file of a working tree to `.git/info/exclude`, or takes it out again."""
    root, git_folder = repository(str(path.parent)) or ("", "")
    lines = f"\n# thence hook install\n/{path.relative_to(root)}\n"

    def without(text: str | None) -> str | None:
        return text and text.replace(lines, "")

    exclude = Path(common_folder(git_folder), "info", "exclude")
    place = _Place(exclude, lambda text: (without(text) or "") + lines, without, 0o666)
    _changed("git", place, is_removal=is_removal)


def _link_of_clone(path: Path) -> Path | None:
    """Returns a symbolic link in a working tree: its maker would choose what is written."""
    place = repository(str(Path.cwd()))
    root = Path(place[0]) if place else None
    if root is None or not path.is_relative_to(root) or path.is_relative_to(root / ".git"):
        return None
    inside = [path, *path.parents]
    return next((part for part in inside[: inside.index(root)] if part.is_symlink()), None)


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


def _own(group: object) -> list[dict[str, Any]]:
    """Returns the entries of a group that run a script of ours."""
    entries = group.get("hooks") if isinstance(group, dict) else None
    maps = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    return [entry for entry in maps if script.runs_helper(entry.get("command"))]


def _written(settings: dict[str, Any], text: str | None) -> str:
    """Returns settings as JSON, in the manner of the text before: its indent, its last newline."""
    lines = (text or "").splitlines()
    inner = next((line for line in lines[1:] if line.strip()), "  ")
    indent: str | int = inner[: len(inner) - len(inner.lstrip())] or 2
    fresh = json.dumps(settings, indent=indent, ensure_ascii=False)
    return fresh + ("\n" if text is None or text.endswith("\n") else "")


def _with_script(fresh: str, text: str | None) -> str:
    """Returns a file of ours, which only takes the place of one of ours."""
    if text is not None and _without_script(text) is not None:
        raise ValueError("it is no file of thence: move it away, then install again")
    return fresh


def _without_script(text: str | None) -> str | None:
    lines = (line.removeprefix("// ") for line in (text or "").splitlines()[:2])
    return None if any(map(script.runs_helper, lines)) else text


def _with_block(path: Path, text: str | None) -> str:
    """Returns a hook with our block before all else, where nothing can end the script first.

    Raises ValueError of what is no script of a shell.
    """
    is_huskys = path.parent.name == ".husky"
    plain = _without_block(text) or ("" if is_huskys else _NEW_SCRIPT)
    call = (_REWRITE if path.name == "post-rewrite" else _CALL) % path.name
    block = f"{_BEGIN}{_RUN % call}{_END}"
    if is_huskys and not plain.startswith("#!"):  # husky runs it by sh
        return block + plain
    first, newline, rest = plain.partition("\n")
    program = first.removeprefix("#!").split()[:2] if first.startswith("#!") else []
    if not newline or not {os.path.basename(word) for word in program} & _SHELLS:
        raise ValueError("it is an unknown kind of script; run hook.sh of the log from it")
    return f"{first}\n{block}{rest}"


def _without_block(text: str | None) -> str | None:
    """Returns a hook without our block; None where nothing else is in it."""
    if text is None or _BEGIN not in text or _END not in text:
        return text
    before, _, rest = text.partition(_BEGIN)
    plain = before + rest.partition(_END)[2]
    return None if plain in ("", _NEW_SCRIPT) else plain
