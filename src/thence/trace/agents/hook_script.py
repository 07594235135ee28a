"""The script `hook.sh` of a log: the one place that names Python and the program of hooks.

Settings of agents and git hooks run it by its path, so that their text stays when thence moves
to another environment; Codex trusts a hook by its text. The script ends with 0 and silently where
its program is gone.
"""

import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from thence.errors import ThenceError
from thence.files import replace_file
from thence.trace.agents import fired
from thence.trace.agents.fired import LOG, log_of, users_folder

HELPER = "hook.sh"
INSTALL = "thence hook install {}"
CHECK_S_MAX = 2
_GIT = "has_git_hooks=yes"
_SCRIPT = """\
#!/bin/sh
# thence: run by the hooks of agents and of git; `thence hook install` writes it anew
python={python} program={program} {git}
if [ "$1" = --check ]; then
    exec "$python" -I -S -c 'import runpy, sys; runpy.run_path(sys.argv[1])' "$program"
fi
exec 2>/dev/null
[ -x "$python" ] && [ -r "$program" ] && [ "$1$has_git_hooks" != git ] || exit 0
if [ "$2" = pre-commit ]; then # it names no hook, and hands on no lines
    by="$PRE_COMMIT_REWRITE_COMMAND"
    set -- git "${{by:+post-rewrite}}${{PRE_COMMIT_IS_SQUASH_MERGE:+post-merge}}" "by=$by"
    pairs="$(git rev-parse HEAD@{{1}}) $(git rev-parse HEAD)"
    if [ "$by" = rebase ]; then
        pairs="$(cd "$(git rev-parse --git-dir)" &&
            cat rebase-merge/rewritten-list rebase-apply/rewritten)"
    fi
    exec <<PAIRS
$pairs
PAIRS
fi
case "$1 $2" in
"git post-commit" | "git ") set -- git post-commit "commit=$(git rev-parse HEAD)" ;;
"git post-merge")
    set -- git post-merge "commit=$(git rev-parse HEAD)" "parents=$(git log -1 --format=%P)" \\
        "how=$(git reflog -1 --format=%gs)"
    ;;
esac
exec "$python" -I -S "$program" "$@" "git_dir=$GIT_DIR"
"""


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


def users_path(variable: str, default: str, name: str) -> Path:
    """Returns a path in a folder of the user's that a variable may name."""
    return Path(users_folder(variable, default, name) or Path.home() / default / name)


def helper_of(is_users: bool) -> Path:
    """Returns the script that settings run: that of this folder's log, or the user's for all."""
    log = users_path("XDG_STATE_HOME", ".local/state", LOG) if is_users else log_here()
    return log / HELPER


def write_helper(helper: Path, has_git: bool | None = None) -> None:
    """Writes the script for this Python and this thence; raises ThenceError, OSError.

    `has_git` says whether git hooks may record by it; None leaves that as it is.
    """
    has_git = has_git_hooks(helper.parent) if has_git is None else has_git
    python, program = shlex.quote(sys.executable), shlex.quote(fired.__file__)
    text = _SCRIPT.format(python=python, program=program, git=_GIT if has_git else "")
    helper.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(helper, text.encode(), 0o755)


def has_git_hooks(log: Path) -> bool:
    """Reports whether git hooks were installed for a log, and not taken out since."""
    with suppress(OSError):
        return _GIT in Path(log, HELPER).read_text("utf-8", "replace")
    return False


def command(helper: Path, tool: str) -> str:
    """Returns the words by which the shell of an agent runs a script."""
    return f"sh {shlex.quote(str(helper))} {tool} || true"


def runs_helper(words: object) -> bool:
    """Reports whether a command of an agent's settings runs a script of ours, wherever it lies."""
    with suppress(ValueError):
        match shlex.split(str(words)):
            case ["sh", path, _, "||", "true"]:
                return path.endswith(f"/{LOG}/{HELPER}")
    return False


def broken(helper: Path) -> bool:
    """Reports whether a script, or the program that it names, does not start within 2 s."""
    argv, null = ["sh", str(helper), "--check"], subprocess.DEVNULL
    try:
        subprocess.run(argv, check=True, stdin=null, stdout=null, stderr=null, timeout=CHECK_S_MAX)
    except (OSError, subprocess.SubprocessError):
        return True
    return False
