"""Hooks of git: where a repository looks for them, and the block of ours in each.

husky runs `.husky/HOOK` from a folder that it writes anew, so that the block goes there. lefthook
and pre-commit write hooks from a file that is a person's: the lines to add to it are named.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from thence.errors import ThenceError
from thence.trace.agents import hook_script as script
from thence.trace.agents.fired import LOG, common_folder, repository
from thence.trace.agents.installed import HookFile, changed, git_state, readable_text

GIT_HOOKS = ("post-commit", "post-rewrite", "post-merge")
_SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "ash"}
_BEGIN, _END = "# >>> thence hook >>>\n", "# <<< thence hook <<<\n"
_NEW_SCRIPT = "#!/bin/sh\n"
_PLACE = f'"$(git rev-parse --git-common-dir)/{LOG}/{script.HELPER}"'
# the script lies in the git folder, which no clone brings; the block does nothing without it
_RUN = f'thence_hook={_PLACE}\nif [ -r "$thence_hook" ]; then\n    %s\nfi\n'
_CALL = 'sh "$thence_hook" git %s || :'
# the lines on stdin are kept for what stands below
_REWRITE = (
    'thence_pairs="$(cat)"\n'
    '    printf \'%%s\\n\' "$thence_pairs" | sh "$thence_hook" git %s "by=$1" || :\n'
    "    exec <<THENCE_PAIRS\n$thence_pairs\nTHENCE_PAIRS"
)
_LEFTHOOK = (
    f"%s: {{jobs: [{{name: thence, run: 'sh {_PLACE} git %s by={{1}} 2>/dev/null || true',"
    " use_stdin: true}]}"
)
_PRE_COMMIT = f"""\
- repo: local
  hooks:
  - {{id: thence, name: thence, language: system, always_run: true, pass_filenames: false,
     stages: [post-commit, post-merge, post-rewrite],
     entry: sh -c 'sh {_PLACE} git pre-commit 2>/dev/null || true'}}"""


def change_git_hooks(is_users: bool, is_removal: bool = False) -> Iterator[HookFile]:
    """Puts our block into each git hook, or takes it out; raises ThenceError, OSError."""
    paths, helper = _paths(is_users), git_helper()
    if not is_removal or helper.is_file():
        script.write_helper(helper, has_git=not is_removal)
    for path in paths:
        managed = _managed(path)
        if managed and not is_removal:
            yield managed
            continue
        is_huskys = path.parent.name == ".husky"
        edit = _remove_block if is_removal else partial(_add_block, path.name, is_huskys)
        change = changed("git", path, edit, is_removal=is_removal, fresh_mode=0o755)
        if change.state == "installed":
            mode = change.path.stat().st_mode
            if not mode & 0o100:
                change.path.chmod(mode | 0o111)
            if git_state(change.path):
                note = "it is in the working tree: the added lines do nothing in other clones"
                change = change._replace(note=note)
        yield change


def git_helper() -> Path:
    """Returns the script that this repository's hooks run; a submodule has its own."""
    place = repository(str(Path.cwd()))
    return Path(common_folder(place[1]), LOG, script.HELPER) if place else script.helper_of(False)


def git_states() -> Iterator[HookFile]:
    """Yields the state of each git hook in this folder's repository."""
    helper, note = git_helper(), script.INSTALL.format("git")
    absent = "gone" if script.has_git_hooks(helper.parent) else "absent"
    own = "no program" if script.broken(helper) else "installed"
    for path in _paths(is_users=False):
        managed = _managed(path)
        if managed and managed.state == "unchanged":
            yield managed._replace(state=own)
        else:
            state = own if _BEGIN in readable_text(path) else absent
            yield HookFile("git", path, state, "" if state in ("installed", "absent") else note)


def _paths(is_users: bool) -> list[Path]:
    """Returns the hooks of this repository, wherever git looks for them."""
    operation = "could not install git hooks"
    if is_users:
        raise ThenceError(
            operation,
            cause="git's hooks for all repositories would replace those of each repository",
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
            cause="this folder is not a working tree of a git repository of this user",
            hint="go to one, or make one: git init",
        )
    folder = Path(done.stdout.splitlines()[1].rstrip("\n")).absolute()
    return [(folder.parent if folder.match(".husky/_") else folder) / name for name in GIT_HOOKS]


def _managed(path: Path) -> HookFile | None:
    """Returns the state of a hook that lefthook or pre-commit writes, None of any other."""
    text, place = readable_text(path), repository(str(Path.cwd()))
    root = Path(place[0] if place else "")
    if "call_lefthook" in text:
        name, manager, config = path.name, "lefthook", "lefthook.yml"
        lines = _LEFTHOOK % (name, name)
        files = [*root.glob("lefthook*"), *root.glob(".lefthook*"), *root.glob(".config/left*")]
    elif "generated by pre-commit" in text:
        name = manager = "pre-commit"
        config, lines = ".pre-commit-config.yaml", _PRE_COMMIT
        files = [root / config]
        if any(_BEGIN in readable_text(file) for file in path.parent.glob(f"{path.name}.*")):
            return HookFile("git", path, "unchanged", "pre-commit runs the one that was there")
    else:
        return None
    own = re.compile(rf"{re.escape(script.HELPER)}\W+git {name}")
    if any(own.search(readable_text(file)) for file in files):
        return HookFile("git", path, "unchanged", f"{manager} runs it")
    note = f"{manager} writes it: add the lines below to {config}"
    return HookFile("git", path, "left", note, tuple(lines.splitlines()))


def _add_block(name: str, is_huskys: bool, text: str | None) -> str:
    """Returns a hook with our block before all else, where nothing can end the script first."""
    plain = _remove_block(text) or ("" if is_huskys else _NEW_SCRIPT)
    call = (_REWRITE if name == "post-rewrite" else _CALL) % name
    block = f"{_BEGIN}{_RUN % call}{_END}"
    if is_huskys and not plain.startswith("#!"):  # husky runs it by sh
        return block + plain
    first, newline, rest = plain.partition("\n")
    program = first.removeprefix("#!").split()[:2] if first.startswith("#!") else []
    if not newline or not {os.path.basename(word) for word in program} & _SHELLS:
        raise ValueError("it is an unknown kind of script; run hook.sh of the log from it")
    return f"{first}\n{block}{rest}"


def _remove_block(text: str | None) -> str | None:
    """Returns a hook without our block; None where nothing else is in it."""
    if text is None or _BEGIN not in text or _END not in text:
        return text
    before, _, rest = text.partition(_BEGIN)
    plain = before + rest.partition(_END)[2]
    return None if plain in ("", _NEW_SCRIPT) else plain
