"""Ordinary commits of planning files, on the branch that the main working tree has checked out.

`git commit --only` runs as the user runs it, with hooks, signing and identity. It takes all other
files from HEAD, so that what the user has staged stays staged, and concurrent commits of others are
not reverted. While it runs git keeps the index locked, as beside any commit.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from typing import NamedTuple

from thence.errors import GitFailed
from thence.git.files import TreeFiles, is_draft
from thence.git.git import Answer, Git, disk_hint, failure
from thence.git.locks import COMMITTING, INDEX_LOCK, WRITING, locked, naming, ref_locks
from thence.git.repository import Repository, current_branch, operation_under_way

ATTEMPTS_MAX = 10
WAIT_S = 10.0  # for another git to unlock the index
_PAUSE_S = 0.02
_DOING = "could not commit in"


# returns the new bytes of a file from the present ones; None stands for no file
FileEdit = Callable[[bytes | None], bytes | None]
_FileState = tuple[int, int, int] | None


def if_missing(data: bytes) -> FileEdit:
    """Returns the function that makes a file with these bytes, unless there is one."""
    return lambda before: data if before is None else before


class Commit(NamedTuple):
    """A commit that was made: its id, the one before it, its branch, the paths that it changed."""

    oid: str
    parent: str | None
    branch: str
    paths: tuple[str, ...]


class _MovedMeanwhile(Exception):
    """Somebody else has committed, or switched to another branch."""


def commit_files(
    repo: Repository,
    changes: Mapping[str, FileEdit],
    message: str,
    *,
    beside: Sequence[str] = (),
) -> Commit | None:
    """Commits changed files of the working tree `repo.top`.

    `changes` gives for each path, from the top and with "/", a function from the file's present
    bytes (None: no file) to its new bytes (None: unchanged). The function is idempotent: it may be
    called again on its own result. Files and folders `beside` are committed as they lie, but for
    files of which the user has something else staged.

    Returns None if HEAD has all changes already. Raises GitFailed, with the files written. The
    error is `recoverable` if they can be committed later: the user is in the middle of an
    operation, has something else staged at a path, or has a hook that refuses.
    """
    # what is written now makes all that is staged so
    half_staged = _half_staged(_states(repo, [*changes])) if changes else set()
    write_files(repo, changes)
    with locked(repo.common / COMMITTING):
        for _ in range(ATTEMPTS_MAX):
            with suppress(_MovedMeanwhile):
                return _attempt(repo, [*changes], half_staged, beside, message)
    raise _later(repo, f"others committed {ATTEMPTS_MAX} times in the meantime", "try again")


def write_files(repo: Repository, changes: Mapping[str, FileEdit]) -> None:
    """Applies functions to files of the main working tree, which are as in `commit_files`.

    Commands that do so at once take turns. Raises GitFailed.
    """
    files = TreeFiles(repo.folder)
    with locked(repo.common / WRITING):
        for path, edit in changes.items():
            try:
                while True:
                    before = files.look(path)
                    data = files.read(path) if before else None
                    new = edit(data)
                    if new is None or new == data:
                        break
                    if _state_of(files.look(path)) == _state_of(before):
                        files.replace(path, new)
                        break
            except OSError as error:
                where, hint = files.top / path, "make room or rights there"
                raise failure("could not write", where, f"{error}", hint) from error


def commit_tree(
    repo: Repository, tree: str, parents: Sequence[str], message: str, *, is_signed: bool = False
) -> str:
    """Writes a commit of a tree, on no branch, and returns its id."""
    before = [part for parent in parents for part in ("-p", parent)]
    out = Git(repo.folder, is_users=is_signed).run(
        "commit-tree",
        *(("-S",) if is_signed else ()),
        tree,
        *before,
        stdin=message.rstrip("\n").encode("utf-8", "surrogateescape") + b"\n",
        operation=_DOING,
    )
    return out.decode().strip()


def _attempt(
    repo: Repository,
    own: Sequence[str],
    half_staged: Set[str],
    beside: Sequence[str],
    message: str,
) -> Commit | None:
    git = Git(repo.folder)
    head, branch = git.commit_of("HEAD"), current_branch(repo)
    states = _states(repo, [*own, *beside])
    if operation := operation_under_way(repo.git_dir):
        raise _later(repo, f"a {operation} is under way there", "end it: see git status")
    if branch is None:
        raise _later(repo, "HEAD is detached", "check a branch out: git switch BRANCH")
    still_staged = _half_staged(states)
    if staged := half_staged & still_staged:
        cause = f"what is staged of {', '.join(sorted(staged))} is not what is there"
        raise _later(repo, cause, "commit or unstage it: git restore --staged PATH")
    paths = [
        path
        for path, xy in states.items()
        if path in own or not (path in still_staged or xy[1] == "!" or is_draft(path))
    ]
    if not paths:
        return None
    locks = (*ref_locks(repo.common, repo.git_dir, branch), repo.git_dir / INDEX_LOCK)
    with naming(repo.common / COMMITTING, repo.folder, locks, paths) as note:
        unknown = [path for path in paths if states[path][1] in "?!"]
        if unknown:
            # git skips ignored files and those outside a sparse checkout without --force --sparse
            adding = ("add", "--sparse", "--force", "--", *unknown)
            if (answer := _ask_patiently(git, *adding)).status:
                raise git.failed(answer, adding, operation=_DOING)
        changed = paths
        if head:
            listing = ("diff", "--name-only", "--no-renames", "-z", head, "--", *paths)
            differing = {*os.fsdecode(git.run(*listing)).split("\0")}
            changed = [path for path in paths if path in differing]
        users = Git(repo.folder, keeps=(note,), is_users=True)
        stdin = message.rstrip("\n").encode("utf-8", "surrogateescape") + b"\n"
        literal = (f":(literal){path}" for path in changed)
        committing = ("commit", "--quiet", "--only", "--file=-", "--", *literal)
        answer, before, tree = Answer(1, b"", ""), list[_FileState](), TreeFiles(repo.folder)
        for _ in range(2 if changed else 0):  # a hook that rewrites and refuses runs once more
            files = [_state_of(tree.look(path)) for path in changed]
            if files == before or answer.status == 0:
                break
            answer, before = _ask_patiently(users, *committing, stdin=stdin), files
        if answer.status:
            if unknown:
                git.ask("reset", "--quiet", "--", *unknown)
            if not changed:
                return None
            if git.commit_of("HEAD") != head:
                raise _MovedMeanwhile
            cause = answer.stderr or f"git commit exited with {answer.status}"
            hint = disk_hint(cause) or "put that right, or commit them yourself: git status"
            raise _later(repo, cause, hint)
        if git.ask("diff", "--cached", "--quiet", "HEAD", "--", *changed).status:
            # a hook has changed what it committed, and git has staged what lay there before
            with suppress(GitFailed):
                _ask_patiently(git, "reset", "--quiet", "--", *changed)
    since = [f"{head}..HEAD"] if head else ["HEAD"]
    commits = git.run("rev-list", "--first-parent", *since).decode().split()
    if not commits:
        return None  # the user has left it behind already, by a reset or a switch
    return Commit(commits[-1], head, branch, tuple(changed))


def _ask_patiently(git: Git, *arguments: str, stdin: bytes = b"") -> Answer:
    """Returns git's answer, asked again for a while if another git holds the index."""
    until_s = time.monotonic() + WAIT_S
    while True:
        answer = git.ask(*arguments, stdin=stdin)
        if f"{INDEX_LOCK}': File exists" not in answer.stderr or time.monotonic() >= until_s:
            return answer
        time.sleep(_PAUSE_S)


def _states(repo: Repository, paths: Sequence[str]) -> dict[str, str]:
    """Returns the paths that differ from HEAD, ignored files too, each with git's two letters."""
    form = ("--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignored")
    out = Git(repo.folder).run("status", *form, "--", *paths, operation="could not look into")
    states = dict[str, str]()
    for entry in os.fsdecode(out).split("\0")[:-1]:
        xy, path = entry[:2], entry[3:]
        # with a staged removal this is the file that exists nevertheless
        states[path] = f"{states[path][0]}{xy[1]}" if path in states else xy
    return states


def _half_staged(states: Mapping[str, str]) -> set[str]:
    """Returns the paths whose staged content is neither HEAD's nor the file's."""
    return {path for path, xy in states.items() if xy[0] not in " ?!" and xy[1] != " "}


def _state_of(stat: os.stat_result | None) -> _FileState:
    return stat and (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def _later(repo: Repository, cause: str, hint: str) -> GitFailed:
    return failure(_DOING, repo.folder, cause, hint, is_retryable=True)
