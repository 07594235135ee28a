"""The search for a commit's code in a branch: merged, squashed, picked or rebased.

Only git is asked, no working tree is read. A patch is identified by its patch-id, which later
commits near the same lines do not change. So all commits that the branch got since are compared,
never its tip alone, which differs for ever once somebody has edited those lines. Git's answers
about commits never change: a `Memo` keeps them in the home.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from thence.errors import GitFailed, ThenceError
from thence.files import replace_file
from thence.work.board.state import Landed, Reviewed
from thence.work.vcs.patches import Diff, diffs, patch_ids
from thence.work.vcs.repository import Repository, is_ancestor, is_shallow

COMMITS_MAX = 20_000  # most commits of a branch that are searched for a patch
MERGES_MAX = 500  # most of these commits that a package is merged into as a trial
PATCHES_MAX = 1_000  # a package of more commits is identified by its whole patch alone
CHAIN_MAX = 50  # longer histories of a package are listed
PATHS_MAX = 500  # most paths on a command line
MERGES_LISTED_MAX = 5_000  # most merges of a branch whose messages are read
REVERTS_AMONG = 2_000  # most commits of a branch that are searched for a revert
_NOBODY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "thence"), ("EMAIL", "thence@localhost"), ("DATE", "@0 +0000"))
}


def reviewed_of(
    repo: Repository, base: str, commit: str, target: str | None
) -> tuple[Reviewed, bool]:
    """Returns a package's code, and whether it has commits beyond its base and the target's tip.

    The code is the change from the commit that its branch began at to its last. Its commits are
    those that the commit `target` lacks, or all where it has the last one already, without merges.
    Raises GitFailed.
    """
    with diffs(repo) as diff:
        # where the target stands still, the parents of each commit say as much as a list would
        patches = _chain_to(base, commit, diff) if target in (None, base) else None
        has_commits = bool(patches)
        if patches is None:
            listed = _commits_beyond(repo, commit, base, target)
            has_commits = bool(listed)
            listed = listed or _commits_beyond(repo, commit, base)
            patches = [diff(one)[1] for one in listed] if len(listed) <= PATCHES_MAX else []
        # the last question, because a git that was told other parents keeps to them
        whole = diff(f"{commit} {base}")[1]
    return Reviewed(commit, base, whole, tuple(filter(None, patches))), has_commits


def _chain_to(base: str, commit: str, diff: Diff) -> list[str] | None:
    """Returns the patch-ids of the commits from a base, which is left out, to its descendant.

    None if a merge is among them, if they begin elsewhere, or if there are more than CHAIN_MAX.
    """
    patches: list[str] = []
    while commit != base:
        parents, patch = diff(commit)
        if len(parents) != 1 or len(patches) == CHAIN_MAX:
            return None
        patches.append(patch)
        commit = parents[0]
    return patches[::-1]


def _commits_beyond(repo: Repository, commit: str, *others: str | None) -> list[str]:
    """Returns the commits of a history that others lack, the oldest first, without merges.

    Only the last PATCHES_MAX + 1 are returned.
    """
    past = (f"^{other}" for other in others if other)
    arguments = ("rev-list", "--reverse", "--no-merges", f"--max-count={PATCHES_MAX + 1}")
    return repo.git.run(*arguments, commit, *past, "--").decode().split()


def is_without_code(repo: Repository, code: Reviewed) -> bool:
    """Reports whether nothing was changed from the base to the commit."""
    if code.patch:
        return False
    trees = _trees(repo, code.commit, code.base)
    return None not in trees and trees[0] == trees[1]


def landing_of(repo: Repository, target: str, code: Reviewed) -> Landed | None:
    """Returns the landing of a package's code in the commit `target`, None if it is not found.

    "ancestor": it was merged. "patch": one commit of the target makes the same change, in the files
    that the package changed. "patches": each of the package's commits was applied. "merge":
    merging the package into a commit of the target changes nothing. Checks that need objects that
    this clone lacks are left out. Raises GitFailed.
    """
    commit, base = _trees(repo, code.commit, code.base)
    if commit is not None and is_ancestor(repo, code.commit, target):
        return Landed("ancestor", code.commit)
    paths = _paths(repo, code) if commit and base else ()
    since = (target, *([f"^{code.base}"] if base else ()))
    listed = ("rev-list", f"--max-count={COMMITS_MAX}", *since, "--", *paths)
    landed_in: dict[str, str] = {}
    for patch, of in patch_ids(repo, repo.git.run(*listed).decode().split(), paths):
        landed_in.setdefault(patch, of)
    if code.patch in landed_in:
        return Landed("patch", landed_in[code.patch])
    if code.patches and all(patch in landed_in for patch in code.patches):
        return Landed("patches", landed_in[code.patches[-1]])
    if commit is None:
        return None
    brought = _merged_without_change(repo, since, paths, code.commit)
    return Landed("merge", brought) if brought else None


def missing_commits(repo: Repository, target: str, commits: Sequence[str]) -> frozenset[str]:
    """Returns the commits that are not in the history of `target`, or not in this clone."""
    if not commits:
        return frozenset()
    distinct = frozenset(commits)
    stdin_text = "".join(f"{commit}\n" for commit in distinct).encode()
    arguments = repo.git.run("cat-file", "--batch-check=%(objectname)", stdin=stdin_text)
    absent = {
        line.split()[0] for line in arguments.decode().splitlines() if line.endswith("missing")
    }
    present = "".join(f"{commit}\n" for commit in distinct - absent).encode()
    asked_of = f"^{target}\n".encode() + present
    out = repo.git.run("rev-list", "--ignore-missing", "--stdin", stdin=asked_of)
    return distinct & {*out.decode().split()} | absent


def merges_in(repo: Repository, target: str) -> tuple[tuple[str, str], ...]:
    """Returns the last merges in a commit's history, each with the first line of its message."""
    arguments = (
        "--merges",
        "--no-commit-header",
        f"--max-count={MERGES_LISTED_MAX}",
        "--format=%H %s",
    )
    out = repo.git.run("rev-list", *arguments, target, "--").decode("utf-8", "replace")
    return tuple((line[: len(target)], line[len(target) + 1 :]) for line in out.splitlines())


def merge_of(merges: Iterable[tuple[str, str]], branch: str) -> str | None:
    """Returns the first merge whose message names a branch, in the words of git and forges."""
    named = re.compile(rf"Merge (?:.*[ '/])?{re.escape(branch)}(?:'|$| )")
    return next((commit for commit, messages in merges if named.match(messages)), None)


def last_revert(repo: Repository, target: str) -> str | None:
    """Returns the last of a branch's commits whose message contains "revert", None if none."""
    arguments = ("--no-commit-header", f"--max-count={REVERTS_AMONG}", "--format=%x00%H%x20%B")
    out = repo.git.run("rev-list", *arguments, target, "--")
    messages = (message for message in out.split(b"\0") if b"revert" in message.lower())
    return next((message.split()[0].decode() for message in messages), None)


def is_reverted(repo: Repository, target: str, landed: Landed, code: Reviewed | None) -> bool:
    """Reports whether landed code was reverted: reverting it now would change nothing.

    If several commits were applied one by one, the last is checked.
    """
    after = landed.commit
    if after is None:
        return False
    before = code.base if code is not None and code.commit == after else f"{after}^"
    try:
        revert = _commit(repo, f"{before}^{{tree}}", after)
        merges = repo.git.ask("merge-tree", "--write-tree", "--no-messages", target, revert)
        tree = repo.git.run("rev-parse", "--verify", f"{target}^{{tree}}")
    except GitFailed:  # this clone lacks an object, or the commit has no parent
        return False
    return merges.status == 0 and merges.out.strip() == tree.strip()


def _commit(repo: Repository, tree: str, parent: str) -> str:
    oid = repo.git.run("rev-parse", "--verify", "--quiet", tree).decode().strip()
    arguments = ("commit-tree", "-m", "revert", "-p", parent, oid)
    return repo.git.run(*arguments, variables=_NOBODY).decode().strip()


def _trees(repo: Repository, *commits: str) -> list[str | None]:
    """Returns the trees of commits, None for those that this clone lacks."""
    stdin_text = "".join(f"{commit}^{{tree}}\n" for commit in commits).encode()
    out = repo.git.run("cat-file", "--batch-check=%(objectname)", stdin=stdin_text)
    return [None if b"missing" in line else line.decode() for line in out.splitlines()]


def _paths(repo: Repository, code: Reviewed) -> tuple[str, ...]:
    """Returns the files that a package changed; none if there are more than PATHS_MAX."""
    arguments = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", code.base, code.commit)
    paths = os.fsdecode(repo.git.run(*arguments)).split("\0")[:-1]
    return tuple(paths) if len(paths) <= PATHS_MAX else ()


def _merged_without_change(
    repo: Repository, since: Sequence[str], paths: Sequence[str], commit: str
) -> str | None:
    """Returns the first commit of a branch that contains a package, None if none does."""
    listing = ("--no-commit-header", f"--max-count={MERGES_MAX}", "--format=%H %T")
    out = repo.git.run("rev-list", *listing, *since, "--", *paths).decode()
    candidates = [line.split() for line in out.splitlines()]
    trees = merged_trees(repo, [(candidate, commit) for candidate, _ in candidates])
    for (candidate, tree), merged in reversed([*zip(candidates, trees, strict=False)]):
        if merged == tree:
            return candidate
    return None


def merged_trees(repo: Repository, pairs: Iterable[tuple[str, str]]) -> list[str | None]:
    """Returns the tree of each merge of two commits, None for a conflict.

    The list ends before a pair that git can't merge, such as one without a common commit.
    """
    stdin_text = "".join(f"{ours} {theirs}\n" for ours, theirs in pairs).encode()
    arguments = ("merge-tree", "--write-tree", "--stdin", "--no-messages", "--name-only")
    out = repo.git.ask(*arguments, stdin=stdin_text).out.decode("utf-8", "replace")
    results = (result.split("\0") for result in out.split("\0\0") if result)
    return [parts[1] if parts[0] == "1" and len(parts) == 2 else None for parts in results]


ENTRIES_MAX = 5_000
_FILE = "memo.json"
_T = TypeVar("_T")


class Memo:
    """Git's answers, JSON values by key. New answers are stored by `save`."""

    def __init__(self, repo: Repository, home: Path) -> None:
        self._repo = repo
        self._path = home / _FILE
        self._answers = _read(self._path)
        self._is_new = False

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def once(self, key: str, ask: Callable[[], _T]) -> _T:
        """Returns the cached answer, else asks for it; `key` names every commit."""
        if key not in self._answers:
            self.add(key, ask())
        answer: _T = self._answers[key]
        return answer

    def last(self, key: str, of: str, ask: Callable[[], _T]) -> _T:
        """Returns the answer as `once` does; only the answer for the last `of` is cached."""
        pair = self._answers.get(key)
        if pair is None or pair[0] != of:
            pair = [of, ask()]
            self.add(key, pair)
        answer: _T = pair[1]
        return answer

    def add(self, key: str, answer: object) -> None:
        """Adds an answer."""
        self._answers[key] = answer
        self._is_new = True

    def save(self) -> None:
        """Stores new answers; not of a shallow clone, whose answers change once it is complete."""
        if self._is_new and not is_shallow(self._repo):
            newest = dict([*self._answers.items()][-ENTRIES_MAX:])
            with suppress(ThenceError):
                replace_file(self._path, json.dumps(newest).encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        answers = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return answers if isinstance(answers, dict) else {}
