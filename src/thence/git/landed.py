"""Whether packages' code is in a branch, and whether all of it was taken out again.

Landed is asked once: by ancestry, by patch-ids, by a merge that would change nothing. From then on
the rows that a package put in, and those that it took out, are followed along the branch. Many
packages are asked together, and where the branch has only moved on, its new commits alone are read.
No message of a commit is read, and no working tree.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from thence.errors import ThenceError
from thence.files import replace_file
from thence.git.memo import Memo
from thence.git.merging import merged_tree
from thence.git.patches import (
    COMMITS_AT_ONCE,
    PLAIN,
    Files,
    files_of,
    patch_id,
    path_of,
)
from thence.git.repository import Repository, is_ancestor, is_shallow
from thence.git.rows import (
    Change,
    Hunk,
    Standing,
    changes_in,
    follow,
    standing_of,
    words_of,
)

COMMITS_MAX = 20_000  # most commits of a branch that are searched for a package
PATCHES_MAX = 1_000  # a package of more commits is identified by its whole change alone
PATHS_MAX = 500  # most paths on a command line
STANDING_MAX = 5_000  # most packages of a branch of which it is kept what stands
_ROWS = ("-p", "-M", "--format=%x01%H %P", *PLAIN)


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


_decode_landing = msgspec.json.Decoder(Landing).decode


class Question(NamedTuple):
    """A package of which it is asked whether it is in a branch; `landed` is what is known of it.

    With `is_before` the rows alone are followed that it handed in before the last time, and that
    it still wants.
    """

    code: Reviewed | None
    landed: Landed | None = None
    is_before: bool = False

    @property
    def names(self) -> tuple[str, str]:
        """The names of the answer that it is there, and of that it is not, by what was known."""
        return self.key, f"{self.key} {self.landed.commit if self.landed else ''}"

    @property
    def key(self) -> str:
        """The name under which it is kept what stands."""
        is_stated = self.landed is not None and (self.landed.how == "stated" or not self.code)
        known = (self.landed.how, self.landed.commit) if self.landed and is_stated else ()
        ids = ((one.base, one.commit) for one in (self.code.reviews if self.code else ()))
        return sha256(repr((self.is_before, *known, *ids)).encode()).hexdigest()[:32]


class _Stood(msgspec.Struct, array_like=True):
    """A package that has landed, and what stands of it."""

    landed: Landed
    standing: Standing


class _State(msgspec.Struct):
    """What stands of packages at one commit of a branch."""

    tip: str = ""
    packages: dict[str, _Stood] = msgspec.field(default_factory=dict)


_decode_state = msgspec.msgpack.Decoder(_State).decode


class Kept:
    """What was answered of a branch, and what stands there: both may be lost."""

    def __init__(self, memo: Memo, branch: str) -> None:
        self._memo = memo
        self._name = f"landings {branch}"
        self._path = memo.home / f"standing-{sha256(branch.encode()).hexdigest()[:16]}"

    def answers(self, tip: str) -> dict[str, Any]:
        """Returns the answers of the branch at a commit, by the keys of questions."""
        return self._memo.table(self._name, tip)

    def load(self) -> _State:
        """Returns what stands, nothing where none is kept."""
        with suppress(OSError, ValueError, RecursionError):
            return _decode_state(self._path.read_bytes())
        return _State()

    def store(self, state: _State) -> None:
        """Stores what stands, of the packages that were asked last; not of a shallow clone."""
        if not is_shallow(self._memo.repo):
            state.packages = dict([*state.packages.items()][-STANDING_MAX:])
            with suppress(ThenceError):
                replace_file(self._path, msgspec.msgpack.encode(state))


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
    past = (f"^{other}\n" for other in dict.fromkeys(others) if other)
    return _listed(repo, [f"{commit}\n", *past])


def _listed(repo: Repository, names: Sequence[str]) -> dict[str, list[str]]:
    options = ("--topo-order", "--parents", "--ignore-missing", f"--max-count={COMMITS_MAX}")
    out = repo.git.run("rev-list", *options, "--stdin", stdin="".join(names).encode())
    return {name: parents for name, *parents in map(str.split, out.decode().splitlines())}


class _History:
    """The history of a branch, and of commits beside it.

    `steps` are its first parents, the oldest first; `brought` maps each of its commits to the
    number of the step that brought it.
    """

    def __init__(self, repo: Repository, target: str, beside: Collection[str]) -> None:
        self._repo, self._target = repo, target
        self.parents = _listed(repo, [f"{name}\n" for name in (target, *beside)])
        self.steps, self.brought = list[str](), dict[str, int]()
        at = target
        while at in self.parents:
            self.steps.append(at)
            at = (self.parents[at] or [""])[0]
        self.steps.reverse()
        for number, step in enumerate(self.steps):
            for commit in self.past(step, self.brought):
                self.brought[commit] = number

    def past(self, commit: str, known: Collection[str] = ()) -> set[str]:
        """Returns a commit and those before it, without the known ones and theirs."""
        reached, past = [commit], set[str]()
        while reached:
            one = reached.pop()
            if one in self.parents and one not in past and one not in known:
                past.add(one)
                reached += self.parents[one]
        return past

    @cached_property
    def _last_steps(self) -> dict[str, int]:
        """The number of the last step before each commit, or at it."""
        last = {step: number for number, step in enumerate(self.steps)}
        for commit in reversed(self.parents):
            parents = self.parents[commit]
            last.setdefault(commit, max((last.get(parent, -1) for parent in parents), default=-1))
        return last

    def begin(self, base: str) -> int:
        """Returns the number of the first step that a commit lacks."""
        return self._last_steps.get(base, -1) + 1

    def changes(self, start: int) -> list[Change]:
        """Returns the changes of the steps from a number on."""
        if start >= len(self.steps):
            return []
        before = self.parents[self.steps[start]][:1]
        return _changes(self._repo, self._target, "".join(before))


def landings(
    repo: Repository, target: str, questions: Sequence[Question], kept: Kept | None = None
) -> list[Landing]:
    """Returns the landings of packages in the commit `target`; raises GitFailed.

    "ancestor": it was merged. "patch": one commit of the target makes the same change. "patches":
    several do so together. "merge": merging the package into the target changes nothing. Without a
    base the code is what was merged. What this clone lacks is left out. What was found before holds
    as long as the target has the commit that brought it.
    """
    answers = kept.answers(target) if kept else dict[str, Any]()
    asked = {one.key: one for one in questions if answers.keys().isdisjoint(one.names)}
    if asked:
        state = kept.load() if kept else _State()
        before, found = state.tip, dict[str, _Stood]()
        changes = list[Change]()
        with suppress(ThenceError):  # the commit before is gone
            changes = _changes(repo, target, before) if before not in ("", target) else []
        if changes and changes[0].parent == before:
            follow({key: stood.standing for key, stood in state.packages.items()}, changes, {})
            state.tip = target
        elif before != target:
            found, state = state.packages, _State(target)
        new = {key: one for key, one in asked.items() if key not in state.packages}
        for key, one in new.items():
            if one.landed is None and key in found:
                new[key] = one._replace(landed=found[key].landed)
        if new:
            state.packages |= _ask(repo, target, new)
        for key, one in asked.items():
            stood = state.packages.get(key)
            reverts = stood.standing.reverts if stood and stood.standing.is_gone else ()
            answer = Landing(stood.landed, tuple(reverts)) if stood else Landing()
            answers[one.names[0 if stood else 1]] = msgspec.json.encode(answer).decode()
        if kept and (state.tip != before or not state.packages.keys().isdisjoint(new)):
            kept.store(state)
    return [
        _decode_landing(next(answers[name] for name in one.names if name in answers))
        for one in questions
    ]


def _changes(repo: Repository, target: str, since: str) -> list[Change]:
    """Returns the changes along the first parents of a commit, the oldest first."""
    options = ("--reverse", "--first-parent", "-U0", f"--max-count={COMMITS_MAX}")
    span = (target, f"^{since}") if since else (target,)
    out = repo.git.run("log", "--no-show-signature", "--no-mailmap", *options, *_ROWS, *span, "--")
    return [*changes_in(out)]


def _ask(repo: Repository, target: str, questions: Mapping[str, Question]) -> dict[str, _Stood]:
    """Asks for packages of which nothing is known, and returns those that have landed."""
    codes = {key: one.code for key, one in questions.items() if one.code}
    every = [one for code in codes.values() for one in code.reviews]
    named = {name for one in every for name in (*one.ends, *one.commits) if name}
    present = named - absent_of(repo, named)
    history = _History(repo, target, present)
    known = {key: one.landed for key, one in questions.items() if one.landed and one.landed.commit}
    lacking: Collection[str] = {one.commit or "" for one in known.values()} - history.brought.keys()
    if len(history.parents) == COMMITS_MAX:
        lacking = missing_commits(repo, target, lacking)
    landed = {key: one for key, one in known.items() if one.commit not in lacking}
    sought = {key: code for key, code in codes.items() if key not in landed}
    landed |= _search(repo, target, sought, history, present)
    parts = {
        key: [one.ends for one in codes[key].reviews if one.patch and present.issuperset(one.ends)]
        for key in landed.keys() & codes.keys()
    }
    hunks = _hunks(repo, {pair for pairs in parts.values() for pair in pairs})
    standings = {key: standing_of([hunks[pair] for pair in parts.get(key, ())]) for key in landed}
    for key in landed:
        if questions[key].is_before:
            before = standing_of(
                [hunks[pair] for pair in parts.get(key, ()) if pair != codes[key].ends]
            ).rows
            rows = standings[key].rows
            standings[key].rows = {one: rows[one] for one in rows.keys() & before.keys()}
    brought = {
        key: history.brought[one.commit]
        for key, one in landed.items()
        if one.commit in history.brought
    }
    begins = brought | {key: history.begin(pairs[0][1]) for key, pairs in parts.items() if pairs}
    start = min(begins.values(), default=len(history.steps))
    changes = history.changes(start)
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
    return {key: _Stood(one, others.get(key, standings[key])) for key, one in landed.items()}


def _hunks(
    repo: Repository, pairs: Collection[tuple[str, str]]
) -> dict[tuple[str, str], list[Hunk]]:
    """Returns the hunks of changes to the first of two commits, with the rest of their files."""
    ordered, hunks = [*pairs], dict[tuple[str, str], list[Hunk]]()
    for start in range(0, len(ordered), COMMITS_AT_ONCE):
        batch = ordered[start : start + COMMITS_AT_ONCE]
        stdin = "".join(f"{commit} {base}\n" for commit, base in batch).encode()
        arguments = ("diff-tree", "-r", "--stdin", "--always", "-U999999", *_ROWS)
        changes = changes_in(repo.git.run(*arguments, stdin=stdin))
        hunks |= {pair: change.hunks for pair, change in zip(batch, changes, strict=True)}
    return hunks


def _search(
    repo: Repository,
    target: str,
    codes: Mapping[str, Reviewed],
    history: _History,
    present: Set[str],
) -> dict[str, Landed]:
    """Looks for packages' code in the commit `target`, and returns what landed."""
    chains = {key: chain for key, code in codes.items() if (chain := code.chain)}
    if not chains:
        return {}
    landed = dict[str, Landed]()
    merges, spans = dict[str, str](), dict[str, list[tuple[str, str]]]()
    for key, chain in chains.items():
        tip = chain[-1].commit
        if tip in history.brought:
            step = history.steps[history.brought[tip]]
            if step == tip or not chain[0].base:
                landed[key] = Landed("ancestor", tip)
            merges[key] = step
        elif (
            len(history.parents) == COMMITS_MAX
            and tip in present
            and is_ancestor(repo, tip, target)
        ):
            landed[key] = Landed("ancestor", tip)
        spans[key] = [(tip, one.base) for one in chain if present >= {tip, one.base}]
    rest = {key: chain for key, chain in chains.items() if key not in landed}
    changes: dict[tuple[str, ...], None] = {}
    for key, chain in rest.items():
        own = (name for one in chain for name in one.commits if name in present)
        changes |= {(name,): None for name in (*own, *merges.get(key, "").split())}
    changes |= {span: None for key in rest for span in spans[key]}
    files = dict(zip(changes, files_of(repo, [*changes]), strict=True))
    for key, chain in rest.items():
        if files.get((merges.get(key, ""),)):
            landed[key] = Landed("ancestor", chain[-1].commit)
    rest = {key: chain for key, chain in rest.items() if key not in landed}
    found = _found(repo, rest, spans, files, history)
    tree = ""
    for key, chain in chains.items():
        tip = chain[-1].commit
        if key in found:
            landed[key] = found[key]
        elif key not in landed and tip in present and tip not in history.brought:
            tree = tree or repo.git.run("rev-parse", f"{target}^{{tree}}").decode().strip()
            with suppress(ThenceError):  # the two have no commit in common
                if merged_tree(repo, target, tip) == (tree, ()):
                    landed[key] = Landed("merge", target)
    return landed


def _found(
    repo: Repository,
    chains: Mapping[str, Sequence[Reviewed]],
    spans: Mapping[str, Sequence[tuple[str, str]]],
    files: Mapping[tuple[str, ...], Files],
    history: _History,
) -> dict[str, Landed]:
    """Returns the packages whose changes the target's own commits make."""
    paths, sought = dict[str, set[bytes] | None](), dict[str, list[str]]()
    for key, chain in chains.items():
        own = history.past(chain[-1].commit)
        before = history.past(chain[0].base)
        sought[key] = [
            one for one in history.brought if one not in own and one not in before and chain[0].base
        ]
        changes = (*spans[key], *((name,) for one in chain for name in one.commits))
        held = {path for change in changes for path in files.get(change, ())}
        paths[key] = held if spans[key] else None
    asked = {(one,): None for commits in sought.values() for one in commits}
    every = {path for held in paths.values() for path in held or ()}
    is_by_path = None not in paths.values() and len(every) <= PATHS_MAX
    restriction = sorted(map(path_of, every)) if is_by_path else ()
    theirs = dict(zip(asked, files_of(repo, [*asked], restriction), strict=True))
    found = dict[str, Landed]()
    for key, chain in chains.items():
        ids = dict[str, str]()
        for commit in sought[key]:
            ids.setdefault(patch_id(theirs[commit,], paths[key]), commit)
        tip, is_before = chain[-1].commit, True
        ways = list[Sequence[str]]()
        for one in chain:  # what is handed in so far, or since one that landed alone
            single = [way for way in ((one.patch,), one.patches) if way and ids.keys() >= {*way}]
            span = (tip, one.base)
            if is_before and span in files and (whole := patch_id(files[span])) in ids:
                ways.append((whole,))
            is_before = is_before and bool(single)
            if is_before and one is chain[-1]:
                ways += single
        every_one = [patch for one in chain for patch in one.patches]
        ways += [every_one] if every_one and ids.keys() >= {*every_one} else []
        if ways:
            commits = {ids[patch] for patch in ways[0]}
            how = "patch" if len(commits) == 1 else "patches"
            found[key] = Landed(how, max(commits, key=history.brought.__getitem__))
    return found


def nearest(repo: Repository, target: str, code: Reviewed) -> str | None:
    """Returns the commit of the target since a package began that shares most words with it."""
    base = next((one.base for one in code.chain if one.base), None)
    if base is None or absent_of(repo, [base, code.commit]):
        return None
    (hunks,) = _hunks(repo, [(code.commit, base)]).values()
    own = words_of(row for hunk in hunks for row in hunk.added)
    shared = {
        change.commit: len(own & words_of(row for hunk in change.hunks for row in hunk.added))
        for change in _changes(repo, target, base)
    }
    best = max(shared, key=shared.__getitem__, default=None)
    return best if best and shared[best] else None


def was_in(repo: Repository, refs: Sequence[str], commits: Collection[str]) -> set[str]:
    """Returns those commits that one of the refs ever had, as far as this clone noted it."""
    present = {*commits} - absent_of(repo, commits)
    answer = repo.git.ask("log", "--walk-reflogs", "--format=%H", *refs, "--")
    tips = dict.fromkeys(answer.out.decode().split()) if refs and answer.status == 0 else {}
    if not tips or not present:
        return set()
    names = "".join(f"{name}\n" for name in (*present, *(f"^{tip}" for tip in tips)))
    out = repo.git.run("rev-list", "--ignore-missing", "--stdin", stdin=names.encode())
    return present.difference(out.decode().split())


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
