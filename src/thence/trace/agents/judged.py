"""What a log has of the work in a repository, and what is said of the lines of its commits.

Commits, rewrites, and what edits wrote into files have places in one order. The events of one node
are in the log's order; only times order them against those of another node, against a transcript's,
and against commits that no hook recorded: these lie between their parents and children, and there
by the time that git notes, so that no later edit counts.

Each commit is judged once, in that order. The answers are kept in one file beside the log; without
it, or where it does not fit the log, all commits are judged anew.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache, cached_property, lru_cache, reduce
from itertools import chain
from operator import eq, or_
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from thence.core.bodies import BodyMissing
from thence.core.clock import microseconds
from thence.core.event import Event
from thence.core.ready import ready
from thence.errors import EventNotFound, GitFailed, ThenceError
from thence.files import replace_file
from thence.git.blame import BlamedLine, blame, lines_on_disk
from thence.git.repository import asked, made_in
from thence.log.files.disk import OS_DISK
from thence.log.files.identity import known_node_ids
from thence.log.open import Log
from thence.trace.agents.fired import SPOOL
from thence.trace.agents.history import CommitHistory, CommitInfo, hunks_of, uncommitted_hunks
from thence.trace.agents.judging import (
    AGENT,
    MAYBE,
    NOTHING,
    TELLING_LINES,
    TELLING_TIMES,
    CommitText,
    EditText,
    Hunk,
    Judge,
    Said,
    digests,
)
from thence.trace.agents.sessions import list_of, text_of

_KEPT = ".judged"
FILES_BLAMED = 64
SQUASHED_AMONG = 50  # the newest commits outside of its history that one may be made from
_BASE_LINES_MAX = 1_000_000  # of the files before the first edit that are counted
SECOND = 1_000_000  # places are microseconds, or follow the place before by one
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
FILES = b'"files":['  # in the line of an event with edits


class CommitRecord(NamedTuple):
    """An event of a commit, with its place."""

    place: int
    event: Event
    commit: str
    root: str | None
    session: str | None
    by: str

    @property
    def maker(self) -> tuple[str | None, ...]:
        """Who made it: a kind, its session, and the subagent of that."""
        return self.by, self.session, text_of(self.event.cut_payload, "agent")


class RecordedWork:
    """The commits, rewrites and edits of a log, which is read once.

    `commits` are in the log's order. Hooks of two commits named those that are `disputed`.
    `edited` are the events of edits with the places of their calls, in the order of their begin.
    `first_moment` is the time of the first event that a hook recorded.
    """

    def __init__(self, log: Log, top: Path | None) -> None:
        self.log, self._top = log, os.path.realpath(top) if top else None
        self.commits: dict[str, CommitRecord] = {}
        self.rewritten: dict[str, list[str]] = {}
        self.disputed: set[str] = set()
        self.edited: list[tuple[int, int, Event]] = []
        self._nodes = {"", *known_node_ids(OS_DISK, log.folder)}
        self._begun: dict[str, int] = {}
        self._last: dict[tuple[str, str | None], int] = {}
        self._real = cache(os.path.realpath)  # asks the disk about each folder above
        self.first_moment = ""
        for event in log.read():
            if not self.first_moment and event.header.source != "transcript":
                self.first_moment = event.timestamp or ""
            if event.event_type == "tool.begun":
                self._begun[event.event_id] = self._place(event)
            elif event.event_type == "tool.ended" and FILES in event.line:
                place = self._place(event)
                self.edited.append((self._begun.get(event.ends or "", place), place, event))
            elif event.event_type in ("commit", "rewrite"):
                payload = event.cut_payload
                names = (text_of(payload, name) or "" for name in ("commit", "old", "new"))
                commit, old, new = (name if _COMMIT.fullmatch(name) else "" for name in names)
                if event.event_type == "rewrite" and old and new and old != new:
                    self.rewritten.setdefault(new, []).append(old)
                elif event.event_type == "commit" and commit:
                    where = self._tree(event, payload.get("root")), text_of(payload, "session")
                    by = str(payload.get("by"))
                    record = CommitRecord(self._place(event), event, commit, *where, by)
                    first = self.commits.setdefault(commit, record)
                    if first.maker != record.maker:
                        self.disputed.add(commit)
        self.edited.sort(key=lambda edited: edited[0])
        self._by_id = {edited[2].event_id: edited for edited in self.edited}

    def _place(self, event: Event) -> int:
        """Returns the next place of an event's node, or of its session in a transcript."""
        time = microseconds(event.timestamp or "") or 0
        writer = event.node_id, event.stream if event.header.source == "transcript" else None
        self._last[writer] = max(time, self._last.get(writer, 0) + 1)
        return self._last[writer]

    @property
    def end(self) -> int:
        """The place behind all others."""
        return max(self._last.values(), default=0) + 1

    @cached_property
    def edits(self) -> dict[str, EditText]:
        """What the edits wrote, by their keys, in the order of their begin."""
        edits = (edit for edited in self.edited for edit in self._read(*edited))
        return {edit.key: edit for edit in edits}

    def edit(self, key: str) -> tuple[EditText, Event] | None:
        """Returns the edit of a key with its event; None for one that the log no longer has."""
        if (edited := self._by_id.get(key.partition("/")[0])) is None:
            return None
        return next(((edit, edited[2]) for edit in self._read(*edited) if edit.key == key), None)

    def _read(self, begun: int, place: int, event: Event) -> Iterator[EditText]:
        try:
            payload = event.payload
        except BodyMissing:
            return
        session = text_of(payload, "session") or event.stream
        own_tree, files = self._tree(event, payload.get("root")), list_of(payload.get("files"))
        files = [
            file for file in files if isinstance(file, dict) and isinstance(file.get("path"), str)
        ]
        for number, file in enumerate(files):
            added, removed = file.get("added"), file.get("removed")
            if not isinstance(added, str):
                continue
            if removed is None and not file.get("is_hunk") and event.ends:  # as the hook saw it
                with suppress(EventNotFound, BodyMissing):
                    removed = self.log.get(event.ends).payload.get("before")
            # what its user changed before it was written replaced something unknown
            is_known = isinstance(removed, str) and not file.get("is_user_modified")
            is_new = removed is None and file.get("is_hunk") is True  # by a patch
            old = removed if is_known else "" if is_new else None
            # the real path, as the hook saw it
            path, tree = os.path.normpath(text_of(file, "real") or file["path"]), own_tree
            folder = self._of_node(event) if os.path.isabs(path) or not tree else f"{tree}{os.sep}"
            full_path = f"{folder}{path}"
            if tops := [top for top in self._roots if full_path.startswith(f"{top}{os.sep}")]:
                tree = max(tops, key=len)
                path = full_path[len(tree) + 1 :]
            key = f"{event.event_id}/{number}"
            yield EditText(key, path, tree, place, begun, added, old, session)

    def _of_node(self, event: Event) -> str:
        """Returns what stands before the paths of an event: "" if it is of this log.

        Clones of a team may have the same path, each on its own machine.
        """
        return "" if event.node_id in self._nodes else f"{event.node_id}:"

    def _tree(self, event: Event, root: Any) -> str | None:
        """Returns the working tree of an event, which has a top folder and a node."""
        is_path = isinstance(root, str) and root and "\0" not in root
        return f"{self._of_node(event)}{self._real(root)}" if is_path else None

    @cached_property
    def _roots(self) -> frozenset[str]:
        tops = {record.root for record in self.commits.values()} | {
            self._tree(event, event.cut_payload.get("root")) for _, _, event in self.edited
        }
        return frozenset(filter(None, (*tops, self._top)))


class _Kept(msgspec.Struct):
    """The answers by commit and path, with the numbers of their lines, but for those of no agent.

    They hold for the edits begun before the place `until`, of which there were `edits`. `state` has
    the counts and landings of the judge. `origins` are the commits that one was made from.
    """

    until: int = 0
    edits: int = 0
    state: bytes = b""
    said: dict[str, dict[str, list[tuple[Said, list[int]]]]] = {}
    origins: dict[str, list[str]] = {}


class Judgements:
    """The answers about the commits of one repository, from what its log recorded."""

    def __init__(self, work: RecordedWork, history: CommitHistory) -> None:
        self._work, self._history = work, history
        self._repo = history.repo
        places = [begun for begun, _, _ in work.edited[:1]]
        places += [record.place - 1 for record in work.commits.values()]
        self._first = min(places, default=work.end)
        self._hunks: dict[str, tuple[Hunk, ...]] = {}
        self._bits: dict[str, int] = {}
        self._reached: dict[str, int] = {}
        self._waiting: list[EditText] = []  # edits that the judge does not have, the last first
        self._is_complete = False
        self._blamed = lru_cache(FILES_BLAMED)(self._blame)
        self._added_by = cache(lambda commit: _added(self._hunks_of([commit])[commit]))

    def said(self, line: BlamedLine) -> Said:
        """Returns what is said of a committed line; raises GitFailed."""
        self.take_in()
        return self._said_at(line.commit, line.paths[0], line.at)

    def _said_at(self, commit: str, path: str, number: int) -> Said:
        answers = self._kept.said.get(commit, {}).get(path, ())
        return next((said for said, numbers in answers if number in numbers), NOTHING)

    def origins(self, commit: str) -> list[str]:
        """Returns the commits that one was made from, and those these were; raises GitFailed."""
        self.take_in()
        origins = [commit]
        for one in origins:
            olds = (*self._work.rewritten.get(one, ()), *self._kept.origins.get(one, ()))
            origins += [old for old in dict.fromkeys(olds) if old not in origins]
        return origins[1:]

    def of_uncommitted(self, path: str) -> dict[int, Said]:
        """Returns what is said of the lines of a file that are not committed, by their numbers."""
        self.take_in()
        head = self._repo.git.commit_of("HEAD")
        hunks = uncommitted_hunks(self._repo) if head else ()
        if path not in {hunk.path for hunk in hunks}:
            texts = lines_on_disk(self._repo, path)
            hunks = (*hunks, Hunk(path, path, 1, 0, tuple(("+", text) for text in texts)))
        top = str(self._repo.top.resolve()) if self._repo.top else None
        text = CommitText("", top, self._work.end, hunks)
        said = self._judged(self._judge(), text, (head,) if head else ())
        return {number: one for (name, number), one in said.items() if name == path}

    def _judged(
        self, judge: Judge, text: CommitText, parents: Iterable[str]
    ) -> dict[tuple[str, int], Said]:
        """Returns what is said of a commit's lines, those of its origins as it was said of these.

        Its origins are the commits outside of its history of which it has what they changed: half
        of the rare telling lines that one added, or all of its few lines. It copies those that the
        same author made in the same second and that have half of it; else it may be a squash of
        recorded ones, with all that lie before one. Equal lines are told apart by the lines around
        them; of several the newest counts.
        """
        while self._waiting and self._waiting[-1].begun < text.place:
            judge.add(self._waiting.pop())
        kept = self._kept
        kept.origins.pop(text.commit, None)
        self._reach(text.commit, parents)
        own, info = _added(text.hunks), self._history.info(text.commit) if text.commit else None
        reached, times = self._reached[text.commit], judge.counts
        infos = self._history.infos(one for one, bit in self._bits.items() if not bit & reached)
        alike = {one for one in infos if info and infos[one].authorship == info.authorship}
        others = [one for one in infos if one in alike or one in self._work.commits]
        others = others[-SQUASHED_AMONG:]
        self._hunks_of(others)  # at once
        held, here = list[str](), {digest for digest, _, _ in own}
        for one in others:
            lines = self._added_by(one)
            rare = {line[0] for line in lines if line[0] and times[line[0]] <= TELLING_TIMES + 1}
            is_whole, is_half = bool(lines) and lines <= own, 2 * len(rare & here) >= len(rare)
            if is_half if len(rare) >= TELLING_LINES else is_whole:
                held.append(one)
        near = (one for one in held if one in alike)
        copied = [one for one in near if 2 * len(self._added_by(one) & own) >= len(own)]
        before = reduce(or_, (self._reached[one] for one in held), 0)
        if made_from := copied or [one for one in others if self._bits[one] & before]:
            kept.origins[text.commit] = made_from
            self._reach(text.commit, parents)
        origins = self.origins(text.commit)
        places = defaultdict[tuple[str, str], list[tuple[list[str], str, int]]](list)
        for origin, hunks in reversed(self._hunks_of(origins).items()):
            for hunk in hunks:
                for number, line, *around in _added_in(hunk):
                    places[hunk.path, line].append((around, origin, number))
        brought: dict[tuple[str, int], Said] = {}
        for hunk in text.hunks if places else ():
            for number, line, *around in _added_in(hunk):
                path = hunk.path if (hunk.path, line) in places else hunk.old_path
                if equal := places.get((path, line)):
                    _, origin, at = max(equal, key=lambda one: sum(map(eq, one[0], around)))
                    said = self._said_at(origin, path, at)
                    brought[hunk.path, number] = said._replace(commit=said.commit or origin)
        paths = (path for origin in origins for path in kept.said.get(origin, {}).values())
        again = {said.edit for said, _ in chain.from_iterable(paths) if said.rank == AGENT}
        return judge.judge(text._replace(brought=brought, again=again), self._former)

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
            if kept.edits == self._begun_before(kept.until):
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
            if commit in kept.said or places[commit] <= self._first:
                self._reach(commit, info.parents)
        new = [one for one in infos if one not in kept.said and places[one] > self._first]
        if not new:
            return
        new.sort(key=lambda commit: places[commit])
        judge = self._judge(infos[new[0]].parents[:1])
        trees: dict[str, str] = {}  # in which commits were made that no hook recorded
        if any(commit not in self._work.commits for commit in new):
            for root in filter(None, {edit.tree for edit in self._work.edits.values()}):
                with suppress(GitFailed):
                    repo = asked(Path(root))
                    if repo.common.resolve() == self._repo.common.resolve():
                        trees |= dict.fromkeys(made_in(repo), root)
        for commit, hunks in hunks_of(self._repo, new):
            info, record = infos[commit], self._work.commits.get(commit)
            tree = record.root if record else trees.get(commit)
            reverts = [*chain(*self._hunks_of(info.reverts).values())]
            text = CommitText(commit, tree, places[commit], hunks, reverts=reverts)
            text = text._replace(sessions=info.sessions)
            answers = self._judged(judge, text, info.parents)
            lines: dict[str, dict[Said, list[int]]] = {}
            for (path, number), said in answers.items():
                if said != NOTHING:
                    lines.setdefault(path, {}).setdefault(said, []).append(number)
            kept.said[commit] = {path: [*own.items()] for path, own in lines.items()}
            firsts = (said for said in answers.values() if said.rank == AGENT and not said.commit)
            makers = {self._work.edits[said.edit].session for said in firsts}
            is_by_its_maker = record and record.by == "agent" and record.session in makers
            if is_by_its_maker and commit not in self._work.rewritten:
                # what two agents did alike at once, each of them did
                kept.origins.pop(commit, None)
                self._reach(commit, info.parents)
        kept.until = max(kept.until, places[new[-1]])
        kept.edits = self._begun_before(kept.until)
        kept.state = msgspec.msgpack.encode((judge.counts, judge.landed))
        if self._file is not None:
            with suppress(ThenceError, OSError):
                replace_file(self._file, msgspec.msgpack.encode(kept), 0o600)

    def _judge(self, base: Sequence[str] = ()) -> Judge:
        """Returns the judge as it was after the last commit, or at a base, without any edit."""
        self._waiting = [*self._work.edits.values()][::-1]
        if self._kept.state:
            counts, landed = msgspec.msgpack.decode(
                self._kept.state, type=tuple[dict[int, int], dict[str, list[int]]]
            )
            edits = self._work.edits
            return Judge(counts, {key: landed[key] for key in edits.keys() & landed})
        counts = defaultdict[int, int](int)
        for commit in base:
            words = ("grep", "--no-color", "-I", "-h", "-E", "-e", "[[:alnum:]].{11}", commit)
            with self._repo.git.open_process(*words) as process:
                assert process.stdout is not None
                for _, line in zip(range(_BASE_LINES_MAX), process.stdout, strict=False):
                    for digest in digests(line.decode("utf-8", "replace").rstrip("\r\n")):
                        counts[digest] += 1
        return Judge(counts)

    def _reach(self, commit: str, parents: Iterable[str]) -> None:
        """Notes which commits are in the history of one, as they are or as they were replaced."""
        bit = self._bits.setdefault(commit, 1 << len(self._bits))
        for other in (*parents, *self._kept.origins.get(commit, ())):
            bit |= self._reached.get(other, 0)
        self._reached[commit] = bit

    def _hunks_of(self, commits: Iterable[str]) -> dict[str, tuple[Hunk, ...]]:
        """Returns what those commits changed that this clone has."""
        infos = self._history.infos(commits)
        new = [one for one in infos if one not in self._hunks]
        self._hunks |= hunks_of(self._repo, new)
        return {one: self._hunks[one] for one in infos}

    def _former(self, hunk: Hunk, number: int) -> Said | None:
        """Returns what was said of a line that a hunk removes."""
        info = self._history.info(hunk.commit) if hunk.commit else None
        parents = info.parents if info else ("HEAD",)
        lines = self._blamed(parents[0], hunk.old_path) if parents else []
        if not 1 <= number <= len(lines):
            return None
        line = lines[number - 1]
        said = self.said(line)
        record = self._work.commits.get(said.commit or line.commit)
        if said.rank or record is None:
            return said if said.rank else None
        return NOTHING if record.by == "person" else Said(MAYBE)

    def _blame(self, commit: str, path: str) -> list[BlamedLine]:
        with suppress(GitFailed):
            return blame(self._repo, path, commit=commit)
        return []

    def _places(self, infos: dict[str, CommitInfo]) -> dict[str, int]:
        """Returns the places of commits: none before a parent, nor after a child.

        Git's times are whole seconds. A commit that no hook recorded comes after what was done in
        its second, but for one that has a child here: that comes before it. A hook may see a commit
        a second late, and still a copy of it comes after.
        """
        places: dict[str, int] = {}
        records = self._work.commits
        made = {
            info.authorship: records[one].place for one, info in infos.items() if one in records
        }
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
                    replaced = self._work.rewritten.get(parent, ())
                    above += [records[old].place + 1 for old in replaced if old in records]
                    original = made.get(infos[parent].authorship, -1)
                    above += [original + 1] if original < places[commit] else []
                    second = max(infos[parent].committer_time * SECOND, *above, 0)
                    places[parent] = min(places[parent], places[commit], second)
        return places


def _added_in(hunk: Hunk) -> Iterator[tuple[int, str, str, str]]:
    """Yields the number of each added line, it and those around, without their indents."""
    texts = ["", *(text.strip() for _, text in hunk.after), ""]
    for at, (sign, _) in enumerate(hunk.after):
        if sign == "+":
            yield hunk.start + at, texts[at + 1], texts[at], texts[at + 2]


def _added(hunks: Iterable[Hunk]) -> set[tuple[int, str, str]]:
    """Returns the lines with words that were added: digests of telling ones, paths, and texts."""
    return {
        (next(digests(text), 0), hunk.path, text)
        for hunk in hunks
        for _, text, *_ in _added_in(hunk)
        if any(map(str.isalnum, text))
    }
