"""The copies of redacted lines in the files of the project whose journal a log is."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from thence.errors import GitFailed, NotAProject
from thence.replica import Log

if TYPE_CHECKING:
    from thence.work.project.project import Project


def redact_copies(replica: Log) -> tuple[int, list[str]]:
    """Overwrites the copies; returns how many lines, and in words the copies that stay.

    A log that is no project's journal has none. Raises OSError, GitFailed, and what reading the
    log raises.
    """
    project = _project_of(replica)
    if project is None:
        return 0, []
    from thence.work.journal.redacted_views import redact_shared

    shared = redact_shared(project, replica)
    return shared.redacted_count, [*shared.unwritten, *shared.unreached]


def redact_due_copies(replica: Log) -> list[str]:
    """Overwrites the copies unless that is done already; returns files that could not be written.

    Raises OSError, GitFailed, and what reading the log raises.
    """
    project = _project_of(replica)
    if project is None:
        return []
    from thence.work.journal.redacted_views import is_redacted, redact_files
    from thence.work.journal.store import redactions_in

    if is_redacted(project):
        return []
    return [*redact_files(project, redactions_in(project.home, replica.arrived())).unwritten]


def _project_of(replica: Log) -> "Project | None":
    """Returns the project whose journal a log is.

    It is the one of this folder, or the one in whose git folder the journal lies.
    """
    if replica.vocabulary.name != "work":
        return None
    from thence.work.project.project import find_project

    above = replica.folder.absolute().parents  # REPOSITORY/.git/thence/ID
    for folder in (Path(), *above[2:3]):
        with suppress(NotAProject, GitFailed):
            project = find_project(folder, create=False)
            if project.home.is_dir() and project.home.samefile(replica.folder):
                return project
    return None
