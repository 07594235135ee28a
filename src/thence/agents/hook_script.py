"""The script `hook.sh` of a log: the one place that names Python and the program of hooks.

Settings of agents and hooks of git run it by its path, so that their text stays when thence moves
to another environment; Codex trusts a hook by its text. The script ends with 0 and silently where
its program is gone.
"""

import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from thence.agents import fired
from thence.agents.fired import LOG, log_of, repository, users_folder
from thence.errors import ThenceError
from thence.files import replace_file

HELPER = "hook.sh"
CHECK_S_MAX = 2
_GIT = "has_git_hooks=yes\n"
_SCRIPT = """\
#!/bin/sh
# thence: run by the hooks of agents and of git; `thence hook install` writes it anew
python={python}
program={program}
{git}\
if [ "$1" = --check ]; then
    exec "$python" -I -S -c 'import runpy, sys; runpy.run_path(sys.argv[1])' "$program"
fi
exec 2>/dev/null
[ -x "$python" ] && [ -r "$program" ] || exit 0
if [ "$1" = git ]; then
    [ "$has_git_hooks" = yes ] || exit 0
    hook="$2"
    shift 2
    # pre-commit runs one command for all hooks, with no lines on stdin
    if [ "$hook" = pre-commit ]; then
        hook=post-commit
        if [ "$PRE_COMMIT_IS_SQUASH_MERGE" ]; then hook=post-merge; fi
        if [ "$PRE_COMMIT_REWRITE_COMMAND" ]; then
            hook=post-rewrite
            set -- "by=$PRE_COMMIT_REWRITE_COMMAND"
            pairs="$(cat "$(git rev-parse --git-path rebase-merge/rewritten-list)" ||
                echo "$(git rev-parse HEAD@{{1}}) $(git rev-parse HEAD)")"
            exec <<PAIRS
$pairs
PAIRS
        fi
    fi
    case "$hook" in
    post-commit) set -- "commit=$(git rev-parse HEAD)" ;;
    post-merge)
        set -- "commit=$(git rev-parse HEAD)" "parents=$(git log -1 --format=%P)" \\
            "how=$(git reflog -1 --format=%gs)"
        ;;
    esac
    set -- git "$hook" "$@" "git_dir=$GIT_DIR"
fi
exec "$python" -I -S "$program" "$@"
"""


def log_here() -> Path:
    """Returns the place of the log for this folder; raises ThenceError for a user without one."""
    return _placed(log_of(str(Path.cwd()))[0])


def helper_of(is_users: bool) -> Path:
    """Returns the script that settings run: this repository's, or the user's, which serves all.

    Raises ThenceError for a user without a home.
    """
    if is_users:
        return _placed(users_folder("XDG_STATE_HOME", ".local/state", LOG)) / HELPER
    return log_here() / HELPER


def _placed(name: str) -> Path:
    if not name:
        raise ThenceError(
            "could not choose a log",
            cause=f"{'HOME is not set' if repository(str(Path.cwd())) else _NOWHERE}",
            hint="go to a repository, or set HOME",
        )
    return Path(name)


_NOWHERE = "this folder is in no repository, and HOME is not set"


def write_helper(helper: Path, has_git: bool | None = None) -> None:
    """Writes the script for this Python and this thence; raises ThenceError, OSError.

    `has_git` says whether hooks of git may record by it; None leaves that as it is.
    """
    git = _GIT if (has_git_hooks(helper.parent) if has_git is None else has_git) else ""
    python, program = shlex.quote(sys.executable), shlex.quote(fired.__file__)
    text = _SCRIPT.format(python=python, program=program, git=git)
    helper.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(helper, text.encode(), 0o755)


def has_git_hooks(log: Path) -> bool:
    """Reports whether hooks of git were installed for a log, and not taken out since."""
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


def starts(helper: Path) -> bool:
    """Reports whether a script and the program that it names start; nothing is recorded."""
    argv = ["sh", str(helper), "--check"]
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            argv,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_S_MAX,
        )
        return done.returncode == 0
    return False
