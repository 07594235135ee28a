"""The pages of a repository's files: their list, and the owner of each line of one.

Only what git lists by exactly that path is read, if no link lies on the way to it.
"""

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Event as Signal
from typing import NamedTuple, TypeAlias

from starlette.exceptions import HTTPException
from starlette.responses import Response

from thence.agents.blame import BINARY_BYTES, BlamedLine, lines_of
from thence.agents.ownership import OID_SHOWN, Owner, Ownership
from thence.core.clock import timestamp_at
from thence.core.event import Event
from thence.core.json_values import is_utf8
from thence.core.markup import Child, Column, Html, el, joined, link, moment, path, table, words
from thence.core.query.filter import Filter
from thence.errors import GitFailed, ThenceError
from thence.open_log.log import open_log
from thence.server.http.workers import ClientGone
from thence.server.logs.open_logs import OpenLog
from thence.server.logs.root import FoundLog
from thence.server.web.layout import page
from thence.server.web.session import edited_paths, event_link, first_words
from thence.work.git.repository import Repository, repository

FILES_S = 10.0
FILES_MAX = 2_000
LINES_MAX = 5_000
BYTES_MAX = 16 * 1024 * 1024
EDITS_MAX = 500  # the latest calls whose edits are looked at for the list
_SESSION_CHARACTERS = 8
_LISTED = (Column("File", names_row=True), Column("Last edit by an agent (UTC)", name="edited"))
_LINES = (
    Column("Line", "number"),
    Column("Text", "text"),
    Column("Owner", "owner"),
    Column("Asked, or why it is unknown", "what"),
)


class WorkingTree(NamedTuple):
    """A repository, and the journal of its project where it has one."""

    repo: Repository
    top: str
    journal: Path | None

    @classmethod
    def of(cls, folder: Path, journal: Path | None) -> "WorkingTree":
        """Returns the working tree of a folder; raises HTTPException if it has none."""
        try:
            repo = repository(folder)
        except GitFailed as error:
            raise HTTPException(404, str(error)) from error
        if repo.top is None:
            raise HTTPException(404, "a bare repository has no files")
        return cls(repo, os.path.realpath(repo.top), journal)

    def names(self, *paths: str) -> list[str]:
        """Returns the files that git lists, all or those of some paths; none where it fails."""
        answer = self.repo.git.ask("ls-files", "-z", "--deduplicate", "--", *paths)
        return os.fsdecode(answer.out).split("\0")[:-1] if answer.status == 0 else []

    def events(self) -> Iterable[Event]:
        """Returns the events of the journal."""
        if self.journal is None:
            return ()
        with open_log(self.journal, create=False) as project:
            return project.events()


FilesWork: TypeAlias = Callable[[FoundLog, OpenLog, WorkingTree, Signal], Response]


def files_page(location: FoundLog, log: OpenLog, tree: WorkingTree, find: str) -> Response:
    """Returns the list of files whose path holds a text, those that agents edited last first."""
    edits: dict[str, Event] = {}
    latest = log.page(Filter(types=("tool.ended",)), limit=EDITS_MAX, descending=True).events
    for event in latest:
        for name in edited_paths(event):
            edits.setdefault(name, event)
    names = [name for name in tree.names() if find.casefold() in name.casefold()]
    places = {name: place for place, name in enumerate(edits)}
    names.sort(key=lambda name: (places.get(name, len(places)), name))
    rows = [(_name(location, name), _edit(location, edits.get(name))) for name in names[:FILES_MAX]]
    part = f"the first {FILES_MAX:,} of " if len(names) > FILES_MAX else ""
    field = el("input", id="find", name="find", value=find, autocomplete="off", spellcheck="false")
    form = el(
        "form",
        el("div", el("div", el("label", "Path holds", for_="find"), field), class_="fields"),
        el("div", el("button", "Show", type="submit"), class_="do"),
        method="get",
        role="search",
        aria_label="Filter the files",
    )
    listing = table(f"{part}{len(names):,} files that git lists", _LISTED, rows)
    body = listing if rows else el("p", "git lists no such file.", class_="empty")
    return page("Files", el("h1", "Files"), form, body, trail=_trail(location))


def _name(location: FoundLog, name: str) -> Html:
    address = path("runs", location.id, "files", *name.split("/")) if is_utf8(name) else None
    return link(words(name), address) if address else words(name)


def _edit(location: FoundLog, event: Event | None) -> Html | None:
    address = path("runs", location.id, "events", event.event_id) if event else ""
    return link(moment(event.timestamp), address) if event else None


def _trail(location: FoundLog, is_of_file: bool = False) -> tuple[Html, ...]:
    log = el("a", words(location.id, 60), href=path("runs", location.id))
    return (log, link("Files", path("runs", location.id, "files"))) if is_of_file else (log,)


def late_page(log_id: str) -> Response:
    """Returns the page that says that git, or the log, takes too long."""
    text = f"Git and the log did not answer within {FILES_S:g} s, which is all that a page waits."
    more = el("p", "Ask in a terminal: ", el("code", "thence blame FILE"))
    back = el("p", link("Files", path("runs", log_id, "files")))
    heading = el("h1", "That takes too long")
    return page("Too long", heading, el("p", text, role="alert"), more, back, status=503)


def file_page(location: FoundLog, tree: WorkingTree, name: str, stop: Signal) -> Response:
    """Returns a file's lines with their owners, or why it has none; 404 for what git lists not.

    Raises ClientGone after the signal.
    """
    if not is_utf8(name) or "\0" in name or tree.names(name) != [name]:
        raise HTTPException(404, "git lists no such file")
    count, problem = _lines_in(tree, name)
    body: tuple[Child, ...] = (el("p", problem, role="alert"),) if problem else ()
    if count:
        try:
            body = _owned(location, tree, name, count, stop)
        except (ThenceError, OSError) as error:
            body = (el("p", str(error), role="alert"),)
    return page(name[:80], el("h1", words(name)), *body, trail=_trail(location, True))


def _lines_in(tree: WorkingTree, name: str) -> tuple[int, str | None]:
    """Returns how many lines a file has, and why they are not shown, if they are not."""
    place = os.path.join(tree.top, name)
    try:
        is_plain = stat.S_ISREG(os.lstat(place).st_mode) and os.path.realpath(place) == place
        if not is_plain:
            return 0, "It is a link, or lies behind one, or is no file: it is not read."
        with open(place, "rb") as file:
            data = file.read(BYTES_MAX + 1)
        data.decode()
    except OSError as error:
        return 0, f"It can't be read: {error.strerror}."
    except UnicodeDecodeError:
        is_binary = b"\0" in data[:BINARY_BYTES]
        return 0, f"It is {'a binary file' if is_binary else 'no text in UTF-8'}."
    if b"\0" in data[:BINARY_BYTES]:
        return 0, "It is a binary file."
    if len(data) > BYTES_MAX:
        return 0, f"It is larger than {BYTES_MAX:,} bytes."
    count = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    return count, None if count else "It is empty."


def _owned(
    location: FoundLog, tree: WorkingTree, name: str, count: int, stop: Signal
) -> tuple[Child, ...]:
    def check() -> None:
        if stop.is_set():
            raise ClientGone

    lines = lines_of(tree.repo, name, (1, LINES_MAX) if count > LINES_MAX else None)
    with open_log(location.folder, create=False) as log:
        ownership = Ownership(log, tree.repo, tree.events, check)
        owners = []
        for at in range(len(lines)):
            check()
            owners.append(ownership.of_line(lines, at))
    agents = sum(owner.kind == "agent" for owner in owners)
    part = f"the first {len(lines):,} of " if count > len(lines) else ""
    caption = f"{part}{count:,} lines; {agents:,} {'of these ' if part else ''}by agents"
    rows, previous = [], None
    for line, owner in zip(lines, owners, strict=True):
        key = (owner.key, line.commit, owner.chain[:1], owner.reason)
        rows.append(_row(location, ownership, line, owner, key != previous))
        previous = key
    return (table(caption, _LINES, rows),)


def _row(
    location: FoundLog, ownership: Ownership, line: BlamedLine, owner: Owner, is_first: bool
) -> Sequence[Child]:
    """Returns the cells of a line; those of its owner only where the owner differs from above."""
    event = owner.edit or owner.commit_event
    number: Child = f"{line.number:,}"
    if event is not None:
        number = link(number, path("runs", location.id, "events", event.event_id))
    text = el("code", words(line.text))
    if not is_first:
        return el("span", number, id=f"L{line.number}"), text, None, None
    name = words(owner.name, 60) if owner.name else owner.kind
    who: list[Child] = [event_link(location, event, owner.name) if event and owner.name else name]
    if owner.kind == "unknown":
        who = ["unknown", *((", in git ", name) if owner.name else ())]
    elif owner.kind == "bot":
        who = [name, ", a bot"]
    elif owner.session:
        who.append(f", session {owner.session[:_SESSION_CHARACTERS]}")
    info = ownership.history.info(line.commit) if line.commit else None
    when = event.timestamp if event else timestamp_at(info.author_time * 10**6) if info else None
    commit = f", commit {line.commit[:OID_SHOWN]}" if line.commit else ", not committed"
    about = el("div", moment(when), commit, class_="quiet")
    what: Child = words(owner.reason) if owner.reason else None
    if owner.prompt is not None:
        what = event_link(location, owner.prompt, first_words(owner.prompt))
    return el("span", number, id=f"L{line.number}"), text, joined(*who, about), what
