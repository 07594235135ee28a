"""The command `blame`, and what `why` answers about a commit, a line of a file, or a text.

Git is asked about the repository that the file, or this folder, lies in.
"""

import os.path
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from thence.cli.frame import PATH, help_with, log_options
from thence.cli.output import Output, current, wrapped
from thence.cli.shared.logs import open_for_reading
from thence.cli.shared.render import counted, numbered, table
from thence.core.bodies import BodyMissing
from thence.core.event import Event
from thence.core.json_values import is_utf8
from thence.core.sentences.events import clipped, short_id
from thence.core.sentences.events import line as in_line
from thence.errors import EventNotFound, GitFailed, SuppressCodes, ThenceError
from thence.git.blame import BINARY_BYTES, contents, lines_of
from thence.git.repository import Repository, asked
from thence.log.open import Log
from thence.trace.agents.ownership import EARLY, Kind, Owner, Ownership
from thence.trace.causes.chains import chain_of, held

PROMPT_LINES = 8
OTHERS_SHOWN = 5
_NAME_COLUMNS_MAX = 28
_NAME_COLUMNS_MIN = 4
_ASK_COLUMNS = 32
_SESSION_COLUMNS = 8
_OID_SHOWN = 12
_HEX = re.compile("[0-9a-f]{7,64}")
_LINE = re.compile(r"(?P<file>.+):(?P<number>\d{1,9})", re.DOTALL)


@click.command("blame", **help_with("thence blame src/pay.py", "thence blame src/pay.py --json"))
@click.argument("file", type=PATH)
@log_options
def blame_command(file: str, log_name: str | None) -> None:
    """Show who owns each line of a file: the agent and its prompt.

    A line is an agent's if its text comes from an edit that the log recorded, even if it was
    formatted, moved, squashed or rebased since. `claude-code?` is unknown: an agent may have
    written it. A person's are lines of a commit that the git hook saw a person make; it shows the
    author in git, as it does for an unknown owner. `thence why FILE:LINE` shows why one line was
    written.
    """
    out = current()
    repo, path, _, link = _file_of(file)
    with open_for_reading(out, log_name, about=Path(file).parent) as log:
        ownership = Ownership(log, repo)
        lines = lines_of(repo, path)
        pairs = [(line, ownership.of_line(lines, at)) for at, line in enumerate(lines)]
        if out.is_json:
            entries = []
            for line, owner in pairs:
                members = _owner_json(owner)
                del members["others"]
                own = {"line": line.number, "commit": line.commit or None}
                entries.append({**own, **members, "ask": _ask(owner) or None, "text": line.text})
            out.json({"file": path, "link": link or None, "lines": entries})
        elif pairs:
            words = {"unknown": "unknown, in git {}"}
            rows = [
                (
                    f"{in_line(owner.maybe.name)}?"
                    if owner.maybe
                    else words.get(owner.kind, "{}").format(in_line(owner.name))
                    if owner.name
                    else owner.kind,
                    ((owner.maybe or owner).session or "")[:_SESSION_COLUMNS],
                    _ask(owner),
                    str(line.number),
                    line.text,
                )
                for line, owner in pairs
            ]
            longest = [max(len(row[at]) for row in rows) for at in range(4)]
            most = {0: _NAME_COLUMNS_MAX, 1: _SESSION_COLUMNS, 2: _ASK_COLUMNS}
            most = {at: min(most[at], longest[at]) for at in most}
            # the code keeps half of the width: the prompt is cut first, then the session
            beside = sum(most.values()) + longest[3] + 8
            over = beside - out.columns // 2 if out.columns else 0
            for at, least in ((2, 0), (1, 0), (0, _NAME_COLUMNS_MIN)):
                cut = min(max(over, 0), max(most[at] - least, 0))
                most[at], over = most[at] - cut, over - cut
            shown = [
                [text if most.get(at, 1) else "" for at, text in enumerate(row)] for row in rows
            ]
            listed = table(shown, most=most, right=(3,), width=out.columns)
            out.write(*([link] if link else ()), *listed)


class Explanation(NamedTuple):
    """An answer about a commit, a line or a text: whose it is, its first sentences, its members."""

    owner: Owner
    opening: list[str]
    members: dict[str, Any]

    def sentences(self, log: Log, *, is_whole: bool) -> list[str]:
        """Returns the first sentences and those of the causes."""
        chain = self.owner.chain
        ended = {event.ends for event in chain if event.ends}
        causes = (
            event
            for event in chain
            if event.event_id not in ended and (is_whole or event.event_type != "session.begun")
        )
        return [*self.opening, *map(log.vocabulary.sentence, causes)]

    @property
    def prompt(self) -> str | None:
        """What the user asked, None where that is unknown."""
        if self.owner.prompt is None:
            return None
        try:
            text = self.owner.prompt.payload.get("prompt")
        except BodyMissing as error:
            return f"({error.message}: {error.cause})"
        return text if isinstance(text, str) else None


def explanation(log: Log, text: str, error: EventNotFound) -> Explanation:
    """Answers for FILE:LINE, or for a text with a space or in quotes, that names no event.

    Raises `error` for anything else, `line_not_found`, EventNotFound, GitFailed.
    """
    match = _LINE.fullmatch(text)
    if match and os.path.exists(match["file"]):
        return _of_line(log, match["file"], int(match["number"]))
    if _is_text(text):
        return _of_text(log, text)
    if match:
        error.cause += f"; nor is {match['file']} a file here"
    raise error


def holds_text(log: Log, text: str) -> bool:
    """Reports whether an event of a log holds a text, which has a space or is in quotes."""
    return _is_text(text) and any(True for _ in _holding(log, _needle(text)))


def commit_named(text: str) -> tuple[Repository, str] | None:
    """Returns this folder's repository and its commit of a name: hex digits, or `commit/` NAME."""
    name = text.removeprefix("commit/")
    if name == text and not _HEX.fullmatch(text):
        return None
    with suppress(GitFailed):
        repo = asked(Path())
        if (commit := repo.git.commit_of(name)) is not None:
            return repo, commit
    return None


def commit_explanation(log: Log, text: str) -> Explanation | None:
    """Answers for a commit; None for a text that names none, or another event of the log."""
    with SuppressCodes("event_not_found", "ambiguous_id"):
        event = log.resolve(text)
        if event.event_type != "commit" or event.header.source != "git":
            return None
    if (pair := commit_named(text)) is None:
        return None
    repo, commit = pair
    ownership = Ownership(log, repo)
    owner = ownership.of_commit(commit)
    first = f"Commit {_named(ownership, commit)} {_whose(ownership, owner)}"
    rest = [f"Another part of it {_whose(ownership, other)}" for other in owner.others]
    members = {"commit": commit, "co_authors": _co_authors(ownership, owner)}
    return Explanation(owner, [first, *_steps(owner), *rest], members)


def _of_line(log: Log, file: str, number: int) -> Explanation:
    repo, path, count, link = _file_of(file)
    if not 1 <= number <= count:
        raise ThenceError(
            "could not find the line",
            place=f"{file}:{number}",
            cause=f"the file has {counted(count, 'line')}",
            hint=f"ask about one of them, or about all: thence blame {file}",
            code="line_not_found",
        )
    lines = lines_of(repo, path, (number, number))
    (blamed,) = lines
    ownership = Ownership(log, repo)
    owner = ownership.of_line(lines, 0)
    sentences = [link] if link else []
    of_commit = f"{path}:{number} is not committed yet"
    by: Owner | None = None
    if blamed.commit:
        by = ownership.of_commit(blamed.commit)
        whose = _whose(ownership, by)
        commit = _named(ownership, blamed.commit)
        of_commit = f"{path}:{number} came with commit {commit}, which {whose}"
    sentences += [of_commit, *_steps(owner)]
    if owner.edit is None and (by is None or (owner.key, owner.reason) != (by.key, by.reason)):
        sentences.append(f"The line {_whose(ownership, owner, 'no agent edit contains it')}")
    members = {"file": path, "line": number, "text": blamed.text, "commit": blamed.commit or None}
    members["co_authors"] = _co_authors(ownership, owner)
    return Explanation(owner, sentences, members)


def _of_text(log: Log, text: str) -> Explanation:
    needle = _needle(text)
    holding = [*_holding(log, needle)][::-1]
    # the edits that wrote it, newest first, then what else holds it
    events = [event for event, _ in sorted(holding, key=lambda pair: not pair[1])]
    if not events:
        raise EventNotFound(
            "could not find the text",
            place=f'"{clipped(in_line(text), 80)}"',
            cause="no event in the log contains it",
            hint="give a shorter piece, exactly as written; `thence log` lists the events",
        )
    chain = chain_of(events[0], lambda event_id: held(log, event_id))
    sentences = []
    if len(events) > 1:
        ids = ", ".join(short_id(event.event_id) for event in events[1 : OTHERS_SHOWN + 1])
        sentences.append(f"It is in {counted(len(events) - 1, 'other event')} too: {ids}")
    kind: Kind = "agent" if events[0].header.source else "unknown"
    owner = Owner(kind, events[0].actor or "", events[0].stream, chain=chain)
    members = {"text": needle, "events": [event.event_id for event in events]}
    return Explanation(owner, sentences, members)


def _is_text(text: str) -> bool:
    return " " in text or "\n" in text or text[:1] == text[-1:] == '"'


def _needle(text: str) -> str:
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == '"' else text


def _holding(log: Log, needle: str) -> Iterator[tuple[Event, bool]]:
    """Yields the events that hold a text, and whether each is an edit that wrote it."""
    if not is_utf8(needle):  # half a surrogate pair, which no line holds
        return
    sign = msgspec.json.encode(needle)[1:-1]
    for event in log.read():
        is_edit = b'"files":[' in event.line
        if sign not in event.line and not event.body_entries:
            continue
        with suppress(BodyMissing):
            payload = event.payload
            files = payload.get("files") if is_edit else ()
            texts = (
                (str(file.get("added")), str(file.get("removed")))
                for file in files or ()
                if isinstance(file, dict) and file.get("added")
            )
            if any(needle in added and needle not in removed for added, removed in texts):
                yield event, True
            elif sign in msgspec.json.encode(payload):
                yield event, False


def _file_of(file: str) -> tuple[Repository, str, int, str]:
    """Returns the repository of a file, its path in it, and how many lines it has.

    Of a link they are those of its target, and the last is a sentence that says so, else "".
    """
    path = Path(file).absolute()
    if not path.is_file():
        cause = "it is a folder" if path.is_dir() else "there is no such file"
        raise _no_file(file, cause, "name a file of this working tree")
    real = path.resolve()
    folder = real.parent
    try:
        repo = asked(folder)
        top = repo.top.resolve() if repo.top else None
    except GitFailed:
        top = None
    if top is None or not folder.is_relative_to(top):
        cause = "it is not in a working tree of a git repository"
        hint = "name a file of a working tree, or ask for its text: thence why '\"TEXT\"'"
        raise _no_file(file, cause, hint)
    name = real.relative_to(top).as_posix()
    data = contents(repo, name)
    if b"\0" in data[:BINARY_BYTES]:
        hint = "ask about its commits: git log -- FILE, then thence why COMMIT"
        raise _no_file(file, "it is a binary file, which has no lines", hint)
    count = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    # where no link leads there, the end of the path is that in the repository
    is_link = Path(os.path.normpath(path)).parts[-len(Path(name).parts) :] != Path(name).parts
    return repo, name, count, f"{file} is a link to {name}" if is_link else ""


def _no_file(file: str, cause: str, hint: str) -> ThenceError:
    operation, code = "could not find who wrote", "line_not_found"
    return ThenceError(operation, place=file, cause=cause, hint=hint, code=code)


def _named(ownership: Ownership, commit: str) -> str:
    info = ownership.history.info(commit)
    return f'{commit[:_OID_SHOWN]} "{clipped(in_line(info.title), 60)}"' if info else commit


def _whose(ownership: Ownership, owner: Owner, of_person: str = "no agent made it") -> str:
    """Returns whose a commit or a line is, behind its name; of an unknown owner what git says."""
    if owner.kind == "agent":
        session = f" in session {owner.session}" if owner.session else ""
        also = " or a subagent of it" if owner.is_agent_unknown else ""
        return f"is by {owner.name or 'an agent'}{also}{session}"
    if owner.kind == "person":
        return f"is by {in_line(owner.name)}, a person: {of_person}"
    said = [f"git author: {in_line(owner.name)}"] if owner.name else []
    if names := _co_authors(ownership, owner):
        said.append(f"co-authored by {', '.join(map(in_line, names))}")
    of_git = f" ({', '.join(said)})" if said else ""
    return f"is of an unknown owner: {owner.reason}{of_git}"


def _co_authors(ownership: Ownership, owner: Owner) -> list[str]:
    """Returns whom the message of an unknown owner's commit names beside its author."""
    is_unknown = owner.kind == "unknown" and owner.commit
    info = ownership.history.info(owner.commit) if is_unknown else None
    return info.co_authors if info else []


def _steps(owner: Owner) -> list[str]:
    return [f"It was {step}" for step in owner.via]


def write_explanation(out: Output, log: Log, answer: Explanation, *, is_whole: bool) -> None:
    """Writes an answer: its first sentences, the causes, and what the user asked."""
    sentences, prompt = answer.sentences(log, is_whole=is_whole), answer.prompt
    if out.is_json:
        chain = [msgspec.Raw(event.readable_line) for event in answer.owner.chain]
        causes = {"sentences": sentences, "chain": chain, "prompt": prompt}
        out.json({**answer.members, **_owner_json(answer.owner), **causes})
        return
    out.write(*numbered(sentences, out.width))
    if prompt:
        rows = [row for text in prompt.splitlines() for row in wrapped(text, out.width - 4) or [""]]
        first_rows = rows if is_whole else rows[:PROMPT_LINES]
        out.write("", "what the user asked", *(f"  | {row}".rstrip() for row in first_rows))
        if rest_count := len(rows) - len(first_rows):
            out.write(f"  {counted(rest_count, 'more line')}; --all shows the whole")
    if answer.owner.reason in EARLY:
        out.write("next: let the agent commit, then ask about one of its lines")


def _owner_json(owner: Owner) -> dict[str, Any]:
    return {
        "kind": owner.kind,
        "name": owner.name or None,
        "session": owner.session,
        "agent": owner.agent,
        "agent_type": owner.agent_type,
        "is_agent_unknown": owner.is_agent_unknown,
        "reason": owner.reason or None,
        "via": owner.via,
        "edit": owner.edit.event_id if owner.edit else None,
        "maybe": _owner_json(owner.maybe) if owner.maybe else None,
        "others": [_owner_json(other) for other in owner.others],
    }


def _ask(owner: Owner) -> str:
    text = owner.prompt.cut_payload.get("prompt") if owner.prompt else None
    return in_line(text) if isinstance(text, str) else ""
