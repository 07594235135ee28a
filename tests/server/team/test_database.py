"""The file of a server's database: made once, opened by several, refused where it is none."""

import resource
import stat
import sys
from pathlib import Path

import apsw
import pytest
from tests.codes import raises_code
from tests.server.team.engines import in_sqlite
from tests.server.team.lines import foreign, lines
from tests.server.team.team_server import TeamServer, team_server

from thence.errors import SyncRefused
from thence.server.running import TEAM_DATABASE
from thence.server.team import store
from thence.server.team.accounts import Accounts
from thence.server.team.sqlite import SqliteDatabase, make_database
from thence.server.team.sync_service import SyncService


def test_database_is_made_whole_and_once(tmp_path: Path) -> None:
    file = tmp_path / "data" / TEAM_DATABASE
    make_database(file, "e1", "red")
    assert [each.name for each in file.parent.iterdir()] == [TEAM_DATABASE]
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    with raises_code("server_exists") as refused:
        make_database(file, "e2")
    assert f"thence server run --data {file.parent};" in refused.value.hint
    file.chmod(0o644)
    database = SqliteDatabase(file)
    assert {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()} == {0o600}
    assert (database.epoch, Accounts(database, str).teams()) == ("e1", ["red"])
    database.close()


def test_what_is_no_database_with_these_tables_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with raises_code("not_a_server") as refused:
        SqliteDatabase(file)
    assert refused.value.hint.startswith("name it as it is; ")  # a copy is no server to be made
    for content in (b"", b"no database" * 1000):
        file.write_bytes(content)
        with raises_code("not_a_server"):
            SqliteDatabase(file)
    other = tmp_path / TEAM_DATABASE
    make_database(other, "e1")
    for statement, words in (
        ("UPDATE meta SET value = '00ff' WHERE key = 'schema'", "schema.sql 00ff, not"),
        ("DELETE FROM meta WHERE key = 'schema'", "no server"),
        ("ALTER TABLE meta RENAME COLUMN value TO text", "no server"),
        ("DROP TABLE meta", "no server"),
    ):
        connection = apsw.Connection(str(other))
        connection.execute(statement)
        connection.close()
        before = other.read_bytes()
        with raises_code("not_a_server", match=words):
            SqliteDatabase(other)
        assert other.read_bytes() == before, "it is not touched"


def test_logs_of_a_team_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    database = in_sqlite("e1")
    for team in ("red", "blue"):
        Accounts(database, str).add_team(team)
    service = SyncService(store.Store(database))
    monkeypatch.setattr(store, "LOGS_MAX", 2)
    for log in ("a", "b"):
        service.batch("red", log, "plain", [])
    with pytest.raises(SyncRefused):
        service.batch("red", "c", "plain", lines(1))
    service.batch("red", "a", "plain", lines(1))
    service.batch("blue", "c", "plain", lines(1))


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is of Linux alone")  # noqa: TID251
@pytest.mark.promise("S12")
def test_full_disk_refuses_batches_for_now_and_loses_nothing(tmp_path: Path) -> None:
    with team_server(tmp_path / "data") as server:
        server.end()
        with (tmp_path / "said").open("wb") as said:
            server.start(stderr=said)
        ada = server.client("ada")
        taken = lines(20)
        assert set(ada.statuses("log", taken)) == {"success"}
        limited = _size_limit(server, 2_000_000)
        number = 0
        while True:
            bulk = foreign(number, payload="x" * 200_000)
            got = ada.push("log", [bulk])
            if got.status != 200:
                break
            taken.append(bulk)
            number += 1
        assert (got.status, got.code) == (503, "unavailable")
        assert got.headers["retry-after"] == "1"
        assert number > 2
        assert ada.pull("log")[0] == taken
        assert ada.ask("GET", "/ready").status == 503
        _size_limit(server, limited)
        assert ada.statuses("log", [bulk]) == ["success"]
        assert ada.pull("log")[0] == [*taken, bulk]
        assert ada.ask("GET", "/ready").status == 200
    assert "see that its folder has room" in (tmp_path / "said").read_text()


def _size_limit(server: TeamServer, size_bytes: int) -> int:
    """Bounds the files that the server's process may write; returns the former bound."""
    assert server.process is not None
    former, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size_bytes, most))
    return former
