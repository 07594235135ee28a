"""The pages of a repository's files: their list, and the owner of each line of one.

Only what git lists by exactly that path is read, if no link lies on the way to it.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from threading import Event as Signal

from starlette.exceptions import HTTPException
from starlette.responses import Response

from thence.core.clock import timestamp_at
from thence.core.json_values import is_utf8
from thence.core.markup import Child, Column, Html, el, joined, link, moment, path, table, words
from thence.core.query.filter import Filter
from thence.git.blame import BlamedLine, lines_of
from thence.git.repository import Repository
from thence.log.index import query
from thence.log.open import open_log
from thence.server.http.workers import Stopped
from thence.server.logs.root import FoundLog, OpenLog
from thence.server.web.layout import page
from thence.server.web.parts import coloured, event_address, event_link, form, log_link
from thence.server.web.session import edited_paths, first_words
from thence.trace.agents.ownership import OID_SHOWN, Owner, Ownership

FILES_MAX = 2_000
LINES_MAX = 5_000
BYTES_MAX = 16 * 1024 * 1024
EDITS_MAX = 500  # the latest calls whose edits are looked at for the list
_SESSION_CHARACTERS = 8
_LINES = (
    Column("Line", "number"),
    Column("Text", "text"),
    Column("Owner", "owner"),
    Column("Prompt, or why it is unknown", "what"),
)


def files_link(log: FoundLog) -> Html:
    """Returns the link to the files of a log's repository."""
    return link("Files, with the owner of each line", path("runs", log.id, "files"))


def files_page(log: OpenLog, repo: Repository, find: str) -> Response:
    """Returns the list of files whose path holds a text, those that agents edited last first."""
    calls = query.page(log.index, Filter(types=("tool.ended",)), limit=EDITS_MAX, descending=True)
    edited = dict.fromkeys(name for call in calls for name in edited_paths(call))
    places = {name: place for place, name in enumerate(edited)}
    names = [name for name in _listed(repo) if find.casefold() in name.casefold()]
    names.sort(key=lambda name: places.get(name, len(places)))
    items = [
        el("li", link(words(name), path("runs", log.id, "files", *name.split("/"))))
        for name in names[:FILES_MAX]
    ]
    field = el("label", "Path holds", for_="find"), el("input", id="find", name="find", value=find)
    button = el("button", "Show", type="submit")
    search = form([el("div", *field)], button, role="search", aria_label="Filter the files")
    part = f"the first {FILES_MAX:,} of " if len(names) > FILES_MAX else ""
    about = f"{part}{len(names):,} files that git lists, those that agents edited last first"
    listing = joined(search, el("p", about, class_="quiet"), el("ul", *items, class_="files"))
    return page("Files", el("h1", "Files"), listing, trail=(log_link(log),))


def _listed(repo: Repository, *names: str) -> list[str]:
    """Returns the files that git lists, all or those of some paths; none where it fails."""
    answer = repo.git.ask("ls-files", "-z", "--deduplicate", "--", *names)
    return os.fsdecode(answer.out).split("\0")[:-1] if answer.status == 0 else []


def file_page(log: FoundLog, repo: Repository, name: str, stop: Signal) -> Response:
    """Returns a file's lines with their owners.

    Raises HTTPException for what git does not list, or can't be shown, Stopped after the signal.
    """
    if not is_utf8(name) or "\0" in name or _listed(repo, name) != [name]:
        raise HTTPException(404, "git lists no such file")
    count = _lines_in(os.path.join(os.path.realpath(repo.folder), name))
    lines = lines_of(repo, name, (1, LINES_MAX) if count > LINES_MAX else None) if count else []
    rows: list[Sequence[Child]] = []
    previous: object = None
    with open_log(log.folder, create=False) as opened:
        ownership = Ownership(opened, repo)
        texts = coloured(name, [line.text for line in lines])
        for at, line in enumerate(lines):
            if stop.is_set():
                raise Stopped
            owner = ownership.of_line(lines, at)
            key = (owner.key, line.commit, owner.chain[:1], owner.reason)
            cells = _row(log, ownership, line, owner, key != previous)
            rows.append((cells[0], el("code", texts[at]), *cells[1:]))
            previous = key
    part = f"the first {LINES_MAX:,} of " if count > LINES_MAX else ""
    body = table(f"{part}{count:,} lines", _LINES, rows)
    trail = (log_link(log), link("Files", path("runs", log.id, "files")))
    return page(name[:80], el("h1", words(name)), body, trail=trail)


def _lines_in(place: str) -> int:
    """Returns how many lines a file has; raises HTTPException for one that can't be shown."""
    try:
        status = os.lstat(place)
        if not stat.S_ISREG(status.st_mode) or os.path.realpath(place) != place:
            problem = "it is a link, or is in a linked folder, or is not a file"
        elif status.st_size > BYTES_MAX:
            problem = f"it has over {BYTES_MAX:,} bytes"
        else:
            data = Path(place).read_bytes()
            if b"\0" not in data and is_utf8(data.decode(errors="surrogateescape")):
                return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
            problem = "it is a binary file, or not text in UTF-8"
    except OSError as error:
        problem = f"it can't be read: {error.strerror}"
    raise HTTPException(422, f"{os.path.basename(place)} can't be shown: {problem}")


def _row(
    log: FoundLog, ownership: Ownership, line: BlamedLine, owner: Owner, is_first: bool
) -> Sequence[Child]:
    """Returns a line's number and its owner's cells, these only where it differs from above."""
    event = owner.edit or owner.commit_event
    address = event_address(log, event.event_id) if event else None
    place = f"L{line.number}"
    number = el("a", f"{line.number:,}", id=place, href=address or f"#{place}")
    if not is_first:
        return number, None, None
    name = words(owner.name or owner.kind, 60)
    who: list[Child] = [link(name, address) if address else name]
    if owner.maybe is not None:
        session = (owner.maybe.session or "")[:_SESSION_CHARACTERS]
        who = [words(owner.maybe.name, 60), f"?, session {session}"]
    elif owner.kind == "unknown":
        who = ["unknown", *((", in git ", words(owner.name, 60)) if owner.name else ())]
    elif owner.session:
        who.append(f", session {owner.session[:_SESSION_CHARACTERS]}")
    info = ownership.history.info(line.commit) if line.commit else None
    when = event.timestamp if event else timestamp_at(info.author_time * 10**6) if info else None
    commit = f", commit {line.commit[:OID_SHOWN]}" if line.commit else ", not committed"
    about = el("div", moment(when), commit, class_="quiet")
    what: Child = words(owner.reason) if owner.reason else None
    if owner.prompt is not None:
        what = event_link(log, owner.prompt, first_words(owner.prompt))
    return number, joined(*who, about), what
