"""Ordinary commits of planning files, on the branch that the main working tree has checked out.

`git commit` runs as the user runs it, with hooks, signing and identity, but on an index of its
own. The user's index is locked only for a moment at the end, when it gets the committed entries,
however long the hooks take. `--only` takes all other files from HEAD, so that concurrent commits of
others are not reverted. Files that can't be committed now are recorded as waiting, and the next
commit contains them.
"""

import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import msgspec

from thence.errors import GitFailed
from thence.work.day_lines import Splice
from thence.work.vcs.files import TreeFiles
from thence.work.vcs.git import Git, failure
from thence.work.vcs.killed_git import (
    COMMITTING,
    INDEX_LOCK,
    MERGING,
    free,
    free_if_idle,
    locking,
    ref_locks,
)
from thence.work.vcs.locks import held
from thence.work.vcs.pending_files import remove_waiting, waiting, write_files
from thence.work.vcs.repository import Repository, operation_under_way

ATTEMPTS_MAX = 10
WAIT_S = 10.0  # for another git to unlock the index, and for the git of a killed command to end
_PAUSE_S = 0.02
_RECORD = "thence/commits.begun"
_INDEX = "thence-index"
_DOING = "could not commit in"


class Commit(NamedTuple):
    """A commit that was made: its id, the one before it, its branch, the paths that it changed.

    `edited` are those of the requested paths that git tracked, and that the user had changed.
    """

    oid: str
    parent: str | None
    branch: str
    paths: tuple[str, ...]
    edited: tuple[str, ...] = ()


class _CommitRecord(msgspec.Struct):
    """The record of a commit being made: HEAD before it, its paths' entries in the user's index."""

    head: str | None
    entries: dict[str, str]
    paths: list[str]


class _Status(NamedTuple):
    """The state of HEAD, and the paths that differ from it, in git's two letters."""

    head: str | None
    branch: str | None
    found: dict[str, str]

    def half_staged(self) -> list[str]:
        """Returns the paths whose staged content is neither HEAD's nor the file's."""
        return [path for path, xy in self.found.items() if xy[0] not in ".?" and xy[1] != "."]


class _MovedMeanwhile(Exception):
    """Somebody else has committed, or switched to another branch."""


def commit_files(
    repo: Repository,
    changes: Mapping[str, Splice],
    message: str,
    *,
    removed: Collection[str] = (),
) -> Commit | None:
    """Commits changed files of the working tree `repo.top`, with all waiting files.

    `changes` gives for each path, from the top and with "/", a function from the file's present
    bytes (None: no file) to its new bytes (None: unchanged). The function is idempotent: it may be
    called again on its own result. The files `removed` are deleted, in the working tree and in the
    commit.

    Returns None if HEAD has all changes already. Raises GitFailed, with the files written. The
    error is `recoverable` if the files wait for the next commit: the user is in the middle of an
    operation, has something else staged at a path, or has a hook that refuses.
    """
    git = Git(repo.folder)
    before = _status(git, [*changes]).found if changes else {}
    half_staged = _Status(None, None, before).half_staged()
    edited = {path for path, xy in before.items() if xy[0] != "?"} - {*waiting(repo)}
    write_files(repo, changes, is_all=True)
    for path in removed:
        TreeFiles(repo.folder).unlink(path)
    with held(repo.common / COMMITTING):
        finish_commit(repo)
        for _ in range(ATTEMPTS_MAX):
            with suppress(_MovedMeanwhile):
                _check_staged(repo, git, half_staged)
                made = _attempt(repo, git, [*changes, *removed], message)
                return made and made._replace(edited=tuple(sorted(edited & {*made.paths})))
    raise _waiting_error(repo, f"others committed {ATTEMPTS_MAX} times meanwhile", "try again")


def finish_commit(repo: Repository, wait_s: float = WAIT_S) -> None:
    """Updates the user's index after a commit; callers hold the lock of commits.

    The commit may be that of a killed command: its git is waited for, since it holds the record's
    lock. Paths that the user has staged since stay. Raises a passing GitFailed, and keeps the
    record, if somebody else holds the lock of the index.
    """
    free(repo.common / COMMITTING)
    free_if_idle(repo.common / MERGING)
    path = repo.common / _RECORD
    if not path.exists():
        return
    with held(path, wait_s):
        with suppress(msgspec.MsgspecError):  # the command was killed before it began
            record = msgspec.json.decode(path.read_bytes(), type=_CommitRecord)
            _update_index(repo, record, wait_s)
        path.unlink()


def finish_commit_if_free(repo: Repository) -> None:
    """Calls `finish_commit`, unless somebody commits right now or the index is locked."""
    if (repo.common / _RECORD).exists():
        with suppress(GitFailed, OSError), held(repo.common / COMMITTING, 0.0):
            finish_commit(repo, 0.0)


def commit_tree(
    git: Git, tree: str, parents: Sequence[str], message: str, *, more: Sequence[str] = ()
) -> str:
    """Writes a commit of a tree, on no branch, and returns its id; `more` are options of git."""
    before = [part for parent in parents for part in ("-p", parent)]
    out = git.run(
        "commit-tree",
        *more,
        tree,
        *before,
        stdin=message.rstrip("\n").encode("utf-8", "surrogateescape") + b"\n",
        doing="could not commit in",
        hint="git config user.name and user.email say who commits",
    )
    return out.decode().strip()


def _attempt(repo: Repository, git: Git, own: Sequence[str], message: str) -> Commit | None:
    others = [path for path in waiting(repo) if path not in own]
    if not (own or others):
        return None
    status = _status(git, [*own, *others])
    _check_free(repo, status)
    kept = {*status.half_staged()} - {*own}
    wanted = dict.fromkeys((*own, *others))
    paths = [each for each in wanted if each not in kept and _is_wanted(repo, status, each)]
    changed = _commit_paths(repo, git, status, paths, message) if paths else []
    if asked := {*own, *others}:
        remove_waiting(repo, asked, lambda: _status(git, [*asked]).found)
    if not changed:
        return None
    since = [f"{status.head}..HEAD"] if status.head else ["HEAD"]
    new = git.run("rev-list", "--first-parent", *since).decode().split()
    if not new:
        return None  # the user has left it behind already, by a reset or a switch
    return Commit(new[-1], status.head, status.branch or "", tuple(changed))


def _commit_paths(
    repo: Repository, git: Git, status: _Status, paths: Sequence[str], message: str
) -> list[str]:
    """Commits files as they are, and returns those that differ from HEAD; none: no commit.

    A hook that rewrites the files and refuses is run once more.
    """
    index = repo.git_dir / _INDEX
    more = {"GIT_INDEX_FILE": os.fspath(index)}
    for is_last in (False, True):
        _copy_index(repo, git, status.head)
        # git skips ignored files and those outside a sparse checkout without --force --sparse
        there = [path for path in paths if _read(repo, path) is not None]
        git.run("add", "--sparse", "--force", "--", *there, more=more, doing=_DOING)
        if gone := [path for path in paths if path not in there]:
            git.run("rm", "--quiet", "--cached", "--ignore-unmatch", "--", *gone, more=more)
        listing = ("diff", "--cached", "--name-only", "--no-renames", "-z", "--")
        values = {*os.fsdecode(git.run(*listing, *paths, more=more)).split("\0")}
        changed = [path for path in paths if path in values]
        if not changed:
            break
        before = [_read(repo, path) for path in changed]
        literal = [f":(literal){path}" for path in changed]
        record = _CommitRecord(status.head, _entries(git, changed), changed)
        with _recorded(repo, record, status.branch or "") as path:
            answer = Git(git.folder, keeps=(path,), is_users=True).ask(
                *("commit", "--quiet", "--only", "--file=-", "--", *literal),
                stdin=message.rstrip("\n").encode("utf-8", "surrogateescape") + b"\n",
                more=more,
            )
        if answer.status == 0:
            break
        if git.commit_of("HEAD") != status.head:
            raise _MovedMeanwhile
        if is_last or before == [_read(repo, path) for path in changed]:
            cause = answer.words or f"git commit exited with {answer.status}"
            raise _waiting_error(repo, cause, "put that right, or commit them yourself: git status")
    index.unlink(missing_ok=True)
    return changed


@contextmanager
def _recorded(repo: Repository, record: _CommitRecord, branch: str) -> Iterator[int]:
    """Records a commit while it is made, and then updates the user's index."""
    taken = ref_locks(repo.common, repo.git_dir, branch)
    with held(repo.common / _RECORD) as path:
        os.write(path, msgspec.json.encode(record))
        with locking(repo.common / COMMITTING, *taken):
            yield path
        with suppress(GitFailed):  # the record stays: the next command does it
            _update_index(repo, record, WAIT_S)
            (repo.common / _RECORD).unlink()


def _check_staged(repo: Repository, git: Git, half_staged: Sequence[str]) -> None:
    """Raises a passing GitFailed if paths are half staged by the user.

    Until the index is updated after a commit of ours, the old content looks staged as well.
    """
    found = _status(git, half_staged).found if half_staged else {}
    staged = [path for path, xy in found.items() if xy[0] not in ".?"]
    if staged:
        cause = f"what is staged of {', '.join(staged)} is not what lies there"
        raise _waiting_error(repo, cause, "commit or unstage it: git restore --staged PATH")


def _check_free(repo: Repository, status: _Status) -> None:
    """Raises a passing GitFailed if no commit may be made now."""
    operation = operation_under_way(repo.git_dir)
    if operation:
        raise _waiting_error(
            repo, f"a {operation} is under way there", "end it: git status tells how"
        )
    if status.branch is None:
        raise _waiting_error(repo, "HEAD is detached", "check a branch out: git switch BRANCH")


def _status(git: Git, paths: Sequence[str]) -> _Status:
    arguments = ("--porcelain=v2", "--branch", "-z", "--no-renames", "--untracked-files=all")
    out = git.run("status", *arguments, "--", *paths, doing="could not look into")
    values: dict[str, str] = {}
    found: dict[str, str] = {}
    for line in os.fsdecode(out).split("\0"):
        kind, _, rest = line.partition(" ")
        if kind == "#":
            key, _, value = rest.partition(" ")
            values[key] = value
        elif kind == "?":
            # with a staged removal this is the file that exists nevertheless
            found[rest] = f"{found.get(rest, '?')[0]}?"
        elif kind in {"1", "u"}:
            found[rest.split(" ", 9 if kind == "u" else 7)[-1]] = rest[:2]
    head, branch = values["branch.oid"], values["branch.head"]
    return _Status(
        None if head == "(initial)" else head, None if branch == "(detached)" else branch, found
    )


def _entries(git: Git, paths: Sequence[str]) -> dict[str, str]:
    """Returns the entries of the user's index at some paths; paths without entry are left out."""
    out = os.fsdecode(git.run("ls-files", "--stage", "-z", "--", *paths))
    return {path: values for values, _, path in (line.partition("\t") for line in out.split("\0"))}


def _copy_index(repo: Repository, git: Git, head: str | None) -> None:
    """Makes an index of HEAD from the user's, which has the files' stat data and sparse flags."""
    index = repo.git_dir / _INDEX
    for left in (index, index.with_name(f"{_INDEX}.lock")):
        left.unlink(missing_ok=True)  # of a command that was killed
    with suppress(FileNotFoundError):  # there is none before the first `git add`
        index.write_bytes((repo.git_dir / "index").read_bytes())
    what = ("--reset", head) if head else ("--empty",)
    git.run("read-tree", *what, more={"GIT_INDEX_FILE": os.fspath(index)}, doing=_DOING)


def _update_index(repo: Repository, record: _CommitRecord, wait_s: float) -> None:
    """Updates the user's index after a commit, except paths that were staged since."""
    git = Git(repo.folder)
    if git.commit_of("HEAD") == record.head:
        return
    now, until_s = _entries(git, record.paths), time.monotonic() + wait_s
    same = [path for path in record.paths if now.get(path) == record.entries.get(path)]
    while same:
        try:
            with locking(repo.common / COMMITTING, repo.git_dir / INDEX_LOCK):
                git.run("reset", "--quiet", "--", *same, doing=_DOING)
            return
        except GitFailed as error:
            if not error.recoverable or time.monotonic() >= until_s:
                raise
        time.sleep(_PAUSE_S)


def _is_wanted(repo: Repository, status: _Status, path: str) -> bool:
    """Reports whether a path has something to commit: a file, or its removal."""
    return _read(repo, path) is not None or status.found.get(path) in (".D", "D.")


def _read(repo: Repository, path: str) -> bytes | None:
    try:
        return TreeFiles(repo.folder).read(path)
    except OSError:
        return None


def _waiting_error(repo: Repository, cause: str, hint: str) -> GitFailed:
    return failure(_DOING, repo.folder, cause, hint, is_passing=True)
