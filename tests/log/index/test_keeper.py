"""Whatever is done to the files of an index, or under it to the log, its answers are right."""

import os
import resource
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.events import line_of
from tests.log.index.logs import add, fits, index_of, rotate, told
from tests.log.processes import descriptors, in_child

from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK
from thence.log.index.connection import Index, open_database
from thence.log.open import open_log

Harm = Callable[[Path], object]


def wal(database: Path) -> Path:
    return database.with_name("index.db-wal")


def noise(path: Path) -> None:
    path.write_bytes(os.urandom(max(8_192, path.stat().st_size if path.exists() else 0)))


def foreign_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (a)")
    connection.close()


def written_over(path: Path, statement: str) -> None:
    """Changes what stands in the database, as another version would have written it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()


def another_logs(path: Path) -> None:
    other = path.parent.parent.parent / "other"
    with open_log(other) as log:
        log.append("else")
    with index_of(other) as index:
        index.refresh()
    shutil.copyfile(other / ".thence" / "index.db", path)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def copied(path: Path) -> None:
    """Puts a copy in its place: another file with the same bytes."""
    shutil.copyfile(path, path.with_name("copy"))
    path.with_name("copy").rename(path)


HARMS: dict[str, Harm] = {
    "deleted": Path.unlink,
    "emptied": lambda path: os.truncate(path, 0),
    "cut": cut,
    "noise": noise,
    "a foreign database": foreign_database,
    "another schema": lambda path: written_over(
        path, "UPDATE meta SET value = 0 WHERE key = 'schema'"
    ),
    "a table gone": lambda path: written_over(path, "DROP TABLE causes"),
    "a copy": copied,
    "all of it deleted but the lock": lambda path: [
        file.unlink() for file in path.parent.glob("index.db*")
    ],
    "the database deleted and the lock": lambda path: [
        file.unlink() for file in (path, path.with_name("index.lock"))
    ],
    "the lock deleted": lambda path: path.with_name("index.lock").unlink(),
    "all of thence's own folder deleted": lambda path: shutil.rmtree(path.parent),
    "a folder in its place": lambda path: [path.unlink(), path.mkdir()],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log with an older segment."""
    with open_log(tmp_path / "log") as log:
        first = log.append("a", {"n": 1}, actor="ada")
        rotate(log.folder, 1)
        log.append("b", caused_by=[first], subject="x")
        log.append_many([{"event_type": "c"}] * 50)
    return tmp_path / "log"


@pytest.fixture(params=HARMS)
def harm(request: pytest.FixtureRequest) -> Harm:
    return HARMS[request.param]


def test_index_of_another_log_is_not_used(folder: Path) -> None:
    with index_of(folder) as index:
        index.refresh()
    another_logs(folder / ".thence" / "index.db")
    with index_of(folder) as index:
        fits(index, folder)


def test_an_index_harmed_while_nobody_has_it_open_is_made_again(folder: Path, harm: Harm) -> None:
    with index_of(folder) as index:
        index.refresh()
    harm(folder / ".thence" / "index.db")
    with index_of(folder) as index:
        fits(index, folder)
        add(folder, [line_of()])
        fits(index, folder)


def test_an_index_harmed_while_it_is_open_answers_right(folder: Path, harm: Harm) -> None:
    with index_of(folder) as index, index_of(folder) as other:
        fits(index, folder)
        fits(other, folder)
        add(folder, [line_of()])
        fits(index, folder)
        harm(folder / ".thence" / "index.db")
        fits(index, folder)
        add(folder, [line_of()])
        fits(other, folder)
        fits(index, folder)
    with index_of(folder) as index:
        fits(index, folder)


def same_size(path: Path) -> None:
    """Writes other events of the same sizes over a segment, in place."""
    before = path.read_bytes()
    after = b"".join(line_of(event_type="other") for _ in before.splitlines())
    path.write_bytes(after[: len(before)].ljust(len(before), b"\n"))
    os.utime(path, ns=(1, 1))


def replaced(path: Path) -> None:
    """Puts another file of the same size in its place."""
    other = path.with_name("other")
    other.write_bytes(path.read_bytes().replace(b'"event_type":"a"', b'"event_type":"z"'))
    other.rename(path)


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + line_of())


OLDER = "events_2026-11-20_07-13-00-000001.jsonl"
CHANGES: dict[str, Harm] = {
    "the current one cut": lambda log: os.truncate(log / "events.jsonl", 100),
    "the current one emptied": lambda log: os.truncate(log / "events.jsonl", 0),
    "the current one deleted": lambda log: (log / "events.jsonl").unlink(),
    "the current one written over": lambda log: same_size(log / "events.jsonl"),
    "the older one written over": lambda log: same_size(log / OLDER),
    "the older one replaced": lambda log: replaced(log / OLDER),
    "the older one deleted": lambda log: (log / OLDER).unlink(),
    "the older one renamed": lambda log: (log / OLDER).rename(log / OLDER.replace("2026", "2025")),
    "the older one no segment any more": lambda log: (log / OLDER).rename(log / "away"),
    "the older one longer": lambda log: longer(log / OLDER),
    "another older one": lambda log: (log / OLDER.replace("2026", "2024")).write_bytes(line_of()),
    "rotated": lambda log: rotate(log, 2),
    "rotated amid a line": lambda log: [add(log, [line_of()[:-1]]), rotate(log, 2)],
    "changed about": lambda log: [
        (log / OLDER).rename(log / "away"),
        (log / "events.jsonl").rename(log / OLDER),
        (log / "away").rename(log / "events.jsonl"),
    ],
    "all of it gone": lambda log: shutil.rmtree(log),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("is_open", [True, False])
def test_segments_changed_under_an_index_are_read_again(folder, change, is_open):
    with index_of(folder) as index:
        fits(index, folder)
        if not is_open:
            index.close()
        CHANGES[change](folder)
        fits(index, folder)
        if folder.exists():
            add(folder, [line_of()])
        fits(index, folder)


def test_an_unfinished_line_is_taken_when_it_is_whole(folder: Path) -> None:
    line = line_of()
    with index_of(folder) as index:
        for part in (line[:20], line[20:-1], line[-1:]):
            add(folder, [part])
            fits(index, folder)


@pytest.fixture
def sealed_folder(folder: Path) -> Path:
    """A log whose own folder can't be written to, by root neither."""
    shutil.rmtree(folder / ".thence")
    (folder / ".thence").write_bytes(b"")
    return folder


def test_where_a_log_cant_be_written_its_index_is_kept_in_memory(sealed_folder: Path) -> None:
    with Index(OS_DISK, sealed_folder, PLAIN) as index:
        fits(index, sealed_folder)
        add(sealed_folder, [line_of()])
        fits(index, sealed_folder)
        rotate(sealed_folder, 7)
        (sealed_folder / OLDER).unlink()
        fits(index, sealed_folder)


def test_where_a_log_cant_be_written_its_index_lies_in_the_cache(folder, tmp_path):
    (folder / ".thence" / "index.lock").mkdir()
    cache = tmp_path / "cache"
    with index_of(folder, cache=cache) as index:
        fits(index, folder)
    assert [path.name for path in cache.glob("*/index.db")] == ["index.db"]


def test_a_cache_that_cant_be_written_either_is_passed_over(folder: Path, tmp_path: Path) -> None:
    (folder / ".thence" / "index.lock").mkdir()
    (tmp_path / "cache").write_bytes(b"")
    with index_of(folder, cache=tmp_path / "cache") as index:
        fits(index, folder)


def test_a_full_disk_keeps_the_index_in_memory(folder: Path) -> None:
    add(folder, [line_of() for _ in range(2_000)])

    def index_within_limits() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        fits(index_of(folder), folder)

    in_child(index_within_limits)
    assert not list((folder / ".thence").glob("index.db*"))
    with index_of(folder) as index:
        fits(index, folder)


def test_a_database_that_another_program_has_locked_is_left_to_it(folder: Path) -> None:
    with index_of(folder) as index:
        index.refresh()
    database = folder / ".thence" / "index.db"
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with index_of(folder) as index:
        fits(index, folder)
    other.close()
    with index_of(folder) as index:
        fits(index, folder)


def test_what_is_no_database_is_not_held_open(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    noise(path)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        open_database(path)
    assert caught.tb  # which holds all that the function held
    assert descriptors(tmp_path) == []


def test_nothing_there_is_an_empty_index(tmp_path: Path) -> None:
    with index_of(tmp_path / "nowhere") as index:
        assert told(index)["lines"] == []
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(("events", "steps"), [(1, 260), (500, 30)])
def test_log_of_changes_is_merged_before_it_grows_long(tmp_path, events, steps):
    """Who asks waits for it: for one of many large batches 20 ms."""
    database = tmp_path / "log" / ".thence" / "index.db"
    sizes = []
    add(tmp_path / "log", [line_of()])
    with index_of(tmp_path / "log") as index:
        index.refresh()
        for _ in range(steps):
            add(tmp_path / "log", [line_of() for _ in range(events)])
            index.refresh()
            sizes.append(wal(database).stat().st_size)
    assert 0 < max(sizes) < 2_000_000
