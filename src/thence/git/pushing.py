"""Ordinary pushes of branches to a remote, and the page of its forge that begins a pull request.

No push is forced, no branch of this repository moves, and neither git nor ssh prompts. A remote
that does not answer is waited for WAIT_S at most. A push to one that has answered takes its time,
with the user's hooks.
"""

import os
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from thence.errors import GitFailed
from thence.git.git import HOOKS_TIMEOUT_S, TIMEOUT_S, Answer, Git, failure, own_variables
from thence.git.refs import REMOTES, Refs
from thence.git.repository import HEADS, Repository

WAIT_S = 5.0
# no window, no terminal and no helper asks for a password
_NO_PROMPT = {"GIT_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never", "GCM_INTERACTIVE": "never"}
_DEFAULT_REMOTE = "origin"
_OPERATION = "could not push"
# words of a remote whose branch has commits that this repository lacks, or gets them just then
_BEHIND = (
    "[rejected]",
    "cannot lock ref",
    "failed to update ref",
    "incorrect old value",
    "reference already exists",
)
_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")
# the address of a page by the forge's host: repository, target and branch
_PAGES = {
    "github.com": "https://github.com/{0}/compare/{1}...{2}?expand=1",
    "gitlab.com": "https://gitlab.com/{0}/-/merge_requests/new"
    "?merge_request[source_branch]={2}&merge_request[target_branch]={1}",
    "bitbucket.org": "https://bitbucket.org/{0}/pull-requests/new?source={2}&dest={1}",
    "codeberg.org": "https://codeberg.org/{0}/compare/{1}...{2}",
}


class PullRequest(NamedTuple):
    """A pull request to open: a branch, its target, the page that begins it if that is known."""

    branch: str
    target: str
    page: str | None

    def __str__(self) -> str:
        """Returns the next step as a sentence."""
        where = f": {self.page}" if self.page else ""
        return f"open a pull request from {self.branch} into {self.target}{where}"


def remote_of(repo: Repository, refs: Refs, branches: Iterable[str]) -> str | None:
    """Returns the remote that a branch follows, else origin, else the only one; None without.

    Of several branches the first that follows one counts.
    """
    if followed := next((refs.remotes[name] for name in branches if name in refs.remotes), None):
        return followed
    names = os.fsdecode(repo.git.run("remote")).split()
    if _DEFAULT_REMOTE in names:
        return _DEFAULT_REMOTE
    return names[0] if len(names) == 1 else None


def ask_remote(repo: Repository, *arguments: str, limit_s: float = TIMEOUT_S) -> Answer:
    """Runs a git that reaches a remote; neither it nor ssh nor a helper ever prompts."""
    own = own_variables(("GIT_SSH",))
    is_own = ("config", "--get-regexp", r"^(core\.sshcommand|ssh\.variant)$")
    has_ssh = "GIT_SSH_COMMAND" in own or "GIT_SSH" in own
    has_ssh = has_ssh or bool(Git(repo.folder, is_users=True).ask(*is_own).out)
    variables = {} if has_ssh else {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
    git = Git(repo.folder, is_users=True, alone_s=limit_s)
    return git.ask(*arguments, variables={**_NO_PROMPT, **variables})


class NotPushed(NamedTuple):
    """Why a push failed; `is_behind` is whether the remote has commits that were not known here."""

    words: str
    is_behind: bool


def send(repo: Repository, remote: str, spec: str, *options: str) -> NotPushed | None:
    """Pushes what a refspec names, without tags; returns why that failed, None if it did not."""
    arguments = ("push", "--porcelain", "--no-follow-tags", *options, remote, spec)
    answer = ask_remote(repo, *arguments, limit_s=HOOKS_TIMEOUT_S)
    if answer.status == 0:
        return None
    lines = os.fsdecode(answer.out).splitlines()
    told = "; ".join(line.replace("\t", " ").strip() for line in lines if line.startswith("!"))
    words = "; ".join(filter(None, (told, answer.stderr)))
    is_behind = any(sign in told for sign in _BEHIND)
    return NotPushed(words or f"git push exited with {answer.status}", is_behind)


def fetch(repo: Repository, remote: str) -> str:
    """Fetches the branches of a remote; returns why that failed, "" if it did not."""
    arguments = ("fetch", "--quiet", "--no-auto-maintenance", "--no-recurse-submodules", remote)
    try:
        answer = ask_remote(repo, *arguments, limit_s=WAIT_S)
    except GitFailed as error:
        return error.cause or error.message
    return (answer.stderr or f"it exited with {answer.status}") if answer.status else ""


def push(repo: Repository, remote: str, branch: str) -> None:
    """Pushes a branch under its own name, which it follows from then on.

    Raises GitFailed; the error is `recoverable` if the remote has commits that this repository
    lacks.
    """
    failed = send(repo, remote, f"{HEADS}{branch}:{HEADS}{branch}", "--set-upstream")
    if failed is None:
        return
    hint = f"git pull {remote} {branch}, where {branch} is checked out; then try again"
    raise failure(
        _OPERATION,
        f"{branch} to {remote}",
        failed.words,
        hint if failed.is_behind else f"see why: git push {remote} {branch}",
        is_retryable=failed.is_behind,
    )


def pull_request(repo: Repository, remote: str, branch: str, target: str) -> PullRequest:
    """Returns the pull request that brings a pushed branch into a target of the same remote."""
    answer = repo.git.ask("remote", "get-url", remote)
    url = os.fsdecode(answer.out).strip() if answer.status == 0 else ""
    return PullRequest(branch, target, page_of(url, branch, target))


def page_of(url: str, branch: str, target: str) -> str | None:
    """Returns the page of a forge that begins a pull request; None if the forge is unknown.

    A user or a password in the remote's URL is not passed on.
    """
    match = _SCP.fullmatch(url)
    try:
        parts = urlsplit(url if match is None else f"ssh://{match[1]}/{match[2]}")
        host = parts.hostname or ""
    except ValueError:
        return None
    path = parts.path.strip("/").removesuffix(".git")
    if parts.scheme not in ("https", "http", "ssh") or host not in _PAGES or "/" not in path:
        return None
    return _PAGES[host].format(quote(path), quote(target), quote(branch))


def is_pushed(refs: Refs, remote: str, branch: str) -> bool:
    """Reports whether a remote, as last seen, has a branch as it is here."""
    commit = refs.commits.get(HEADS + branch)
    return commit is not None and refs.commits.get(f"{REMOTES}{remote}/{branch}") == commit
