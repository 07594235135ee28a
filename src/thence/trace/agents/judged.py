"""What was said of the lines of a repository's commits, judged once each, in order.

The answers are kept in one file beside the log; without it, or where it does not fit the log, all
commits are judged anew. Commits that a hook recorded have their place by the log. Others lie
between their parents and children, and there by the time that git notes: no later edit counts.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec

from thence.core.ready import ready
from thence.errors import GitFailed, ThenceError
from thence.files import replace_file
from thence.git.repository import asked
from thence.trace.agents.blame import (
    BlamedLine,
    CommitHistory,
    CommitInfo,
    blame,
    hunks_of,
    lines_on_disk,
    uncommitted_hunks,
)
from thence.trace.agents.edits import SECOND, Edit, RecordedWork
from thence.trace.agents.fired import SPOOL
from thence.trace.agents.judging import (
    AGENT,
    MAYBE,
    NONE,
    NOTHING,
    TELLING_LINES,
    TELLING_TIMES,
    CommitText,
    Former,
    Hunk,
    Judge,
    Said,
    digests,
)

_KEPT = ".judged"
_FORM = 1
SQUASHED_AMONG = 50  # the newest commits outside of its history that one may be made from
_BASE_LINES_MAX = 1_000_000  # of the files before the first edit that are counted


class _Run(NamedTuple):
    """Lines in a row of which the same is said."""

    first: int
    last: int
    said: Said


class _Kept(msgspec.Struct):
    """The answers by commit and path, but for lines that no agent wrote.

    They hold for the edits begun before the place `until`, of which there were `edits`. `state` has
    the counts and landings of the judge. `replaced` are the commits that one was made from.
    """

    form: int = _FORM
    until: int = 0
    edits: int = 0
    state: bytes = b""
    said: dict[str, dict[str, list[_Run]]] = {}
    replaced: dict[str, list[str]] = {}


class Judgements:
    """The answers about the commits of one repository, from what its log recorded."""

    def __init__(
        self,
        work: RecordedWork,
        history: CommitHistory,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._work, self._history, self._check = work, history, check
        self._repo = history.repo
        places = [begun for begun, _, _ in work.edited[:1]]
        places += [record.place - 1 for record in work.commits.values()]
        self._first = min(places, default=work.end)
        self._changes: dict[str, _Changed] = {}
        self._bits: dict[str, int] = {}
        self._reached: dict[str, int] = {}
        self._seen = 0
        self._added = 0
        self._is_complete = False

    def of_text(self, commit: str, path: str, text: str) -> Said | None:
        """Returns what is said of a line of a file in a commit, None if the commit lacks it."""
        lines = self._history.lines_of((commit,), path).get(commit, ())
        places = [number for number, line in enumerate(lines, 1) if line == text]
        answers = (self.said(BlamedLine(place, text, commit, (path,), place)) for place in places)
        return max(answers, key=lambda said: said.rank) if places else None

    def said(self, line: BlamedLine) -> Said:
        """Returns what is said of a committed line; raises GitFailed."""
        commit = line.commit
        if commit not in self._kept.said and not self._is_complete:
            info, record = self._history.info(commit), self._work.commits.get(commit)
            time = (info.committer_time + 1) * SECOND if info else 0
            if (record.place if record else time) > self._first:
                self.take_in()
        runs = self._kept.said.get(commit, {}).get(line.paths[0], ())
        return next((run.said for run in runs if run.first <= line.at <= run.last), NOTHING)

    def replaced(self, commit: str) -> Sequence[str]:
        """Returns the commits that one was made from, oldest first; raises GitFailed."""
        self.take_in()
        return self._kept.replaced.get(commit, ())

    def edits_of(self, commit: str) -> set[str]:
        """Returns the keys of the edits that lines of a commit are of; raises GitFailed."""
        self.take_in()
        rows = chain(*self._kept.said.get(commit, {}).values())
        return {run.said.edit for run in rows if run.said.rank == AGENT}

    def of_uncommitted(self, path: str) -> dict[int, Said]:
        """Returns what is said of the lines of a file that are not committed, by their numbers."""
        self.take_in()
        head = self._repo.git.commit_of("HEAD")
        hunks = uncommitted_hunks(self._repo) if head else ()
        if path not in {hunk.path for hunk in hunks}:
            texts = lines_on_disk(self._repo, path)
            hunks = (*hunks, Hunk(path, path, 1, 0, tuple(("+", text) for text in texts)))
        judge, place = self._judge(), self._work.end
        self._reach("", (head,) if head else (), ())
        self._add_to(judge, place)
        top = str(self._repo.top.resolve()) if self._repo.top else None
        replaced = self._replaced("", hunks, judge)
        text = CommitText("", top, place, hunks, (*self._all(replaced),))
        at_hand = self._at_hand(text, judge.landed)
        said = self._without_ties(judge.judge(text, self._former(head)), hunks, at_hand)
        return {number: one for (name, number), one in said.items() if name == path}

    @cached_property
    def _file(self) -> Path | None:
        """Where the answers are kept: beside the log, if that is the repository's own."""
        folder = self._work.log.folder
        is_own = folder.resolve().is_relative_to(self._repo.common.resolve())
        return folder / SPOOL / _KEPT if is_own else None

    @cached_property
    def _kept(self) -> _Kept:
        with suppress(OSError, msgspec.DecodeError):
            data = self._file.read_bytes() if self._file else b""
            kept = msgspec.msgpack.decode(data, type=ready(_Kept))
            if kept.form == _FORM and kept.edits == self._begun_before(kept.until):
                return kept
        return _Kept()

    def _begun_before(self, place: int) -> int:
        return sum(begun < place for begun, _, _ in self._work.edited)

    def take_in(self) -> None:
        """Judges the commits that were not, and keeps what is said of them; raises GitFailed."""
        if self._is_complete:
            return
        self._is_complete = True
        kept = self._kept
        oldest = self._first // SECOND
        infos = self._history.since(oldest, self._work.commits)
        # what was picked or rebased may be older than the log
        authored = [info.author_time for one, info in infos.items() if one not in kept.said]
        if min(authored, default=oldest) < oldest:
            infos = self._history.since(min(authored), self._work.commits)
        places = self._places(infos)
        for commit, info in infos.items():
            self._reach(commit, info.parents, kept.replaced.get(commit, ()))
            is_seen = commit in kept.said or places[commit] <= self._first
            self._seen |= self._bits[commit] if is_seen else 0
        new = [one for one in infos if one not in kept.said and places[one] > self._first]
        if not new:
            return
        new.sort(key=lambda commit: places[commit])
        judge = self._judge(infos[new[0]].parents[:1])
        trees, reverted = self._trees(new), self._history.reverted(new)
        for commit, hunks in hunks_of(self._repo, new):
            self._check()
            self._add_to(judge, places[commit])
            parents, record = infos[commit].parents, self._work.commits.get(commit)
            self._reach(commit, parents, ())
            replaced = self._replaced(commit, hunks, judge)
            self._reach(commit, parents, replaced)
            self._seen |= self._bits[commit]
            kept.replaced |= {commit: replaced} if replaced else {}
            back = self._brought_back(reverted.get(commit, ""), judge.landed)
            tree = record.root if record else trees.get(commit)
            text = CommitText(commit, tree, places[commit], hunks, (*self._all(replaced), *back))
            at_hand = self._at_hand(text, judge.landed)
            said = judge.judge(text, self._former(next(iter(parents), None)))
            kept.said[commit] = _runs(self._without_ties(said, hunks, at_hand))
        kept.until = max(kept.until, places[new[-1]])
        kept.edits = self._begun_before(kept.until)
        kept.state = msgspec.msgpack.encode((judge.counts, judge.landed))
        if self._file is not None:
            with suppress(ThenceError, OSError):
                replace_file(self._file, msgspec.msgpack.encode(kept), 0o600)

    def _judge(self, base: Sequence[str] = ()) -> Judge:
        """Returns the judge as it was after the last commit, or at a base, without any edit."""
        self._added = 0
        if self._kept.state:
            counts, landed = msgspec.msgpack.decode(
                self._kept.state, type=tuple[dict[int, int], dict[str, str]]
            )
            return Judge(counts, {key: landed[key] for key in landed if key in self._work.edits})
        counts = defaultdict[int, int](int)
        for commit in base:
            words = ("grep", "--no-color", "-I", "-h", "-E", "-e", "[[:alnum:]].{11}", commit)
            with self._repo.git.open_process(*words) as process:
                assert process.stdout is not None
                for _, line in zip(range(_BASE_LINES_MAX), process.stdout, strict=False):
                    for digest in digests(line.decode("utf-8", "replace").rstrip("\r\n")):
                        counts[digest] += 1
        return Judge(counts)

    def _add_to(self, judge: Judge, place: int) -> None:
        """Gives the judge the edits that began before a place."""
        edits = [*self._work.edits.values()]
        while self._added < len(edits) and edits[self._added].text.begun < place:
            judge.add(edits[self._added].text)
            self._added += 1

    def _at_hand(self, commit: CommitText, landed: Collection[str]) -> list[Edit]:
        """Returns the edits of a commit's files in its tree since their last commits."""
        edits = (
            edit for path in {hunk.path for hunk in commit.hunks} for edit in self._by_path[path]
        )
        return [
            edit
            for edit in edits
            if edit.text.tree == commit.tree
            and edit.text.begun < commit.place
            and edit.text.key not in landed
        ]

    @cached_property
    def _by_path(self) -> Mapping[str, list[Edit]]:
        by_path = defaultdict[str, list[Edit]](list)
        for edit in self._work.edits.values():
            by_path[edit.text.path].append(edit)
        return by_path

    def _without_ties(
        self, said: dict[tuple[str, int], Said], hunks: Iterable[Hunk], at_hand: Sequence[Edit]
    ) -> dict[tuple[str, int], Said]:
        """Returns the answers, unknown where another session's edit fits as well as the first's.

        It has the line as new, and no other line beside it.
        """
        if len({edit.session for edit in at_hand}) < 2:
            return said
        told = dict(said)
        for hunk in hunks:
            lines = [text.strip() for sign, text in hunk.lines if sign != "-"]
            for at, line in enumerate(lines):
                one = said.get((hunk.path, hunk.start + at), NOTHING)
                session = self._work.edits[one.edit].session if one.rank == AGENT else None
                if session and any(
                    edit.session != session and _fits(edit, lines, at) for edit in at_hand if line
                ):
                    told[hunk.path, hunk.start + at] = Said(MAYBE, one.edit, "tie")
        return told

    def _reach(self, commit: str, parents: Iterable[str], replaced: Iterable[str]) -> None:
        """Notes which commits are in the history of one, as they are or as they were replaced."""
        bit = self._bits.setdefault(commit, 1 << len(self._bits))
        for other in (*parents, *replaced):
            bit |= self._reached.get(other, 0)
        self._reached[commit] = bit

    def _replaced(self, commit: str, hunks: Iterable[Hunk], judge: Judge) -> list[str]:
        """Returns the commits outside of a commit's history that it was made from, oldest first.

        A hook saw it rewritten, or it copies what the same author changed in the same second, or it
        has what a recorded commit changed: a squash does, also with changes.
        """
        olds = [commit]
        for old in olds:
            olds += [one for one in self._work.rewritten.get(old, ()) if one not in olds]
        own, info = _changed(hunks), self._history.info(commit) if commit else None
        outside = self._seen & ~self._reached[commit]
        others = [one for one in self._bits if self._bits[one] & outside] if outside else []
        infos = self._history.infos([*olds[1:], *others])
        others = [
            one
            for one in others
            if one in infos
            and (one in self._work.commits or (info and infos[one].authorship == info.authorship))
        ][-SQUASHED_AMONG:]
        needed = [one for one in infos if one in (*olds, *others) and one not in self._changes]
        self._changes |= {one: _changed(own) for one, own in hunks_of(self._repo, needed)}
        counts, changes = judge.counts, [self._changes[one] for one in others]
        came = {(path, text) for one in changes for path, sign, text in one.lines if sign == "+"}
        went = {(path, text) for one in changes for path, sign, text in one.lines if sign == "-"}
        held = [
            one
            for one, change in zip(others, changes, strict=True)
            if own.holds(change, counts, came & went)
        ]
        reached = 0
        for one in held:
            reached |= self._reached[one]
        known = [*olds[:0:-1], *(one for one in others if self._bits[one] & reached)]
        replaced = list(dict.fromkeys(known))
        for one in {*replaced} - {*chain(*self._kept.replaced.values())}:
            for digest in self._changes[one].telling if one in self._changes else ():
                counts[digest] -= 1  # what was replaced is not there a second time
        return replaced

    def _all(self, replaced: Sequence[str]) -> list[str]:
        """Returns commits and those that they were made from, and so on."""
        every = [*replaced]
        for one in every:
            olds = (*self._kept.replaced.get(one, ()), *self._work.rewritten.get(one, ()))
            every += [old for old in olds if old not in every]
        return every

    def _brought_back(self, reverted: str, landed: Mapping[str, str]) -> set[str]:
        """Returns the commits whose edits wrote what a commit removed that is reverted."""
        info = self._history.info(reverted) if reverted else None
        if info is None or not info.parents:
            return set()
        former = self._former(info.parents[0])
        ((_, hunks),) = hunks_of(self._repo, (reverted,))
        removed = (
            former(hunk.old_path, number)
            for hunk in hunks
            for number, (sign, _) in enumerate(
                (line for line in hunk.lines if line[0] != "+"), hunk.old_start
            )
            if sign == "-"
        )
        return {landed[said.edit] for said in removed if said and said.edit in landed}

    def _former(self, parent: str | None) -> Former:
        """Returns what answers for the lines of a commit's parent."""

        @cache
        def lines_of(path: str) -> list[BlamedLine]:
            with suppress(GitFailed):
                return blame(self._repo, path, commit=parent) if parent else []
            return []

        def former(path: str, number: int) -> Said | None:
            lines = lines_of(path)
            if not 1 <= number <= len(lines):
                return None
            said = self.said(lines[number - 1])
            record = self._work.commits.get(lines[number - 1].commit)
            if said.rank or record is None:
                return said if said.rank else None
            return NOTHING if record.by == "person" else Said(MAYBE)

        return former

    def _places(self, infos: dict[str, CommitInfo]) -> dict[str, int]:
        """Returns the places of commits: none before a parent, nor after a child.

        Git's times are whole seconds. A commit that no hook recorded comes after what was done in
        its second, but for one that has a child here: that comes before it.
        """
        places: dict[str, int] = {}
        records = self._work.commits
        for commit, info in infos.items():
            time = min((info.committer_time + 1) * SECOND - 1, self._work.end)
            before = [places[parent] for parent in info.parents if parent in places]
            before += [
                records[old].place for old in self._work.rewritten.get(commit, ()) if old in records
            ]
            places[commit] = records[commit].place if commit in records else max(time, *before, 0)
        for commit in reversed(infos):
            for parent in infos[commit].parents:
                if parent in places and parent not in records:
                    above = [records[one].place for one in infos[parent].parents if one in records]
                    second = max(infos[parent].committer_time * SECOND, *above, 0)
                    places[parent] = min(places[parent], places[commit], second)
        return places

    def _trees(self, commits: Collection[str]) -> dict[str, str]:
        """Returns the working trees in which commits were made that no hook recorded."""
        trees: dict[str, str] = {}
        if all(commit in self._work.commits for commit in commits):
            return trees
        roots = {edit.text.tree for edit in self._work.edits.values()}
        for root in filter(None, roots):
            with suppress(GitFailed):
                repo = asked(Path(root))
                if repo.common.resolve() == self._repo.common.resolve():
                    trees |= dict.fromkeys(CommitHistory(repo).reflogs.in_tree, root)
        return trees


class _Changed(NamedTuple):
    """The lines with words that a commit added and removed, and digests of telling added ones."""

    lines: frozenset[tuple[str, str, str]]
    telling: frozenset[int]

    def holds(
        self, other: "_Changed", counts: Mapping[int, int], passing: Collection[tuple[str, str]]
    ) -> bool:
        """Reports whether half of another's rare telling lines are here, or all of its few lines.

        It is counted itself. Lines that are `passing` came and went beside it.
        """
        rare = {one for one in other.telling if counts[one] <= TELLING_TIMES + 1}
        if len(rare) >= TELLING_LINES:
            return 2 * len(rare & self.telling) >= len(rare)
        lasting = {line for line in other.lines if (line[0], line[2]) not in passing}
        return any(lines and lines <= self.lines for lines in (other.lines, lasting))


def _fits(edit: Edit, lines: Sequence[str], at: int) -> bool:
    """Reports whether an edit has a line as new, between the same lines as far as it has any."""
    new, old = (
        [line.strip() for line in (text or "").split("\n")]
        for text in (edit.text.new.removesuffix("\n"), edit.text.old)
    )
    return lines[at] not in old and any(
        line == lines[at]
        and new[:number][-1:] in ([], lines[:at][-1:])
        and new[number + 1 :][:1] in ([], lines[at + 1 :][:1])
        for number, line in enumerate(new)
    )


def _changed(hunks: Iterable[Hunk]) -> _Changed:
    lines = {(hunk.path, sign, text.strip()) for hunk in hunks for sign, text in hunk.lines}
    changed = frozenset(line for line in lines if line[1] != " " and any(map(str.isalnum, line[2])))
    telling = (text for _, sign, text in changed if sign == "+")
    return _Changed(changed, frozenset(digests("\n".join(telling))))


def _runs(said: Mapping[tuple[str, int], Said]) -> dict[str, list[_Run]]:
    """Returns the answers of lines that an agent wrote, or may have."""
    runs = defaultdict[str, list[_Run]](list)
    for (path, number), one in sorted(said.items()):
        own = runs[path] if one.rank > NONE else []
        if own and (own[-1].last, own[-1].said) == (number - 1, one):
            own[-1] = own[-1]._replace(last=number)
        else:
            own.append(_Run(number, number, one))
    return runs
