"""Large values at a server of its own process: who may ask for them, and where they go with it."""

import gzip
import json
import signal
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests.cli.installed import thence as thence_command
from tests.server.team.conftest import POSTGRES, SQLITE
from tests.server.team.stranger import Client
from tests.server.team.team_server import PASSWORD, TeamServer, team_server
from tests.server.team.test_body_pieces import COMMON, Writer, names, piece, writer
from tests.server.team.test_erasing import files_with
from tests.tiers import tenth

import thence
from thence.core.event import Event
from thence.core.vocabulary import PLAIN
from thence.server.team.sqlite import SqliteDatabase
from thence.server.team.store import Store
from thence.server.team.sync_service import SyncService
from thence.sync.client import SyncClient, log_in
from thence.sync.credentials import CredentialStore
from thence.sync.engine import SyncEngine
from thence.sync.target import SyncTarget

__all__ = ["writer"]

PIECES = "/api/v1/events/pieces/"
VALUES = "/api/v1/events/values/"


def told(lines: Sequence[bytes]) -> bytes:
    return b'{"pieces":[' + b",".join(lines) + b"]}"


def asked(lines: Sequence[bytes]) -> dict[str, list[str]]:
    return {"digests": [digest.hex() for digest in names(lines)]}


def brought(client: Client, query: str, lines: Sequence[bytes]) -> None:
    for line in lines:
        assert client.ask("POST", PIECES + query, told([line])).json == {"count": 1}


def test_requests_about_values_are_bounded_and_need_a_right(red, tmp_path):
    ada, log = red.client("ada"), "bounded-values"
    query = f"?log={log}&kind=plain"
    bomb = gzip.compress(b'{"pieces":[' + b" " * (64 * 2**20) + b"]}")
    assert ada.ask("POST", PIECES + query, bomb, Content_Encoding="gzip").status == 413
    assert ada.ask("POST", PIECES + query, b"x" * 5_000_000).status == 413
    for path in (PIECES, VALUES, f"{PIECES}missing/"):
        assert red.client().ask("POST", path + query, b"{}").status == 401
        for body in (b"", b"[]", b'{"pieces":7}', b'{"digests":["x"]}'):
            assert ada.ask("POST", path + query, body).status == 400
    many = {"digests": [f"{number:064x}" for number in range(1_001)]}
    ada.push(log, [])
    assert ada.post(f"{PIECES}missing/{query}", many).status == 400
    assert ada.post(VALUES + query, many).status == 400
    red.add("reading", role="reader")
    reader = red.client("reading")
    assert reader.ask("POST", PIECES + query, told([piece(b"a")])).status == 403
    assert ada.ask("POST", PIECES + query, told([piece(b"a")])).json == {"count": 1}
    assert ada.post(f"{PIECES}missing/?log=none", {"digests": []}).status == 404


def test_values_are_in_copies(tmp_path: Path, writer: Writer) -> None:
    lines = writer.said(COMMON, COMMON + "more", "x" * 600_000)
    with team_server(tmp_path / "data") as server:
        ada = server.client("ada")
        query = "?log=log&kind=plain"
        brought(ada, query, writer.pieces)
        assert ada.statuses("log", lines) == ["success"] * 3
        backed = thence_command("server", "backup", "copy.db", *server.options, cwd=tmp_path)
        assert backed.code == 0, backed.err
    assert thence_command("server", "backup", "--check", "copy.db", cwd=tmp_path).code == 0
    with closing(SqliteDatabase(tmp_path / "copy.db")) as copied:
        service = SyncService(Store(copied))
        assert service.given_pieces("red", "log", names(lines)[:2]) == writer.pieces[:2]
        assert service.lacking_pieces("red", "log", names(lines)) == ()
    with closing(apsw.Connection(str(tmp_path / "copy.db"))) as connection:
        connection.execute("UPDATE body_pieces SET data = zeroblob(9) WHERE size < 9000")
    damaged = thence_command("server", "backup", "--check", "copy.db", cwd=tmp_path)
    assert damaged.code != 0
    assert "large value" in damaged.err


@pytest.mark.promise("S12")
@pytest.mark.parametrize(
    ("when", "own_address"),
    [
        ("before", SQLITE),
        pytest.param("behind", *POSTGRES.values, marks=POSTGRES.marks),
        *tenth(
            [
                ("behind", SQLITE),
                pytest.param("before", *POSTGRES.values, marks=POSTGRES.marks),
            ],
            [],
        ),
    ],
    indirect=["own_address"],
)
@pytest.mark.whole
@pytest.mark.both_engines
def test_server_that_is_killed_between_pieces_and_line_loses_nothing(tmp_path, own_address, when):
    """The kill comes before or behind the answer about the pieces; the next round makes it good."""
    text = "first " * 100_000
    with (
        team_server(tmp_path / "data", address=own_address) as server,
        thence.open(tmp_path / "a", bodies_from=1_024) as a,
        thence.open(tmp_path / "b", bodies_from=1_024) as b,
    ):
        a.append("told", {"text": text})
        a.append("told", {"text": text + "second " * 50_000})

        class Killing(SyncClient):
            def push_pieces(self, lines: Sequence[bytes]) -> int:
                if when == "before":
                    server.end(signal.SIGKILL)
                count = super().push_pieces(lines)
                server.end(signal.SIGKILL)
                return count

        def synced(log: thence.Log, kind: type[SyncClient] = SyncClient) -> object:
            store = CredentialStore(tmp_path / "config")
            store.save(log_in(server.url, "ada", PASSWORD))
            target = SyncTarget(server.url, "red", "ada", "log", "plain", "")
            with (
                closing(kind(target, store.login(server.url, "ada"), store)) as client,
                closing(SyncEngine(log, client, target="log")) as engine,
            ):
                return engine.round()

        killed = synced(a, Killing)
        assert killed.error is not None  # type: ignore[attr-defined]
        assert killed.pushed == 0  # type: ignore[attr-defined]
        server.start()
        ada = server.client("ada")
        assert ada.page("log").status in (200, 404), "no line is there, and an empty log at most"
        for log in (a, b):
            report = synced(log)
            assert report.is_complete, report  # type: ignore[attr-defined]
        assert [one.payload for one in b.events()] == [one.payload for one in a.events()]
        assert b.verify().findings == ()


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_value_that_was_taken_back_is_in_no_file(red: TeamServer, writer: Writer) -> None:
    ada, log, secret = red.client("ada"), "erased-values", "mackerel"
    query = f"?log={log}&kind=plain"
    lines = writer.said(*(f"{number} {secret} " * 400 for number in range(8)), "kept " * 400)
    brought(ada, query, writer.pieces)
    node = Event(lines[0], None, PLAIN).node_id
    assert set(ada.statuses(log, lines, nodes=[node])) == {"success"}
    assert files_with(red.data, secret) or isinstance(red.place, str)
    for line in lines[:-1]:
        assert ada.statuses(log, [writer.redaction(line)]) == ["success"]
    assert files_with(red.data, secret) == []
    assert ada.post(VALUES + query, asked(lines)).json["pieces"][0] == json.loads(writer.pieces[-1])
    # who brings one of them again, as an old copy of a log would, brings it back nowhere
    brought(ada, query, writer.pieces)
    assert ada.statuses(log, lines[:1]) == ["duplicate"]
    assert files_with(red.data, secret) == []
