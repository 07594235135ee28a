"""The database of version 2, as a server of then left it, is brought up to date as it is opened."""

import shutil
import tarfile
from hashlib import sha256
from pathlib import Path

import apsw
import pytest
from tests.golden.test_team_v1 import ARCHIVE
from tests.server.team.lines import line
from tests.server.team.notices import Node
from tests.server.team.test_exchange import walked

from thence.core.values.digests import digests, redacted
from thence.errors import NotAServer
from thence.server.running import TEAM_DATABASE
from thence.server.team.accounts import Accounts
from thence.server.team.backups import restore, verify
from thence.server.team.exchange import Exchange
from thence.server.team.sqlite import VERSION, SqliteDatabase
from thence.server.team.store import Store

ADA, BOB = "16e3aa6f91c5", "d319d1585a0d"
TEAM, LOG = "team", "orders"
_INSERT = "INSERT INTO events VALUES (1, 1, ?, ?, ?, ?, 0, ?, ?, ?)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "srv" / TEAM_DATABASE


def opened(file: Path) -> tuple[SqliteDatabase, Exchange]:
    database = SqliteDatabase(file)
    return database, Exchange(Store(database))


def relayed(database: SqliteDatabase, key_of: str) -> set[int]:
    """Returns the numbers of a node's lines that its owner must push again."""
    with database.reading() as connection:
        query = "SELECT number FROM events JOIN relayed USING (team, log, node, digest)"
        rows = connection.execute(f"{query} WHERE node = :node", {"node": key_of})
        return {number for (number,) in rows}


def chains(database: SqliteDatabase) -> list[bytes]:
    with database.reading() as connection:
        rows = connection.execute("SELECT chain FROM events ORDER BY number")
        return [chain for (chain,) in rows]


def chained_digests(lines: list[bytes]) -> list[bytes]:
    chain, found = b"", []
    for each in lines:
        chain = sha256(chain + digests(each).line).digest()[:8]
        found.append(chain)
    return found


def add(connection: apsw.Connection, number: int, event_id: str, node: str, seq: int, text: bytes):
    _, content, digest = digests(text)
    connection.execute(_INSERT, (number, event_id, node, seq, content, digest, text))
    connection.execute("UPDATE logs SET last = ?", (number,))


@pytest.mark.promise("S12")
def test_lines_that_were_proven_stay_signed_and_no_others_are(file: Path) -> None:
    connection = apsw.Connection(str(file))
    twin = Node(ADA, first=3).said("forged")
    add(connection, 14, "01J" + ADA.upper() + "00000000003", ADA, 3, twin)
    replaced = dict(connection.execute("SELECT digest, line FROM forms"))
    rows = connection.execute("SELECT number, digest, line FROM events").fetchall()
    before = [(number, digest, replaced.get(digest, text)) for number, digest, text in rows]
    assert replaced
    connection.close()
    copy = file.with_name("copy.db")
    shutil.copyfile(file, copy)
    for path in (file, copy):
        database, exchange = opened(path)
        assert relayed(database, ADA) == {7, 13, 14}, "the seals themselves, and the forged line"
        assert relayed(database, BOB) == {11}
        with database.reading() as connection:
            assert connection.execute("PRAGMA user_version") == [(VERSION,)]
            rows = connection.execute("SELECT number, digest, line FROM events")
            assert list(rows) == before
        lines = walked(exchange, 5, TEAM, LOG)
        assert len(lines) == 14
        assert chains(database) == chained_digests(lines)
        database.close()
    again, _ = opened(file)  # it is of this version now
    assert relayed(again, BOB) == {11}
    again.close()


@pytest.mark.promise("S10a")
def test_redaction_that_did_not_count_is_pushed_again_by_its_writer(file: Path) -> None:
    connection = apsw.Connection(str(file))
    (notice,) = connection.execute("SELECT digest FROM events WHERE number = 12").fetchone()
    target, event_id = connection.execute(
        "SELECT digest, event_id FROM events WHERE number = 4"
    ).fetchone()
    given = (1, 1, target, event_id, ADA, 8, notice)
    connection.execute("INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?)", given)
    connection.close()
    database, exchange = opened(file)
    assert relayed(database, ADA) == {7, 12, 13}
    assert exchange.lines(TEAM, LOG, [target])[0].count(b"body_sha256") == 0
    database.close()


@pytest.mark.promise("S12")
def test_line_that_was_withheld_goes_and_the_whole_one_is_taken(file: Path) -> None:
    whole = line(5, node=BOB)
    _, content, digest = digests(whole)
    connection = apsw.Connection(str(file))
    form = redacted(whole)
    connection.execute("UPDATE events SET number = 14 WHERE number = 10")
    connection.execute(_INSERT, (10, "withheld", BOB, 5, content, digest, form))
    connection.execute("UPDATE logs SET last = 14")
    connection.execute("INSERT INTO withheld VALUES (1, 1, ?)", (digest,))
    connection.close()
    database, exchange = opened(file)
    lines = walked(exchange, 5, TEAM, LOG)
    with database.reading() as connection:
        assert [number for (number,) in connection.execute("SELECT number FROM events")] == [
            *range(1, 14)
        ]
    assert form not in lines
    assert chains(database) == chained_digests(lines)
    verdicts = exchange.batch(TEAM, LOG, None, [whole]).results
    assert [verdict.status for verdict in verdicts] == ["success"]
    assert walked(exchange, 5, TEAM, LOG) == [*lines, whole]
    database.close()


@pytest.mark.promise("S10a")
def test_form_of_a_redacted_line_comes_into_its_place(file: Path) -> None:
    connection = apsw.Connection(str(file))
    query = "SELECT digest, line FROM events WHERE number = 5"
    digest, whole = connection.execute(query).fetchone()
    zeros = "UPDATE events SET line = zeroblob(length(line)) WHERE number = 5"
    connection.execute(zeros)
    insert = "INSERT INTO forms (team, log, digest, line) VALUES (1, 1, ?, ?)"
    for form in (b"an earlier form", redacted(whole)):
        connection.execute(insert, (digest, form))
    connection.close()
    database, exchange = opened(file)
    assert exchange.lines(TEAM, LOG, [digest])[0].count(b"body_sha256") == 1
    assert walked(exchange, 5, TEAM, LOG)[4] == redacted(whole)
    with database.reading() as reading:
        assert reading.execute("SELECT 1 FROM sqlite_schema WHERE name LIKE 'forms%'") == []
    database.close()


@pytest.mark.promise("S12")
def test_copy_of_version_2_is_put_back_and_stays_as_it_is(file: Path, tmp_path: Path) -> None:
    copy, data = tmp_path / "copy", tmp_path / "data" / TEAM_DATABASE
    connection = apsw.Connection(str(file))
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    shutil.copyfile(file, copy)
    before = copy.read_bytes()
    with pytest.raises(NotAServer, match="version"):
        verify(copy, lambda done, total: None)
    assert restore(copy, data, tmp_path / "aside", lambda done, total: None).events == 13
    assert copy.read_bytes() == before
    database, exchange = opened(data)
    assert len(walked(exchange, 5, TEAM, LOG)) == 13
    database.close()


def shape(database: SqliteDatabase) -> dict[str, object]:
    """Returns the columns and the keys of all tables."""
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
    indexes = """
        SELECT info.name, list."unique" FROM pragma_index_list(:table) AS list
        JOIN pragma_index_info(list.name) AS info ORDER BY list.name, info.seqno
    """
    with database.reading() as connection:
        return {
            table: (
                [row[:-1] for row in connection.execute(f"PRAGMA table_info({table})")],
                sorted(connection.execute(f"PRAGMA foreign_key_list({table})")),
                sorted(connection.execute(indexes, {"table": table})),
            )
            for (table,) in connection.execute(tables)
        }


@pytest.mark.promise("S12")
def test_older_database_becomes_like_a_new_one_and_keeps_its_users(file: Path) -> None:
    database, _ = opened(file)
    assert [(member.user, member.team) for member in Accounts(database, str).members()] == [
        ("ada", TEAM),
        ("bob", TEAM),
    ]
    shapes = shape(database)
    assert shapes == shape(SqliteDatabase.in_memory("e1"))
    assert len(shapes) >= 12
    database.close()
