"""Projects that share their board by a branch of a bare remote, and what is on that branch."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.cli.installed import Ended
from tests.cli.warm import warm
from tests.git.repositories import commit, git, write
from tests.work.existing_projects import foreign_line

from thence.core.event import Event
from thence.files import file_lock
from thence.git.locks import EXCHANGING
from thence.sync.target import sync_folder
from thence.work.project.project import find_project
from thence.work.session import sharing
from thence.work.session.session import Session

BOARD = "thence-board"
WAIT_S = 100.0
ONLY_THE_BOARD = """#!/bin/sh
test "$1" = refs/heads/thence-board && exit 0
echo "$1 is protected: open a pull request" >&2
exit 1
"""
PROJECT = "project_uuid: 6dd3fdd0-25a8-4dbb-a1f5-b0a1c5e0a9a1\n"
NAMED = {".kittify/config.yaml": PROJECT}


def hub(path: Path, *options: str, files: Mapping[str, str] | None = None) -> Path:
    """Make a bare repository with one commit on main, and return a clone of it."""
    begun = ("init", "--quiet", "--initial-branch=main", *options)
    git(path.parent, *begun, "--bare", path)
    first = path.parent / f"{path.name}-first"
    git(path.parent, *begun, first)
    git(first, "remote", "add", "origin", path.as_uri())
    git(first, "config", "user.name", "first")
    git(first, "config", "user.email", "first@example.org")
    commit(first, {"README.md": "# a project\n", **(files or {})}, "Begin")
    git(first, "push", "--quiet", "origin", "main")
    return first


def bare(path: Path, *options: str, files: Mapping[str, str] | None = None) -> Path:
    """Make a bare repository with a project that has an id."""
    first = hub(path, *options, files=files)
    done(first, "setup-spec")
    git(first, "push", "--quiet", "origin", "main")
    return path


def clone(source: Path, path: Path, *options: str) -> Path:
    """Make a clone that exchanges events by `synced` alone."""
    git(source.parent, "clone", "--quiet", *options, source.as_uri(), path)
    git(path, "config", "user.name", path.name)
    git(path, "config", "user.email", f"{path.name}@example.org")
    keep_private(path)
    return path


def two_clones(folder: Path, tasks: str) -> tuple[Path, Path]:
    """Make a remote and two clones that both have a feature with packages."""
    remote = bare(folder / "remote")
    ada = clone(remote, folder / "ada")
    done(ada, "setup-spec", "Sync")
    write(ada, {"kitty-specs/001-sync/tasks.md": tasks})
    done(ada, "finalize-tasks")
    synced(ada)
    git(ada, "push", "--quiet", "origin", "main")
    bob = clone(remote, folder / "bob")
    synced(bob)
    return ada, bob


def keep_private(folder: Path) -> None:
    """Make a clone private, as `sync disable` does, until its next `sync now`."""
    common = folder / git(folder, "rev-parse", "--git-common-dir")
    (common / "thence").mkdir(exist_ok=True)
    (common / "thence/private").touch()


def on_remote(folder: Path, remote: Path) -> Path:
    """Give a project a bare remote of its own, which its main follows, and return that."""
    git(folder.parent, "clone", "--quiet", "--bare", folder, remote)
    git(folder, "remote", "add", "origin", remote.as_uri())
    git(folder, "fetch", "--quiet", "origin")
    git(folder, "branch", "--quiet", "--set-upstream-to=origin/main", "main")
    return remote


def hook(folder: Path, name: str, script: str) -> None:
    """Set up a hook in a git folder."""
    write(folder, {f"hooks/{name}": script})
    (folder / "hooks" / name).chmod(0o755)


def work(folder: Path, *arguments: object, **env: str) -> Ended:
    return warm("work", *arguments, cwd=folder, env={"GIT_CONFIG_GLOBAL": "/dev/null", **env})


def done(folder: Path, *arguments: object, **env: str) -> Ended:
    """Run a command that has to succeed."""
    ended = work(folder, *arguments, **env)
    assert ended.code == 0, ended.err
    return ended


def sync(folder: Path, *arguments: object, **env: str) -> Ended:
    return warm("sync", *arguments, cwd=folder, env={"GIT_CONFIG_GLOBAL": "/dev/null", **env})


def synced(folder: Path, **env: str) -> dict[str, object]:
    """Sync the events of a clone with its remote, which has to succeed, this once."""
    ended = sync(folder, "now", "--json", **env)
    assert ended.code == 0, ended.err
    keep_private(folder)
    told = ended.json
    assert isinstance(told, dict)
    return told


def settled(folder: Path) -> None:
    """Wait until no process of the background exchanges the events of a clone."""
    home = find_project(folder).home
    file_lock(sync_folder(home) / "waiting.lock", WAIT_S).close()
    file_lock(home / EXCHANGING, WAIT_S).close()


def exchange(session: Session) -> None:
    """Sync the events of a project with its remote, in this process."""
    with sharing.turn(session.project):
        session.refresh()
        sharing.exchange(session, sharing.remote_of(session))


def journal(folder: Path) -> list[Event]:
    """Return the events of a project, in total order."""
    with Session(folder) as session:
        return session.store.read()


def features(folder: Path) -> str:
    """Return the board as a clone shows it."""
    return json.dumps(done(folder, "status", "--json").json["features"])


def shared_lines(remote: Path, branch: str = BOARD) -> list[str]:
    """Return the lines of all day files on the branch of a bare remote."""
    names = git(remote, "ls-tree", "-r", "--name-only", branch).splitlines()
    days = [name for name in names if name.endswith(".jsonl")]
    return [line for day in days for line in git(remote, "show", f"{branch}:{day}").splitlines()]


def view(folder: Path) -> Path:
    """Return the last day file of a working tree."""
    return max((folder / ".kittify" / "events").glob("*.jsonl"))


def view_lines(folder: Path) -> list[str]:
    """Return the lines of all day files of a working tree."""
    days = (folder / ".kittify" / "events").glob("*.jsonl")
    return [line for day in days for line in day.read_text().splitlines()]


def tool_line(day: Path, number: int) -> str:
    """Return a note on WP01, as another tool writes it."""
    note = {"wp_id": "WP01", "entry_type": "note", "entry_content": f"tool {number}"}
    members = {"timestamp": f"{day.stem}T00:00:00Z", "feature_slug": "000-general"}
    return foreign_line(number, "HistoryAdded", note, lamport_clock=1, **members)
