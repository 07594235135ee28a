"""Strangers and a member who take all they can get, and the others go on."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from tests.log.committers import until
from tests.server.team.lines import lines
from tests.server.team.listener import Listener, listening
from tests.server.team.stranger import Client
from tests.server.team.team_server import PASSWORD, TeamServer, team_server
from websockets.exceptions import InvalidStatus

ATTACKERS = 60
MEMBER = "203.0.113.5"
# leaves the server 96 connections, half of them for live ones, half of these for one user
FILES_MAX = 256
LIVE_OF_USER_MAX = 24


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TeamServer]:
    """A server of a test's own: what it refuses to attackers concerns no other test."""
    with team_server(tmp_path / "data", files_max=FILES_MAX) as running:
        running.add("eve")
        running.add("bob", "blue")
        yield running


@pytest.mark.promise("S12")
def test_looping_wrong_logins_stop_no_refresh_no_revocation_and_no_login_from_elsewhere(server):
    member = server.client("ada")
    is_over, statuses = threading.Event(), set()

    def loop(number: int) -> None:
        attacker = Client(server.url)
        count = 0
        while not is_over.is_set():
            count += 1
            name = f"nobody-{number}-{count}"
            got = attacker.post("/api/v1/token/", {"username": name, "password": "x"})
            statuses.add(got.status)

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(ATTACKERS)]
    for thread in threads:
        thread.start()
    try:
        refreshed = []
        while len(refreshed) < 20 or (429 not in statuses and len(refreshed) < 100):
            got = member.post("/api/v1/token/refresh/", {"refresh": member.refresh})
            refreshed.append(got.status)
            member.refresh = got.json["refresh"] if got.status == 200 else member.refresh
        credentials = {"username": "ada", "password": PASSWORD}
        login = member.post("/api/v1/token/", credentials, X_Forwarded_For=MEMBER)
        revoked = member.post("/api/v1/token/revoke/", {"refresh": member.refresh})
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert set(refreshed) == {200}
    assert (login.status, revoked.status) == (200, 200)


@pytest.mark.promise("S12")
def test_live_connections_of_one_user_leave_places_to_all_others(server: TeamServer) -> None:
    eve, ada, bob = server.client("eve"), server.client("ada"), server.client("bob")

    def opens(client: Client) -> Listener:
        return opened.enter_context(listening(client, "busy"))

    with ExitStack() as opened:
        first, *_ = (opens(eve) for _ in range(LIVE_OF_USER_MAX))
        with pytest.raises(InvalidStatus) as refused:
            opens(eve)
        response = refused.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
        message = json.loads(response.body)["problem"]["message"]
        assert f"{LIVE_OF_USER_MAX} of eve are open" in message
        for _ in range(LIVE_OF_USER_MAX):
            opens(ada)
        with pytest.raises(InvalidStatus, match="429"):
            opens(bob)  # half of all connections are live ones now
        for client in (ada, bob, server.client("bob")):
            assert client.statuses("busy", lines(3))[0] in ("success", "duplicate")
        first.connection.close()
        late: list[Listener] = []

        def has_place() -> bool:
            with suppress(InvalidStatus):
                late.append(opens(bob))
            return bool(late)

        until(has_place)
        assert late[0].snapshot["marks"].keys() == {"busy"}
