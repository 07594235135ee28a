"""A forge: a bare remote whose main takes pull requests only, and what is landed there."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.git.repositories import commit, git, own_variables
from tests.work.boards import clone, hook, hub

PROTECTED = """#!/bin/sh
test "$1" != refs/heads/main && exit 0
test -n "$FORGE" && exit 0
echo "main is protected: open a pull request" >&2
exit 1
"""


class Forge:
    """A bare remote with a commit on main, and the clone in which pull requests are landed."""

    def __init__(self, folder: Path) -> None:
        self.remote = folder / "forge.git"
        self._first = hub(self.remote)
        hook(self.remote, "update", PROTECTED)

    def clone(self, name: str) -> Path:
        """Clone it, as a person of this name."""
        return clone(self.remote, self._first.parent / name)

    def main(self) -> str:
        return git(self.remote, "rev-parse", "main")

    def files(self, branch: str) -> set[str]:
        return {*git(self.remote, "ls-tree", "-r", "--name-only", branch).splitlines()}

    def branches(self) -> set[str]:
        return {*git(self.remote, "branch", "--format=%(refname:short)").splitlines()}

    def squash(self, branch: str, suggested: Mapping[str, str] | None = None) -> str:
        """Land a pull request by a squash, with what a reviewer suggests; return the commit."""
        here = self._fresh()
        git(here, "merge", "--quiet", "--squash", f"origin/{branch}")
        done = commit(here, suggested or {}, f"{branch} (#7)")
        self._push("main", f":refs/heads/{branch}")
        return done

    def revert(self, oid: str) -> str:
        """Revert a commit of main."""
        git(self._fresh(), "revert", "--no-edit", oid)
        self._push("main")
        return self.main()

    def _fresh(self) -> Path:
        git(self._first, "fetch", "--quiet", "--prune", "origin")
        git(self._first, "reset", "--quiet", "--hard", "origin/main")
        return self._first

    def _push(self, *specs: str) -> None:
        subprocess.run(
            ["git", "push", "--quiet", "origin", *specs],
            cwd=self._first,
            env={**own_variables(), "FORGE": "1"},
            check=True,
            stderr=subprocess.DEVNULL,
        )
