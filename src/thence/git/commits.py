"""Ordinary commits of planning files, on the branch that the main working tree has checked out.

`git commit --only` runs as the user runs it, with hooks, signing and identity. It takes all other
files from HEAD, so that what the user has staged stays staged, and concurrent commits of others are
not reverted. While it runs git keeps the index locked, as beside any commit.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from thence.errors import GitFailed
from thence.git.files import TreeFiles, is_draft
from thence.git.git import Answer, Git, disk_hint, failure
from thence.git.locks import COMMITTING, INDEX_LOCK, WRITING, locked, naming, ref_locks
from thence.git.repository import Repository, operation_under_way

ATTEMPTS_MAX = 10
WAIT_S = 10.0  # for another git to unlock the index
_PAUSE_S = 0.02
_DOING = "could not commit in"


# returns the new bytes of a file from the present ones; None stands for no file
FileEdit = Callable[[bytes | None], bytes | None]


def if_missing(data: bytes) -> FileEdit:
    """Returns the function that makes a file with these bytes, unless there is one."""
    return lambda before: data if before is None else before


def as_it_is(data: bytes | None) -> bytes | None:
    """Leaves a file as it is."""
    return data


class Commit(NamedTuple):
    """A commit that was made: its id, the one before it, its branch, the paths that it changed.

    `edited` are those of the requested paths that git tracked, and that the user had changed.
    """

    oid: str
    parent: str | None
    branch: str
    paths: tuple[str, ...]
    edited: tuple[str, ...] = ()


class _Status(NamedTuple):
    """The state of HEAD, and the paths that differ from it, in git's two letters."""

    head: str | None
    branch: str | None
    states: dict[str, str]

    def half_staged(self) -> list[str]:
        """Returns the paths whose staged content is neither HEAD's nor the file's."""
        return [path for path, xy in self.states.items() if xy[0] not in ".?!" and xy[1] != "."]


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
    git = Git(repo.folder)
    before = _status(git, [*changes]) if changes else _Status(None, None, {})
    edited = {path for path, xy in before.states.items() if xy[0] not in "?!"}
    half_staged = before.half_staged()  # what is written now makes all that is staged so
    write_files(repo, changes)
    with locked(repo.common / COMMITTING):
        for _ in range(ATTEMPTS_MAX):
            with suppress(_MovedMeanwhile):
                commit = _attempt(repo, [*changes], half_staged, beside, message)
                return commit and commit._replace(edited=tuple(sorted(edited & {*commit.paths})))
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
    half_staged: Sequence[str],
    beside: Sequence[str],
    message: str,
) -> Commit | None:
    git = Git(repo.folder)
    status = _status(git, [*own, *beside])
    if operation := operation_under_way(repo.git_dir):
        raise _later(repo, f"a {operation} is under way there", "end it: see git status")
    if status.branch is None:
        raise _later(repo, "HEAD is detached", "check a branch out: git switch BRANCH")
    still_staged = status.half_staged()
    if staged := [path for path in half_staged if path in still_staged]:
        cause = f"what is staged of {', '.join(staged)} is not what is there"
        raise _later(repo, cause, "commit or unstage it: git restore --staged PATH")
    paths = [
        path
        for path, xy in status.states.items()
        if path in own or not (path in still_staged or xy[1] == "!" or is_draft(path))
    ]
    if not paths:
        return None
    locks = (*ref_locks(repo.common, repo.git_dir, status.branch), repo.git_dir / INDEX_LOCK)
    with naming(repo.common / COMMITTING, repo.folder, locks, paths) as note:
        changed = _commit_paths(repo, git, note, status, paths, message)
        if not changed:
            return None
        if git.ask("diff", "--cached", "--quiet", "HEAD", "--", *changed).status:
            # a hook has changed what it committed, and git has staged what lay there before
            with suppress(GitFailed):
                _ask_patiently(git, "reset", "--quiet", "--", *changed)
    since = [f"{status.head}..HEAD"] if status.head else ["HEAD"]
    commits = git.run("rev-list", "--first-parent", *since).decode().split()
    if not commits:
        return None  # the user has left it behind already, by a reset or a switch
    return Commit(commits[-1], status.head, status.branch, tuple(changed))


def _commit_paths(
    repo: Repository, git: Git, note: int, status: _Status, paths: Sequence[str], message: str
) -> list[str]:
    """Commits files as they lie, and returns those that differ from HEAD; none: no commit.

    A hook that rewrites the files and refuses is run once more.
    """
    unknown = [path for path in paths if status.states[path][1] in "?!"]
    if unknown:
        # git skips ignored files and those outside a sparse checkout without --force --sparse
        adding = ("add", "--sparse", "--force", "--", *unknown)
        if (answer := _ask_patiently(git, *adding)).status:
            raise git.failed(answer, adding, operation=_DOING)
    changed = list(paths)
    if status.head:
        listing = ("diff", "--name-only", "--no-renames", "-z", status.head, "--", *paths)
        differing = {*os.fsdecode(git.run(*listing)).split("\0")}
        changed = [path for path in paths if path in differing]
    literal = [f":(literal){path}" for path in changed]
    users = Git(git.folder, keeps=(note,), is_users=True)
    for is_last in (False, True):
        if not changed:
            break
        before = [_read(repo, path) for path in changed]
        stdin = message.rstrip("\n").encode("utf-8", "surrogateescape") + b"\n"
        committing = ("commit", "--quiet", "--only", "--file=-", "--", *literal)
        answer = _ask_patiently(users, *committing, stdin=stdin)
        if answer.status == 0:
            return changed
        if is_last or before == [_read(repo, path) for path in changed]:
            break
    if unknown:
        git.ask("reset", "--quiet", "--", *unknown)
    if not changed:
        return []
    if git.commit_of("HEAD") != status.head:
        raise _MovedMeanwhile
    cause = answer.stderr or f"git commit exited with {answer.status}"
    hint = disk_hint(cause) or "put that right, or commit them yourself: git status"
    raise _later(repo, cause, hint)


def _ask_patiently(git: Git, *arguments: str, stdin: bytes = b"") -> Answer:
    """Returns git's answer, asked again for a while if another git holds the index."""
    until_s = time.monotonic() + WAIT_S
    while True:
        answer = git.ask(*arguments, stdin=stdin)
        if f"{INDEX_LOCK}': File exists" not in answer.stderr or time.monotonic() >= until_s:
            return answer
        time.sleep(_PAUSE_S)


def _status(git: Git, paths: Sequence[str]) -> _Status:
    form = ("--porcelain=v2", "--branch", "-z", "--no-renames", "--untracked-files=all")
    arguments = ("status", *form, "--ignored", "--", *paths)
    out = git.run(*arguments, operation="could not look into")
    values: dict[str, str] = {}
    states: dict[str, str] = {}
    for line in os.fsdecode(out).split("\0"):
        kind, _, rest = line.partition(" ")
        if kind == "#":
            key, _, value = rest.partition(" ")
            values[key] = value
        elif kind in {"?", "!"}:
            # with a staged removal this is the file that exists nevertheless
            states[rest] = f"{states.get(rest, '?')[0]}{kind}"
        elif kind in {"1", "u"}:
            states[rest.split(" ", 9 if kind == "u" else 7)[-1]] = rest[:2]
    head, branch = values["branch.oid"], values["branch.head"]
    return _Status(
        None if head == "(initial)" else head, None if branch == "(detached)" else branch, states
    )


def _state_of(stat: os.stat_result | None) -> tuple[int, int, int] | None:
    return stat and (stat.st_ino, stat.st_mtime_ns, stat.st_size)


def _read(repo: Repository, path: str) -> bytes | None:
    try:
        return TreeFiles(repo.folder).read(path)
    except OSError:
        return None


def _later(repo: Repository, cause: str, hint: str) -> GitFailed:
    return failure(_DOING, repo.folder, cause, hint, is_retryable=True)
