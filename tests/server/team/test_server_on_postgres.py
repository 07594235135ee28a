"""A team's server on PostgreSQL as users run it, and what it says where PostgreSQL fails."""

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pytest
from tests.cli.installed import is_three_lines, thence
from tests.log.committers import until
from tests.mounts import mounted
from tests.server.postgres import Cluster, cluster
from tests.server.team.lines import lines
from tests.server.team.stranger import Client, written
from tests.server.team.team_server import TeamServer, team_server
from tests.tiers import tenth

pytestmark = [pytest.mark.xdist_group("postgres"), pytest.mark.rest]

NODE = "00000000000a"
DISK, ROOM_BLOCKS, SIZE = "96m", 512, 10


@pytest.fixture
def own() -> Iterator[Cluster]:
    """A cluster that a test may kill: what it has acknowledged must stay."""
    with cluster(is_durable=True) as made:
        yield made


def command(*arguments: object, cwd: Path, address: str):
    env = {"THENCE_DATABASE": address}
    return thence("server", *map(str, arguments), cwd=cwd, env=env)


@pytest.mark.promise("S12")
def test_server_is_made_run_and_told_of_users_by_the_address(postgres, tmp_path):
    address = postgres.address(postgres.empty())
    made = command("init", cwd=tmp_path, address=address)
    assert made.code == 0, made.err
    assert command("init", cwd=tmp_path, address=address).code == 1
    added = command("user", "add", "ada", "--json", cwd=tmp_path, address=address).json
    token = command("token", "add", "ci", "--json", cwd=tmp_path, address=address)
    assert token.code == 0, token.err
    running = TeamServer(tmp_path / "data", address)
    running.start()
    try:
        client = Client(running.url)
        client.log_in("ada", added["password"])
        assert client.statuses("log", lines(3)) == ["success"] * 3
        assert client.pull("log")[0] == lines(3)
        assert client.ask("GET", "/ready").status == 200
    finally:
        assert running.end() == 0
    assert not (tmp_path / "data" / "server.db").exists()
    whole = command("backup", "--check", "--json", cwd=tmp_path, address=address)
    assert (whole.code, whole.json) == (0, {"teams": 1, "logs": 1, "events": 3})
    for copying in ("backup", "restore"):
        refused = command(copying, "copy", cwd=tmp_path, address=address)
        assert (refused.code, "pg_dump copies it" in refused.err) == (2, True)


def test_postgresql_that_died_is_told_and_used_again_once_it_is_back(own, tmp_path):
    address = own.address(own.empty()).replace("thence@", "thence:swordfish@")
    with team_server(tmp_path / "data", address=address) as server:
        server.end()
        with (tmp_path / "said").open("wb") as said:
            server.start(stderr=said)
        ada = server.client("ada")
        assert ada.statuses("log", lines(1)) == ["success"]
        own.end(signal.SIGQUIT)
        away = ada.push("log", lines(2))
        assert (away.status, away.headers["retry-after"]) == (503, "1")
        assert "PostgreSQL" in away.body.decode()
        assert ada.ask("GET", "/ready").status == 503
        own.start()
        until(lambda: ada.push("log", lines(2)).status == 200)
        assert ada.pull("log")[0] == lines(2)
    text = (tmp_path / "said").read_text()
    assert "PostgreSQL" in text
    assert secretless(text)


def secretless(said: str) -> bool:
    return "swordfish" not in said


@pytest.mark.whole
def test_operator_is_told_what_is_wrong_in_a_sentence_without_the_password(postgres, tmp_path):
    folder, empty = postgres.folder, postgres.empty()
    other, foreign = postgres.server(), postgres.empty()
    postgres.execute("UPDATE meta SET value = '99ff' WHERE key = 'schema'", other)
    postgres.execute("CREATE TABLE meta (name text)", foreign)
    reasons = {
        f"postgresql://u:swordfish@127.0.0.1:1/x?host={tmp_path}": (3, "failed"),
        "postgresql://u:swordfish/fish@h/x": (3, "fail"),
        "postgresql://u:swordfish@127.0.0.1:swordfish/x": (3, "reached"),
        "postgresql://u:swordfish@h/x?swordfish": (4, "address"),
        f"postgresql://thence:swordfish@/{empty}?host={folder}": (4, "no server"),
        f"postgresql://thence:swordfish@/{foreign}?host={folder}": (4, "no server"),
        f"postgresql://thence:swordfish@/{other}?host={folder}": (4, "schema.sql 99ff, not"),
    }
    commands = (("run", "--port", "0"), ("user", "list"), ("backup", "--check"))
    for number, (address, (code, words)) in enumerate(reasons.items()):
        for arguments in tenth(commands, (commands[number % 3],)):
            ended = command(*arguments, cwd=tmp_path, address=address)
            assert (ended.code, words in ended.err) == (code, True), (address, ended.err)
            assert is_three_lines(ended.err), ended.err
            assert secretless(ended.err + ended.out)
    told = command("user", "list", "--json", cwd=tmp_path, address=next(iter(reasons)))
    assert json.loads(told.out)["error"]["code"]
    assert command("user", "list", cwd=tmp_path, address="mysql://x").code == 2


_FULL = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON events EXECUTE FUNCTION refuse()
"""
STATES = (
    ("ALTER DATABASE {} SET default_transaction_read_only = on", "read-only"),
    ("ALTER DATABASE {} RESET default_transaction_read_only", None),
    ("ALTER DATABASE {} CONNECTION LIMIT 0", "reached"),
    ("ALTER DATABASE {} CONNECTION LIMIT -1", None),
    (_FULL, "full"),
    ("DROP FUNCTION refuse CASCADE", None),
)


@pytest.mark.promise("S12")
@pytest.mark.whole
def test_read_only_and_full_and_crowded_postgresql_is_told_and_nothing_is_lost(postgres, tmp_path):
    name = postgres.empty()
    postgres.execute("CREATE ROLE owner LOGIN CREATEROLE")
    postgres.execute(f"ALTER DATABASE {name} OWNER TO owner")
    states = tenth(STATES, (*STATES[:2], *STATES[4:]))
    address = postgres.address(name, "owner")
    with team_server(tmp_path / "data", address=address) as server:
        ada = server.client("ada")
        for number, (statement, words) in enumerate(states, 1):
            of_database = statement.startswith("ALTER")
            postgres.execute(statement.format(name), "postgres" if of_database else name)
            postgres.disconnect(name)  # what is set holds for new connections
            got = ada.push("log", lines(1, first=number))
            while words is None and got.status == 503:  # it connects again
                got = ada.push("log", lines(1, first=number))
            assert got.status == (503 if words else 200), statement
            if words:
                assert got.headers["retry-after"] == "1"
                assert words in got.body.decode()
        good = range(2, len(states) + 1, 2)
        assert ada.pull("log")[0] == [line for n in good for line in lines(1, first=n)]


@pytest.mark.promise("S12")
def test_disk_that_is_really_full_loses_nothing_and_pushes_go_on_once_there_is_room(tmp_path):
    with tempfile.TemporaryDirectory(prefix="thence-pg-") as place:
        Path(place).chmod(0o755)
        disk = Path(place, "disk")
        with mounted(disk, DISK) as is_mounted:
            if not is_mounted:
                return  # this user may mount nothing: the trigger above stands for it
            own = Cluster(disk, is_durable=True)
            own.start("max_wal_size=32MB", "min_wal_size=32MB")
            try:
                fill_and_free(own, tmp_path)
            finally:
                own.end(signal.SIGQUIT)


def fill_and_free(own: Cluster, folder: Path) -> None:
    written_lines = (written(NODE, seq, seq, {"text": os.urandom(8_000).hex()}) for seq in count(1))
    ballast, sent = own.folder / "ballast", list[bytes]()
    with team_server(folder / "data", address=own.address(own.empty())) as server:
        server.end()
        with (folder / "said").open("wb") as said:
            server.start(stderr=said)
        ada = server.client("ada")
        with ballast.open("wb") as file:
            stat = os.statvfs(own.folder)
            os.posix_fallocate(file.fileno(), 0, (stat.f_bavail - ROOM_BLOCKS) * stat.f_frsize)
        while True:
            batch = list(islice(written_lines, SIZE))
            got = ada.push("log", batch)
            if got.status != 200:
                break
            sent += batch
        assert (got.status, got.headers["retry-after"]) == (503, "1")
        assert "disk is full" in got.body.decode()
        assert ada.pull("log")[0] == sent, "it goes on to answer"
        assert ada.ask("GET", "/ready").status == 503
        ballast.unlink()
        assert ada.statuses("log", batch) == ["success"] * SIZE
        assert ada.pull("log")[0] == [*sent, *batch]
        assert ada.ask("GET", "/ready").status == 200
    assert "No space left on device" in (folder / "said").read_text()
