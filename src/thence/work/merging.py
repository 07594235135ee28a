"""Merging the branches of packages into their target, in the order given, all or up to a conflict.

All of it is tried first, past every working tree. What is clean moves the target once; a conflict
is opened in the working tree that has the target checked out, for the user to resolve. A note in
the project's home remembers what is not finished; `resume` and `abort` compare it with git.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from thence.errors import GitFailed
from thence.work.advancing import advance, check, free_trees
from thence.work.commits import Author, signature
from thence.work.cut_off import Unfinished, put_back, unfinished
from thence.work.git import Git, failure
from thence.work.leftovers import COMMITTING, INDEX_LOCK, free, locking, ref_locks
from thence.work.locks import held
from thence.work.merges import Plan, Step, plan, words
from thence.work.repository import Checkout, Repository, repository, tip


class Outcome(NamedTuple):
    """What a merge came to.

    "done": the target stands at `commit` and has all. "conflict": it has `merged`, and the merge
    of `conflict` is open in the working tree `tree`.
    """

    status: Literal["done", "conflict"]
    commit: str
    merged: tuple[str, ...]
    conflict: Step | None = None
    tree: Path | None = None


def merge(
    repo: Repository,
    target: str,
    packages: Sequence[str],
    note: Path,
    *,
    author: Author | None = None,
    opens: bool = True,
    tips: Mapping[str, str] | None = None,
) -> Outcome:
    """Merges branches into a target, in this order, each by a merge commit of its own.

    Without `opens` a conflict changes nothing, and is only told. `tips` are as in `merges.plan`.

    The user's staged and half-done work in the target's working tree stays. Raises GitFailed with
    nothing changed if some of it is in the way, if an operation is under way there, if an earlier
    merge is open, or if there is a conflict and the target is checked out nowhere, or twice.
    """
    with _held(repo) as lock:
        before = unfinished(note)
        if before is not None and before.conflict is not None:
            raise failure(
                f"could not merge into {target} in",
                repo.place,
                f"the merge of {before.conflict} into {before.target} is not finished",
                f"resolve it in {before.tree} and resume, or abort it",
            )
        if before is not None:
            put_back(repo, before, lock)
        made = plan(repo, target, packages, author=author, tips=tips)
        return _merge(repo, made, note, lock, opens=opens)


def resume(repo: Repository, note: Path, *, author: Author | None = None) -> Outcome:
    """Goes on with a merge after its conflict was resolved, or after its command was killed.

    A resolved merge that is staged is committed. Raises GitFailed if files still have conflicts,
    or if nothing is unfinished.
    """
    with _held(repo) as lock:
        before = _begun(repo, note, "resume")
        if before.conflict is None:
            put_back(repo, before, lock)
        elif _is_open(repo, before):
            with _touching(repo, before):
                _conclude(before, author)
        remaining = before.remaining
        note.unlink(missing_ok=True)
        made = plan(repo, before.target, remaining, author=author)
        return _merge(repo, made, note, lock, opens=True)


def abort(repo: Repository, note: Path) -> str:
    """Gives up a merge and returns the commit at which the target stands then.

    That is where it stood when the merge was begun or last resumed; what others committed to it
    since stays, and so do the merges below. Raises GitFailed if nothing is unfinished.
    """
    with _held(repo) as lock:
        before = _begun(repo, note, "abort")
        if before.conflict is None:
            put_back(repo, before, lock)
        elif _is_open(repo, before):
            with _touching(repo, before):
                git = Git(Path(before.tree or ""))
                git.run("merge", "--abort", doing="could not abort the merge in")
        at = tip(repo, before.target)
        if at == before.end and at != before.begin:
            trees = free_trees(repo, before.target)
            reason = "merge: aborted"
            advance(repo, before.target, before.end, before.begin, trees, reason, lock)
            at = before.begin
        note.unlink(missing_ok=True)
        return at or before.begin


def _merge(repo: Repository, made: Plan, note: Path, lock: int, *, opens: bool) -> Outcome:
    target, conflict = made.target, made.conflict
    trees = free_trees(repo, target)
    if conflict is not None and not opens:
        return Outcome("conflict", made.begin, (), conflict)
    names = [step.branch for step in made.steps]
    count = len(names) if conflict is None else names.index(conflict.branch)
    if conflict is not None:
        _check_room(repo, made, conflict, trees)
    if made.end != made.begin:
        check(repo, trees, made.begin, made.end, lock)  # what is in the way is not ours to put back
        what = Unfinished(target, made.begin, made.end, tuple(names), None, None)
        _write(note, what)
        reason = f"merge: {count} branches of packages"
        with _putting_back(repo, what, note, lock):
            advance(repo, target, made.begin, made.end, trees, reason, lock)
    merged = tuple(names[:count])
    if conflict is None:
        note.unlink(missing_ok=True)
        return Outcome("done", made.end, merged)
    tree = trees[0].path
    rest = tuple(names[count:])
    _write(note, Unfinished(target, made.begin, made.end, rest, conflict.branch, os.fspath(tree)))
    with _forgetting(note):
        try:
            with locking(repo.common / COMMITTING, trees[0].git_dir / INDEX_LOCK):
                _open(tree, target, conflict)
        except GitFailed:
            if made.end != made.begin:
                reason = "merge: a conflict could not be opened"
                advance(repo, target, made.end, made.begin, trees, reason, lock)
            raise
    return Outcome("conflict", made.end, merged, conflict, tree)


@contextmanager
def _putting_back(repo: Repository, what: Unfinished, note: Path, lock: int) -> Iterator[None]:
    """Takes back what git did to files if it could not do all, such as on a full disk.

    Where that fails too, the note stays, and the next command does it.
    """
    try:
        yield
    except BaseException:
        with suppress(GitFailed, OSError):
            put_back(repo, what, lock)
            note.unlink(missing_ok=True)
        raise


@contextmanager
def _forgetting(note: Path) -> Iterator[None]:
    """Takes the note away if what it tells of did not come about."""
    try:
        yield
    except BaseException:
        note.unlink(missing_ok=True)
        raise


def _check_room(repo: Repository, made: Plan, conflict: Step, trees: Sequence[Checkout]) -> None:
    """Raises GitFailed unless the conflict can be resolved in the target's one working tree."""
    files = ", ".join(conflict.files)
    operation = f"could not merge {conflict.branch} into {made.target} in"
    if len(trees) != 1:
        where = "nowhere" if not trees else "more than once"
        raise failure(
            operation,
            repo.place,
            f"both change {files}, and {made.target} is checked out {where}",
            f"git checkout {made.target}, then merge again; "
            f"or merge {made.target} into {conflict.branch} and resolve it there",
        )
    git = Git(trees[0].path)
    with locking(repo.common / COMMITTING, trees[0].git_dir / INDEX_LOCK):
        git.ask("update-index", "-q", "--refresh")
    staged = git.run("diff-index", "--cached", "--name-only", "-z", "HEAD")
    half_done = git.run("diff-files", "--name-only", "-z", "--ignore-submodules")
    taken = {name for name in os.fsdecode(half_done).split("\0") if name}
    touched = set(conflict.files) | _touched(repo, made.begin, conflict.tip)
    in_the_way = [name for name in os.fsdecode(staged).split("\0") if name]
    in_the_way += sorted(taken & touched)
    if in_the_way:
        raise failure(
            operation,
            trees[0].path,
            f"both change {files}, and there is work of yours in {', '.join(in_the_way)}",
            "commit it or move it away, then merge again",
        )


def _touched(repo: Repository, ours: str, theirs: str) -> set[str]:
    arguments = ("diff", "--name-only", "--no-renames", "-z", f"{ours}...{theirs}")
    return {name for name in os.fsdecode(repo.git.run(*arguments)).split("\0") if name}


def _open(tree: Path, target: str, conflict: Step) -> None:
    """Begins a merge that will have conflicts, as `git merge` does."""
    git = Git(tree)
    arguments = ("merge", "--no-ff", "--no-edit", "-m", words(conflict.branch, target))
    answer = git.ask(*arguments, conflict.tip)
    if not (answer.status == 1 and b"CONFLICT" in answer.out):
        raise git.failed(answer, arguments, doing="could not open the conflict in")


def _is_open(repo: Repository, before: Unfinished) -> bool:
    """Tells whether the merge of the note is still open in its working tree."""
    if not os.path.isdir(before.tree or ""):
        return False
    git = Git(Path(before.tree or ""))
    answer = git.ask("rev-parse", "--verify", "--quiet", "MERGE_HEAD")
    if answer.status:
        return False
    ours = tip(repo, before.conflict or "")
    if answer.out.decode().strip() != ours:
        raise failure(
            "could not go on with the merge in",
            before.tree,
            f"another merge is under way there than that of {before.conflict}",
            "end it (git status tells how), then try again",
        )
    return True


def _conclude(before: Unfinished, author: Author | None) -> None:
    git = Git(Path(before.tree or ""))
    out = git.run("diff", "--name-only", "--diff-filter=U", "-z")
    names = list(dict.fromkeys(name for name in os.fsdecode(out).split("\0") if name))
    if names:
        raise failure(
            "could not go on with the merge in",
            before.tree,
            f"{', '.join(names)} still {'has' if len(names) == 1 else 'have'} conflicts",
            "resolve them there and git add them, then resume",
        )
    message = words(before.conflict or "", before.target)
    arguments = ("commit", "--quiet", "--no-verify", "-m", message)
    git.run(*arguments, more=signature(author), doing="could not commit in")


@contextmanager
def _held(repo: Repository) -> Iterator[int]:
    with held(repo.common / COMMITTING) as lock:
        free(repo.common / COMMITTING)
        yield lock


@contextmanager
def _touching(repo: Repository, before: Unfinished) -> Iterator[None]:
    """Notes what git locks in the working tree of an open merge."""
    own = repository(Path(before.tree or "")).git_dir
    taken = (own / INDEX_LOCK, *ref_locks(repo.common, own, before.target))
    with locking(repo.common / COMMITTING, *taken):
        yield


def _begun(repo: Repository, note: Path, verb: str) -> Unfinished:
    before = unfinished(note)
    if before is None:
        cause = f"there is no merge to {verb}"
        raise failure("could not go on with the merge in", repo.place, cause, "git status")
    return before


def _write(note: Path, what: Unfinished) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    beside = note.with_name(f".{note.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(json.dumps(what._asdict(), ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, note)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
