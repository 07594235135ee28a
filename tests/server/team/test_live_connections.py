"""Live connections of a team's server, by a client that knows the wire's page alone."""

import asyncio
import json
from contextlib import closing

import pytest
from tests.server.team.engines import in_sqlite
from tests.server.team.lines import foreign, line, lines
from tests.server.team.listener import WAIT_S, bare, closing_code, listening, live_token
from tests.server.team.team_server import PASSWORD, TeamServer
from tests.server.team.test_team_app import verdicts
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from thence.server.http.workers import Workers
from thence.server.team.accounts import Accounts
from thence.server.team.engines import open_database
from thence.server.team.live_connections import LiveConnections
from thence.server.team.logins import Logins
from thence.server.team.store import Store
from thence.server.team.sync_service import SyncService

FRAME_TOO_LARGE = 1024 * 1024 + 64 * 1024 + 1


@pytest.mark.promise("S5")
@pytest.mark.both_engines
def test_event_of_a_frame_is_acknowledged_once_committed_and_hinted_to_others(red):
    ada = red.client("ada")
    with listening(ada, "live", live_token(ada)) as one, listening(ada, "live") as other:
        empty = {"type": "snapshot", "work_packages": [], "marks": {"live": ""}}
        assert one.snapshot == other.snapshot == empty
        sent = line(1, name="first")
        ack = {"type": "ack", "event_id": "first", "status": "success"}
        assert one.send(sent) == ack | {"error_message": None, "error": None}
        taken, cursor = ada.pull("live")
        assert taken == [sent]
        other.hints_until(cursor)
        assert one.send(sent)["status"] == "duplicate"
        ada.statuses("live", lines(3, node="00000000000b"))
        _, cursor = ada.pull("live")
        other.hints_until(cursor)
        one.hints_until(cursor)
    with listening(ada, "live") as later:
        assert later.snapshot["marks"] == {"live": cursor}


def test_token_opens_one_connection(red: TeamServer) -> None:
    ada = red.client("ada")
    token = live_token(ada)
    with listening(ada, "once", token):
        pass
    for bad in (token, "x" * 43 + ".red", ada.access):
        with pytest.raises(InvalidStatus) as refused, listening(ada, "once", bad):
            pass
        assert refused.value.response.status_code == 401
    assert b'"not_logged_in"' in refused.value.response.body


@pytest.mark.parametrize(
    ("path", "host", "status", "code"),
    [
        ("/ws/v1/events/", "evil.example", 403, "forbidden"),
        ("/ws/v1/none", None, 404, "not_found"),
        ("/logs", None, 404, "not_found"),
    ],
)
def test_upgrade_is_refused_by_an_answer_in_the_wires_form(red_on_sqlite, path, host, status, code):
    """On one engine: it is refused before the database is asked."""
    ada = red_on_sqlite.client("ada")
    headers = {"Authorization": f"Bearer {ada.access}"} | ({"Host": host} if host else {})
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws://{ada.host}{path}", additional_headers=headers, proxy=None),
    ):
        pass
    response = refused.value.response
    assert response.status_code == status
    assert json.loads(response.body)["problem"]["code"] == code


@pytest.mark.promise("S5")
def test_client_of_another_tool_sends_bare_events_with_its_token_as_bearer(red):
    ada, rita = red.client("ada"), red.client("rita")
    first, second = "01KAG0QV3J0000000000BARE01", "01KAG0QV3J0000000000BARE02"
    token = ada.post("/api/v1/ws-token/", {}).json["ws_token"]
    with bare(ada, token) as listener:
        assert listener.snapshot["marks"].keys() == {"events"}
        sent = foreign(0, event_id=first)
        ack = {"type": "ack", "event_id": first, "status": "success"}
        assert listener.send_bare(sent) == ack | {"error_message": None, "error": None}
        assert listener.send_bare(sent)["status"] == "duplicate"
        assert listener.send_bare(foreign(0, event_id=second, project_uuid="bare"))["type"] == "ack"
        for bad in (foreign(3), b"{}", b'{"event_type":"Told"}'):
            told = listener.send_bare(bad)
            assert (told["type"], told["status"]) == ("ack", "rejected"), bad
            assert told["error_message"]
    assert sent in ada.pull("events")[0]
    assert ada.pull("bare")[0] == [foreign(0, event_id=second, project_uuid="bare")]
    assert verdicts(ada, [sent])[0][1] == "duplicate", "a batch puts it into the same log"
    with pytest.raises(InvalidStatus), bare(ada, token):
        pass
    with bare(rita, live_token(rita)) as reader:
        assert reader.send_bare(sent)["problem"]["code"] == "sync_refused"


def test_frames_that_no_log_takes_are_answered_and_harm_nothing(red: TeamServer) -> None:
    ada, rita = red.client("ada"), red.client("rita")
    with listening(rita, "frames") as reader:
        assert reader.send(line(1))["problem"]["code"] == "sync_refused"
    with listening(ada, "frames") as one:
        assert one.send(b'{"event_id":"bad","seq":1}')["problem"]["code"] == "batch_refused"
        for text in ("", "[]", '{"type":1}', "{", "7"):
            one.connection.send(text)
            assert one.take()["problem"]["code"] == "invalid_event"
        one.connection.send('{"type":"unheard of"}')
        one.connection.send('{"type":"ping"}')
        assert one.take() == {"type": "pong"}
        assert one.send(line(1))["status"] == "success"
        # the head alone, for the server closes once it knows the length
        one.connection.socket.sendall(b"\x81\xff" + FRAME_TOO_LARGE.to_bytes(8) + b"mask")
        assert closing_code(one) == 1009
    assert ada.pull("frames")[0] == [line(1)]
    assert ada.ask("GET", "/ws/v1/events/?log=frames").status == 426


@pytest.mark.parametrize(("ends", "code"), [("revoked", 4401), ("removed", 4401), ("left", 4403)])
@pytest.mark.whole(rows=2)
def test_end_of_a_login_closes_its_connections(red: TeamServer, ends: str, code: int) -> None:
    red.add(ends)
    client = red.client()
    client.log_in(ends, PASSWORD)
    with listening(client, "ending") as one:
        if ends == "revoked":
            client.post("/api/v1/token/revoke/", {"refresh": client.refresh})
        elif ends == "removed":
            with red.accounts() as accounts:
                accounts.remove_user(ends)
        else:
            member = "user_id = (SELECT id FROM users WHERE name = 'left')"
            with closing(open_database(red.place)) as database, database.writing() as connection:
                connection.execute(f"DELETE FROM members WHERE {member}")
        assert closing_code(one) == code


class _Transport:
    """A connection as the ASGI server gives it: it can be cut off."""

    is_cut = False

    def abort(self) -> None:
        self.is_cut = True


def test_listener_that_takes_nothing_is_cut_off() -> None:
    """The peer is an ASGI server whose buffer is full from the third message on.

    On one engine: nothing is read while the listener takes nothing.
    """
    database = in_sqlite("epoch")
    accounts = Accounts(database, lambda text: text)
    logins = Logins(database, clock=lambda: 0.0, verify=lambda *_: True)
    accounts.add_team("red")
    accounts.add_user("ada", "red", "writer", lambda: PASSWORD)
    access = logins.log_in("ada", PASSWORD).access
    service = SyncService(Store(database))
    cut, sent = _Transport(), []

    async def scene() -> None:
        workers = Workers(1, 8)
        pools = {"reading": workers, "writing": workers}
        live = LiveConnections(service, accounts, logins, **pools, send_s=0.5)
        begun = asyncio.Event()

        async def receive() -> dict[str, str]:
            if begun.is_set():
                await asyncio.Event().wait()
            begun.set()
            return {"type": "websocket.connect"}

        async def send(message: dict[str, str]) -> None:
            if len(sent) == 2:
                await asyncio.Event().wait()
            sent.append(message["type"])
            if len(sent) == 2:
                service.batch("red", "slow", "plain", lines(1))
                live.committed("red", "slow")

        headers = [(b"authorization", b"Bearer " + access.encode())]
        scope = {"type": "websocket", "path": "/ws/v1/events/", "query_string": b"log=slow"}
        state = {"thence.transport": cut}
        await live({**scope, "headers": headers, "state": state}, receive, send)

    asyncio.run(asyncio.wait_for(scene(), WAIT_S))
    assert sent == ["websocket.accept", "websocket.send"]
    assert cut.is_cut
    database.close()
