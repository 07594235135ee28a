"""Who owns a commit or a line: the agent, its task and what the user asked, or a person.

Owners are never told by time, and never guessed. A commit has the owner that its event names, and
without one is unknown: nobody saw whose it is. One that was rewritten, picked or squashed has that
of the commits it came from. A line has that of the edit whose text it is, as its commit was judged;
a person's is what a person committed and no agent's edit has.
"""

from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

from thence.core.clock import microseconds
from thence.core.event import Event
from thence.errors import GitFailed
from thence.git.blame import BlamedLine
from thence.git.repository import Repository
from thence.log.open import Log
from thence.trace.agents.history import CommitHistory, CommitInfo
from thence.trace.agents.installed import has_git_hooks
from thence.trace.agents.judged import FILES, SECOND, Judgements, RecordedWork
from thence.trace.agents.judging import MAYBE, NOTHING, SINCE, UNSURE, Said
from thence.trace.agents.known_agents import agent_said_by
from thence.trace.agents.sessions import list_of, text_of
from thence.trace.causes.chains import chain_of, held

OID_SHOWN = 12
# why the git hook could not say whose a commit is
_DOUBTS = {
    "sessions": "several sessions may have made it",
    "witnesses": "the session that its variables name is not the one that its processes belong to",
    "ended": "its variables name a session that had ended",
    "elsewhere": "its variables name a session that this log does not have",
    "no_call": "the user made it, as with `!`, or something that an ended call left running",
    "background": "the user made it, as with `!`, or a call that continued in the background",
    "processes": "the parents of its process could not be read when it was made",
    "variables": "an agent that thence does not know made it: its variables were set",
    "no_session": "no agent's hook had fired since the machine started",
}

NO_HOOK_YET = "no hook has recorded anything here yet"
BEFORE_HOOKS = "committed before the hooks were installed"
# reasons that no longer hold once an agent has worked here
EARLY = (NO_HOOK_YET, BEFORE_HOOKS, _DOUBTS["no_session"])
_DISPUTED = "the hooks of two commits name it, one right after the other"

Kind = Literal["agent", "person", "unknown"]


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
        return self.chain[0] if self.chain and FILES in self.chain[0].line else None

    @property
    def prompt(self) -> Event | None:
        """What the user asked."""
        return next((event for event in self.chain if event.event_type == "prompt"), None)


class Ownership:
    """The answers about one repository, from one log that is read once.

    `commits` are those that the log has events of, in its order.
    """

    def __init__(self, log: Log, repo: Repository) -> None:
        self.history = CommitHistory(repo)
        self._work = RecordedWork(log, repo.top)
        self.judgements = Judgements(self._work, self.history)
        self.commits = self._work.commits
        self._has_hook = has_git_hooks(log.folder)
        self._owners: dict[str, Owner] = {}
        self._lines: Sequence[BlamedLine] = ()
        # each is found once
        get = cache(lambda event_id: held(log, event_id))
        self._chain = cache(lambda event: chain_of(event, get))
        self._origins = cache(self.judgements.origins)
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
        firsts = [origin for origin in origins if not self._origins(origin)] or origins
        parts: dict[object, Owner] = {}
        for owner in map(self._alone, firsts):
            if owner.kind != "unknown":
                parts.setdefault(owner.key, owner)
        owner, *others = parts.values() or (self._alone(firsts[0]),)
        if not parts:
            reason = f"its original is {firsts[0][:OID_SHOWN]}, and {owner.reason}"
            owner = owner._replace(reason=reason)
        infos = self.history.infos((commit, *firsts))
        authorships = [info.authorship for info in infos.values()]
        is_copy = commit in infos and authorships[0] in authorships[1:]
        step = "rewritten" if is_copy or commit in self._work.rewritten else "squashed"
        via = f"{step} from {', '.join(first[:OID_SHOWN] for first in firsts)}"
        return owner._replace(via=(via,), others=tuple(others))

    def _alone(self, commit: str) -> Owner:
        """Returns the owner of a commit, whatever it was made of."""
        info, record = self.history.info(commit), self.commits.get(commit)
        author, by = self._author(commit), record.by if record else ""
        unknown = Owner("unknown", author, commit_event=record.event if record else None)
        if commit in self._work.disputed:
            return Owner("unknown", author, reason=_DISPUTED)
        if record is not None and by == "agent":
            owner = self._by_agent(record.event, record.session)
            return owner._replace(commit=record.commit, commit_event=record.event)
        if info is None and by != "person":
            return Owner("unknown", reason="this clone does not have the commit")
        names = [*info.co_authors, f"{info.author} <{info.author_email}>"] if info else []
        said = agent_said_by(names)
        if said and by in ("", "person"):
            return unknown._replace(reason=f"the commit says {said}")
        if by == "person":
            return unknown._replace(kind="person")
        if record is None:
            return unknown._replace(reason=self._unseen(info) if info else "")
        payload = record.event.cut_payload
        reason = _DOUBTS.get(str(payload.get("reason")), "git's hook could not see whose it is")
        fitting = [one for one in list_of(payload.get("fitting")) if isinstance(one, str)]
        told = f"{reason}: {', '.join(fitting)}" if fitting else reason
        return unknown._replace(reason=told)

    def _author(self, commit: str) -> str:
        """Returns the author of a commit in git, "" if this clone does not have it."""
        info = self.history.info(commit) if commit else None
        return info.author if info else ""

    def _by_agent(self, event: Event, session: str | None) -> Owner:
        """Returns the agent that an event is of."""
        chain, agent = self._chain(event), text_of(event.cut_payload, "agent")
        types = (text_of(one.cut_payload, "agent_type") for one in chain)
        kind = next(filter(None, types), None) if agent else None
        is_agent_unknown = event.cut_payload.get("is_agent_unknown") is True
        owner = Owner("agent", event.actor or "", session, agent, kind, chain=chain)
        return owner._replace(is_agent_unknown=is_agent_unknown)

    def _unseen(self, info: CommitInfo) -> str:
        """Returns why the log has no event of a commit."""
        if not self.commits and not self._has_hook:
            return "the log has no commits: `thence hook install git` records whose they are"
        if not self._work.first_moment:
            return NO_HOOK_YET
        if info.committer_time < (microseconds(self._work.first_moment) or 0) // SECOND:
            return BEFORE_HOOKS
        return "no git hook here recorded it; if it was made here, see `thence hook status`"

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
            return Owner("unknown", reason="it is uncommitted, and no agent edit contains it")
        if line.commit in self.history.shallow:
            reason = "this clone is shallow: the commits before are not here"
            return Owner("unknown", commit=line.commit, reason=reason)
        try:
            said, owner = self.judgements.said(line), self.of_commit(line.commit)
            if said.rank:
                return self._by_edit(said, line, owner)
            # what no origin of a commit has came in when that was made of them
            origins = self._origins(line.commit)
            if said.commit or (origins and len(self.history.infos(origins)) == len(origins)):
                commit = said.commit or line.commit
                owner = self._alone(commit)._replace(commit=commit)
            if owner.kind != "agent" or owner.session is None:
                return owner
            session = f"{owner.name} in session {owner.session}"
            reason = f"it came along with a commit of {session}, and no agent edit contains it"
            unknown = Owner("unknown", self._author(line.commit), commit=line.commit, via=owner.via)
            return unknown._replace(reason=reason, maybe=owner)
        except GitFailed as error:
            return _lacking(error)._replace(commit=line.commit)

    def _by_edit(self, said: Said, line: BlamedLine, owner: Owner) -> Owner:
        """Returns the owner by what was said of a line of an owner's commit."""
        if (recorded := self._edit(said.edit)) is None:
            reason = "its edit is no longer in the log" if said.edit else UNSURE["former"]
            return Owner("unknown", owner.name, commit=owner.commit, reason=reason)
        edit, event = recorded
        path, by = edit.path, self._by_agent(event, edit.session)
        by = by._replace(commit=owner.commit, commit_event=owner.commit_event, via=owner.via)
        if said.rank == MAYBE:
            reason = UNSURE[said.how].format(path=path)
            author = self._author(line.commit)
            return Owner("unknown", author, commit=owner.commit, reason=reason, maybe=by)
        step = SINCE.get(said.how, "").format(path=path)
        if said.how in ("moved", "draft") and path in line.paths:
            step = "written in another working tree"
        elif said.how == "form" and edit.new.split("\n", 1)[0] == line.text.lstrip():
            step = ""  # it replaced a part of a line, behind its indent
        return by._replace(via=(*owner.via, *filter(None, (step,))))


def _lacking(error: GitFailed) -> Owner:
    """Returns the owner where a partial clone lacks what tells it; raises any other error."""
    if not error.is_lacking:
        raise error
    return Owner("unknown", reason=f"{error.cause}: {error.hint}")
