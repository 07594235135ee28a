"""The record of the day files that a clone has read from git's objects."""

from pathlib import Path

import msgspec

from thence.work.project.project import Project

LOCK = "taking.lock"
OTHER = "refs/"  # begins the name of a ref that is no branch
_NAME = "taken.json"


class SeenBlobs(msgspec.Struct):
    """The blobs that were read, the tips at which they were seen, and the watched `branches`.

    The key of a tip is its branch, or the full name of another ref.
    """

    tips: dict[str, str] = {}
    blobs: set[str] = set()
    branches: set[str] = set()

    @property
    def targets(self) -> set[str]:
        """The branches whose day files are read."""
        return {name for name in self.tips if not name.startswith(OTHER)} | self.branches


def load(project: Project) -> SeenBlobs:
    """Returns the record; an empty one where it can't be read."""
    try:
        return msgspec.json.decode((project.home / _NAME).read_bytes(), type=SeenBlobs)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return SeenBlobs()


def save(project: Project, seen: SeenBlobs) -> None:
    """Stores the record. Raises OSError."""
    path: Path = project.home / _NAME
    draft = path.with_suffix(".new")
    draft.write_bytes(msgspec.json.encode(seen))
    draft.replace(path)
