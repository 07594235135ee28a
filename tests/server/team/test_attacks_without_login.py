"""Attackers without a login, whom a team's server outlasts while its members go on."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.team.stranger import Client
from tests.server.team.team_server import PASSWORD, TeamServer, team_server

ATTACKERS = 60
MEMBER = "203.0.113.5"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TeamServer]:
    """A server of this test's own: what it refuses to attackers concerns no other test."""
    with team_server(tmp_path / "data") as running:
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
