"""Logins with a clock and randomness of the test's own; passwords are compared as they are."""

from collections.abc import Callable
from itertools import count

import pytest

from thence.core.wire.messages import Tokens
from thence.errors import NotLoggedIn, ServerBusy
from thence.server.team.accounts import Accounts
from thence.server.team.database import Database
from thence.server.team.logins import ACCESS_S, GENERATIONS_MAX, LOGINS_MAX, REFRESH_S, Logins, Tool
from thence.server.team.passwords import hashed, is_right
from thence.server.team.throttle import FREE_FAILURES, NAMES_MAX, WAIT_MAX_S, Throttle

PASSWORD = "correct horse"


class World:
    """Logins of the user ada, and the time in which they live."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        numbers = count(1)
        database = Database.in_memory("e")
        self.accounts = Accounts(database, str)
        for team in ("red", "blue"):
            self.accounts.add_team(team)
            self.accounts.add_user("ada", team, "writer", lambda: PASSWORD)
        self.checks: list[str | None] = []
        self.logins = Logins(
            database,
            Tool(lambda: self.now, lambda size: next(numbers).to_bytes(size), self._is_right),
        )

    def _is_right(self, stored: str | None, password: str) -> bool:
        self.checks.append(stored)
        return stored == password

    def log_in(self) -> Tokens:
        return self.logins.log_in("ada", PASSWORD)

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


def test_failed_logins_wait_longer_and_longer_under_one_name() -> None:
    world = World()
    for name in ("ada", "nobody"):
        for _ in range(FREE_FAILURES + 1):
            with pytest.raises(NotLoggedIn):
                world.logins.log_in(name, "wrong")
        before = len(world.checks)
        with pytest.raises(ServerBusy) as busy:
            world.logins.log_in(name, PASSWORD)
        assert 0 < busy.value.retry_after_s <= 1
        assert len(world.checks) == before
    world.now += 1
    assert world.log_in().team_slug == "red"
    with pytest.raises(NotLoggedIn):
        world.logins.log_in("ada", "wrong")
    assert world.log_in().team_slug == "red"


def test_throttle_is_bounded_in_names_and_in_its_wait() -> None:
    throttle = Throttle()
    for _ in range(2_000):
        throttle.failed("ada", 0.0)
    assert throttle.wait_s("ada", 0.0) == WAIT_MAX_S
    for number in range(NAMES_MAX):
        throttle.failed(f"name {number}", 0.0)
    assert throttle.wait_s("ada", 0.0) == 0


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


def test_tokens_of_a_login_are_bounded() -> None:
    world = World()
    first = tokens = world.log_in()
    for _ in range(GENERATIONS_MAX + 2):
        tokens = world.logins.refreshed(tokens.refresh)
    assert world.is_refused(world.logins.refreshed, first.refresh)
    assert world.logins.user_of(tokens.access) == "ada"


def test_removed_user_is_logged_out() -> None:
    world = World()
    tokens = world.log_in()
    world.accounts.remove_user("ada")
    assert world.is_refused(world.logins.user_of, tokens.access)
    assert world.is_refused(world.logins.refreshed, tokens.refresh)
    assert world.accounts.members() == []


def test_password_is_stored_as_argon2_and_only_the_right_one_fits() -> None:
    stored = hashed(PASSWORD)
    assert stored.startswith("$argon2id$")
    assert is_right(stored, PASSWORD)
    assert not is_right(stored, PASSWORD + "x")
    assert not is_right(None, "no user has this name")
    assert not is_right("no hash", PASSWORD)
