"""What was said of the lines of a repository's commits, judged once each, in order.

The answers are kept in one file beside the log; without it, or where it does not fit the log, all
commits are judged anew. Commits that a hook recorded have their place by the log. Others lie
between their parents and children, and there by the time that git notes: no later edit counts.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import msgspec

from thence.errors import GitFailed, ThenceError
from thence.files import replace_file
from thence.git.repository import repository
from thence.trace.agents.blame import (
    BlamedLine,
    CommitHistory,
    CommitInfo,
    blame,
    hunks_of,
    lines_on_disk,
    uncommitted_hunks,
)
from thence.trace.agents.edits import SECOND, RecordedWork
from thence.trace.agents.fired import SPOOL
from thence.trace.agents.judging import (
    MAYBE,
    NONE,
    NOTHING,
    TELLING_LINES,
    CommitText,
    Former,
    Hunk,
    Judge,
    Said,
    digests,
)

_KEPT = ".judged"
_FORM = 1
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
        self._first = work.edited[0][0] if work.edited else work.end
        self._texts: dict[str, _Added] = {}
        self._bits: dict[str, int] = {}
        self._reached: dict[str, int] = {}
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
        replaced = self._replaced("", hunks, judge.landed)
        said = judge.judge(CommitText("", top, place, hunks, (*replaced,)), self._former(head))
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
            kept = msgspec.msgpack.decode(data, type=_Kept)
            if kept.form == _FORM and kept.edits == self._begun_before(kept.until):
                return kept
        return _Kept()

    def _begun_before(self, place: int) -> int:
        return sum(begun < place for begun, _, _ in self._work.edited)

    def take_in(self) -> None:
        """Judges the commits that were not, and keeps what is said of them; raises GitFailed."""
        if self._is_complete or not self._work.edited:
            return
        self._is_complete = True
        kept = self._kept
        infos = self._history.since(self._first // SECOND, self._work.commits)
        for commit, info in infos.items():
            self._reach(commit, info.parents, kept.replaced.get(commit, ()))
        places = self._places(infos)
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
            replaced = self._replaced(commit, hunks, judge.landed)
            self._reach(commit, parents, replaced)
            kept.replaced |= {commit: [*replaced]} if replaced else {}
            replaced |= self._brought_back(reverted.get(commit, ""), judge.landed)
            tree = record.root if record else trees.get(commit)
            text = CommitText(commit, tree, places[commit], hunks, (*replaced,))
            kept.said[commit] = _runs(judge.judge(text, self._former(next(iter(parents), None))))
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
            form = tuple[dict[int, int], dict[str, str]]
            counts, landed = msgspec.msgpack.decode(self._kept.state, type=form)
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

    def _reach(self, commit: str, parents: Iterable[str], replaced: Iterable[str]) -> None:
        """Notes which commits are in the history of one, as it is or as they were replaced."""
        bit = self._bits.setdefault(commit, 1 << len(self._bits))
        for other in (*parents, *replaced):
            bit |= self._reached.get(other, 0)
        self._reached[commit] = bit

    def _replaced(self, commit: str, hunks: Iterable[Hunk], landed: Mapping[str, str]) -> set[str]:
        """Returns the commits outside of a commit's history that it was made from.

        It rewrote them, or has most of what they added, as a squash with changes or a pick does.
        """
        olds = [commit]
        for old in olds:
            olds += [one for one in self._work.rewritten.get(old, ()) if one not in olds]
        paths = {path for hunk in hunks for path in (hunk.path, hunk.old_path)}
        others = {
            other
            for key, other in landed.items()
            if self._work.edits[key].text.path in paths
            and not self._reached[commit] & self._bits.get(other, 0)
        }
        present = [one for one in self._history.infos(others) if one not in self._texts]
        self._texts |= {one: _added(own) for one, own in hunks_of(self._repo, present)}
        own = _added(hunks)
        held = {one for one in others if one in self._texts and own.holds(self._texts[one])}
        reached = 0
        for one in held:
            reached |= self._reached.get(one, 0)
        return {*olds[1:], *held, *(one for one in others if self._bits.get(one, 0) & reached)}

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
        """Returns the places of commits: none before a parent, nor after a child."""
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
                    places[parent] = min(places[parent], places[commit])
        return places

    def _trees(self, commits: Collection[str]) -> dict[str, str]:
        """Returns the working trees in which commits were made that no hook recorded."""
        trees: dict[str, str] = {}
        if all(commit in self._work.commits for commit in commits):
            return trees
        roots = {edit.text.tree for edit in self._work.edits.values()}
        for root in filter(None, roots):
            with suppress(GitFailed):
                repo = repository(Path(root))
                if repo.common.resolve() == self._repo.common.resolve():
                    trees |= dict.fromkeys(CommitHistory(repo).reflogs.in_tree, root)
        return trees


class _Added(NamedTuple):
    """The lines with words that a commit added, by path, and the digests of the telling ones."""

    lines: frozenset[tuple[str, str]]
    telling: frozenset[int]

    def holds(self, other: "_Added") -> bool:
        """Reports whether half of another's telling lines are here, or all of its few lines."""
        if len(other.telling) >= TELLING_LINES:
            return 2 * len(other.telling & self.telling) >= len(other.telling)
        return len(other.lines) >= 2 and other.lines <= self.lines


def _added(hunks: Iterable[Hunk]) -> _Added:
    added = [
        (hunk.path, text.strip()) for hunk in hunks for sign, text in hunk.lines if sign == "+"
    ]
    lines = frozenset(line for line in added if any(map(str.isalnum, line[1])))
    return _Added(lines, frozenset(digests("\n".join(text for _, text in added))))


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
