"""The remote that has the board's branch, found by the options, the refs and git's settings."""

import os
from collections.abc import Collection, Iterable
from typing import NamedTuple

from thence.git.git import Git, failure
from thence.git.refs import REMOTES, Refs
from thence.git.repository import HEADS, Repository
from thence.work.project.configuration import BoardOptions

_DEFAULT_REMOTE = "origin"
_TRUE = frozenset(("true", "yes", "on", "1"))
_SETTINGS_PATTERN = r"^(remote\..*\.(url|fetch)|commit\.gpgsign|core\.sshcommand|ssh\.variant)$"


class BoardRemote(NamedTuple):
    """The remote that has the board's branch, and how this repository is set up for it.

    `is_fetched` is whether an ordinary fetch brings the branch, `is_signed` whether the user signs
    commits, `has_ssh` whether the user has configured an ssh command of their own. `targets` are
    the refspecs of the branches that features go to: a board may not be newer than its code.
    """

    remote: str
    branch: str
    is_fetched: bool
    is_signed: bool
    has_ssh: bool
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
    remote = options.remote or _followed_remote(refs, targets) if boards else None
    if remote is None and boards:
        names = boards if _DEFAULT_REMOTE in boards else os.fsdecode(repo.git.run("remote")).split()
        remote = _only_remote(names)
    return remote if remote in boards else None


def link_of(
    repo: Repository, refs: Refs, options: BoardOptions, targets: Iterable[str]
) -> BoardRemote:
    """Returns the link to the board's remote. Raises GitFailed if no remote is named or exists."""
    targets = {*targets, *filter(None, (refs.default,))}
    answer = Git(repo.folder, is_users=True).ask(
        "config", "--null", "--get-regexp", _SETTINGS_PATTERN
    )
    settings: dict[str, list[str]] = {}
    for entry in filter(None, os.fsdecode(answer.out).split("\0")):
        key, has_value, value = entry.partition("\n")
        settings.setdefault(key, []).append(value if has_value else "true")
    names = {
        key.removeprefix("remote.").removesuffix(".url")
        for key in settings
        if key.startswith("remote.") and key.endswith(".url")
    }
    remote = options.remote or _followed_remote(refs, targets) or _only_remote(names)
    prefix = f"{REMOTES}{remote}/"
    tracking = {refs.upstreams.get(HEADS + target, prefix + target) for target in targets}
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
    link = BoardRemote(
        remote,
        options.branch,
        is_fetched=False,
        is_signed=settings.get("commit.gpgsign", ["false"])[-1].lower() in _TRUE,
        has_ssh="core.sshcommand" in settings or "ssh.variant" in settings,
        targets=tuple(
            f"+{HEADS}{ref.removeprefix(prefix)}:{ref}"
            for ref in sorted(tracking & refs.commits.keys())
            if ref.startswith(prefix)
        ),
    )
    sufficient = {link.refspec, f"+{HEADS}*:{REMOTES}{remote}/*"}
    fetched = settings.get(f"remote.{remote}.fetch", [])
    return link._replace(is_fetched=any(spec in sufficient for spec in fetched))


def _followed_remote(refs: Refs, targets: Iterable[str]) -> str | None:
    branches = (refs.default or "", *sorted(targets))
    return next((refs.remotes[name] for name in branches if name in refs.remotes), None)


def _only_remote(names: Collection[str]) -> str | None:
    if _DEFAULT_REMOTE in names:
        return _DEFAULT_REMOTE
    return next(iter(names)) if len(names) == 1 else None
