"""The question whether a package's code is in a branch, answered by git.

Three questions: is the package's commit an ancestor of the branch; is its change among those that
the branch got since, by hunks or by patch-ids; would merging it change nothing. Later edits of its
lines take nothing away. A revert does: a change that takes out the lines that the package put in.
No message of a commit is read, and no working tree.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec.json import decode, encode
from msgspec.structs import replace

from thence.errors import ThenceError
from thence.files import replace_file
from thence.git.merging import merged_tree
from thence.git.patches import Hunk, Line, hunks_of, patch_id, patch_ids, path_of
from thence.git.repository import Repository, is_ancestor, is_shallow

COMMITS_MAX = 20_000  # most commits of a branch that are searched for a package
PATCHES_MAX = 1_000  # a package of more commits is identified by its whole change alone
PATHS_MAX = 500  # most paths on a command line


class Reviewed(msgspec.Struct, frozen=True):
    """A package's code as it went to review: the commit, and the commit its branch began at.

    `patch` is the patch-id of the whole change, empty if nothing was changed; `commits` are the
    package's own, `patches` hold the patch-id of each that changes something. `earlier` are the
    reviews before, the first one first.
    """

    commit: str
    base: str
    patch: str
    patches: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    earlier: tuple["Reviewed", ...] = ()


class Landed(msgspec.Struct, frozen=True):
    """The landing of a package's code: how it came to its target, and the commit that has it.

    `how` is ancestor, patch, patches, merge, stated or no_code; the last two carry the reason that
    was given.
    """

    how: str
    commit: str | None = None
    reason: str = ""


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
    repo: Repository, base: str, commit: str, target: str | None, *, is_again: bool = False
) -> tuple[Reviewed, bool]:
    """Returns a package's code, and whether it has commits beyond its base and the target's tip.

    The code is the change from the commit that its branch began at to its last. A branch that took
    its target in, by a merge or a rebase, begins where it did so last. Its commits are those that
    the commit `target` lacks, without merges. Where that has the last one already, they are those
    that its merge brought, or all beyond the base; without a merge a package that is reviewed
    `is_again` has no new ones, for those may be anybody's. Raises GitFailed.
    """
    own, begin = _parents(repo, commit, base, target), base
    outside = {parent for parents in own.values() for parent in parents} - own.keys()
    if len(outside) == 1:
        (begin,) = outside
    elif outside and target:  # it took its target in
        answer = repo.git.ask("merge-base", target, commit)
        meeting = answer.out.decode().strip()
        if answer.status == 0 and not is_ancestor(repo, meeting, base):
            begin = meeting
    is_ahead = any(len(parents) < 2 for parents in own.values())
    if not own and target not in (None, base):
        steps, brought = _steps(_parents(repo, target, base), target)
        number = brought.get(commit, -1)
        if number >= 0 and steps[number] != commit:
            before = steps[number - 1] if number else base
            return reviewed_of(repo, base, commit, before)[0], False
        own, begin = ({}, commit) if is_again else (_parents(repo, commit, base), base)
    commits = [name for name, parents in reversed(own.items()) if len(parents) < 2]
    commits = commits if len(commits) <= PATCHES_MAX else []
    changes = [*((name,) for name in commits), (commit, begin)]
    *patches, whole = map(patch_id, hunks_of(repo, changes))
    code = Reviewed(commit, begin, whole, tuple(filter(None, patches)), tuple(commits))
    return code, is_ahead


def _parents(repo: Repository, commit: str, *others: str | None) -> dict[str, list[str]]:
    """Returns the commits of a history that others lack with their parents, the newest first.

    Only the last COMMITS_MAX are returned.
    """
    past = (f"^{other}" for other in dict.fromkeys(others) if other)
    listing = ("rev-list", "--topo-order", "--parents", f"--max-count={COMMITS_MAX}")
    lines = repo.git.run(*listing, commit, *past, "--").decode().splitlines()
    return {name: parents for name, *parents in map(str.split, lines)}


def _steps(history: Mapping[str, list[str]], target: str) -> tuple[list[str], dict[str, int]]:
    """Returns the first parents of a commit, the oldest first, and by commit which one brought it.

    Those are numbered.
    """
    steps, brought = list[str](), dict[str, int]()
    while target in history:
        steps.append(target)
        target = (history[target] or [""])[0]
    steps.reverse()
    for number, step in enumerate(steps):
        reached = [step]
        while reached:
            commit = reached.pop()
            if commit in history and commit not in brought:
                brought[commit] = number
                reached += history[commit]
    return steps, brought


def landing_of(
    repo: Repository, target: str, code: Reviewed, *, is_stated: bool = False
) -> Landing:
    """Looks for a package's code in the commit `target`; raises GitFailed.

    "ancestor": it was merged. "patch": one commit of the target makes the same change. "patches":
    several do so together. "merge": merging the package into the target changes nothing. Checks
    that need objects that this clone lacks are left out. Without a base the code is what its
    commits changed, or else its last one, and only a merge brings it. What a person has stated is
    reverted where all of it is out.
    """
    own = code.commits if code.base or code.commits else (code.commit,)
    # what the last review has whole, it may have changed or taken back since an earlier one
    earlier = (one for one in code.earlier if one.base != code.base or one.commit not in own)
    reviews = (*earlier, replace(code, commits=own))
    names = {name for one in reviews for name in (one.base, one.commit, *one.commits) if name}
    present = names - absent_of(repo, names)
    since = reviews[0].base or f"{own[0]}^@"
    history = _parents(repo, target, since if since in present or not code.base else None)
    steps, brought = _steps(history, target)
    is_here, search = present >= {code.base, code.commit}, _Search(repo, reviews, present)
    search.walk(repo, steps, is_by_path=is_here or not code.base)
    out, left_out, absent, came = list[_Trace](), list[_Trace](), list[_Trace](), list[_Trace]()
    for number, review in enumerate(reviews):
        is_merged = review.commit in brought or (
            len(history) == COMMITS_MAX
            and review.commit in present
            and is_ancestor(repo, review.commit, target)
        )
        reverted, absent, came = search.seen(number)
        out += reverted
        came_at = brought.get(review.commit, -1)
        # what came in one step with the last review, that one has whole
        if is_merged and (review is reviews[-1] or came_at != brought.get(code.commit)):
            single = (trace for trace in absent if (number, False) in trace.parts)
            left_out += (trace for trace in single if not search.is_resolved(trace, brought))
    landed, put = None, {trace.put for trace in came}
    if is_merged:
        landed = Landed("ancestor", code.commit)
    elif code.base and put and -1 not in put:
        landed = Landed("patch" if len(put) == 1 else "patches", steps[max(put)])
    if is_stated and search.has_any:
        out = []
    if out or left_out or landed or not code.base:
        out.sort(key=lambda trace: -trace.out)
        reverts = tuple(dict.fromkeys(steps[trace.out] for trace in out))
        return Landing(landed, reverts, _paths(out or left_out))
    if (not is_here or search.is_empty) and (commits := _with_patches(repo, history, code)):
        how = Landed("patch" if len(commits) == 1 else "patches", commits[-1])
        copy = Reviewed(commits[-1], "", "", commits=tuple(commits))
        return landing_of(repo, target, copy)._replace(landed=how)
    if code.commit in present and _adds_nothing(repo, target, code.commit):
        return Landing(Landed("merge", target))
    return Landing(None, (), _paths(absent) if any(trace.is_in for trace in came) else ())


def _with_patches(repo: Repository, history: Iterable[str], code: Reviewed) -> list[str]:
    """Returns the commits that make a package's whole change, or those of all its commits."""
    commits = dict(patch_ids(repo, history))  # the oldest of those that make one
    patches = (code.patch,) if code.patch in commits else code.patches
    return [commits[patch] for patch in patches] if commits.keys() >= {*patches} else []


def _adds_nothing(repo: Repository, target: str, commit: str) -> bool:
    """Reports whether merging a commit into the target would change nothing."""
    with suppress(ThenceError):  # the two have no commit in common
        tree = repo.git.run("rev-parse", f"{target}^{{tree}}").decode().strip()
        return merged_tree(repo, target, commit) == (tree, ())
    return False


def absent_of(repo: Repository, commits: Collection[str]) -> frozenset[str]:
    """Returns the commits that this clone lacks."""
    names = "".join(f"{commit}\n" for commit in commits).encode()
    out = repo.git.run("cat-file", "--batch-check=", stdin=names)
    return frozenset(line.split()[0] for line in out.decode().splitlines() if line)


def missing_commits(repo: Repository, target: str, commits: Collection[str]) -> frozenset[str]:
    """Returns the commits that are not in the history of `target`, or not in this clone."""
    if not commits:
        return frozenset()
    absent = absent_of(repo, commits)
    names = "".join(f"{name}\n" for name in (f"^{target}", *absent.symmetric_difference(commits)))
    out = repo.git.run("rev-list", "--ignore-missing", "--stdin", stdin=names.encode())
    return absent.union(out.decode().split()).intersection(commits)


class _Trace:
    """A hunk of a package, with the last steps of a branch that put it in and took it out.

    `forms` are the hunks that put it in, larger ones too: each of them turned round takes it out.
    `parts` are the reviews that have it, in their whole change or not; `commits` made it.
    """

    def __init__(self, hunk: Hunk) -> None:
        self.hunk = hunk
        self.forms = {hunk.key}
        self.parts: set[tuple[int, bool]] = set()
        self.commits: set[str] = set()
        self.put = self.out = -1

    @property
    def is_in(self) -> bool:
        """True if the branch has the hunk, whatever was edited since."""
        return -1 < self.put >= self.out


class _Search:
    """The hunks of a package's reviews, the last one last, along the steps of a branch.

    A review has its hunks twice, as those of its whole change and as those of its commits: a path
    is in the branch if all of either are.
    """

    def __init__(self, repo: Repository, reviews: Sequence[Reviewed], present: Set[str]) -> None:
        self._traces: dict[bytes, dict[Hunk, _Trace]] = defaultdict(dict)  # by path, by key
        self._by_line: dict[Line, list[_Trace]] = defaultdict(list)
        self._lines: set[Line] = set()
        self._touched: set[tuple[bytes, int | None]] = set()  # path, step
        changes = [
            (number, change)
            for number, one in enumerate(reviews)
            for change in (*((commit,) for commit in one.commits), (one.commit, one.base))
            if {*change} <= present
        ]
        distinct = sorted({change for _, change in changes}, key=len)
        hunks = dict(zip(distinct, hunks_of(repo, distinct), strict=True))
        for number, change in changes:
            self._add(number, change, hunks[change])
        self._whole = {number for number, change in changes if len(change) > 1}

    def _add(self, number: int, change: tuple[str, ...], hunks: Iterable[Hunk]) -> None:
        """Adds the hunks of a change of a review, without what the package takes back itself.

        A commit takes back those of its review, the whole change those of reviews before, too.
        """
        part = (number, len(change) > 1)
        for hunk in hunks:
            if not hunk.counts:
                continue
            for trace in self._taken_out(hunk):
                trace.parts -= trace.parts if part[1] else {part}
            traces = self._traces[hunk.path]
            if hunk.key not in traces:
                traces[hunk.key] = _Trace(hunk)
                longest = max(hunk.lines, key=lambda line: len(line[2]))
                self._by_line[longest].append(traces[hunk.key])
            traces[hunk.key].parts.add(part)
            traces[hunk.key].commits.add(change[0])
            self._lines |= hunk.lines

    @property
    def has_any(self) -> bool:
        """True if the branch has one of the hunks."""
        return any(one.is_in for traces in self._traces.values() for one in traces.values())

    @property
    def is_empty(self) -> bool:
        """True if the package has no hunk that counts."""
        return not self._by_line

    def walk(self, repo: Repository, steps: Sequence[str], *, is_by_path: bool) -> None:
        """Follows the hunks along the steps of a branch."""
        paths = [*map(path_of, self._traces)]
        changes = [(step,) for step in steps if paths]
        restriction = paths if is_by_path and len(paths) <= PATHS_MAX else ()
        for number, hunks in enumerate(hunks_of(repo, changes, restriction)):
            self._touched.update((hunk.path, number) for hunk in hunks)
            self._follow(number, hunks)

    def _follow(self, number: int, hunks: Sequence[Hunk]) -> None:
        for hunk in hunks:
            for trace in self._taken_out(hunk):
                trace.out = number
        for hunk in hunks:  # behind the others: what only moves within a step stays
            key = hunk.key
            for trace in self._with(hunk.lines):
                own = trace.hunk
                if key == own.key or (
                    hunk.holds(own) and (own.added or not hunk.added)  # a deletion is no edit
                ):
                    trace.put = number
                    trace.forms.add(key)

    def _taken_out(self, hunk: Hunk) -> list[_Trace]:
        """Returns the hunks of the package that another takes out."""
        back = hunk.turned_round
        key, lines = back.key, back.lines
        is_own = lines <= self._lines
        return [
            trace
            for trace in self._with(lines)
            if key in trace.forms
            or (back.holds(trace.hunk) and (is_own or (trace.hunk.removed and trace.hunk.added)))
        ]

    def _with(self, lines: Iterable[Line]) -> Iterator[_Trace]:
        for line in lines:
            yield from self._by_line.get(line, ())

    def seen(self, review: int) -> tuple[list[_Trace], list[_Trace], list[_Trace]]:
        """Returns a review's hunks that were taken out, those that never came, and all that count.

        In a path either those of the whole change count or those of the commits.
        """
        reverted, absent, came = list[_Trace](), list[_Trace](), list[_Trace]()
        for traces in self._traces.values():
            whole, single = (
                [trace for trace in traces.values() if (review, is_whole) in trace.parts]
                for is_whole in (True, False)
            )
            out = [trace for trace in (*whole, *single) if trace.out > trace.put]
            last_out = max((trace.out for trace in out), default=-1)
            full = [one for one in (whole, single) if one and min(t.put for t in one) > -1]
            back = [one for one in full if min(trace.put for trace in one) > last_out]
            required = whole if review in self._whole else single
            reverted += [] if back else out
            absent += [t for t in (*whole, *single) if t.put < 0 and required and not full]
            came += (back or full or [required])[0]
        return reverted, absent, came

    def is_resolved(self, trace: _Trace, brought: Mapping[str, int]) -> bool:
        """Reports whether a merge of a hunk's commits changes the path in another way.

        So it does where somebody resolved a conflict.
        """
        merges = ((trace.hunk.path, brought.get(commit)) for commit in trace.commits)
        return not self._touched.isdisjoint(merges)


def _paths(traces: Iterable[_Trace]) -> tuple[str, ...]:
    return tuple(sorted({path_of(trace.hunk.path) for trace in traces}))


ENTRIES_MAX = 5_000
_FILE = "memo.json"
_T = TypeVar("_T")


class Memo:
    """Git's answers, JSON values by key. New answers are stored by `save`."""

    def __init__(self, repo: Repository, home: Path) -> None:
        self._repo = repo
        self._path = home / _FILE
        self._answers: dict[str, Any] = {}
        self._is_new = False
        with suppress(OSError, ValueError, RecursionError):
            self._answers = decode(self._path.read_bytes(), type=dict[str, Any])

    def get(self, key: str) -> Any:
        """Returns a cached answer, None without one."""
        return self._answers.get(key)

    def last(self, key: str, of: str, ask: Callable[[], _T]) -> _T:
        """Returns the cached answer, else asks; only that for the last `of` is cached."""
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
                replace_file(self._path, encode(newest))
