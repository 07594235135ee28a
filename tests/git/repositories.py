"""Real git repositories for tests, and what git itself says of them."""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from thence.git.refs import refs_of
from thence.git.repository import Repository

WAIT_S = 60.0
NAME = "Ada"
EMAIL = "ada@example.org"


def own_variables() -> dict[str, str]:
    """Return the variables of a user of whom git knows nothing else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {
        **kept,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_EDITOR": "true",
        "LC_ALL": "C",
    }


def git(folder: Path, *arguments: object, stdin: bytes = b"", check: bool = True) -> str:
    """Run git as a user does, and return what it printed, without the last line end."""
    done = subprocess.run(
        ["git", *map(str, arguments)],
        cwd=folder,
        input=stdin,
        capture_output=True,
        timeout=WAIT_S,
        env=own_variables(),
    )
    assert not check or done.returncode == 0, os.fsdecode(done.stderr + done.stdout)
    return os.fsdecode(done.stdout).removesuffix("\n")


def make_repository(path: Path, files: Mapping[str, str | bytes] | None = None) -> Path:
    """Make a repository with one commit on branch main; user.name and user.email are set in it.

    Git makes the first with these files; the others are copies of that one.
    """
    first = _first(tuple(sorted((files or {}).items())))
    shutil.copytree(first, path, symlinks=True, dirs_exist_ok=True)
    git(path, "update-index", "-q", "--refresh")
    return path


@cache
def _first(files: tuple[tuple[str, str | bytes], ...]) -> Path:
    path = _firsts() / str(len(list(_firsts().iterdir())))
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "config", "user.name", NAME)
    git(path, "config", "user.email", EMAIL)
    commit(path, {"README.md": "# a project\n", **dict(files)}, "Begin")
    return path


@cache
def _firsts() -> Path:
    """Make the folder of what is copied; it goes when the tests have ended."""
    folder, owner = Path(tempfile.mkdtemp(prefix="repositories-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # not where a test has forked
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def commit(folder: Path, files: Mapping[str, str | bytes], message: str = "Work on it") -> str:
    """Write files, commit them as a user does, and return the commit."""
    write(folder, files)
    git(folder, "add", "--", *files)
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def hook(folder: Path, name: str, text: str) -> None:
    """Set a hook of the user's in a repository, in the language of the shell."""
    path = Path(git(folder, "rev-parse", "--path-format=absolute", "--git-path", f"hooks/{name}"))
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def sign(folder: Path, program: str = "") -> None:
    """Have a user sign commits in a repository, by a program in the language of the shell."""
    path = folder / ".git/sign"
    signature = "-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n"
    told = f"echo '[GNUPG:] SIG_CREATED ' >&2; printf -- '{signature}'"
    path.write_text(f"#!/bin/sh\ncat >/dev/null\n{program or told}\n")
    path.chmod(0o755)
    git(folder, "config", "gpg.program", path)
    git(folder, "config", "commit.gpgSign", "true")


def killed(work: Callable[[], object], after_s: float | None = None) -> bool:
    """Do some work in a process group of its own; kill it if it shall be; tell whether it was."""
    child = os.fork()
    if not child:
        try:
            os.setsid()
            work()
        finally:
            os._exit(0)
    if after_s is not None:
        time.sleep(after_s)
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:  # it has not come as far as having a group of its own
            os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def branches(repo: Repository) -> Mapping[str, str]:
    """Return each branch with the commit at its tip."""
    return refs_of(repo).branches


def begin_work(folder: Path) -> None:
    """Stage a change of the file `mine`, and leave a second one in it half done."""
    write(folder, {"mine": "staged\n"})
    git(folder, "add", "mine")
    write(folder, {"mine": "half done\n"})


def content(folder: Path, name: str, at: str = "main") -> bytes | None:
    """Return what a commit or branch holds under a name, None if it holds nothing there."""
    done = subprocess.run(
        ["git", "cat-file", "blob", f"{at}:{name}"],
        cwd=folder,
        capture_output=True,
        env=own_variables(),
    )
    return done.stdout if done.returncode == 0 else None


def patches(folder: Path) -> tuple[str, str]:
    """Return what is half done and what is staged, as patches without blob names."""
    drawn = [git(folder, "diff", *more, "--no-ext-diff") for more in ((), ("--cached",))]
    half_done, staged = (
        "\n".join(line for line in patch.split("\n") if not line.startswith(("index ", "@@")))
        for patch in drawn
    )
    return half_done, staged
