"""A team that moves to another database of a server."""

import re
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest
from tests.cli.installed import is_three_lines, thence
from tests.server.postgres import Cluster
from tests.server.team.lines import foreign, lines
from tests.server.team.notices import ANN, Node
from tests.server.team.team_server import team_server

from thence.core.values.digests import digests
from thence.core.wire.authorship import signed_push
from thence.core.wire.messages import KeyRequest
from thence.errors import DamagedCopy, NotALog, ServerExists
from thence.server.team import team_copies
from thence.server.team.accounts import Accounts, Member
from thence.server.team.exchange import Exchange
from thence.server.team.keys import KeyRegistry
from thence.server.team.postgres import PostgresDatabase
from thence.server.team.sqlite import SqliteDatabase
from thence.server.team.store import EVENT_COLUMNS, Store
from thence.server.team.team_copies import OF_LOG, OF_TEAM, copy_team

SHORT = 7


def filled() -> SqliteDatabase:
    """Returns a database with two teams; red has signed, relayed, foreign and redacted lines."""
    database = SqliteDatabase.in_memory("e1")
    accounts = Accounts(database, str.upper)
    exchange = Exchange(Store(database))
    for team in ("blue", "red"):
        accounts.add_team(team)
    for name, role in (("ada", "admin"), ("bob", "reader")):
        accounts.add_user(name, "red", role, lambda: "password")
    accounts.add_user("ada", "blue", "writer", lambda: "password")
    keys = KeyRegistry(database)
    node = Node()
    keys.register(Member("ada", "red", "admin"), KeyRequest(ANN.public_key, (node.node,)))
    said = [node.said(), node.said("kept")]
    pushed = [*said, node.redaction(said[0])]
    signature = signed_push(ANN, "red", "log", [digests(line).line for line in pushed])
    exchange.batch("red", "log", "plain", pushed, signature=signature)
    exchange.batch("red", "log", None, [*lines(40, node="00000000000a"), foreign(1)])
    exchange.batch("red", "log-2", "sim", [])
    exchange.batch("blue", "log", "plain", lines(3))
    return database


def contents(database: SqliteDatabase, team: str = "red") -> object:
    """Returns all that members of a team can see, and who they are."""
    exchange, store = Exchange(Store(database)), Store(database)
    logs = {
        log.name: (log.kind, log.last, exchange.page(team, log.name).lines)
        for log in store.logs(team)
    }
    taken = [digests(line).line for line in logs["log"][2] if b'"seq"' in line]
    members = [one for one in Accounts(database, str).members() if one.team == team]
    signed = exchange.signed(team, "log", taken)
    redacted = store.redactions(next(log for log in store.logs(team) if log.name == "log"))
    return logs, members, signed, sorted(redacted), KeyRegistry(database).of_team(team)


def ignored(done: int, total: int) -> None:
    """Takes no notice of progress."""


@pytest.mark.promise("S12")
def test_team_is_in_the_other_database_with_all_that_its_members_see() -> None:
    source, target = filled(), SqliteDatabase.in_memory("e2")
    assert copy_team(source, target, "red", ignored) == (2, 2, 44)
    assert contents(target) == contents(source)
    assert Accounts(target, str).teams() == ["red"]
    assert copy_team(source, target, "red", ignored) == (2, 2, 44)
    assert contents(target) == contents(source)


@pytest.mark.promise("S12")
@pytest.mark.parametrize("ends_after", [0, 1, 3, 6])
def test_copy_that_was_ended_goes_on(monkeypatch: pytest.MonkeyPatch, ends_after: int) -> None:
    monkeypatch.setattr(team_copies, "_LINES", SHORT)
    source, target = filled(), SqliteDatabase.in_memory("e2")
    told: list[int] = []

    def end(done: int, total: int) -> None:
        if len(told) == ends_after:
            raise KeyboardInterrupt
        told.append(done)

    with pytest.raises(KeyboardInterrupt):
        copy_team(source, target, "red", end)
    before = sum(log.last for log in Store(target).logs("red"))
    told_again: list[int] = []
    copy_team(source, target, "red", lambda done, total: told_again.append(done))
    assert contents(target) == contents(source)
    assert told_again[:1] == ([min(before + SHORT, 44)] if before < 44 else [])


def test_other_lines_under_the_name_of_the_log_are_refused_and_stay() -> None:
    source, target = filled(), SqliteDatabase.in_memory("e2")
    Accounts(target, str).add_team("red")
    Exchange(Store(target)).batch("red", "log", "plain", lines(2, node="00000000000b"))
    before = Exchange(Store(target)).page("red", "log").lines
    with pytest.raises(ServerExists, match="holds other lines"):
        copy_team(source, target, "red", ignored)
    assert Exchange(Store(target)).page("red", "log").lines == before


def test_line_that_was_spoiled_on_the_way_is_found() -> None:
    source, target = filled(), SqliteDatabase.in_memory("e2")
    with target.writing() as written:
        written.script(
            "CREATE TRIGGER spoil AFTER INSERT ON events WHEN new.number = 20 BEGIN"
            " UPDATE events SET line = x'7b7d' WHERE number = 20; END"
        )
    with pytest.raises(DamagedCopy, match="differ"):
        copy_team(source, target, "red", ignored)


def test_team_that_is_not_there_is_told() -> None:
    with pytest.raises(NotALog, match="no such team"):
        copy_team(filled(), SqliteDatabase.in_memory("e2"), "green", ignored)


def test_users_who_are_there_keep_their_passwords() -> None:
    source, target = filled(), SqliteDatabase.in_memory("e2")
    Accounts(target, str.lower).add_team("other")
    Accounts(target, str.lower).add_user("bob", "other", "writer", lambda: "Password")
    copy_team(source, target, "red", ignored)
    with target.reading() as opened:
        rows = opened.execute("SELECT name, password FROM users ORDER BY name")
    assert rows == [("ada", "PASSWORD"), ("bob", "password")]


def test_no_table_and_no_column_of_a_team_is_forgotten() -> None:
    schema = files("thence.server.team").joinpath("schema.sql").read_text("utf-8")
    tables = dict(re.findall(r"CREATE TABLE (\w+) \(\n(.*?)\n\)", schema, re.DOTALL))
    columns = {
        table: set(re.findall(r"^    ([a-z_0-9]+) [A-Z]", text, re.MULTILINE))
        for table, text in tables.items()
    }
    of_logs = {table for table, names in columns.items() if {"team", "log"} <= names}
    assert of_logs == {*OF_LOG, "events"}
    for table, names in OF_LOG.items():
        assert columns[table] == {"team", "log", *names}
    assert columns["events"] == set(EVENT_COLUMNS)
    of_teams = {table for table, names in columns.items() if "team" in names} - of_logs
    assert of_teams == {*OF_TEAM, "members", "keys", "logs"}
    for table, names in OF_TEAM.items():
        assert columns[table] == {"team", *names}


@pytest.mark.rest
@pytest.mark.xdist_group("postgres")
@pytest.mark.promise("S12")
def test_team_moves_to_postgresql_by_the_command(tmp_path: Path, postgres: Cluster) -> None:
    address = postgres.address(postgres.empty())
    written = lines(30)
    with team_server(tmp_path / "data") as running:
        assert running.client("ada").statuses("log", written) == ["success"] * 30
        busy = thence("server", "copy", address, "--team", "red", "--data", "data", cwd=tmp_path)
    assert busy.code == 1
    assert is_three_lines(busy.err)
    itself = thence("server", "copy", "data", "--data", "data", cwd=tmp_path)
    assert (itself.code, is_three_lines(itself.err)) == (2, True), itself.err
    nowhere = thence("server", "copy", address, "--data", "none", cwd=tmp_path)
    assert (nowhere.code, "no server.db in it" in nowhere.err) == (4, True), nowhere.err
    copy = ("server", "copy", address, "--team", "red", "--data", "data")
    absent = thence(*copy, cwd=tmp_path)
    assert "no server is in it" in absent.err
    assert (
        thence("server", "init", "--database", address, "--team", "other", cwd=tmp_path).code == 0
    )
    moved = thence(*copy, "--json", cwd=tmp_path)
    assert moved.json == {"team": "red", "members": 1, "logs": 1, "events": 30}, moved.err
    with closing(PostgresDatabase(address)) as database:
        assert Exchange(Store(database)).page("red", "log").lines == written
        assert Accounts(database, str).teams() == ["other", "red"]
