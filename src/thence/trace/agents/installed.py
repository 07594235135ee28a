"""Hooks in the files of agents and of git: put in, taken out, looked at, and whether they fire.

What is in a file is kept, and a file that can't be understood is left alone. What is ours is known
again by what it runs, so that taking it out takes nothing else: the script `hook.sh` of a log, the
one place that names Python and the program of hooks. So the text of settings stays when thence
moves to another environment; Codex trusts a hook by its text. The script ends with 0 and silently
where its program is gone.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from thence.errors import ThenceError
from thence.files import replace_file
from thence.git.repository import repository
from thence.trace.agents import fired
from thence.trace.agents.fired import LOG, log_of
from thence.trace.agents.known_agents import AGENTS
from thence.trace.agents.sessions import list_of, map_of, text_of

HELPER = "hook.sh"
SETTINGS_BYTES_MAX = 4 * 1024 * 1024
# git's hooks record where this file lies beside the script
_GIT_MARK = "git-hooks"
# the last one, which adds the trailer, only where it is asked for
_TRAILER_HOOK = "prepare-commit-msg"
_GIT_HOOKS = ("post-commit", "post-rewrite", "post-merge", _TRAILER_HOOK)
_FILES = ("hook_script.sh", "git_block.sh", "opencode_plugin.js")
_SCRIPT, _BLOCK, _PLUGIN = map(Path(__file__).with_name, _FILES)
_SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "ash"}
_BEGIN, _END = "# >>> thence hook >>>\n", "# <<< thence hook <<<\n"
_NEW_SCRIPT = "#!/bin/sh\n"
# where administrators put settings of Claude Code, on Linux and macOS
_MANAGED = ("/etc/claude-code", "/Library/Application Support/ClaudeCode")
# what a command of ours is, wherever its script lies
_IS_OURS = re.compile(rf"sh \S.*/{LOG}/{re.escape(HELPER)}'? \S+ \|\| true")
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


class ToolState(NamedTuple):
    """Whether the installed hooks of an agent or of git fire.

    `state` is "fired", "never fired", or why its hooks can't: "gone", "left", "no program" of a
    file, "switched off" of the agent's settings. `last_fired` is None for a tool of which the log
    has nothing.
    """

    tool: str
    state: str
    last_fired: str | None
    hint: str

    @property
    def words(self) -> str:
        """The state in words."""
        states = {"gone": "installed and gone; ", "no program": "its program is gone; "}
        states["switched off"] = "its settings switch hooks off; "
        last = f"last fired at {self.last_fired}" if self.last_fired else "never fired here"
        return f"{self.tool}: {states.get(self.state, '')}{last}"


class _Place(NamedTuple):
    """A file for hooks, and the script that they run.

    `add` puts ours in, `remove` takes them out again; `mode` is that of a new file.
    """

    tool: str
    path: Path
    helper: Path
    add: Edit
    remove: Edit
    mode: int = 0o600


def log_here() -> Path:
    """Returns the place of the log for this folder."""
    return Path(log_of(str(Path.cwd()))[0])


def helper_of(tool: str, is_users: bool = False) -> Path:
    """Returns the script that hooks run: that of this folder's log, or the user's for all.

    Those of git have that of their own git folder: a submodule's is not that of its log.
    """
    place = fired.repository(str(Path.cwd()))
    if tool == "git" and place:
        return Path(fired.common_folder(place[1]), LOG, HELPER)
    log = fired.users_folder("XDG_STATE_HOME", ".local/state", LOG) if is_users else log_here()
    return Path(log, HELPER)


def has_git_hooks(log: Path) -> bool:
    """Reports whether git hooks were installed for a log, and not taken out since."""
    return (log / _GIT_MARK).exists()


def command(helper: Path, tool: str) -> str:
    """Returns the words by which the shell of an agent runs a script."""
    return f"sh {shlex.quote(str(helper))} {tool} || true"


def install(tool: str, is_users: bool, has_trailer: bool = False) -> Iterator[HookFile]:
    """Puts hooks in for this folder's repository or for the user, file by file.

    `has_trailer` has git's write the sessions into the messages of commits. Raises ThenceError
    where there is no place for them, or a file can't be written.
    """
    places = [*_places(tool, is_users)]
    places = [place for place in places if has_trailer or place.path.name != _TRAILER_HOOK]
    helper = places[0].helper
    helper.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    python, program = shlex.quote(sys.executable), shlex.quote(fired.__file__)
    text = _SCRIPT.read_text().replace("PYTHON", python, 1).replace("PROGRAM", program, 1)
    replace_file(helper, text.encode(), 0o755)
    if tool == "git":
        (helper.parent / _GIT_MARK).touch()
    for place in places:
        change, note = _changed(place), ""
        if tool == "git" and not place.path.is_relative_to(helper.parents[2]):
            note = "it is in the working tree: the added lines do nothing in other clones"
        elif tool != "git" and not is_users and change.state != "left":
            _hide(place)
            note = "it names a folder on this machine: .git/info/exclude has it"
        yield change if change.state == "left" else change._replace(note=note)


def uninstall(tool: str, is_users: bool) -> Iterator[HookFile]:
    """Takes out what `install` put in, and nothing else; raises as that does."""
    for place in _places(tool, is_users):
        yield _changed(place, is_removal=True)
        if tool != "git" and not is_users:
            _hide(place, is_removal=True)
    if tool == "git":
        (helper_of(tool).parent / _GIT_MARK).unlink(missing_ok=True)


def tool_states(times: Mapping[str, str]) -> tuple[list[HookFile], list[ToolState]]:
    """Returns each file in which hooks of this folder are or were, and the tools that have any.

    `times` are those when a tool's hooks last fired.
    """
    files: list[HookFile] = []
    states = []
    is_inside = fired.repository(str(Path.cwd())) is not None
    for tool in (*AGENTS, "git"):
        scopes = [*([False] if is_inside else []), *([True] if tool != "git" else [])]
        for place in (place for is_users in scopes for place in _places(tool, is_users)):
            state, note = _state(place)
            if state != "absent":
                files.append(HookFile(tool, place.path, state, note))
        own = [file for file in files if file.tool == tool]
        last = times.get(tool)
        for file in sorted(own, key=lambda file: file.state == "installed")[:1]:
            state, hint = file.state, file.note
            if state == "installed":
                first_step = AGENTS[tool].first_step if tool in AGENTS else "make a commit"
                state, hint = ("fired", "") if last else ("never fired", first_step)
                if switch := switched_off(tool):
                    state, hint = "switched off", switch
            states.append(ToolState(tool, state, last, hint))
    return files, states


def switched_off(tool: str) -> str:
    """Returns what to do where a layer of Claude Code's settings lets no hook run, else ""."""
    if tool != "claude-code":
        return ""
    managed = [path for folder in _MANAGED for path in sorted(Path(folder).glob("managed-*.json"))]
    managed += [path for folder in _MANAGED for path in sorted(Path(folder).glob("*.d/*.json"))]
    layers = [settings_of(tool, is_users=True)]
    if fired.repository(str(Path.cwd())):
        own = settings_of(tool, is_users=False)
        layers += [own.with_name("settings.json"), own]
    for path in (*managed, *layers):
        with suppress(ValueError, AttributeError, OSError):
            settings = json.loads(_text(path) or "{}")
            if settings.get("allowManagedHooksOnly") is True and path in managed:
                return f"ask who manages {path}: allowManagedHooksOnly lets only their hooks run"
            if settings.get("disableAllHooks") is True:
                return f"take disableAllHooks out of {path}, then restart {tool}"
    return ""


def _state(place: _Place) -> tuple[str, str]:
    """Returns the state of a file, and what to do."""
    step = f"thence hook install {place.tool}"
    with suppress(ValueError, OSError):
        text = _text(place.path)
        if place.remove(text) != text:
            if place.add(text) != text:
                return "left", f"it runs the hooks of another folder or thence: {step}"
            with suppress(OSError, ValueError, LookupError):
                words = shlex.split(place.helper.read_text().splitlines()[2])
                if all(os.access(word.partition("=")[2], os.R_OK) for word in words):
                    return "installed", ""
            return "no program", step
    is_always = place.tool == "git" and place.path.name != _TRAILER_HOOK
    is_gone = is_always and has_git_hooks(place.helper.parent)
    return ("gone", step) if is_gone else ("absent", "")


def settings_of(tool: str, is_users: bool) -> Path:
    """Returns the file of an agent's hooks, or their folder; raises ThenceError.

    A project's is the one that is not shared, if the agent has one: it holds the path of a folder
    on this machine.
    """
    agent = AGENTS[tool]
    if is_users:
        folder, _, name = agent.users_hooks.partition("/")
        return Path(fired.users_folder(agent.variable, folder, name))
    return Path(_top(), agent.hooks)


def _top() -> str:
    """Returns the top folder of the worktree here; raises ThenceError where there is none."""
    if place := fired.repository(str(Path.cwd())):
        return place[0]
    hint = "go to one, or install an agent's hooks for all repositories: --user"
    raise _no_place("this folder is in no working tree of a git repository", hint)


def _no_place(cause: str, hint: str) -> ThenceError:
    return ThenceError("could not install hooks", place=Path.cwd(), cause=cause, hint=hint)


def _places(tool: str, is_users: bool) -> Iterator[_Place]:
    """Yields the files for the hooks of an agent or of git; raises ThenceError."""
    if tool == "git" and is_users:
        why = "git's hooks for all repositories would replace those of each repository"
        raise _no_place(why, "install them in each repository: thence hook install git")
    if tool == "git":
        # it says what is wrong, but switches hooks off
        repository(Path(_top())).git.run("rev-parse")
        argv = ["git", "rev-parse", "--path-format=absolute", "--git-path", "hooks"]
        out = subprocess.run(argv, check=True, capture_output=True).stdout
        folder = Path(os.fsdecode(out).rstrip("\n"))
        # husky runs `.husky/HOOK` from a folder that it writes anew
        folder = folder.parent if folder.match(".husky/_") else folder
        for name in _GIT_HOOKS:
            add = partial(_with_block, folder / name)
            yield _Place(tool, folder / name, helper_of(tool), add, _without_block, 0o755)
        return
    path, helper = settings_of(tool, is_users), helper_of(tool, is_users)
    words = command(helper, tool)
    if path.suffix == ".json":
        yield _Place(tool, path, helper, partial(_with_hooks, tool, words), _without_hooks)
        return
    scripts = [path / name for name in AGENTS[tool].events]
    text, mode = f"#!/bin/sh\n{words}\n", 0o700
    if path.suffix == ".js":
        plugin = _PLUGIN.read_text().replace("HELPER", json.dumps(str(helper)))
        scripts, text, mode = [path], f"// {words}\n{plugin}", 0o600
    for script in scripts:
        yield _Place(tool, script, helper, partial(_with_script, text), _without_script, mode)


def _changed(place: _Place, *, is_removal: bool = False) -> HookFile:
    """Puts hooks into one file, or takes them out; a file without anything else is removed."""
    tool, path = place.tool, place.path
    top = fired.repository(str(Path.cwd()))
    root = Path(top[0]) if top else path
    inside = [part for part in (path, *path.parents) if root in part.parents]
    # the maker of a link in a working tree would choose what is written
    links = [part for part in inside if part.is_symlink()]
    if links and root / ".git" not in path.parents:
        return HookFile(tool, path, "left", f"{links[0]} is a symbolic link, and not followed here")
    try:
        text = _text(path)
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


def _text(path: Path) -> str | None:
    """Returns a file's text, byte for byte; None if there is no file. Raises ValueError."""
    try:
        with path.open("rb") as file:
            data = file.read(SETTINGS_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(data) > SETTINGS_BYTES_MAX:
        raise ValueError(f"it has more than {SETTINGS_BYTES_MAX:,} bytes")
    return data.decode("utf-8", "surrogateescape")


def _hide(place: _Place, *, is_removal: bool = False) -> None:
    """Adds a file of a working tree to `.git/info/exclude`, or takes it out again."""
    root, git_folder = fired.repository(str(place.path.parent)) or ("", "")
    lines = f"\n# thence hook install\n/{place.path.relative_to(root)}\n"
    exclude = place._replace(
        path=Path(fired.common_folder(git_folder), "info", "exclude"),
        add=lambda text: (text or "").replace(lines, "") + lines,
        remove=lambda text: text and text.replace(lines, ""),
        mode=0o666,
    )
    _changed(exclude, is_removal=is_removal)


def _parsed(text: str | None) -> dict[str, Any]:
    """Reads settings; raises ValueError that says what to do."""
    try:
        settings = msgspec.convert(json.loads((text or "").strip() or "{}"), dict[str, Any])
        msgspec.convert(settings.get("hooks", {}), dict[str, list[Any]])
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        why = f"its form is unknown ({error}); correct it, or add hooks manually: see --help"
        raise ValueError(why) from None
    return settings


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
            timeout = AGENTS[tool].timeouts.get(event, AGENTS[tool].timeout)
            entry = {"type": "command", "command": words, "timeout": timeout}
            groups.append({"hooks": [entry]})
    return _written(settings, text) if json.dumps(hooks) != before else text or ""


def _without_hooks(text: str | None) -> str | None:
    """Returns settings without the hooks of ours, and without what becomes empty by that."""
    if text is None or HELPER not in text:
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
    entries = list_of(map_of(group).get("hooks"))
    return [entry for entry in entries if _IS_OURS.fullmatch(text_of(entry, "command") or "")]


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
        raise ValueError("it is not a file of thence: move it away, then install again")
    return fresh


def _without_script(text: str | None) -> str | None:
    lines = (line.removeprefix("// ") for line in (text or "").splitlines()[:2])
    return None if any(map(_IS_OURS.fullmatch, lines)) else text


def _with_block(path: Path, text: str | None) -> str:
    """Returns a hook with our block before all else, where nothing can end the script first.

    Raises ValueError of what is no script of a shell.
    """
    is_huskys = path.parent.name == ".husky"
    plain = _without_block(text) or ("" if is_huskys else _NEW_SCRIPT)
    block = _BLOCK.read_text().replace("NAME", path.name)
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
