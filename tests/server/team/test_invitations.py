"""Invitations, and who attacks them: without a token, with a spent one, by a page elsewhere."""

import html
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from urllib.parse import urlencode

import pytest
from tests.server.team.engines import new_database
from tests.server.team.stranger import Client, Got
from tests.server.team.team_server import TeamServer, team_server

from thence.errors import AccountRefused, NotLoggedIn
from thence.server.team.accounts import Accounts
from thence.server.team.invitations import Invitations

PASSWORD = "a password of mine"
DAY_S = 86_400
AT_ONCE = 8
engines = pytest.mark.usefixtures("engine")
FORM = "application/x-www-form-urlencoded"


class World:
    """Invitations to the teams red and blue, and the time in which they live."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.database = new_database()
        self.accounts = Accounts(self.database, str)
        for team in ("red", "blue"):
            self.accounts.add_team(team)
        self.hashes = 0
        self.invitations = Invitations(self.database, self._hashed, lambda: self.now)

    def _hashed(self, password: str) -> str:
        self.hashes += 1
        return password

    def invite(self, name: str = "ada", team: str = "red") -> str:
        return self.invitations.invite(name, team, "reader", DAY_S)

    def is_refused(self, token: str) -> bool:
        before = self.hashes
        try:
            self.invitations.accept(token, PASSWORD)
        except NotLoggedIn:
            assert self.hashes == before, "no password is hashed for a token that is none"
            return True
        return False


@engines
@pytest.mark.promise("S12")
def test_invitation_makes_one_user_once() -> None:
    world = World()
    token = world.invite()
    for password in ("short", "x" * 1025):
        with pytest.raises(AccountRefused, match="8 to 1024"):
            world.invitations.accept(token, password)
    assert world.invitations.accept(token, PASSWORD) == ("ada", "red", "reader")
    assert world.accounts.members() == [("ada", "red", "reader")]
    assert world.is_refused(token)
    assert world.invitations.all() == []


@engines
@pytest.mark.promise("S12")
def test_guessed_spent_replaced_revoked_and_late_tokens_are_refused_alike() -> None:
    world = World()
    replaced = world.invite()
    token = world.invite()
    for wrong in (replaced, "", token[:-1], token.swapcase(), token + "=", "\ud800", "x" * 10_000):
        assert world.is_refused(wrong), wrong
    world.now += DAY_S - 1
    assert world.invitations.of(token).role == "reader"
    world.now += 1
    assert world.is_refused(token)
    assert [one.has_expired for one in world.invitations.all()] == [True]
    token = world.invite()
    world.invitations.revoke("ada")
    assert world.is_refused(token)
    with pytest.raises(AccountRefused, match="there is none"):
        world.invitations.revoke("ada")


@engines
@pytest.mark.promise("S12")
def test_invitation_to_a_removed_team_and_of_a_taken_name_let_nobody_in() -> None:
    world = World()
    token, taken = world.invite("ada", "blue"), world.invite("bob")
    world.accounts.add_team("green")
    with world.database.writing() as connection:
        connection.execute("DELETE FROM teams WHERE slug = :slug", {"slug": "blue"})
    assert world.is_refused(token)
    world.accounts.add_user("bob", "red", "writer", lambda: "the first bob's")
    with pytest.raises(AccountRefused, match="somebody else has this name"):
        world.invitations.accept(taken, PASSWORD)
    assert (world.hashes, world.accounts.members()) == (0, [("bob", "red", "writer")])
    with pytest.raises(AccountRefused, match="there is a user or a token"):
        world.invite("bob", "green")
    for name, team in (("", "red"), ("bob", "red"), ("cas", "none")):
        with pytest.raises(AccountRefused, match="could not invite"):
            world.invite(name, team)
    world.accounts.remove_user("bob")
    assert world.is_refused(taken), "whoever is removed has no way in that is left"


@engines
@pytest.mark.promise("S12")
def test_name_that_a_provider_tells_takes_all_its_invitations_once() -> None:
    world = World()
    for team in ("red", "blue"):
        world.invite("ada", team)
    world.invite("bob")
    assert not world.invitations.accept_by_name("eve")
    assert world.invitations.accept_by_name("ada")
    assert not world.invitations.accept_by_name("ada")
    assert [member.team for member in world.accounts.teams_of("ada")] == ["blue", "red"]
    assert [one.name for one in world.invitations.all()] == ["bob"]
    assert world.accounts.has_person("ada")
    world.accounts.add_machine("ci", "red", "writer")
    assert not world.accounts.has_person("ci")
    for name in ("a\0", "\ud800", ""):
        assert not world.accounts.has_person(name)
        assert not world.invitations.accept_by_name(name)
    world.now += DAY_S
    assert not world.invitations.accept_by_name("bob")
    assert world.hashes == 1


@engines
def test_database_holds_no_token() -> None:
    world = World()
    token = world.invite()
    with world.database.reading() as connection:
        rows = repr(list(connection.execute("SELECT * FROM invitations")))
    assert token not in rows


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[TeamServer]:
    data = tmp_path_factory.mktemp("invitations") / "data"
    with team_server(data, address=address) as running:
        yield running


def invited(server: TeamServer, name: str, role: str = "writer") -> str:
    with server.invitations() as invitations:
        return invitations.invite(name, "red", role, DAY_S)


def accept(server: TeamServer, token: str, password: str = PASSWORD, **headers: str) -> Got:
    body = {"token": token, "password": password}
    return server.client().post("/api/v1/invitations/", body, **headers)


def submit(server: TeamServer, fields: dict[str, str], **headers: str) -> Got:
    headers = {"Content_Type": FORM, "Sec_Fetch_Site": "same-origin", **headers}
    return server.client().ask("POST", "/invitation", urlencode(fields).encode(), **headers)


@pytest.mark.promise("S12")
def test_token_used_many_times_at_once_makes_one_login(server: TeamServer) -> None:
    token = invited(server, "una")
    together = Barrier(AT_ONCE)

    def use(number: int) -> Got:
        together.wait()
        return accept(server, token, f"{PASSWORD} {number}", X_Forwarded_For=f"192.0.2.{number}")

    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(use, range(AT_ONCE)))
    winners = [number for number, got in enumerate(answers) if got.status == 200]
    assert {got.status for got in answers} <= {200, 400, 401}, "the name is taken, or it is spent"
    (winner,) = winners
    assert answers[winner].json["username"] == "una"
    assert answers[winner].json["team_slug"] == "red"
    client = server.client()
    client.log_in("una", f"{PASSWORD} {winner}")
    client.access = answers[winner].json["access"]
    assert client.page("none").status in (200, 404)


@pytest.mark.promise("S12")
def test_guesses_make_their_address_wait_and_no_other(server: TeamServer) -> None:
    guesser, invited_at = "203.0.113.7", "203.0.113.8"
    token = invited(server, "gus")
    statuses = []
    while 429 not in statuses:
        got = accept(server, f"guess{len(statuses)}", X_Forwarded_For=guesser)
        statuses.append(got.status)
        assert len(statuses) < 100
    assert set(statuses) == {401, 429}
    path = f"/invitation?{urlencode({'token': token})}"
    assert server.client().ask("GET", path, X_Forwarded_For=guesser).status == 429
    for _ in range(40):  # looking at the page is no guess
        assert server.client().ask("GET", path, X_Forwarded_For=invited_at).status == 200
    assert accept(server, token, X_Forwarded_For=invited_at).status == 200


@pytest.mark.promise("S12")
def test_page_sets_a_password_once_and_runs_no_script(server: TeamServer) -> None:
    token = invited(server, "pam")
    got = server.client().ask("GET", f"/invitation?{urlencode({'token': token})}")
    assert (got.status, got.headers["cache-control"]) == (200, "no-store")
    assert got.headers["referrer-policy"] == "no-referrer"
    policy = got.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy
    text = got.body.decode()
    hidden = re.search(r'name="token" value="([^"]*)"', text)
    assert hidden is not None
    assert html.unescape(hidden[1]) == token
    fields = {"token": token, "password": PASSWORD, "again": "another"}
    differs = submit(server, fields)
    assert (differs.status, "the two passwords differ" in differs.body.decode()) == (400, True)
    short = submit(server, {**fields, "password": "short", "again": "short"})
    assert (short.status, "8 to 1024 characters" in short.body.decode()) == (400, True)
    done = submit(server, {**fields, "again": PASSWORD})
    assert (done.status, "set-cookie" in done.headers) == (200, False)
    assert "--username pam" in done.body.decode()
    assert PASSWORD not in done.body.decode()
    assert server.client().log_in("pam", PASSWORD)["team_slug"] == "red"
    assert submit(server, {**fields, "again": PASSWORD}).status == 401


@pytest.mark.promise("S12")
@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_what_is_typed_into_page_or_address_comes_back_as_text_alone(
    server: TeamServer, text: str
) -> None:
    token = invited(server, "xan")
    query = urlencode({"token": text, "again": text, "username": text})
    answers = [
        server.client().ask("GET", f"/invitation?{query}"),
        submit(server, {"token": text, "password": text, "again": text, "username": text}),
        submit(server, {"token": token, "password": text, "again": "other", "username": text}),
    ]
    for got in answers:
        assert text.encode() not in got.body
        assert b"<script" not in got.body
        assert got.headers["content-type"].startswith("text/html")
    assert [got.status for got in answers] == [401, 401, 400]


@pytest.mark.promise("S12")
def test_form_of_another_sites_page_is_refused_and_spends_nothing(server: TeamServer) -> None:
    token = invited(server, "cas")
    fields = {"token": token, "password": PASSWORD, "again": PASSWORD}
    for site in ("cross-site", "same-site"):
        assert submit(server, fields, Sec_Fetch_Site=site).status == 403
    for kind in ("text/plain", "multipart/form-data; boundary=x"):
        assert submit(server, fields, Content_Type=kind).status == 400
    assert submit(server, {f"field{number}": "x" for number in range(50)}).status == 400
    assert submit(server, {"token": token, "password": "x" * 20_000}).status == 413
    with server.invitations() as invitations:
        assert "cas" in [one.name for one in invitations.all()]


def test_link_names_the_address_that_the_server_was_begun_with(
    tmp_path: Path, own_address: str
) -> None:
    with team_server(tmp_path / "data", address=own_address) as server:
        with server.invitations() as invitations:
            assert invitations.server_url == ""
        server.end()
        server.start("--url", "https://thence.example/")
        assert server.client().ask("GET", "/ready").status == 200
        with server.invitations() as invitations:
            assert invitations.server_url == "https://thence.example"
        token = invited(server, "ivy")
        fields = {"token": token, "password": PASSWORD, "again": PASSWORD}
        assert b"thence sync login https://thence.example --username ivy" in (
            submit(server, fields).body
        )


def test_client_of_the_wire_alone_can_accept(server: TeamServer) -> None:
    client = Client(server.url)
    got = client.post("/api/v1/invitations", {"token": invited(server, "wes"), "password": "x"})
    assert (got.status, got.code) == (400, "account_refused")
    got = client.post("/api/v1/invitations", {"token": "x"})
    assert (got.status, got.code) == (400, "invalid_event")
    got = client.post("/api/v1/invitations", {"token": "x", "password": PASSWORD})
    assert (got.status, got.code) == (401, "not_logged_in")
