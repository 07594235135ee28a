"""The question whether a package's code is in a branch, answered by git.

Three questions: is the package's commit an ancestor of the branch; is its change among those that
the branch got since, by hunks or by patch-ids; would merging it change nothing. Later edits of its
lines take nothing away. A revert does: a change that takes out the lines that the package put in.
No message of a commit is read, and no working tree.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from thence.errors import ThenceError
from thence.files import replace_file
from thence.work.board.state import Landed, Reviewed
from thence.work.git.merging import merged_tree
from thence.work.git.patches import Hunk, hunks_of, patch_id, patch_ids, path_of
from thence.work.git.repository import Repository, is_ancestor, is_shallow

COMMITS_MAX = 20_000  # most commits of a branch that are searched for a package
PATCHES_MAX = 1_000  # a package of more commits is identified by its whole change alone
PATHS_MAX = 500  # most paths on a command line


class Landing(NamedTuple):
    """A package's code, seen from a branch.

    `landed` is how it came there, None if it never did. `reverts` are the commits that took it out
    again, in part or whole, the last one first. `missing` are the paths of which the branch does
    not have all changes: those were taken out, left out by a merge, or are still to come.
    """

    landed: Landed | None = None
    reverts: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """True if the branch has the package's code, whatever was edited since."""
        return self.landed is not None and not (self.reverts or self.missing)


def reviewed_of(
    repo: Repository, base: str, commit: str, target: str | None
) -> tuple[Reviewed, bool]:
    """Returns a package's code, and whether it has commits beyond its base and the target's tip.

    The code is the change from the commit that its branch began at to its last. A branch that took
    its target in, by a merge or a rebase, begins where it did so last. Its commits are those that
    the commit `target` lacks, or all where it has the last one already, without merges. Raises
    GitFailed.
    """
    begin = base
    if target not in (None, base):
        answer = repo.git.ask("merge-base", str(target), commit)
        meeting = answer.out.decode().strip()
        if answer.status == 0 and meeting not in (base, commit):
            begin = base if is_ancestor(repo, meeting, base) else meeting
    commits = _commits_beyond(repo, commit, base, begin, target)
    is_ahead = bool(commits)
    if not commits and target not in (None, base):
        commits = _commits_beyond(repo, commit, base)
    if len(commits) > PATCHES_MAX:
        commits = []
    patches = tuple(patch for patch, _ in patch_ids(repo, commits))
    code = Reviewed(commit, begin, patch_id(repo, begin, commit), patches, tuple(commits))
    return code, is_ahead


def _commits_beyond(repo: Repository, commit: str, *others: str | None) -> list[str]:
    """Returns the commits of a history that others lack, the oldest first, without merges.

    Only the last PATCHES_MAX + 1 are returned.
    """
    past = (f"^{other}" for other in dict.fromkeys(others) if other)
    arguments = ("rev-list", "--reverse", "--no-merges", f"--max-count={PATCHES_MAX + 1}")
    return repo.git.run(*arguments, commit, *past, "--").decode().split()


def is_without_code(repo: Repository, code: Reviewed) -> bool:
    """Reports whether nothing was changed from the base to the commit."""
    if code.patch:
        return False
    trees = _trees(repo, code.commit, code.base)
    return None not in trees and trees[0] == trees[1]


def landing_of(repo: Repository, target: str, code: Reviewed) -> Landing:
    """Looks for a package's code in the commit `target`; raises GitFailed.

    "ancestor": it was merged. "patch": one commit of the target makes the same change. "patches":
    several do so together. "merge": merging the package into the target changes nothing. Checks
    that need objects that this clone lacks are left out.
    """
    # what the last review holds whole, it may have changed or taken back since an earlier one
    earlier = (one for one in code.earlier if (one.base, one.commit) not in _held(code))
    reviews = (*earlier, code) if code.base else (code,)
    ids = tuple(dict.fromkeys(name for one in reviews for name in _commits_of(one)))
    trees = dict(zip(ids, _trees(repo, *ids), strict=True))
    is_here, since = trees[code.commit] is not None, reviews[0].base
    is_merged = _is_merged(repo, code, trees, target)
    if not code.base:
        taken_out = reverts_of(repo, target, [code.commit]) if is_merged else ((), ())
        return Landing(Landed("ancestor", code.commit) if is_merged else None, *taken_out)
    search = _Search([_version(repo, one, trees) for one in reviews])
    search.walk(repo, target, since if trees[since] else None)
    landed = Landed("ancestor", code.commit) if is_merged else search.landed()
    if reverts := search.reverts():
        return Landing(landed, *reverts)
    merged = [one.commit != code.commit and _is_merged(repo, one, trees, target) for one in reviews]
    missing = search.dropped(repo, target, [*merged[:-1], is_merged])
    if is_merged or missing:
        return Landing(landed, (), missing)
    if landed is None:
        begin = code.base if trees[code.base] else None
        landed, commits = _by_patch(repo, target, code, search.paths, begin)
        if landed is not None and not is_here:  # its hunks are those of what brought it
            return Landing(landed, *reverts_of(repo, target, commits))
    if landed is None and is_here and _adds_nothing(repo, target, code.commit):
        landed = Landed("merge", target)
    return Landing(landed, (), () if landed else search.missing())


def reverts_of(
    repo: Repository, target: str, commits: Sequence[str], *, is_whole: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the commits that took out again what these commits of the target changed, and where.

    They are as in a Landing; with `is_whole` only where they took out all of it.
    """
    out = repo.git.run("rev-list", "--no-walk", "--parents", *commits, "--").decode()
    changes = [tuple(line.split()[:2]) for line in out.splitlines()]
    every = zip(changes, hunks_of(repo, changes), strict=True)
    search = _Search([([], {change[0]: hunks for change, hunks in every})])
    parents = [change[1] for change in changes if len(change) > 1]
    search.walk(repo, target, *parents)
    if is_whole and search.has_any:
        return (), ()
    return search.reverts() or ((), ())


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


def merged_trees(repo: Repository, pairs: Iterable[tuple[str, str]]) -> list[str | None]:
    """Returns the tree of each merge of two commits, None for a conflict.

    The list ends before a pair that git can't merge, such as one without a common commit.
    """
    stdin_text = "".join(f"{ours} {theirs}\n" for ours, theirs in pairs).encode()
    arguments = ("merge-tree", "--write-tree", "--stdin", "--no-messages", "--name-only")
    out = repo.git.ask(*arguments, stdin=stdin_text).out.decode("utf-8", "replace")
    results = (result.split("\0") for result in out.split("\0\0") if result)
    return [parts[1] if parts[0] == "1" and len(parts) == 2 else None for parts in results]


# the hunks of a package's whole change, and those of each of its commits
_Version = tuple[list[Hunk], dict[str, list[Hunk]]]


def _held(code: Reviewed) -> set[tuple[str, str]]:
    """Returns the bases and commits of reviews that a later one of the same base includes."""
    return {(code.base, commit) for commit in code.commits}


def _commits_of(code: Reviewed) -> tuple[str, ...]:
    return tuple(filter(None, (code.base, code.commit, *code.commits)))


def _version(repo: Repository, code: Reviewed, trees: Mapping[str, str | None]) -> _Version:
    """Returns the hunks of a review, as far as this clone has its commits."""
    changes: list[tuple[str, ...]] = [(commit,) for commit in code.commits if trees[commit]]
    has_whole = bool(trees[code.commit] and trees[code.base])
    if has_whole:  # the last, because a git that was told other parents keeps to them
        changes.append((code.commit, code.base))
    hunks = list(hunks_of(repo, changes))
    whole = hunks.pop() if has_whole else []
    return whole, {change[0]: own for change, own in zip(changes, hunks, strict=False)}


class _Trace:
    """A hunk of a package, with the steps of a branch that put it in and took it out last.

    `forms` are the hunks that put it in, larger ones too: each of them turned round takes it out.
    `commits` are those of the package that made it.
    """

    def __init__(self, hunk: Hunk) -> None:
        self.hunk = hunk
        self.commits: list[str] = []
        self.forms = {hunk.key}
        self.first = self.put = self.out = -1
        self.put_by = self.out_by = ""

    @property
    def is_in(self) -> bool:
        """True if the branch has the hunk, whatever was edited since."""
        return self.put > self.out


class _Search:
    """The hunks of a package's reviews, the last one last, along the steps of a branch."""

    def __init__(self, versions: Sequence[_Version]) -> None:
        self._traces: dict[Hunk, _Trace] = {}
        self._versions = [self._traced(*version) for version in versions]
        self._by_path: dict[bytes, list[_Trace]] = defaultdict(list)
        self._own: set[tuple[bytes, bool, bytes]] = set()  # path, whether it came, line
        for trace in self._traces.values():
            hunk = trace.hunk
            self._by_path[hunk.path].append(trace)
            self._own.update((hunk.path, False, line) for line in hunk.removed)
            self._own.update((hunk.path, True, line) for line in hunk.added)
        self._touched: set[tuple[bytes, str]] = set()  # path, step

    def _traced(
        self, whole: list[Hunk], single: dict[str, list[Hunk]]
    ) -> tuple[list[_Trace], list[_Trace]]:
        """Returns the traces of a review's hunks, without those that the package took back."""
        keys = {hunk.key for hunk in whole}
        others = keys | {hunk.key for hunks in single.values() for hunk in hunks}
        pairs = [
            (commit, hunk)
            for commit, hunks in single.items()
            for hunk in hunks
            if hunk.key in keys or hunk.turned_round.key not in others
        ]
        traces = self._all(whole), self._all(hunk for _, hunk in pairs)
        for commit, hunk in pairs:
            self._traces[hunk.key].commits.append(commit)
        return traces

    def _all(self, hunks: Iterable[Hunk]) -> list[_Trace]:
        by_key = {hunk.key: hunk for hunk in hunks}
        return [self._traces.setdefault(key, _Trace(hunk)) for key, hunk in by_key.items()]

    @property
    def has_any(self) -> bool:
        """True if the branch has one of the hunks."""
        return any(trace.is_in for trace in self._traces.values())

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all hunks; none if there are more than PATHS_MAX."""
        paths = tuple(path_of(traces[0].hunk) for traces in self._by_path.values())
        return paths if len(paths) <= PATHS_MAX else ()

    def walk(self, repo: Repository, target: str, *since: str | None) -> None:
        """Follows the hunks along the first parents of a commit, the oldest first."""
        if not self._traces:
            return
        past = [f"^{commit}" for commit in since if commit]
        listing = ("rev-list", "--first-parent", "--parents", "--reverse")
        count = f"--max-count={COMMITS_MAX}"
        out = repo.git.run(*listing, count, target, *past, "--", *self.paths).decode()
        steps = [tuple(line.split()[:2]) for line in out.splitlines()]
        for number, hunks in enumerate(hunks_of(repo, steps, self.paths)):
            for hunk in hunks:
                self._touched.add((hunk.path, steps[number][0]))
                for trace in self._by_path.get(hunk.path, ()):
                    self._follow(trace, hunk, number, steps[number][0])

    def _follow(self, trace: _Trace, hunk: Hunk, number: int, commit: str) -> None:
        own, back = trace.hunk, hunk.turned_round
        is_put = hunk.key == own.key or (
            hunk.holds(own) and bool(own.added or not hunk.added)  # a deleted line was not edited
        )
        if is_put:
            trace.put, trace.put_by = number, commit
            trace.first = number if trace.first < 0 else trace.first
            trace.forms.add(hunk.key)
        elif back.key in trace.forms or (
            back.holds(own) and (bool(own.removed and own.added) or self._is_own(back))
        ):
            trace.out, trace.out_by = number, commit

    def _is_own(self, hunk: Hunk) -> bool:
        """Reports whether each line of a hunk is one of the package's."""
        lines = [(hunk.path, False, line) for line in hunk.removed]
        return self._own.issuperset([*lines, *((hunk.path, True, line) for line in hunk.added)])

    def reverts(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Returns the commits that took out hunks which are still out, and the paths of these."""
        out: list[_Trace] = []
        for traces in self._by_path.values():
            arrivals = [trace.first for trace in traces if trace.first >= 0]
            out += [
                trace
                for trace in traces
                if not trace.is_in
                and arrivals
                and trace.out > min(arrivals)
                and not self._is_back(trace)
            ]
        if not out:
            return None
        out.sort(key=lambda trace: -trace.out)
        commits = dict.fromkeys(trace.out_by for trace in out)
        return tuple(commits), _paths(out)

    def _is_back(self, trace: _Trace) -> bool:
        """Reports whether what a hunk was part of came again since, in one piece or in several."""
        for pair in self._versions:
            whole, single = (
                [one for one in traces if one.hunk.path == trace.hunk.path] for traces in pair
            )
            if (trace in whole) == (trace in single):
                continue
            others = single if trace in whole else whole
            if others and all(one.is_in and one.put > trace.out for one in others):
                return True
        return False

    def landed(self) -> Landed | None:
        """Returns how the last review came to the branch, if every hunk of it did."""
        put = [trace for traces in self._present() for trace in traces]
        if not put or any(trace.first < 0 for trace in put):
            return None
        last = max(put, key=lambda trace: trace.put)
        is_one = len({trace.put for trace in put}) == 1
        return Landed("patch" if is_one else "patches", last.put_by)

    def _present(
        self, version: tuple[list[_Trace], list[_Trace]] | None = None
    ) -> Iterator[list[_Trace]]:
        """Yields the hunks of each path of a review: those of the whole, or of its commits."""
        whole, single = version or self._versions[-1]
        for path in dict.fromkeys(trace.hunk.path for trace in whole):
            at_once, apart = (
                [trace for trace in traces if trace.hunk.path == path] for traces in (whole, single)
            )
            is_apart = bool(apart) and all(trace.is_in for trace in apart)
            yield apart if is_apart and not all(trace.is_in for trace in at_once) else at_once

    def missing(self) -> tuple[str, ...]:
        """Returns the paths that lack hunks of the last review, if others have theirs."""
        present = [trace for traces in self._present() for trace in traces]
        absent = [trace for trace in present if not trace.is_in]
        return _paths(absent) if len(absent) < len(present) else ()

    def dropped(self, repo: Repository, target: str, is_merged: Sequence[bool]) -> tuple[str, ...]:
        """Returns the paths that the merges of reviews left out; `is_merged` is in their order.

        Where somebody resolved a conflict, the merge changes the path in another way.
        """
        absent: list[_Trace] = []
        for version, is_there in zip(self._versions, is_merged, strict=True):
            present = [trace for traces in self._present(version) for trace in traces]
            paths = {trace.hunk.path for trace in present if is_there and trace.first < 0}
            absent += [one for one in version[1] if one.hunk.path in paths and one.first < 0]
        return _paths(trace for trace in absent if not self._is_resolved(repo, target, trace))

    def _is_resolved(self, repo: Repository, target: str, trace: _Trace) -> bool:
        merges = (_merge_of(repo, target, commit) for commit in trace.commits)
        return any((trace.hunk.path, merge) in self._touched for merge in merges)


def _is_merged(
    repo: Repository, code: Reviewed, trees: Mapping[str, str | None], target: str
) -> bool:
    return trees[code.commit] is not None and is_ancestor(repo, code.commit, target)


def _merge_of(repo: Repository, target: str, commit: str) -> str:
    """Returns the first of a target's own steps that has a commit."""
    listing, span = ("rev-list", "--reverse"), f"{commit}..{target}"
    having = {*repo.git.run(*listing, "--ancestry-path", span, "--").decode().split()}
    steps = repo.git.run(*listing, "--first-parent", span, "--").decode().split()
    return next((step for step in steps if step in having), "")


def _paths(traces: Iterable[_Trace]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sorted(path_of(trace.hunk) for trace in traces)))


def _by_patch(
    repo: Repository, target: str, code: Reviewed, paths: Sequence[str], base: str | None
) -> tuple[Landed | None, list[str]]:
    """Looks for the patch-ids of a package; returns its landing and the commits that have them."""
    past = (f"^{base}",) if base else ()
    listed = ("rev-list", f"--max-count={COMMITS_MAX}", target, *past, "--", *paths)
    commits = repo.git.run(*listed).decode().split()
    landed_in: dict[str, str] = {}
    for patch, commit in patch_ids(repo, commits, paths):
        landed_in.setdefault(patch, commit)
    if code.patch in landed_in:
        return Landed("patch", landed_in[code.patch]), [landed_in[code.patch]]
    if code.patches and all(patch in landed_in for patch in code.patches):
        applied = [landed_in[patch] for patch in code.patches]
        return Landed("patches", applied[-1]), applied
    return None, []


def _adds_nothing(repo: Repository, target: str, commit: str) -> bool:
    """Reports whether merging a commit into the target would change nothing."""
    with suppress(ThenceError):  # the two have no commit in common
        return merged_tree(repo, target, commit) == (_trees(repo, target)[0], ())
    return False


def _trees(repo: Repository, *commits: str) -> list[str | None]:
    """Returns the trees of commits, None for those that this clone lacks."""
    stdin_text = "".join(f"{commit}^{{tree}}\n" for commit in commits).encode()
    out = repo.git.run("cat-file", "--batch-check=%(objectname)", stdin=stdin_text)
    return [None if b"missing" in line else line.decode() for line in out.splitlines()]


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

    def get(self, key: str) -> Any:
        """Returns a cached answer, None without one."""
        return self._answers.get(key)

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
