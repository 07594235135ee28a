"""Merging the branches of packages into their target, in the order given, all or up to a conflict.

All of it is tried first, past every working tree. What is clean moves the target once; a conflict
is opened in the working tree that has the target checked out, for the user to resolve. A note in
the project's home remembers what is not finished; `resume` and `abort` compare it with git.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from thence.errors import GitFailed
from thence.work.advancing import advance, carry, free_trees
from thence.work.commits import LOCK, Author, signature
from thence.work.git import Git, failure
from thence.work.locks import held
from thence.work.merges import Plan, Step, plan, words
from thence.work.repository import Checkout, Repository, tip


class Unfinished(NamedTuple):
    """A merge that was begun: where the target stood, where we moved it, what remains.

    `conflict` is the branch whose merge is open in the working tree `tree`; None says that a
    command ended before it had moved the target.
    """

    target: str
    begin: str
    end: str
    remaining: tuple[str, ...]
    conflict: str | None
    tree: str | None


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


def unfinished(note: Path) -> Unfinished | None:
    """Returns the merge that a note tells of; None if there is no note."""
    try:
        told = json.loads(note.read_bytes())
        return Unfinished(**{**told, "remaining": tuple(told["remaining"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        hint = "git log tells what was merged; remove the file, then merge again"
        raise failure("could not read", note, str(error), hint) from error


def merge(
    repo: Repository,
    target: str,
    packages: Sequence[str],
    note: Path,
    *,
    author: Author | None = None,
) -> Outcome:
    """Merges branches into a target, in this order, each by a merge commit of its own.

    The user's staged and half-done work in the target's working tree stays. Raises GitFailed with
    nothing changed if some of it is in the way, if an operation is under way there, if an earlier
    merge is open, or if there is a conflict and the target is checked out nowhere, or twice.
    """
    with held(repo.common / LOCK) as lock:
        before = unfinished(note)
        if before is not None and before.conflict is not None:
            raise failure(
                f"could not merge into {target} in",
                repo.place,
                f"the merge of {before.conflict} into {before.target} is not finished",
                f"resolve it in {before.tree} and resume, or abort it",
            )
        if before is not None:
            _settle(repo, before, lock)
        return _merge(repo, target, packages, note, author, lock)


def resume(repo: Repository, note: Path, *, author: Author | None = None) -> Outcome:
    """Goes on with a merge after its conflict was resolved, or after its command was killed.

    A resolved merge that is staged is committed. Raises GitFailed if files still have conflicts,
    or if nothing is unfinished.
    """
    with held(repo.common / LOCK) as lock:
        before = _begun(repo, note, "resume")
        if before.conflict is None:
            _settle(repo, before, lock)
        elif _is_open(repo, before):
            _conclude(before, author)
        remaining = before.remaining
        note.unlink(missing_ok=True)
        return _merge(repo, before.target, remaining, note, author, lock)


def abort(repo: Repository, note: Path) -> str:
    """Gives up a merge and returns the commit at which the target stands then.

    That is where it stood when the merge was begun or last resumed; what others committed to it
    since stays, and so do the merges below. Raises GitFailed if nothing is unfinished.
    """
    with held(repo.common / LOCK) as lock:
        before = _begun(repo, note, "abort")
        if before.conflict is None:
            _settle(repo, before, lock)
        elif _is_open(repo, before):
            assert before.tree is not None
            Git(Path(before.tree)).run("merge", "--abort", doing="could not abort the merge in")
        at = tip(repo, before.target)
        if at == before.end and at != before.begin:
            trees = free_trees(repo, before.target)
            reason = "merge: aborted"
            advance(repo, before.target, before.end, before.begin, trees, reason, lock)
            at = before.begin
        note.unlink(missing_ok=True)
        return at or before.begin


def _merge(
    repo: Repository,
    target: str,
    packages: Sequence[str],
    note: Path,
    author: Author | None,
    lock: int,
) -> Outcome:
    trees = free_trees(repo, target)
    made = plan(repo, target, packages, author=author)
    conflict = made.conflict
    names = [step.branch for step in made.steps]
    count = len(names) if conflict is None else names.index(conflict.branch)
    if conflict is not None:
        _check_room(repo, made, conflict, trees)
    if made.end != made.begin:
        _write(note, Unfinished(target, made.begin, made.end, tuple(names), None, None))
        reason = f"merge: {count} branches of packages"
        with _forgetting(note):
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
            _open(tree, target, conflict)
        except GitFailed:
            if made.end != made.begin:
                reason = "merge: a conflict could not be opened"
                advance(repo, target, made.end, made.begin, trees, reason, lock)
            raise
    return Outcome("conflict", made.end, merged, conflict, tree)


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


def _begun(repo: Repository, note: Path, verb: str) -> Unfinished:
    before = unfinished(note)
    if before is None:
        cause = f"there is no merge to {verb}"
        raise failure("could not go on with the merge in", repo.place, cause, "git status")
    return before


def _settle(repo: Repository, before: Unfinished, lock: int) -> None:
    """Takes back what a killed command did to files before it had moved the target."""
    if tip(repo, before.target) == before.begin:
        for tree in free_trees(repo, before.target):
            carry(tree.path, before.end, before.begin, lock)


def _write(note: Path, what: Unfinished) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    beside = note.with_name(f".{note.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(json.dumps(what._asdict(), ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, note)
