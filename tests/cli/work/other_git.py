"""A git on the PATH that does more at one of its commands, and else calls the real git."""

import os
import shutil
from pathlib import Path

# kills the command of thence that called it
KILL = "kill -9 $PPID; exit 1"
_GIT = """#!/bin/sh
case " $* " in
*" {at} "*)
    {before}
    {git} "$@" || exit
    {behind}
    ;;
*) exec {git} "$@" ;;
esac
"""


def with_git(folder: Path, at: str, before: str = "", behind: str = "") -> str:
    """Return a PATH whose git does more before or after the commands with these words."""
    folder.mkdir()
    program = folder / "git"
    git = shutil.which("git")
    program.write_text(_GIT.format(git=git, at=at, before=before or ":", behind=behind or ":"))
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
