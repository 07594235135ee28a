"""The remote that has the board's branch, found by the options, the refs and git's settings."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from thence.git.git import Git, failure
from thence.git.pushing import remote_of
from thence.git.refs import REMOTES, Refs
from thence.git.repository import HEADS, Repository
from thence.work.project.configuration import BoardOptions


class BoardRemote(NamedTuple):
    """The remote that has the board's branch, and how this repository is set up for it.

    `is_fetched` is whether an ordinary fetch brings the branch. `targets` are the refspecs of the
    branches that features go to: a board may not be newer than its code.
    """

    remote: str
    branch: str
    is_fetched: bool
    targets: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """The remote-tracking ref of the branch."""
        return board_ref(self.remote, self.branch)

    @property
    def refspec(self) -> str:
        """The refspec that fetches the branch."""
        return f"+{HEADS}{self.branch}:{self.ref}"


def board_ref(remote: str, branch: str) -> str:
    """Returns the ref of a remote's board branch in this repository."""
    return f"{REMOTES}{remote}/{branch}"


def board_here(
    repo: Repository, refs: Refs, options: BoardOptions, targets: Iterable[str]
) -> str | None:
    """Returns the remote whose board branch is read, if the branch has been fetched.

    Boards of other remotes are not read: one may have been fetched for a review.
    """
    end = f"/{options.branch}"
    tracking = (ref for ref in refs.commits if ref.startswith(REMOTES) and ref.endswith(end))
    boards = {ref.removeprefix(REMOTES).removesuffix(end) for ref in tracking}
    if not boards:
        return None
    remote = options.remote or remote_of(repo, refs, (refs.default or "", *sorted(targets)))
    return remote if remote in boards else None


def link_of(
    repo: Repository, refs: Refs, options: BoardOptions, targets: Iterable[str]
) -> BoardRemote:
    """Returns the link to the board's remote. Raises GitFailed if no remote is named or exists."""
    targets, git = {*targets, *filter(None, (refs.default,))}, Git(repo.folder, is_users=True)
    names = os.fsdecode(git.run("remote")).split()
    remote = options.remote or remote_of(repo, refs, (refs.default or "", *sorted(targets)))
    if remote is None or remote not in names:
        cause = "the repository has no remote"
        if remote is not None:
            cause = f"there is no remote {remote!r}"
        elif names:
            cause = f"none of the remotes {', '.join(sorted(names))} is named as the board's"
        hint = "git remote add NAME URL"
        if names:
            hint = "git remote -v; name one of them in .kittify/config.yaml (board: {remote: NAME})"
        raise failure(
            "could not share the board of",
            repo.folder,
            cause,
            f"{hint}; or name a server: thence sync enable; the events wait in the journal",
        )
    prefix = f"{REMOTES}{remote}/"
    tracking = {refs.upstreams.get(HEADS + target, prefix + target) for target in targets}
    specs = tuple(
        f"+{HEADS}{ref.removeprefix(prefix)}:{ref}"
        for ref in sorted(tracking & refs.commits.keys())
        if ref.startswith(prefix)
    )
    link = BoardRemote(remote, options.branch, is_fetched=False, targets=specs)
    sufficient = {link.refspec, f"+{HEADS}*:{REMOTES}{remote}/*"}
    fetched = os.fsdecode(git.ask("config", "--get-all", f"remote.{remote}.fetch").out).splitlines()
    return link._replace(is_fetched=not sufficient.isdisjoint(fetched))
