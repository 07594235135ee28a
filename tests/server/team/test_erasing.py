"""What was taken back is in no file of the server, and nothing serves it any more."""

import random
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests.server.team.lines import Node, halves, lines
from tests.server.team.stranger import Client, digest
from tests.server.team.team_server import TeamServer, team_server
from tests.server.team.test_sync_service import add_teams

from thence.core.redaction import redacted
from thence.server.running import TEAM_DATABASE
from thence.server.team import sqlite
from thence.server.team.sqlite import SqliteDatabase, make_database
from thence.server.team.store import Store
from thence.server.team.sync_service import SyncService


def files_with(folder: Path, secret: str) -> list[Path]:
    """Returns the files below a folder in which a text stands."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if secret.encode() in path.read_bytes()]


def answers_with(client: Client, log: str, line: bytes, secret: str) -> list[str]:
    """Returns the answers about a line that hold a text."""
    named = {"digests": [digest(line).hex()]}
    answers = {
        "page": client.page(log).body,
        "lines": client.post(f"/api/v1/events/lines/?log={log}", named).body,
    }
    return [name for name, body in answers.items() if secret.encode() in body]


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_body_that_was_taken_back_is_in_no_file_and_no_answer(red: TeamServer) -> None:
    ada, node, secret = red.client("ada"), Node("e00000000001"), "tunafish"
    target = node.said(secret)
    ada.push("erased", [target, *lines(20)], nodes=[node.node])
    assert answers_with(ada, "erased", target, secret) == ["page", "lines"]
    assert files_with(red.data, secret) or isinstance(red.place, str)
    ada.push("erased", [node.redaction(target)])
    assert files_with(red.data, secret) == []
    assert answers_with(ada, "erased", target, secret) == []
    assert ada.statuses("erased", [target]) == ["duplicate"]
    assert answers_with(ada, "erased", target, secret) == files_with(red.data, secret) == []


def redact(service: SyncService, log: str, *notices: bytes, login: str = "ann") -> None:
    """Pushes redactions by the login that owns the node."""
    service.batch("red", log, "plain", list(notices), login=login)


def claimed_server(folder: Path) -> tuple[SqliteDatabase, SyncService, Node]:
    """Returns a server's database on disk, its service, and a node that ann has named her own."""
    make_database(folder / TEAM_DATABASE, "e1")
    database, node = SqliteDatabase(folder / TEAM_DATABASE), Node()
    add_teams(database)
    service = SyncService(Store(database))
    service.batch("red", "log", "plain", lines(1), login="ann", nodes=[node.node])
    return database, service, node


def leave_copies(file: Path) -> None:
    """Leaves copies of all lines in free pages, as SQLite does of some where it moves rows."""
    with closing(apsw.Connection(str(file))) as connection:
        for statement in (
            "PRAGMA secure_delete = OFF",
            "CREATE TABLE moved AS SELECT line FROM events",
            "DROP TABLE moved",
            "PRAGMA wal_checkpoint(TRUNCATE)",
        ):
            connection.execute(statement).fetchall()


@pytest.mark.promise("S10a")
@pytest.mark.parametrize("is_large", [False, True], ids=["at once", "at the next start"])
def test_no_copy_of_a_line_is_left_where_rows_of_any_size_were_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_large: bool
) -> None:
    if is_large:
        monkeypatch.setattr(sqlite, "COMPACTED_BYTES_MAX", 0)
    chance = random.Random(7)
    database, service, node = claimed_server(tmp_path)
    file = tmp_path / TEAM_DATABASE
    bodies = {}
    for number in range(300):
        text = f"<{number:05d}>" * chance.choice((1, 3, 8, 20, 1000))
        bodies[node.said(text)] = f"<{number:05d}>".encode()
    for batch in halves(list(bodies), 50):
        service.batch("red", "log", "plain", batch)
    leave_copies(file)
    assert all(text in file.read_bytes() for text in bodies.values())
    chance.shuffle(whole := list(bodies))
    for batch in halves(whole[:200], 50):
        redact(service, "log", *(node.redaction(line) for line in batch))
    lines_now = set(service.page("red", "log").lines)
    assert {redacted(line) for line in whole[:200]} | set(whole[200:]) <= lines_now
    is_left = any(bodies[line] in file.read_bytes() for line in whole[:200])
    assert database.compact() == is_large == is_left
    assert not database.compact()
    stored = file.read_bytes() + file.with_name(f"{file.name}-wal").read_bytes()
    assert not [text for line, text in bodies.items() if line in whole[:200] and text in stored]
    assert all(bodies[line] in stored for line in whole[200:])
    assert set(service.page("red", "log").lines) == lines_now
    database.close()


@pytest.mark.promise("S10a")
def test_server_writes_its_database_anew_as_it_starts_after_a_redaction(tmp_path: Path) -> None:
    with team_server(tmp_path / "data") as server:
        server.end()
        file = server.data / TEAM_DATABASE
        with closing(apsw.Connection(str(file))) as connection:  # as a redaction in a large one
            columns = "team, id, name, kind, revision"
            connection.execute(f"INSERT INTO logs ({columns}) VALUES (1, 1, 'log', 'plain', 3)")
        notices = []
        for _ in range(2):
            with (tmp_path / "told").open("w+b") as told:
                server.start(stderr=told)
                assert server.client("ada").page("log").status == 200
                assert server.end() == 0
                told.seek(0)
                notices.append(b"rewrote server.db" in told.read())
        assert notices == [True, False]


@pytest.mark.promise("S10a")
def test_file_of_commits_is_emptied_when_the_last_reader_of_the_old_ones_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "ERASE_MS", 1)
    database, service, node = claimed_server(tmp_path)
    target = node.said("tunafish")
    service.batch("red", "log", "plain", [target])
    with database.reading() as reader:
        assert reader.execute("SELECT count(*) FROM events") == [(2,)]
        redact(service, "log", node.redaction(target))
        assert files_with(tmp_path, "tunafish")
        assert service.page("red", "log").lines[1] == redacted(target)
    assert files_with(tmp_path, "tunafish") == []
    database.close()
