"""Who owns a commit or a line: the agent, its task and what the user asked, or a person.

Owners are never told by time, and never guessed. A commit has the owner that its event names, and
without one is unknown: nobody saw whose it is. One that was rewritten, picked or squashed has that
of the commits it came from. A line has that of the edit whose text holds
it, made in the working tree that its commit was made from, after the last commit there that had
the line. Where two agents may have written it, the answer says so.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple

from thence.core.bodies import BodyMissing
from thence.core.clock import timestamp_at
from thence.core.event import Event
from thence.errors import EventNotFound, GitFailed
from thence.git.repository import Repository
from thence.log.files.disk import OS_DISK
from thence.log.files.identity import known_node_ids
from thence.log.open import Log
from thence.trace.agents.blame import BlamedLine, CommitHistory, CommitInfo
from thence.trace.agents.committing import agent_said_by
from thence.trace.agents.edits import (
    AgentEdit,
    WrittenLine,
    best_fitting,
    first_writers,
    patched_rows,
    row_of,
)
from thence.trace.agents.hook_script import has_git_hooks
from thence.trace.agents.sessions import text_of

OID_SHOWN = 12
CHAIN_MAX = 50
REWRITES_MAX = 1_000
SQUASHED_AMONG = 50  # the newest commits of the log that a squash is searched for
_CHECKED_EVERY = 1_000  # events of the log that are read
CLOCK_S = 86_400  # the most by which clocks of two machines are taken to differ
_SECOND = len("2026-11-29T16:30:00")  # git's times are whole seconds
_SECONDS_MAX = (
    250_000_000_000  # those of a commit are anybody's; a timestamp has four digits a year
)
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_PACKAGE_TYPES = ("WPAssigned", "WPReviewed", "WPLanded")
_FILES = b'"files":['
# why the hook of git could not say whose a commit is
_DOUBTS = {
    "sessions": "several sessions may have made it",
    "witnesses": "the session that its variables name is not the one that its processes belong to",
    "ended": "its variables name a session that had ended",
    "elsewhere": "its variables name a session that this log does not have",
    "no_call": "no call was open: the user made it, as by `!`, or what an ended call left running",
    "background": "no call was open: the user made it, as by `!`, or one in the background",
    "processes": "the parents of its process could not be read when it was made",
    "variables": "an agent that thence does not know made it: its variables were set",
    "no_session": "no agent's hook had fired since the machine started",
}

_DISPUTED = "the hooks of two commits name it, one right after the other"

Kind = Literal["agent", "person", "bot", "unknown"]


class Owner(NamedTuple):
    """The owner of a commit or a line.

    `name` is the actor of an agent, else the author in git. `chain` leads from the edit, or from
    the commit's event, to what the user asked. `via` are the steps from the commit to its owner,
    `reason` says why it is unknown, `others` own parts of a commit that was made of several. Where
    `is_agent_unknown` the session's main agent or one of its subagents made it.
    """

    kind: Kind
    name: str = ""
    session: str | None = None
    agent: str | None = None
    agent_type: str | None = None
    commit: str = ""
    commit_event: Event | None = None
    chain: tuple[Event, ...] = ()
    via: tuple[str, ...] = ()
    reason: str = ""
    others: "tuple[Owner, ...]" = ()
    is_agent_unknown: bool = False

    @property
    def key(self) -> tuple[str, str | None, str | None]:
        """What two owners that are the same share: kind, session or name, subagent."""
        return self.kind, self.session or self.name, self.agent

    @property
    def edit(self) -> Event | None:
        """The edit whose text holds the line."""
        return self.chain[0] if self.chain and _FILES in self.chain[0].line else None

    @property
    def prompt(self) -> Event | None:
        """What the user asked."""
        return next((event for event in self.chain if event.event_type == "prompt"), None)


class CommitRecord(NamedTuple):
    """An event of a commit, with its place in the log."""

    place: int
    event: Event
    commit: str
    root: str | None
    session: str | None
    by: str


class Ownership:
    """The answers about one repository, from one log that is read once.

    `journal` gives the events of the project's packages, asked for where nothing else tells.
    `check` is called often while the log is read, and may raise. `commits` and `recorded` are those
    that the log has events of, in its order.
    """

    def __init__(
        self,
        log: Log,
        repo: Repository,
        journal: Callable[[], Iterable[Event]] = tuple,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.history = CommitHistory(repo)
        self.commits: dict[str, CommitRecord] = {}
        self.rewritten: dict[str, list[str]] = {}
        self._edits: list[tuple[int, Event]] = []
        self._begun: dict[str, int] = {}
        self._disputed: set[str] = set()
        self._journal = journal
        self._lines: Sequence[BlamedLine] = ()
        self._together: set[str] = set()
        self._has_hook = has_git_hooks(log.folder)
        self._nodes = {"", *known_node_ids(OS_DISK, log.folder)}
        self._owners: dict[str, Owner] = {}
        # each is found once
        get = cache(lambda event_id: held(log, event_id))
        self._chain = cache(lambda event: chain_of(event, get))
        self._origins = cache(self._find_origins)
        self._records_of = cache(self._find_records_of)
        self._contents = cache(self._find_contents)
        self._texts = cache(self._find_texts)
        self._end, self._first_moment = 0, ""
        for place, event in enumerate(log.read()):
            self._end = place + 1
            self._first_moment = self._first_moment or event.timestamp
            if not place % _CHECKED_EVERY:
                check()
            self._note(place, event)
        self.recorded = [*self.commits]

    def _note(self, place: int, event: Event) -> None:
        if event.event_type == "tool.begun":
            self._begun[event.event_id] = place
        elif event.event_type == "tool.ended" and _FILES in event.line:
            self._edits.append((place, event))
        elif event.event_type in ("commit", "rewrite"):
            payload = event.cut_payload
            commit, old, new = (_commit(payload.get(name)) for name in ("commit", "old", "new"))
            if event.event_type == "rewrite" and old and new and old != new:
                self.rewritten.setdefault(new, []).append(old)
            elif event.event_type == "commit" and commit:
                where = self._tree(event, payload.get("root")), text_of(payload, "session")
                record = CommitRecord(place, event, commit, *where, str(payload.get("by")))
                first = self.commits.setdefault(commit, record)
                if (first.by, first.session) != (record.by, record.session):
                    self._disputed.add(commit)

    # commits

    def of_commit(self, commit: str) -> Owner:
        """Returns the owner of a commit; raises GitFailed, `read_failed`."""
        if commit not in self._owners:
            self._owners[commit] = Owner(
                "unknown", commit=commit, reason="its rewrites are circular"
            )
            try:
                owner = self._of_commit(commit)
            except GitFailed as error:
                owner = _lacking(error)
            self._owners[commit] = owner._replace(commit=commit)
        return self._owners[commit]

    def _of_commit(self, commit: str) -> Owner:
        step, origins = self._origins(commit)
        owner = self._joined(origins)
        if not origins:
            return self._alone(commit)
        if owner is None:  # whoever made the copy need not have made what it is a copy of
            owner = self.of_commit(origins[0])
            if not owner.via:
                reason = f"its original is {origins[0][:OID_SHOWN]}, and {owner.reason}"
                owner = owner._replace(reason=reason)
        names = ", ".join(origin[:OID_SHOWN] for origin in origins)
        return owner._replace(via=(f"{step} from {names}", *owner.via))

    def _alone(self, commit: str) -> Owner:
        """Returns the owner of a commit, whatever it was made of."""
        info, record = self.history.info(commit), self.commits.get(commit)
        if commit in self._disputed:
            return Owner("unknown", info.author if info else "", reason=_DISPUTED)
        if record is not None and record.by == "agent":
            return self._recorded(record)
        if info is None and record is not None and record.by == "person":
            return Owner("person", commit_event=record.event)
        if info is None:
            return Owner("unknown", reason="this clone does not have the commit")
        if info.is_by_bot:
            return Owner("bot", info.author)
        if owner := self._of_package(commit):
            return owner
        said = agent_said_by([*info.co_authors, info.author_email])
        if said and (record is None or record.by == "person"):
            event = record.event if record else None
            words = f"the commit says {said}"
            return Owner("unknown", info.author, commit_event=event, reason=words)
        if record is None:
            return Owner("unknown", info.author, reason=self._unseen(info))
        if record.by == "person":
            return Owner("person", info.author, commit_event=record.event)
        reason = _doubt(record.event.cut_payload)
        return Owner("unknown", info.author, commit_event=record.event, reason=reason)

    def _unseen(self, info: CommitInfo) -> str:
        """Returns why the log has no event of a commit; that no reflog has it proves nothing."""
        commit = info.commit
        if not self.commits and not self._has_hook:
            return "the log has no commits: `thence hook install git` records whose they are"
        moment = timestamp_at(min(info.committer_time, _SECONDS_MAX) * 10**6)
        if moment[:_SECOND] < self._first_moment[:_SECOND]:
            return "committed before the hooks were installed"
        is_own = commit in self.history.reflogs.own
        if not is_own and self.history.was_brought(commit, self._together):
            return "it came here by a fetch or a clone, and no hook here saw it made"
        if not is_own:
            return "no hook of git here recorded it, and nothing shows where it was made"
        if not self._recorded_before(commit):
            return "it was made here, and the hook of git recorded neither it nor a commit before"
        hint = "`thence hook status` shows whether the hook is still there"
        return f"it was made here, and the hook of git did not record it; {hint}"

    def _recorded_before(self, commit: str) -> list[str]:
        """Returns the recorded commits in the history of one, in the log's order."""
        outside = self.history.outside(commit, self.recorded)
        present = self.history.infos(self.recorded)
        return [other for other in self.recorded if other in present and other not in outside]

    def _find_origins(self, commit: str) -> tuple[str, Sequence[str]]:
        """Returns the commits that one was made of, behind "rewritten" or "squashed"."""
        if olds := self.rewritten.get(commit):
            return "rewritten", list(dict.fromkeys(olds))
        record = self.commits.get(commit)
        if record is not None and record.by == "agent" and self._has_own_edits(record):
            return "", ()  # what two agents did alike at once, each of them did
        if original := self.history.original(commit, self.recorded):
            return "rewritten", [original]
        return "squashed", self._squashed(commit)

    def _joined(self, commits: Iterable[str]) -> Owner | None:
        """Returns the owner of the first commit whose owner is known, the others in `others`."""
        owners: dict[tuple[str, str | None, str | None], Owner] = {}
        for commit in commits:
            owner = self.of_commit(commit)
            for part in (owner._replace(others=()), *owner.others):
                if part.kind != "unknown":
                    owners.setdefault(part.key, part)
        first, *others = owners.values() or (None,)
        return first._replace(others=tuple(filter(None, others))) if first else None

    def _recorded(self, record: CommitRecord) -> Owner:
        chain, agent = self._chain(record.event), text_of(record.event.cut_payload, "agent")
        types = (text_of(event.cut_payload, "agent_type") for event in chain)
        kind = next(filter(None, types), None) if agent else None
        who = (record.event.actor or "", record.session, agent, kind)
        is_agent_unknown = record.event.cut_payload.get("is_agent_unknown") is True
        words = record.commit, record.event, chain
        return Owner("agent", *who, *words, is_agent_unknown=is_agent_unknown)

    def _has_own_edits(self, record: CommitRecord) -> bool:
        """Reports whether the session of a commit edited its files since the last commit there."""
        since = max((other.place for other in self._before(record)), default=-1)
        paths = self.history.paths_of((record.commit,)).get(record.commit, frozenset())
        return any(
            edit.session == record.session and edit.is_within(record.root, since, record.place)
            for edit in self._edits_of(paths)
        )

    def _squashed(self, commit: str) -> list[str]:
        """Returns the commits that one holds the whole change of, in the log's order."""
        paths = self.history.paths_of((commit,)).get(commit)
        if not paths or not self._unmerged:
            return []
        changed = self.history.paths_of(self._unmerged)
        unmerged = self.history.infos(self._unmerged)
        info, record = self.history.info(commit), self.commits.get(commit)
        latest = info.committer_time + CLOCK_S if info else 0
        earlier = [
            other
            for other in self._unmerged
            if unmerged[other].committer_time <= latest
            and (record is None or self.commits[other].place < record.place)
        ]
        tips = [other for other in earlier if changed[other] and changed[other] <= paths]
        whole = set(self.history.held_by(commit, tips[-SQUASHED_AMONG:]))
        for tip in tuple(whole):
            whole |= set(earlier) - self.history.outside(tip, earlier)
        return [other for other in earlier if other in whole]

    @cached_property
    def _unmerged(self) -> list[str]:
        """The commits of the log that are in no history here and were not rewritten."""
        rewritten = {old for olds in self.rewritten.values() for old in olds}
        head = self.history.repo.git.commit_of("HEAD")
        outside = self.history.outside(head, self.recorded) if head else frozenset()
        present = self.history.infos(outside - rewritten)
        return [commit for commit in self.recorded if commit in present]

    def _of_package(self, commit: str) -> Owner | None:
        """Returns the agent that a package of `thence work` was given to, by its landed code."""
        if not self._packages:
            return None
        package = self._packages.get(commit) or self._packages.get(self.history.patch_of(commit))
        if package is None or "WPAssigned" not in package:
            return None
        name = text_of(package["WPAssigned"].cut_payload, "agent_id") or ""
        chain = tuple(package[kind] for kind in reversed(_PACKAGE_TYPES) if kind in package)
        return Owner("agent", name, chain=chain, via=("work's journal",))

    @cached_property
    def _packages(self) -> dict[str, dict[str, Event]]:
        """The last events of packages, by their commits and patch-ids."""
        by_subject: dict[str, dict[str, Event]] = {}
        packages: dict[str, dict[str, Event]] = {}
        for event in self._journal():
            payload = event.cut_payload
            if event.event_type in _PACKAGE_TYPES and payload.get("phase") != "review":
                package = by_subject.setdefault(event.subject or "", {})
                package[event.event_type] = event
                patches = payload.get("patches")
                names = [payload.get("commit"), payload.get("patch")]
                names += patches if isinstance(patches, list) else []
                packages |= {name: package for name in names if isinstance(name, str) and name}
        return packages

    # lines

    def of_line(self, lines: Sequence[BlamedLine], at: int) -> Owner:
        """Returns the owner of one of a file's lines; those around it tell equal lines apart."""
        line = lines[at]
        if lines is not self._lines:
            self._lines, self._together = lines, {line.commit for line in lines} - {""}
        if not line.commit:
            return self._of_uncommitted(lines, at)
        if line.commit in self.history.shallow:
            reason = "this clone is shallow: the commits before are not here"
            return Owner("unknown", commit=line.commit, reason=reason)
        try:
            edits, owner = self._explaining(line), self.of_commit(line.commit)
            chosen = best_fitting(edits, lines, at)
            if chosen is None and not edits and owner.kind != "bot":
                unseen = self._squashed_in(line) or self._in_unseen(line)
                chosen = best_fitting(unseen, lines, at, is_whole=True)
            return self._by_edit(chosen, owner) if chosen else self._by_commit(line, line.commit)
        except GitFailed as error:
            return _lacking(error)._replace(commit=line.commit)

    def _by_commit(self, line: BlamedLine, commit: str) -> Owner:
        """Returns the owner of a line that no edit holds, by the first commit that has it.

        What no origin of a commit has came in when that was made of them.
        """
        for _ in range(REWRITES_MAX):
            origins = self._origins(commit)[1]
            contents = [self.history.lines_of(origins, path) for path in line.paths]
            having = (
                origin
                for origin in origins
                if any(line.text in lines.get(origin, ()) for lines in contents)
            )
            origin = next(having, None)
            if origin is None:
                is_new = bool(origins) and len(self.history.infos(origins)) == len(origins)
                return self._alone(commit) if is_new else self.of_commit(commit)
            commit = origin
        return self.of_commit(line.commit)

    def _by_edit(self, chosen: list[AgentEdit], owner: Owner) -> Owner:
        """Returns the owner by the newest of the edits that may have written a line."""
        edit = chosen[-1]
        if len({edit.session for edit in chosen}) > 1:
            names = " and ".join(sorted({str(edit.session) for edit in chosen}))
            reason = f"edits of sessions {names} have this line, and nothing distinguishes them"
            return Owner("unknown", commit=owner.commit, reason=reason, via=owner.via)
        chain, agent = self._chain(edit.event), edit.agent
        name = edit.event.actor or ""
        if len({edit.agent for edit in chosen}) > 1:  # the same words from two subagents
            chain, agent = _in_common([self._chain(other.event) for other in chosen]), None
            name = name.partition("/")[0]
        kind = text_of(edit.event.cut_payload, "agent_type") if agent else None
        written = Owner("agent", name, edit.session, agent, kind, owner.commit)
        return written._replace(commit_event=owner.commit_event, chain=chain, via=owner.via)

    def _of_uncommitted(self, lines: Sequence[BlamedLine], at: int) -> Owner:
        top = _root(str(self.history.repo.top))
        edits = [edit for edit in self._holding(lines[at]) if edit.root == top]
        last = max((record.place for record in self._records_of(top)), default=-1)
        recent = [edit for edit in edits if edit.place > last]
        chosen = best_fitting(first_writers(recent or edits), lines, at)
        if chosen:
            return self._by_edit(chosen, Owner("unknown"))
        return Owner("unknown", reason="it is not committed yet, and no agent's edit holds it")

    def _explaining(self, line: BlamedLine) -> list[AgentEdit]:
        """Returns the edits that a line may have come from into its commit, in the log's order."""
        edits = self._holding(line)
        spans = []
        for record in self._origin_records(line.commit) if edits else ():
            earlier = reversed(self._contents(record.commit, line.paths))
            last = next((place for place, lines in earlier if line.text in lines), -1)
            spans.append((record.root, last, record.place))
        return first_writers(
            [edit for edit in edits if any(edit.is_within(*span) for span in spans)]
        )

    def _origin_records(self, commit: str) -> Iterator[CommitRecord]:
        """Yields the events of a commit and of all that it came from."""
        remaining, seen = [commit], {commit}
        while remaining and len(seen) < REWRITES_MAX:
            commit = remaining.pop()
            if commit in self.commits:
                yield self.commits[commit]
            origins = set(self._origins(commit)[1]) - seen
            seen |= origins
            remaining += origins

    def _find_records_of(self, root: str | None) -> list[CommitRecord]:
        """Returns the events of the commits that were made in a working tree, in order."""
        return [record for record in self.commits.values() if record.root == root]

    def _before(self, record: CommitRecord) -> list[CommitRecord]:
        """Returns the events of earlier commits of the same working tree."""
        return [one for one in self._records_of(record.root) if one.place < record.place]

    def _find_contents(
        self, commit: str, paths: tuple[str, ...]
    ) -> list[tuple[int, frozenset[str]]]:
        """Returns the places of commits before one that changed a file, with its lines there."""
        before = [record.commit for record in self._before(self.commits[commit])]
        changed = self.history.paths_of(before)
        contents = [
            (self.commits[other].place, lines)
            for path in paths
            for other, lines in self.history.lines_of(
                [other for other in before if path in changed.get(other, ())], path
            ).items()
        ]
        return sorted(contents, key=lambda pair: pair[0])

    def _squashed_in(self, line: BlamedLine) -> list[AgentEdit]:
        """Returns the edits of a line's text that were committed, but not in this history."""
        edits = []
        changed = self.history.paths_of(self.recorded)
        for edit in self._holding(line):
            later = (
                record.commit
                for record in self._records_of(edit.root)
                if record.place > edit.place and changed.get(record.commit, set()) & {*line.paths}
            )
            if next(later, None) in self._unmerged:
                edits.append(edit)
        return edits

    def _in_unseen(self, line: BlamedLine) -> list[AgentEdit]:
        """Returns the edits of a line in this working tree, if its commit was made here unseen.

        They lie between the recorded commits before it and behind it that have the line.
        """
        if line.commit in self.commits or line.commit not in self.history.reflogs.in_tree:
            return []
        before, having = {*self._recorded_before(line.commit)}, set[str]()
        for path in line.paths:
            contents = self.history.lines_of(self.recorded, path)
            having |= {commit for commit in contents if line.text in contents[commit]}
        since = max((self.commits[one].place for one in having & before), default=-1)
        behind = (self.commits[one].place for one in having - before)
        until = min((place for place in behind if place > since), default=self._end)
        top = _root(str(self.history.repo.top))
        edits = [edit for edit in self._holding(line) if edit.is_within(top, since, until)]
        return first_writers(edits)

    def _holding(self, line: BlamedLine) -> list[AgentEdit]:
        """Returns the edits of a line's file in which it is new, in the log's order."""
        texts, ends = self._texts(line.paths)
        edits = {id(edit): edit for edit in texts.get(line.text, ())}
        for piece, edit in ends:
            if piece.fits(line.text) and self._is_most(piece, line):
                edits[id(edit)] = edit
        return sorted(edits.values(), key=lambda edit: edit.place)

    def _find_texts(
        self, paths: tuple[str, ...]
    ) -> tuple[dict[str, list[AgentEdit]], list[tuple[WrittenLine, AgentEdit]]]:
        """Returns the edits of a file by the lines that they wrote, and the parts of lines."""
        texts: dict[str, list[AgentEdit]] = {}
        ends: list[tuple[WrittenLine, AgentEdit]] = []
        for edit in self._edits_of(paths):
            pieces = [piece for row in edit.rows for piece in row if piece.is_new]
            for text in {piece.text for piece in pieces}:
                texts.setdefault(text, []).append(edit)
            ends += [(piece, edit) for piece in pieces if piece.is_open]
        return texts, ends

    def _is_most(self, piece: WrittenLine, line: BlamedLine) -> bool:
        """Reports whether a part of a line is half of it, or stands where its last text stood."""
        if 2 * len(piece.text.strip()) >= len(line.text.strip()):
            return True
        if piece.replaced is None:
            return False
        former = line.text.replace(piece.text, piece.replaced, 1)
        if former in self._texts(line.paths)[0]:
            return True
        info = self.history.info(line.commit) if line.commit else None
        changed = self.history.paths_of(self.recorded)
        commits = {commit for commit in changed if changed[commit] & {*line.paths}}
        commits |= {*info.parents[:1]} if info else {"HEAD"}
        contents = (self.history.lines_of(commits, path) for path in line.paths)
        return any(former in lines for by_commit in contents for lines in by_commit.values())

    def _edits_of(self, paths: Iterable[str]) -> list[AgentEdit]:
        """Returns the edits of a file, in the log's order."""
        edits = (edit for path in paths for edit in self._by_path.get(path, ()))
        return sorted(edits, key=lambda edit: edit.place)

    @cached_property
    def _by_path(self) -> dict[str, list[AgentEdit]]:
        by_path: dict[str, list[AgentEdit]] = {}
        for place, event in self._edits:
            for path, edit in self._read(place, event):
                by_path.setdefault(path, []).append(edit)
        return by_path

    def _read(self, place: int, event: Event) -> Iterator[tuple[str, AgentEdit]]:
        try:
            payload = event.payload
        except BodyMissing:
            return
        session = text_of(payload, "session") or event.stream
        own_root, agent = self._tree(event, payload.get("root")), text_of(payload, "agent")
        files, start = payload.get("files"), self._begun.get(event.ends or "", place)
        files = [
            file
            for file in (files if isinstance(files, list) else ())
            if isinstance(file, dict) and isinstance(file.get("path"), str)
        ]
        patched = patched_rows(payload.get("answer")) if len(files) == 1 else ()
        for file in files:
            added, removed = file.get("added"), file.get("removed")
            if isinstance(added, str):
                tree = self._tree(event, file.get("root")) or own_root
                path, root = self._placed(file["path"], tree, self._of_node(event))
                before = removed if isinstance(removed, str) else None
                is_hunk = file.get("is_hunk") is True
                rows = patched or (row_of(before, added, is_hunk=is_hunk),)
                is_whole = before is None and not patched
                yield path, AgentEdit(place, start, event, session, agent, root, is_whole, rows)

    def _placed(self, path: str, root: str | None, node: str) -> tuple[str, str | None]:
        """Returns a path relative to the working tree that it lies in, with that tree."""
        if not os.path.isabs(path):
            return os.path.normpath(path), root
        place = f"{node}{path}"
        roots = (top for top in self._roots if place.startswith(f"{top}{os.sep}"))
        top = max(roots, key=len, default=None)
        return (place[len(top) + 1 :], top) if top else (path, root)

    def _of_node(self, event: Event) -> str:
        """Returns what stands before the paths of an event: "" if it is of this log.

        Clones of a team may have the same path, each on its own machine.
        """
        return "" if event.node_id in self._nodes else f"{event.node_id}:"

    def _tree(self, event: Event, root: Any) -> str | None:
        """Returns the working tree of an event, which has a top folder and a node."""
        top = _root(root)
        return f"{self._of_node(event)}{top}" if top else None

    @cached_property
    def _roots(self) -> frozenset[str]:
        tops = {record.root for record in self.commits.values()} | {
            self._tree(event, event.cut_payload.get("root")) for _, event in self._edits
        }
        return frozenset(top for top in (*tops, _root(str(self.history.repo.top))) if top)


def _lacking(error: GitFailed) -> Owner:
    """Returns the owner where a partial clone lacks what tells it; raises any other error."""
    if not error.is_lacking:
        raise error
    return Owner("unknown", reason=f"{error.cause}: {error.hint}")


def held(log: Log, event_id: str) -> Event | None:
    """Returns an event of a log, None if it is not there."""
    try:
        return log.get(event_id)
    except EventNotFound:
        return None


def chain_of(
    event: Event, get: Callable[[str], Event | None], *, is_certain: bool = False
) -> tuple[Event, ...]:
    """Returns an event, its first cause, that one's, up to an event without; at most CHAIN_MAX.

    Of several causes of which one is likely, what they have in common follows; `is_certain` ends
    there.
    """
    chain = [event]
    while len(chain) < CHAIN_MAX:
        header = chain[-1].header
        ids = header.caused_by or header.inferred_causes
        causes = list(filter(None, map(get, ids[:CHAIN_MAX])))
        if not header.caused_by and len(causes) > 1:
            likely = [chain_of(cause, get, is_certain=True) for cause in causes]
            return tuple(chain if is_certain else (*chain, *_in_common(likely)))
        if not causes or causes[0] in chain:
            break
        chain.append(causes[0])
    return tuple(chain)


def _in_common(chains: Sequence[Sequence[Event]]) -> tuple[Event, ...]:
    """Returns the events of a chain that all the others have too."""
    first = chains[0] if chains else ()
    return tuple(event for event in first if all(event in chain for chain in chains))


def _doubt(payload: Mapping[str, Any]) -> str:
    """Returns why the hook of git could not say whose a commit is, with the sessions that fit."""
    words = _DOUBTS.get(str(payload.get("reason")), "git's hook could not see whose it is")
    names = payload.get("fitting")
    fitting = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return f"{words}: {', '.join(fitting)}" if fitting else words


def _commit(value: Any) -> str | None:
    return value if isinstance(value, str) and _COMMIT.fullmatch(value) else None


def _root(value: Any) -> str | None:
    is_path = isinstance(value, str) and value and "\0" not in value
    return os.path.realpath(value) if is_path else None
