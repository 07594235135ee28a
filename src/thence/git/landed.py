"""Whether packages' code is in a branch, and whether all of it was taken out again.

Landed is asked once: by ancestry, by patch-ids, by a merge that would change nothing. From then on
the rows that a package put in, and those that it took out, are followed along the branch. Many
packages are asked together, and where the branch has only moved on, its new commits alone are read.
No message of a commit is read, and no working tree.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec.msgpack import decode, encode

from thence.errors import ThenceError
from thence.files import replace_file
from thence.git.merging import merged_tree
from thence.git.repository import Repository, is_ancestor, is_shallow
from thence.git.rows import (
    PLAIN,
    Change,
    Hunk,
    Standing,
    changes_in,
    files_of,
    follow,
    patch_id,
    path_of,
    standing_of,
    words_of,
)

PATHS_MAX = 500  # most paths on a command line
COMMITS_MAX = 20_000  # most commits of a branch that are searched for a package
PATCHES_MAX = 1_000  # a package of more commits is identified by its whole change alone
STANDING_MAX = 5_000  # most packages of a branch of which it is kept what stands
_FILE = "memo"
_ROWS = ("-p", "-M", "--format=%x01%H %P", *PLAIN)
_T = TypeVar("_T")


class Reviewed(msgspec.Struct, frozen=True):
    """A package's code as it went to review: the change from `base` to `commit`.

    `base` is the commit its branch began at, or what was handed in before, or where it took its
    target in last. `patch` is the patch-id of the change, empty if nothing was changed; `commits`
    are the package's own, `patches` hold the patch-id of each that changes something. `earlier` are
    the reviews before, the first one first.
    """

    commit: str
    base: str
    patch: str
    patches: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    earlier: tuple["Reviewed", ...] = ()

    @property
    def ends(self) -> tuple[str, str]:
        """The commit, and the base."""
        return self.commit, self.base

    @property
    def reviews(self) -> tuple["Reviewed", ...]:
        """All reviews, this one last."""
        return (*self.earlier, self)

    @property
    def chain(self) -> tuple["Reviewed", ...]:
        """The reviews that together are what the last one wants in its target.

        They follow one another; those of a branch that was begun anew, or that took its target in,
        are in what came after them. Reviews without a change are left out.
        """
        chain: tuple[Reviewed, ...] = ()
        for one in self.reviews:
            if one.patch or not one.base:
                is_next = chain and chain[-1].commit == one.base
                chain = (*chain, one) if is_next else (one,)
        return chain


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
    again, the last one first; there are some only where nothing of it stands.
    """

    landed: Landed | None = None
    reverts: tuple[str, ...] = ()

    @property
    def is_there(self) -> bool:
        """True if the branch has the package's code, whatever was edited since."""
        return self.landed is not None and not self.reverts


class Question(NamedTuple):
    """A package of which it is asked whether it is in a branch; `landed` is what is known of it.

    With `is_before` the rows alone are followed that it handed in before the last time, and that
    it still wants.
    """

    code: Reviewed | None
    landed: Landed | None = None
    is_before: bool = False

    @property
    def key(self) -> str:
        """The name under which it is kept what stands."""
        is_stated = self.landed is not None and (self.landed.how == "stated" or not self.code)
        known = (self.is_before, self.landed if is_stated else None, self.code)
        return sha256(encode(known)).hexdigest()[:32]

    @property
    def key_if_missing(self) -> str:
        """The name under which it is kept that it is not there, by what was known."""
        return f"{self.key} {self.landed.commit if self.landed else ''}"


class _State(msgspec.Struct):
    """What was found of packages at one commit of a branch; of those that landed, what stands."""

    tip: str = ""
    packages: dict[str, tuple[Landed, Standing]] = msgspec.field(default_factory=dict)
    missing: set[str] = msgspec.field(default_factory=set)


def reviewed_of(
    repo: Repository, base: str, commit: str, target: str | None, *, before: str | None = None
) -> tuple[Reviewed, bool]:
    """Returns a package's code, and whether it has commits beyond its base and the target's tip.

    The code is the change to its last commit from the one that its branch began at, or from that
    which was handed in `before`. A branch that took its target in, by a merge or a rebase, begins
    where it did so last. What is handed in again and is in the target already is what its merge
    brought, and without a merge nothing.
    Raises GitFailed.
    """
    own, begin = _parents(repo, commit, base, before, target), before or base
    outside = {parent for parents in own.values() for parent in parents} - own.keys()
    if len(outside) == 1:
        (begin,) = outside
    elif outside and target:  # it took its target in
        answer = repo.git.ask("merge-base", target, commit)
        meeting = answer.out.decode().strip()
        if answer.status == 0 and not is_ancestor(repo, meeting, begin):
            begin = meeting
    is_ahead = any(len(parents) < 2 for parents in own.values())
    if not own and before:
        history = _History(repo, target, ()) if target and commit != before else None
        number = history.brought.get(commit, 0) if history else 0
        if history and number and history.steps[number] != commit:  # a merge has brought it
            step = history.steps[number - 1]
            return reviewed_of(repo, base, commit, step, before=before)[0], False
        return Reviewed(commit, commit, ""), False
    if not own:
        own = _parents(repo, commit, base)
    commits = [name for name, parents in reversed(own.items()) if len(parents) < 2]
    commits = commits if len(commits) <= PATCHES_MAX else []
    changes = [*((name,) for name in commits), (commit, begin)]
    *patches, whole = map(patch_id, files_of(repo, changes))
    code = Reviewed(commit, begin, whole, tuple(filter(None, patches)), tuple(commits))
    return code, is_ahead


def _parents(repo: Repository, commit: str, *others: str | None) -> dict[str, list[str]]:
    """Returns the commits of a history that others lack with their parents, the newest first."""
    past = (f"^{other}" for other in dict.fromkeys(others) if other)
    return _listed(repo, (commit, *past), "%P")


def _listed(repo: Repository, names: Iterable[str], fields: str) -> dict[str, list[str]]:
    """Returns fields of the commits of a history, the newest first."""
    options = ("--topo-order", "--ignore-missing", f"--max-count={COMMITS_MAX}", "--stdin")
    form = ("--no-commit-header", f"--format=%H {fields}")
    stdin = "".join(f"{name}\n" for name in names).encode()
    out = repo.git.run("rev-list", *options, *form, stdin=stdin)
    return {name: values for name, *values in map(str.split, out.decode().splitlines())}


class _History:
    """The history of a branch, and of commits beside it.

    `steps` are its first parents, the oldest first; `brought` maps each of its commits to the
    number of the step that brought it. `trees` are those of all commits.
    """

    def __init__(self, repo: Repository, target: str, beside: Collection[str]) -> None:
        self.parents, self.trees = dict[str, list[str]](), dict[str, str]()
        for name, (tree, *parents) in _listed(repo, (target, *beside), "%T %P").items():
            self.trees[name], self.parents[name] = tree, parents
        self.steps, self.brought = list[str](), dict[str, int]()
        at = target
        while at in self.parents:
            self.steps.append(at)
            at = (self.parents[at] or [""])[0]
        self.steps.reverse()
        for number, step in enumerate(self.steps):
            self.brought |= dict.fromkeys(self.past(step, self.brought), number)
        self._numbers = {step: number for number, step in enumerate(self.steps)}

    def past(self, commit: str, until: Mapping[str, int] | None = None) -> set[str]:
        """Returns a commit and those before it, up to the steps or to others."""
        until, reached, past = self._numbers if until is None else until, [commit], set[str]()
        while reached:
            one = reached.pop()
            if one in self.parents and one not in until and one not in past:
                past.add(one)
                reached += self.parents[one]
        return past

    def begin(self, commit: str) -> int:
        """Returns the number of the first step that is not in the history of a commit."""
        met = [commit, *(parent for one in self.past(commit) for parent in self.parents[one])]
        return max(self._numbers.get(one, -1) for one in met) + 1


def landings(
    repo: Repository,
    target: str,
    questions: Sequence[Question],
    kept: dict[str, bytes] | None = None,
) -> list[Landing]:
    """Returns the landings of packages in the commit `target`; raises GitFailed.

    "ancestor": it was merged. "patch": one commit of the target makes the same change. "patches":
    several do so together. "merge": merging the package into the target changes nothing. Without a
    base the code is what was merged. What this clone lacks is left out. What was found before holds
    as long as the target has the commit that brought it. `kept` is what is kept of the branch from
    one call to the next, and may be lost.
    """
    state = _State()
    with suppress(KeyError, ValueError, TypeError):
        state = decode((kept or {})["state"], type=_State)
    before, known = state.tip, {key: landed for key, (landed, _) in state.packages.items()}
    if before != target:
        changes, standings = list[Change](), {key: one for key, (_, one) in state.packages.items()}
        with suppress(ThenceError):  # the commit before is gone
            changes = _changes(repo, target, before) if before else []
        is_moved_on = changes and changes[0].parent == before  # else it was rewritten
        follow(standings, changes if is_moved_on else (), {})
        state = _State(target, state.packages if is_moved_on else {})
    new = {
        one.key: one
        for one in questions
        if one.key not in state.packages and one.key_if_missing not in state.missing
    }
    for key, one in new.items():
        if one.landed is None and key in known:
            new[key] = one._replace(landed=known[key])
    if new:
        state.packages |= _ask(repo, target, new)
        state.missing |= {one.key_if_missing for one in questions if one.key not in state.packages}
    if kept is not None and (new or before != target):
        state.packages = dict([*state.packages.items()][-STANDING_MAX:])
        kept["state"] = encode(state)
    found = (state.packages.get(one.key, (None, Standing({}))) for one in questions)
    return [Landing(one, tuple(rows.reverts if rows.is_gone else ())) for one, rows in found]


def _changes(repo: Repository, target: str, since: str) -> list[Change]:
    """Returns the changes along the first parents of a commit, the oldest first."""
    options = ("--reverse", "--first-parent", "-U0", f"--max-count={COMMITS_MAX}")
    span = (target, f"^{since}") if since else (target,)
    out = repo.git.run("log", "--no-show-signature", "--no-mailmap", *options, *_ROWS, *span, "--")
    return [*changes_in(out)]


def _ask(
    repo: Repository, target: str, questions: Mapping[str, Question]
) -> dict[str, tuple[Landed, Standing]]:
    """Asks for packages of which nothing is known, and returns those that have landed."""
    codes = {key: one.code for key, one in questions.items() if one.code}
    every = [one for code in codes.values() for one in code.reviews]
    named = {name for one in every for name in (*one.ends, *one.commits) if name}
    present = named - absent_of(repo, named)
    history = _History(repo, target, present)
    known = {key: one.landed for key, one in questions.items() if one.landed and one.landed.commit}
    # of a long history the end alone is listed
    unlisted = {one.commit or "" for one in known.values()} - history.brought.keys()
    lacking = missing_commits(repo, target, unlisted)
    landed = {key: one for key, one in known.items() if one.commit not in lacking}
    sought = {key: code for key, code in codes.items() if key not in landed}
    landed |= _search(repo, target, sought, history, present)
    parts: dict[str, list[tuple[str, str]]] = {}
    for key in landed.keys() & codes.keys():
        ends = [one.ends for one in codes[key].reviews if one.patch]
        # where the last one is not here, what was handed in before does not stand for it
        is_here = not ends or present.issuperset(ends[-1])
        parts[key] = [pair for pair in ends if present.issuperset(pair)] if is_here else []
    hunks = _hunks(repo, {pair for pairs in parts.values() for pair in pairs})
    standings = {key: standing_of([hunks[pair] for pair in parts.get(key, ())]) for key in landed}
    for key in (key for key in landed if questions[key].is_before):
        pairs, rows = parts.get(key, ()), standings[key].rows
        before = standing_of([hunks[pair] for pair in pairs if pair != codes[key].ends]).rows
        standings[key].rows = {one: rows[one] for one in rows.keys() & before.keys()}
    brought = {
        key: history.brought[one.commit]
        for key, one in landed.items()
        if one.commit in history.brought
    }
    begins = brought | {  # of a stated commit what it brought counts, whatever was before
        key: history.begin(pairs[0][1])
        for key, pairs in parts.items()
        if pairs and not (key in brought and landed[key].how == "stated")
    }
    start = min(begins.values(), default=len(history.steps))
    changes = list[Change]()
    if start < len(history.steps):
        changes = _changes(repo, target, "".join(history.parents[history.steps[start]][:1]))
    numbers = {key: begins.get(key, len(history.steps)) - start for key in landed}
    follow(standings, changes, numbers)
    # of a package of which no row came, those of the step that brought it are followed too
    others = {
        key: standing_of([changes[number - start].hunks])
        for key, number in brought.items()
        if number >= start and not (standings[key].has_come or questions[key].is_before)
    }
    for key, standing in others.items():
        if standing.is_exact == standings[key].is_exact:
            standing.rows = standings[key].rows | standing.rows
    follow(others, changes, {key: brought[key] - start for key in others})
    return {key: (one, others.get(key, standings[key])) for key, one in landed.items()}


def _hunks(
    repo: Repository, pairs: Collection[tuple[str, str]]
) -> dict[tuple[str, str], Sequence[Hunk]]:
    """Returns the hunks of changes to the first of two commits, with the rest of their files."""
    stdin = "".join(f"{commit} {base}\n" for commit, base in pairs).encode()
    arguments = ("diff-tree", "-r", "--stdin", "--always", "-U999999", *_ROWS)
    changes = changes_in(repo.git.run(*arguments, stdin=stdin) if pairs else b"")
    return {pair: change.hunks for pair, change in zip(pairs, changes, strict=True)}


def _search(
    repo: Repository,
    target: str,
    codes: Mapping[str, Reviewed],
    history: _History,
    present: Set[str],
) -> dict[str, Landed]:
    """Looks for packages' code in the commit `target`, and returns what landed."""
    landed = dict[str, Landed]()
    chains = {key: chain for key, code in codes.items() if (chain := code.chain)}
    for key, chain in chains.items():
        if (number := history.brought.get(tip := chain[-1].commit)) is not None:
            step = history.steps[number]
            before = [history.trees.get(one) for one in history.parents[step][:1]]
            if tip == step or not chain[0].base or before != [history.trees[step]]:
                landed[key] = Landed("ancestor", tip)
    # by the patches of the target's own commits
    based = {key: one for key, one in chains.items() if key not in landed and one[0].base}
    every = [(one, chain[-1].commit) for chain in based.values() for one in chain]
    changes = dict[tuple[str, ...], None]()
    changes |= dict.fromkeys((name,) for one, _ in every for name in one.commits)
    changes |= dict.fromkeys((end, one.base) for one, tip in every for end in (one.commit, tip))
    known = [change for change in changes if present >= {*change}]
    own = dict(zip(known, files_of(repo, known), strict=True))
    places = {  # what is not asked: the commits before a package, and its own
        key: (
            history.begin(chain[0].base),
            history.past(chain[0].base) | history.past(chain[-1].commit),
        )
        for key, chain in based.items()
    }
    begin = min((begin for begin, _ in places.values()), default=len(history.steps))
    theirs = [one for one, number in history.brought.items() if number >= begin]
    by_file, by_patch = defaultdict[object, set[str]](set), defaultdict[str, set[str]](set)
    touched = {path for files in own.values() for path in files}
    is_by_path = len(known) == len(changes) and len(touched) <= PATHS_MAX
    paths = sorted(map(path_of, touched)) if is_by_path else ()
    asked = files_of(repo, [(one,) for one in theirs], paths)
    for commit, files in zip(theirs, asked, strict=True):
        by_patch[patch_id(files)].add(commit)
        for file in files.items():
            by_file[file].add(commit)

    def brings(key: str, patch: str, span: tuple[str, str] = ("", "")) -> str | None:
        """Returns the first commit of the target that makes a change, perhaps with other files."""
        found = by_patch[patch] if patch else set()
        if files := own.get(span):
            found = set.intersection(*(by_file[file] for file in files.items()))
        begin, past = places[key]
        found = {one for one in found - past if history.brought[one] >= begin}
        return min(found, key=history.brought.__getitem__, default=None)

    for key, chain in based.items():
        way = list[str | None]()
        for one in chain:  # what came alone, and then all the rest at once
            if rest := brings(key, "", (chain[-1].commit, one.base)):
                way.append(rest)
                break
            whole = brings(key, one.patch, one.ends)
            way += [whole] if whole else [brings(key, patch) for patch in one.patches] or [None]
        names = {one for one in way if one}
        if names and None not in way:
            how = "patch" if len(names) == 1 else "patches"
            landed[key] = Landed(how, max(names, key=history.brought.__getitem__))
    for key, chain in chains.items():  # by a merge that would change nothing
        tip = chain[-1].commit
        if key not in landed and tip in present and tip not in history.brought:
            with suppress(ThenceError):  # the two have no commit in common
                if merged_tree(repo, target, tip) == (history.trees[target], ()):
                    landed[key] = Landed("merge", target)
    return landed


def nearest(repo: Repository, target: str, code: Reviewed, since: str | None = None) -> str | None:
    """Returns the commit of the target that shares most words with a package.

    It is looked for `since` a commit, by default since the package began.
    """
    base = next((one.base for one in code.chain if one.base), None)
    if base is None or absent_of(repo, [base, code.commit]):
        return None
    (hunks,) = _hunks(repo, [(code.commit, base)]).values()
    own = words_of(row for hunk in hunks for row in hunk.added)
    shared = {
        change.commit: len(own & words_of(row for hunk in change.hunks for row in hunk.added))
        for change in _changes(repo, target, since or base)
    }
    best = max(shared, key=shared.__getitem__, default=None)
    return best if best and shared[best] else None


def absent_of(repo: Repository, commits: Collection[str]) -> frozenset[str]:
    """Returns the commits that this clone lacks."""
    names = "".join(f"{commit}\n" for commit in commits).encode()
    out = repo.git.run("cat-file", "--batch-check=", stdin=names)
    return frozenset(line.split()[0] for line in out.decode().splitlines() if line)


def missing_commits(
    repo: Repository, target: str, commits: Collection[str], *more: str
) -> frozenset[str]:
    """Returns the commits that are in no history of `target` and `more`, or not in this clone."""
    if not commits:
        return frozenset()
    tips = (f"^{tip}" for tip in dict.fromkeys((target, *more)))
    names = "".join(f"{name}\n" for name in (*tips, *commits)).encode()
    out = repo.git.run("rev-list", "--ignore-missing", "--stdin", stdin=names)
    return absent_of(repo, commits).union(out.decode().split()).intersection(commits)


def was_in(repo: Repository, refs: Sequence[str], commits: Collection[str]) -> set[str]:
    """Returns those commits that one of the refs ever had, as far as this clone noted it."""
    answer = repo.git.ask("log", "--walk-reflogs", "--format=%H", *refs, "--")
    tips = answer.out.decode().split() if refs and answer.status == 0 else []
    return {*commits} - missing_commits(repo, tips[0], commits, *tips) if tips else set()


class Memo:
    """Git's answers, plain values by a name and what they hold for; `save` stores new ones.

    `home` is the folder that they are kept in, from one command to the next; they may be lost.
    """

    def __init__(self, repo: Repository, home: Path) -> None:
        self._home = home
        self._repo = repo
        self._stored = b""

    @cached_property
    def _kept(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """The answers of each name; the file is read at the first question."""
        with suppress(OSError, ValueError, RecursionError):
            self._stored = (self._home / _FILE).read_bytes()
            return decode(self._stored, type=dict[str, tuple[str, dict[str, Any]]])
        return {}

    def table(self, name: str, of: str) -> dict[str, Any]:
        """Returns the answers of a name that hold for `of`, to be added to; the others go."""
        held = self._kept.get(name)
        if held is None or held[0] != of:
            held = self._kept[name] = (of, {})
        return held[1]

    def last(self, name: str, of: str, ask: Callable[[], _T]) -> _T:
        """Returns the cached answer, else asks; only that for the last `of` is cached."""
        table = self.table(name, of)
        if not table:
            table["answer"] = ask()
        answer: _T = table["answer"]
        return answer

    def save(self) -> None:
        """Stores new answers; not of a shallow clone, whose answers change once it is complete."""
        data = encode(self._kept) if "_kept" in vars(self) else self._stored
        if data != self._stored and not is_shallow(self._repo):
            with suppress(ThenceError):
                replace_file(self._home / _FILE, data)
