"""Who owns a commit or a line: the agent, its task and what the user asked, or a person.

Owners are never told by time, and never guessed. A commit has the owner that its event names, and
without one is unknown: nobody saw whose it is. One that was rewritten, picked or squashed has that
of the commits it came from. A line has that of the edit whose text it is, as its commit was judged;
a person's is what a person committed and no agent's edit has.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, NamedTuple

from thence.core.clock import timestamp_at
from thence.core.event import Event
from thence.errors import EventNotFound, GitFailed
from thence.git.repository import Repository
from thence.log.open import Log
from thence.trace.agents.blame import BlamedLine, CommitHistory, CommitInfo
from thence.trace.agents.installed import has_git_hooks
from thence.trace.agents.judged import Judgements, RecordedWork
from thence.trace.agents.judging import AGENT, MAYBE, NOTHING, Said
from thence.trace.agents.known_agents import agent_said_by
from thence.trace.agents.sessions import text_of

OID_SHOWN = 12
CHAIN_MAX = 50
_SECOND = len("2026-11-29T16:30:00")  # git's times are whole seconds
# those of a commit are anybody's; a timestamp has four digits a year
_SECONDS_MAX = 250_000_000_000
_FILES = b'"files":['
# why the git hook could not say whose a commit is
_DOUBTS = {
    "sessions": "several sessions may have made it",
    "witnesses": "the session that its variables name is not the one that its processes belong to",
    "ended": "its variables name a session that had ended",
    "elsewhere": "its variables name a session that this log does not have",
    "no_call": "the user made it, as by `!`, or something that an ended call left running",
    "background": "the user made it, as by `!`, or a call that went on in the background",
    "processes": "the parents of its process could not be read when it was made",
    "variables": "an agent that thence does not know made it: its variables were set",
    "no_session": "no agent's hook had fired since the machine started",
}

# what happened to a line since its edit, or why that is not certain
_SINCE = {
    "form": "indented or formatted since",
    "moved": "moved from {path}",
    "draft": "written as {path}",
}
_WROTE = "an agent wrote this text in {path}"
_UNSURE = {
    "form": f"{_WROTE}, in another form",
    "moved": f"{_WROTE}, and it was moved since",
    "copied": "it is copied from {path}, where an agent wrote it",
    "part": f"{_WROTE}, and too little of it is here to be sure",
    "again": f"{_WROTE}, and it is here more than once",
    "whole": "an agent wrote all of {path}, and what stood there before is not known",
    "beside": "it was formatted or edited together with lines that an agent wrote in {path}",
    "other": f"{_WROTE}, in another session than its commit names",
    "tie": f"{_WROTE}, and another session too: nothing distinguishes the two edits",
    "former": "it was moved here, and the owner of what was moved is unknown",
}

_DISPUTED = "the hooks of two commits name it, one right after the other"

Kind = Literal["agent", "person", "bot", "unknown"]


class Owner(NamedTuple):
    """The owner of a commit or a line.

    `name` is the actor of an agent, else the author in git. `chain` leads from the edit, or from
    the commit's event, to what the user asked. `via` are the steps from the commit to its owner,
    `reason` says why it is unknown, `maybe` is the agent that may own it all the same. `others` own
    parts of a commit that was made of several. Where `is_agent_unknown` the session's main agent or
    one of its subagents made it.
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
    maybe: "Owner | None" = None
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


class Ownership:
    """The answers about one repository, from one log that is read once.

    `check` is called often while the log is read, and may raise. `commits` are those that the log
    has events of, in its order.
    """

    def __init__(
        self, log: Log, repo: Repository, check: Callable[[], None] = lambda: None
    ) -> None:
        self.history = CommitHistory(repo)
        self._work = RecordedWork(log, repo.top, check)
        self.judgements = Judgements(self._work, self.history, check)
        self.commits = self._work.commits
        self._has_hook = has_git_hooks(log.folder)
        self._owners: dict[str, Owner] = {}
        self._lines: Sequence[BlamedLine] = ()
        # each is found once
        get = cache(lambda event_id: held(log, event_id))
        self._chain = cache(lambda event: chain_of(event, get))
        self._origins = cache(self._find_origins)
        self._uncommitted = cache(self.judgements.of_uncommitted)
        self._edit = cache(self._work.edit)

    # commits

    def of_commit(self, commit: str) -> Owner:
        """Returns the owner of a commit; raises GitFailed, `read_failed`.

        One that was made of others has the owners of the first of these: whoever made a copy need
        not have made what it is a copy of.
        """
        if commit not in self._owners:
            try:
                origins = self._origins(commit)
                owner = self._of_origins(commit, origins) if origins else self._alone(commit)
            except GitFailed as error:
                owner = _lacking(error)
            self._owners[commit] = owner._replace(commit=commit)
        return self._owners[commit]

    def _of_origins(self, commit: str, origins: Sequence[str]) -> Owner:
        firsts = [origin for origin in origins if not self._origins(origin)]
        if not firsts:
            return Owner("unknown", reason="its rewrites are circular")
        parts: dict[object, Owner] = {}
        for owner in map(self._alone, firsts):
            if owner.kind != "unknown":
                parts.setdefault(owner.key, owner)
        owner, *others = parts.values() or (self._alone(firsts[0]),)
        if not parts:
            reason = f"its original is {firsts[0][:OID_SHOWN]}, and {owner.reason}"
            owner = owner._replace(reason=reason)
        info, infos = self.history.info(commit), self.history.infos(firsts).values()
        is_copy = info is not None and any(one.authorship == info.authorship for one in infos)
        step = "rewritten" if is_copy or commit in self._work.rewritten else "squashed"
        via = f"{step} from {', '.join(first[:OID_SHOWN] for first in firsts)}"
        return owner._replace(via=(via,), others=tuple(others))

    def _alone(self, commit: str) -> Owner:
        """Returns the owner of a commit, whatever it was made of."""
        info, record = self.history.info(commit), self.commits.get(commit)
        if commit in self._work.disputed:
            return Owner("unknown", info.author if info else "", reason=_DISPUTED)
        if record is not None and record.by == "agent":
            payload, chain = record.event.cut_payload, self._chain(record.event)
            agent = text_of(payload, "agent")
            types = (text_of(event.cut_payload, "agent_type") for event in chain)
            kind = next(filter(None, types), None) if agent else None
            who = (record.event.actor or "", record.session, agent, kind, record.commit)
            is_agent_unknown = payload.get("is_agent_unknown") is True
            owner = Owner("agent", *who, record.event, chain)
            return owner._replace(is_agent_unknown=is_agent_unknown)
        if info is None and record is not None and record.by == "person":
            return Owner("person", commit_event=record.event)
        if info is None:
            return Owner("unknown", reason="this clone does not have the commit")
        if info.is_by_bot:
            return Owner("bot", info.author)
        said = agent_said_by([*info.co_authors, info.author_email])
        if said and (record is None or record.by == "person"):
            event = record.event if record else None
            words = f"the commit says {said}"
            return Owner("unknown", info.author, commit_event=event, reason=words)
        if record is None:
            return Owner("unknown", info.author, reason=self._unseen(info))
        if record.by == "person":
            return Owner("person", info.author, commit_event=record.event)
        payload = record.event.cut_payload
        reason = _DOUBTS.get(str(payload.get("reason")), "git's hook could not see whose it is")
        names = payload.get("fitting")
        fitting = [one for one in names if isinstance(one, str)] if isinstance(names, list) else []
        if fitting:
            reason = f"{reason}: {', '.join(fitting)}"
        return Owner("unknown", info.author, commit_event=record.event, reason=reason)

    def _unseen(self, info: CommitInfo) -> str:
        """Returns why the log has no event of a commit; that no reflog has it proves nothing."""
        if not self.commits and not self._has_hook:
            return "the log has no commits: `thence hook install git` records whose they are"
        moment = timestamp_at(min(info.committer_time, _SECONDS_MAX) * 10**6)
        if moment[:_SECOND] < self._work.first_moment[:_SECOND]:
            return "committed before the hooks were installed"
        if info.commit not in self.history.made_here:
            return "no git hook here recorded it, and nothing shows that it was made here"
        hint = "`thence hook status` shows whether the hook is still there"
        return f"it was made here, and the git hook did not record it; {hint}"

    def _find_origins(self, commit: str) -> Sequence[str]:
        """Returns the commits that one was made of, and those that these were made of."""
        record, origins = self.commits.get(commit), self.judgements.origins(commit)
        if record and record.by == "agent" and commit not in self._work.rewritten:
            edits = filter(None, map(self._edit, self.judgements.edits_of(commit)))
            if any(edit.session == record.session for edit, _ in edits):
                return ()  # what two agents did alike at once, each of them did
        return origins

    # lines

    def of_line(self, lines: Sequence[BlamedLine], at: int) -> Owner:
        """Returns the owner of one of a file's lines; those around it tell equal lines apart."""
        line = lines[at]
        if lines is not self._lines:  # git is asked about all at once
            self._lines = lines
            self.history.infos({line.commit for line in lines} - {""})
        if not line.commit:
            said = self._uncommitted(line.paths[0]).get(line.number, NOTHING)
            if said.rank:
                return self._by_edit(said, line, Owner("unknown"))
            return Owner("unknown", reason="it is not committed yet, and no agent's edit holds it")
        if line.commit in self.history.shallow:
            reason = "this clone is shallow: the commits before are not here"
            return Owner("unknown", commit=line.commit, reason=reason)
        try:
            said, owner = self.judgements.said(line), self.of_commit(line.commit)
            is_agents = said.rank == AGENT
            return self._by_edit(said, line, owner) if is_agents else self._by_commit(said, line)
        except GitFailed as error:
            return _lacking(error)._replace(commit=line.commit)

    def _by_edit(self, said: Said, line: BlamedLine, owner: Owner) -> Owner:
        """Returns the owner by what was said of a line of an owner's commit."""
        if (recorded := self._edit(said.edit)) is None:
            reason = "its edit is no longer in the log" if said.edit else _UNSURE["former"]
            return Owner("unknown", owner.name, commit=owner.commit, reason=reason)
        edit, event = recorded
        path, agent = edit.path, text_of(event.cut_payload, "agent")
        kind = text_of(event.cut_payload, "agent_type") if agent else None
        who = event.actor or "", edit.session, agent, kind
        by = Owner("agent", *who, owner.commit)
        by = by._replace(chain=self._chain(event), commit_event=owner.commit_event, via=owner.via)
        if said.rank == MAYBE:
            reason = _UNSURE[said.how].format(path=path)
            info = self.history.info(line.commit) if line.commit else None
            author = info.author if info else ""
            return Owner("unknown", author, commit=owner.commit, reason=reason, maybe=by)
        step = _SINCE.get(said.how, "").format(path=path)
        if said.how in ("moved", "draft") and path in line.paths:
            step = "written in another working tree"
        elif said.how == "form" and edit.new.split("\n", 1)[0] == line.text.lstrip():
            step = ""  # it replaced a part of a line, behind its indent
        return by._replace(via=(*owner.via, *filter(None, (step,))))

    def _by_commit(self, said: Said, line: BlamedLine) -> Owner:
        """Returns the owner of a line by the first commit that has it.

        What no origin of a commit has came in when that was made of them.
        """
        origins, owner = self._origins(line.commit), self.of_commit(line.commit)
        if origins and len(self.history.infos(origins)) == len(origins):
            owner = self._alone(line.commit)._replace(commit=line.commit)
        near, known = -1, NOTHING
        for origin in reversed(origins):
            former = self.judgements.of_text(origin, line)
            if former is not None and former[0] > near:
                owner = self._alone(origin)._replace(commit=origin)
                near, known = former
        said = max(said, known, key=lambda one: one.rank)
        if said.rank:
            return self._by_edit(said, line, self.of_commit(line.commit))
        if owner.kind != "agent" or owner.session is None:
            return owner
        session = f"{owner.name} in session {owner.session}"
        reason = f"it came along with a commit of {session}, and no edit of an agent holds it"
        info = self.history.info(line.commit)
        name = info.author if info else ""
        return Owner("unknown", name, commit=line.commit, via=owner.via, reason=reason, maybe=owner)


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
            first, *others = [chain_of(cause, get, is_certain=True) for cause in causes]
            common = (event for event in first if all(event in other for other in others))
            return tuple(chain if is_certain else (*chain, *common))
        if not causes or causes[0] in chain:
            break
        chain.append(causes[0])
    return tuple(chain)
