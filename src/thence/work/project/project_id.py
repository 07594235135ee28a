"""The id of a project, the same in every clone of its repository.

`.kittify/config.yaml` names the id. Otherwise the id is that of the board's branch, as last
fetched, else it is derived from the first commit of the default branch, along first parents, so
that merging another repository doesn't change it. Before the first commit it is random.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from thence.core.ready import ready
from thence.errors import PlanningError
from thence.files import replace_file
from thence.git.files import TreeFiles
from thence.git.locks import locked
from thence.git.refs import REMOTES, Refs
from thence.git.repository import HEADS, Repository

CONFIG = ".kittify/config.yaml"
BOARD_BRANCH = "thence-board"
BOARD_FILE = "project.json"
_PATTERN = rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ID = re.compile(_PATTERN)
_NAMING = re.compile(
    rb"^(?:\xef\xbb\xbf)?project_uuid:[ \t]*[\"']?(" + _PATTERN + rb")[\"']?[ \t]*(?:#.*)?\r?$",
    re.MULTILINE,
)
_NAMED = re.compile(rb"^(?:\xef\xbb\xbf)?project_uuid:[ \t]*([^\r\n]*)", re.MULTILINE)
_DEFAULT_BOARD = f"{REMOTES}origin/{BOARD_BRANCH}"


class BoardFile(msgspec.Struct, frozen=True):
    """The project file of the board's branch."""

    project_uuid: str


def configurations(*trees: Path) -> Iterator[tuple[Path, bytes]]:
    """Yields the configurations in working trees, with their paths."""
    for tree in dict.fromkeys(trees):
        with suppress(FileNotFoundError, NotADirectoryError):
            yield tree / CONFIG, TreeFiles(tree).read(CONFIG)


def is_id(text: str) -> bool:
    """Reports whether a text is a UUID, the form of a project's id."""
    return _ID.fullmatch(text.encode("utf-8", "replace")) is not None


def ids_in(data: bytes, path: Path) -> list[str]:
    """Returns the project ids in a configuration; two clones may each have added one.

    Raises PlanningError for an invalid id: a new one would split the project.
    """
    ids = [match.decode().lower() for match in _NAMING.findall(data)]
    named = None if ids else _NAMED.search(data)
    if named is not None:
        line = data.count(b"\n", 0, named.start()) + 1
        raise PlanningError(
            "could not read the project's id in",
            place=f"{path}:{line}",
            cause=f"{named[1].decode('utf-8', 'replace')!r:.80} is not a UUID",
            hint="restore the id that git has of it, or take the line out to get a new one",
        )
    return ids


def with_id(data: bytes | None, uuid: str) -> bytes:
    """Returns a configuration with the project's id; one that has an id is unchanged."""
    start = data or b""
    if _NAMED.search(start):
        return start
    return start + b"\n" * (start[-1:] not in (b"", b"\n")) + f"project_uuid: {uuid}\n".encode()


def with_another_id(data: bytes | None, uuid: str) -> bytes:
    """Returns a configuration in which a new id replaces all others."""
    lines = (data or b"").splitlines(keepends=True)
    return with_id(b"".join(line for line in lines if not _NAMED.match(line)), uuid)


def random_id(homes: Path, *, makes: bool) -> str | None:
    """Returns the random id of a repository; None if it has none, and `makes` is unset.

    It is kept in the git folder: the working tree has nothing of it before the first event.
    """
    path = homes / "random-id"
    if makes:
        from uuid import uuid4

        with locked(path.with_suffix(".lock")):
            if not path.exists():
                replace_file(path, str(uuid4()).encode())
    return path.read_text() if path.exists() else None


def id_of_board(repo: Repository, refs: Refs) -> str | None:
    """Returns the id on the fetched board's branch; None if the branch was not fetched.

    Raises PlanningError if the board has no valid id.
    """
    end = f"/{BOARD_BRANCH}"
    boards = [ref for ref in refs.commits if ref.startswith(REMOTES) and ref.endswith(end)]
    ref = _DEFAULT_BOARD if _DEFAULT_BOARD in boards else boards[0] if len(boards) == 1 else None
    answer = repo.git.ask("cat-file", "blob", f"{ref}:{BOARD_FILE}") if ref else None
    if answer is None or answer.status:
        return None
    try:
        uuid = msgspec.json.decode(answer.out, type=ready(BoardFile)).project_uuid
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        uuid = ""
    if not is_id(uuid):
        raise PlanningError(
            "could not read the project's id in",
            place=f"{BOARD_FILE} of {ref}",
            cause="it names no UUID as project_uuid",
            hint=f"see who wrote it: git log -p {ref}",
        )
    return uuid.lower()


def id_of_history(repo: Repository, refs: Refs) -> str | None:
    """Returns the id derived from a repository's first commit; None before that.

    Raises PlanningError in a shallow clone, which doesn't have the first commit.
    """
    arguments = ("rev-list", "--first-parent", "--max-parents=0", f"{HEADS}{refs.default}", "--")
    answer = repo.git.ask(*arguments) if refs.default else None
    if answer is None or answer.status:
        return None
    if repo.git.run("rev-parse", "--is-shallow-repository").strip() == b"true":
        raise PlanningError(
            "could not find the project of",
            place=repo.folder,
            cause="this is a shallow clone, without the first commit, from which the id is made",
            hint="git fetch --unshallow, or fetch the board: git fetch origin "
            f"+{HEADS}{BOARD_BRANCH}:refs/remotes/origin/{BOARD_BRANCH}",
        )
    from uuid import NAMESPACE_URL, uuid5  # 10 ms of import, needed once in a clone's life

    return str(uuid5(NAMESPACE_URL, f"git:{answer.out.split()[-1].decode()}"))
