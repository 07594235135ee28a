"""Projects for the installed commands of `thence work`, and the state after a command."""

from collections.abc import Mapping
from pathlib import Path

from tests.cli.installed import is_three_lines
from tests.git.repositories import git, make_repository
from tests.work.boards import done, work

from thence.errors import ThenceError
from thence.work.journal.store import EventStore
from thence.work.project.project import find_project

SLUG = "001-sync"
FOLDER = f"kitty-specs/{SLUG}"
TASKS = """# Tasks

## Work Package WP01: First

- [ ] T001 Write

## Work Package WP02: Second

### Dependencies
- Depends on WP01
"""


def project(path: Path, files: Mapping[str, str | bytes] | None = None) -> Path:
    """Make a repository that is a project, with nothing to do."""
    repo = make_repository(path, files)
    done(repo, "setup-spec")
    return repo


def planned(
    path: Path, tasks: str | bytes | None = TASKS, files: Mapping[str, str | bytes] | None = None
) -> Path:
    """Make a project with a feature whose tasks.md is written and not finalized."""
    repo = project(path, files)
    done(repo, "setup-spec", "Sync")
    if tasks is not None:
        data = tasks.encode() if isinstance(tasks, str) else tasks
        (repo / FOLDER / "tasks.md").write_bytes(data)
    return repo


def finalized_project(path: Path, *plan: str | bytes, **options: Mapping[str, str | bytes]) -> Path:
    """Make a project whose feature has the packages of its tasks.md."""
    repo = planned(path, *plan, **options)
    done(repo, "finalize-tasks")
    return repo


def left(folder: Path) -> tuple[str, ...]:
    """Return the content of git and of the journal, without the journal's failures."""
    refs = git(folder, "for-each-ref", "--format=%(refname) %(objectname)")
    files = git(folder, "status", "--porcelain", check=False)
    patch = git(folder, "diff", "--no-ext-diff", check=False)
    try:
        with EventStore(find_project(folder, create=False)) as store:
            events = [each for each in store.read() if each.event_type != "ErrorLogged"]
    except (ThenceError, OSError):  # what is refused may be the project itself
        events = []
    return (refs, files, patch, *(event.line.decode() for event in events))


def refused(folder: Path, *arguments: object, code: int = 2) -> dict[str, str]:
    """Run a command that has to fail, and return its error.

    It fails in the same way with --json and without, and leaves git and journal as they were.
    """
    before = left(folder)
    plain = work(folder, *arguments)
    assert (plain.code, plain.out) == (code, ""), plain
    assert is_three_lines(plain.err), plain.err
    ended = work(folder, *arguments, "--json")
    assert ended.code == code
    assert is_three_lines(ended.err), ended.err
    assert left(folder) == before
    assert list(ended.json) == ["error"]
    error: dict[str, str] = ended.json["error"]
    return error
