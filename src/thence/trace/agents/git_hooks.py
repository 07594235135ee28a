"""Hooks of git: where a repository looks for them, and the block of ours in each.

husky runs `.husky/HOOK` from a folder that it writes anew, so that the block goes there.
"""

import os
import subprocess
from pathlib import Path

from thence.errors import ThenceError
from thence.trace.agents import hook_script as script
from thence.trace.agents.fired import LOG, repository

GIT_HOOKS = ("post-commit", "post-rewrite", "post-merge")
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
_CALL = 'sh "$thence_hook" git %s || :'
# the lines on stdin are kept for what stands below
_REWRITE = (
    'thence_pairs="$(cat)"\n'
    '    printf \'%%s\\n\' "$thence_pairs" | sh "$thence_hook" git %s "by=$1" || :\n'
    "    exec <<THENCE_PAIRS\n$thence_pairs\nTHENCE_PAIRS"
)


def git_hooks() -> list[Path]:
    """Returns the hooks of this repository, wherever git looks for them; raises ThenceError."""
    operation = "could not install git hooks"
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


def with_block(path: Path, text: str | None) -> str:
    """Returns a hook with our block before all else, where nothing can end the script first.

    Raises ValueError of what is no script of a shell.
    """
    is_huskys = path.parent.name == ".husky"
    plain = without_block(text) or ("" if is_huskys else _NEW_SCRIPT)
    call = (_REWRITE if path.name == "post-rewrite" else _CALL) % path.name
    block = f"{_BEGIN}{_RUN % call}{_END}"
    if is_huskys and not plain.startswith("#!"):  # husky runs it by sh
        return block + plain
    first, newline, rest = plain.partition("\n")
    program = first.removeprefix("#!").split()[:2] if first.startswith("#!") else []
    if not newline or not {os.path.basename(word) for word in program} & _SHELLS:
        raise ValueError("it is an unknown kind of script; run hook.sh of the log from it")
    return f"{first}\n{block}{rest}"


def without_block(text: str | None) -> str | None:
    """Returns a hook without our block; None where nothing else is in it."""
    if text is None or _BEGIN not in text or _END not in text:
        return text
    before, _, rest = text.partition(_BEGIN)
    plain = before + rest.partition(_END)[2]
    return None if plain in ("", _NEW_SCRIPT) else plain
