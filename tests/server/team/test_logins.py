"""Logins with a clock and randomness of the test's own; passwords are compared as they are."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from tests.codes import raises_code
from tests.server.team.engines import new_database
from tests.tiers import tenth

from thence.errors import NotLoggedIn
from thence.server.team.accounts import Accounts
from thence.server.team.logins import (
    ACCESS_S,
    FAILURE_S,
    FAILURES,
    GENERATIONS_MAX,
    LOGINS_MAX,
    PACES_MAX,
    REFRESH_S,
    Logins,
    RateLimiter,
    hashed,
    verify,
)
from thence.server.team.sqlite import SqliteDatabase, make_database
from thence.sync.wire.messages import Tokens

PASSWORD = "correct horse"
pytestmark = pytest.mark.usefixtures("engine")
WAIT_S = 60


class World:
    """Logins of the user ada, and the time in which they live."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        numbers = count(1)
        database = new_database()
        self.accounts = Accounts(database, str)
        for team in ("red", "blue"):
            self.accounts.add_team(team)
            self.accounts.add_user("ada", team, "writer", lambda: PASSWORD)
        self.checks: list[str | None] = []
        self.logins = Logins(
            database,
            clock=lambda: self.now,
            random=lambda size: next(numbers).to_bytes(size),
            verify=self._is_right,
        )

    def _is_right(self, stored: str | None, password: str) -> bool:
        self.checks.append(stored)
        return stored == password

    def log_in(self) -> Tokens:
        return self.logins.log_in("ada", PASSWORD)

    def log_in_from(self, address: str, name: str, password: str) -> Tokens:
        """Logs in as the route does."""
        self.logins.admit(address)
        return self.logins.log_in(name, password, address)

    def is_refused(self, ask: Callable[[str], object], token: str) -> bool:
        try:
            ask(token)
        except NotLoggedIn:
            return True
        return False


def test_tokens_name_their_user_until_they_expire() -> None:
    world = World()
    tokens = world.log_in()
    assert tokens.team_slug == "red"
    assert world.logins.user_of(tokens.access) == "ada"
    world.now += ACCESS_S
    assert world.is_refused(world.logins.user_of, tokens.access)
    world.now += REFRESH_S - ACCESS_S - 1
    later = world.logins.refreshed(tokens.refresh)
    assert world.logins.user_of(later.access) == "ada"
    world.now += REFRESH_S
    assert world.is_refused(world.logins.refreshed, later.refresh)
    for rubbish in ("", "x", tokens.refresh, tokens.access + "=", "\u0663" * 43):
        assert world.is_refused(world.logins.user_of, rubbish)
    assert world.is_refused(world.logins.refreshed, world.log_in().access)


@pytest.mark.both_engines
def test_shown_again_after_its_successor_was_used_a_refresh_token_ends_the_login() -> None:
    for use in ("access", "refresh"):
        world = World()
        first, other = world.log_in(), world.log_in()
        second = world.logins.refreshed(first.refresh)
        third = world.logins.refreshed(first.refresh)  # the answer was lost
        if use == "access":
            world.logins.user_of(third.access)
        else:
            third = world.logins.refreshed(third.refresh)
        assert world.is_refused(world.logins.refreshed, second.refresh)
        for token in (second.access, third.access):
            assert world.is_refused(world.logins.user_of, token)
        assert world.is_refused(world.logins.refreshed, third.refresh)
        assert world.logins.user_of(other.access) == "ada"


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::{:x}"], ids=["of 4", "of 6"])
def test_failures_make_their_address_wait_over_all_names_and_no_other_one(address: str) -> None:
    """Of an address of version 6 its network counts; a success is no failure."""
    world = World()
    for number in range(FAILURES):
        with pytest.raises(NotLoggedIn):
            world.log_in_from(address.format(number), ("ada", f"name-{number}")[number % 2], "x")
    count = len(world.checks)
    with raises_code("server_busy") as busy:
        world.log_in_from(address.format(0xFFFF), "ada", PASSWORD)
    assert busy.value.retry_after_s == FAILURE_S
    assert len(world.checks) == count
    for other in ("2001:db8:0:1::1", "192.0.2.2", "::ffff:192.0.2.2", "no address"):
        for _ in range(2 * FAILURES):
            assert world.log_in_from(other, "ada", PASSWORD).team_slug == "red"
    world.now += FAILURE_S
    for _ in range(3):
        assert world.log_in_from(address.format(1), "ada", PASSWORD).team_slug == "red"
    with pytest.raises(NotLoggedIn):
        world.log_in_from(address.format(2), "ada", "wrong")
    with raises_code("server_busy"):
        world.logins.admit(address.format(3))


def test_pace_bounds_attempts_that_run_at_once_and_the_keys_that_it_keeps() -> None:
    pace = RateLimiter(2, 10.0)
    assert [pace.begin("a", 0.0) for _ in range(3)] == [0, 0, 10]
    pace.forgive("a")
    assert [pace.begin("a", 0.0), pace.begin("a", 4.0)] == [0, 6]
    for number in range(PACES_MAX):
        pace.begin(number, 4.0)
    assert pace.begin("a", 4.0) == 0


@pytest.mark.both_engines
def test_what_is_no_token_waits_for_no_writer(tmp_path: Path) -> None:
    make_database(tmp_path / "data" / "server.db", "e1")
    database = SqliteDatabase(tmp_path / "data" / "server.db")
    logins = Logins(database)
    unknown = "x" * 43
    with closing(database), ThreadPoolExecutor(1) as pool, database.writing():
        for work in (logins.refreshed, logins.live_login):
            with pytest.raises(NotLoggedIn):
                pool.submit(work, unknown).result(WAIT_S)
        assert pool.submit(logins.revoke, unknown).result(WAIT_S) is None


def test_unknown_user_costs_the_check_of_a_password_too() -> None:
    world = World()
    with pytest.raises(NotLoggedIn) as unknown:
        world.logins.log_in("nobody", "wrong")
    with pytest.raises(NotLoggedIn) as wrong:
        world.logins.log_in("ada", "wrong")
    assert str(unknown.value) == str(wrong.value)
    assert world.checks == [None, PASSWORD]


def test_users_logins_are_bounded_and_the_oldest_ends() -> None:
    world = World()
    all_tokens = [world.log_in() for _ in range(LOGINS_MAX + 1)]
    assert world.is_refused(world.logins.user_of, all_tokens[0].access)
    assert all(world.logins.user_of(each.access) == "ada" for each in all_tokens[1:])


@pytest.mark.whole
def test_tokens_of_a_login_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    many = tenth(GENERATIONS_MAX, 20)
    monkeypatch.setattr("thence.server.team.logins.GENERATIONS_MAX", many)
    world = World()
    first = tokens = world.log_in()
    for _ in range(many + 2):
        tokens = world.logins.refreshed(tokens.refresh)
    assert world.is_refused(world.logins.refreshed, first.refresh)
    assert world.logins.user_of(tokens.access) == "ada"


def test_password_is_stored_as_argon2_and_only_the_right_one_fits() -> None:
    stored = hashed(PASSWORD)
    assert stored.startswith("$argon2id$")
    assert verify(stored, PASSWORD)
    assert not verify(stored, PASSWORD + "x")
    assert not verify(None, "no user has this name")
    assert not verify("no hash", PASSWORD)
    assert not verify("", "no user has this name")
