"""The script `hook.sh` of a log: the one place that names Python and the program of hooks.

Settings of agents and git hooks run it by its path, so that their text stays when thence moves
to another environment; Codex trusts a hook by its text. The script ends with 0 and silently where
its program is gone.
"""

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from thence.errors import ThenceError
from thence.files import replace_file
from thence.trace.agents import fired
from thence.trace.agents.fired import LOG, common_folder, log_of, repository, users_folder

HELPER = "hook.sh"
INSTALL = "thence hook install {}"
TRAILER = "thence-session"
# git's hooks record where this file lies beside the script
GIT_MARK = "git-hooks"
_SCRIPT = """\
#!/bin/sh
# thence: run by the hooks of agents and of git; `thence hook install` writes it anew
python={python} program={program}
exec 2>/dev/null
[ -x "$python" ] && [ -r "$program" ] || exit 0
[ "$1" != git ] || [ -e "${{0%/*}}/{mark}" ] || exit 0
case "$1 $2" in
"git post-commit") set -- git post-commit "commit=$(git rev-parse HEAD)" ;;
"git post-merge")
    set -- git post-merge "commit=$(git rev-parse HEAD)" "parents=$(git log -1 --format=%P)" \\
        "how=$(git reflog -1 --format=%gs)"
    ;;
"git prepare-commit-msg")
    for id in "$CLAUDE_CODE_SESSION_ID" "${{CODEX_SESSION_ID:-$CODEX_THREAD_ID}}"; do
        [ -z "$id" ] || git interpret-trailers --in-place --if-exists addIfDifferent \\
            --trailer "{trailer}: $id" "$3"
    done
    exit 0
    ;;
esac
run='import sys; sys.path.append(sys.argv.pop(1)); import fired; fired.main()' # compiled once
exec "$python" -I -S -c "$run" "${{program%/*}}" "$@" "git_dir=$GIT_DIR"
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


def helper_of(tool: str, is_users: bool = False) -> Path:
    """Returns the script that hooks run: that of this folder's log, or the user's for all.

    Those of git have that of their own git folder: a submodule's is not that of its log.
    """
    place = repository(str(Path.cwd()))
    if tool == "git" and place:
        return Path(common_folder(place[1]), LOG, HELPER)
    log = users_path("XDG_STATE_HOME", ".local/state", LOG) if is_users else log_here()
    return log / HELPER


def write_helper(helper: Path) -> None:
    """Writes the script for this Python and this thence; raises ThenceError, OSError."""
    python, program = shlex.quote(sys.executable), shlex.quote(fired.__file__)
    text = _SCRIPT.format(python=python, program=program, mark=GIT_MARK, trailer=TRAILER)
    helper.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(helper, text.encode(), 0o755)


def has_git_hooks(log: Path) -> bool:
    """Reports whether git hooks were installed for a log, and not taken out since."""
    return (log / GIT_MARK).exists()


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


def is_broken(helper: Path) -> bool:
    """Reports whether a script, its Python or its program is gone."""
    with suppress(OSError, ValueError, LookupError):
        words = shlex.split(helper.read_text().splitlines()[2])
        return not all(os.access(word.partition("=")[2], os.R_OK) for word in words)
    return True
