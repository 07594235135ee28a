"""What a clone remembers of the lines that it has read in git's objects."""

from pathlib import Path

import msgspec

from thence.work.project.project import Project

LOCK = "taking.lock"
OTHER = "refs/"  # begins the name of a ref that is no branch
_NAME = "taken.json"


class SeenBlobs(msgspec.Struct):
    """What has been read: the blobs, by the tips at which they were seen; `branches` are read.

    A tip goes by its branch, or by the whole name of another ref.
    """

    tips: dict[str, str] = {}
    blobs: set[str] = set()
    branches: set[str] = set()

    @property
    def targets(self) -> set[str]:
        """The branches on which others' day files are looked for."""
        return {name for name in self.tips if not name.startswith(OTHER)} | self.branches


def known(project: Project) -> SeenBlobs:
    """Returns what was read; nothing where that is not known."""
    try:
        return msgspec.json.decode((project.home / _NAME).read_bytes(), type=SeenBlobs)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return SeenBlobs()


def keep(project: Project, taken: SeenBlobs) -> None:
    """Remembers what was read. Raises OSError."""
    path: Path = project.home / _NAME
    draft = path.with_suffix(".new")
    draft.write_bytes(msgspec.json.encode(taken))
    draft.replace(path)
