"""The index of a project's journal is found where it is looked for, and may vanish at any time."""

import sqlite3
from contextlib import closing

import pytest
from tests.git.repositories import git

from thence.work.journal.store import EventStore, WorkEvent


def note(folder, text):
    with EventStore.at(folder) as store:
        payload = {"wp_id": "WP01", "entry_type": "note", "entry_content": text}
        store.append(WorkEvent("HistoryAdded", payload, "001-sync"))
        return store.project.home / ".thence" / "index.db"


def counted(folder):
    """Counts the events as another program would, by the index alone."""
    path = folder / ".kittify" / "events" / "index.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT count(*) FROM events").fetchone()[0]


def asked(folder):
    with EventStore.at(folder) as store:
        return store.query(type="HistoryAdded", limit=1).total


@pytest.mark.promise("L1")
@pytest.mark.promise("L12")
def test_index_is_made_on_first_use_and_follows_each_command(folder):
    note(folder, "one")
    assert counted(folder) == 1
    note(folder, "two")
    assert counted(folder) == 2
    assert git(folder, "status", "--porcelain", "--untracked-files=all").count("index.db") == 0


@pytest.mark.promise("L12")
@pytest.mark.parametrize("which", ["link", "index", "both", "spoilt", "folder"])
def test_index_may_vanish_at_any_moment(folder, which):
    made = note(folder, "one")
    link = folder / ".kittify" / "events" / "index.db"
    if which in ("link", "both"):
        link.unlink()
    if which in ("index", "both"):
        made.unlink()
    if which == "spoilt":
        made.write_bytes(b"no database")
    if which == "folder":
        git(folder, "clean", "--quiet", "-fdx")
    assert asked(folder) == 1
    note(folder, "two")
    assert (counted(folder), asked(folder)) == (2, 2)


def test_file_of_another_program_under_the_name_stays(folder):
    link = folder / ".kittify" / "events" / "index.db"
    link.parent.mkdir(parents=True)
    link.write_bytes(b"another program's")
    note(folder, "one")
    assert link.read_bytes() == b"another program's"
    assert asked(folder) == 1
