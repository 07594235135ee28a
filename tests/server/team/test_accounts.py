"""The users and teams of a server, in memory."""

import pytest
from tests.codes import raises_code
from tests.server.team.engines import new_database

from thence.server.team.accounts import (
    _PASSWORD_CHARACTERS_MIN,
    PASSWORD_CHARACTERS_MAX,
    Accounts,
    Member,
)

PASSWORD = "correct horse"
pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def accounts() -> Accounts:
    made = Accounts(new_database(), str)
    for team in ("red", "blue"):
        made.add_team(team)
    return made


@pytest.mark.both_engines
def test_user_is_in_teams_in_the_order_of_joining(accounts: Accounts) -> None:
    asked = []

    def password() -> str:
        asked.append(1)
        return PASSWORD

    first = accounts.add_user("ada", "red", "reader", password)
    second = accounts.add_user("ada", "blue", "admin", password)
    assert (first, second, asked) == (True, False, [1])
    members = [Member("ada", "red", "reader"), Member("ada", "blue", "admin")]
    assert accounts.teams_of("ada") == accounts.members() == members
    accounts.remove_user("ada")
    assert accounts.teams_of("ada") == accounts.members() == []


@pytest.mark.parametrize("name", ["", "a b", "../ada", "-ada", "a" * 65, "ada\n", "ädä"])
def test_what_is_no_name_is_refused(accounts: Accounts, name: str) -> None:
    with raises_code("account_refused"):
        accounts.add_user(name, "red", "writer", lambda: PASSWORD)
    with raises_code("account_refused"):
        accounts.add_team(name)
    assert (accounts.members(), accounts.teams()) == ([], ["blue", "red"])


@pytest.mark.parametrize(
    "password", ["", "x" * (_PASSWORD_CHARACTERS_MIN - 1), "x" * (PASSWORD_CHARACTERS_MAX + 1)]
)
def test_password_has_a_least_and_a_greatest_length(accounts: Accounts, password: str) -> None:
    with raises_code("account_refused"):
        accounts.add_user("ada", "red", "writer", lambda: password)
    assert not accounts.has_user("ada")


def test_what_is_there_already_or_not_at_all_is_refused(accounts: Accounts) -> None:
    accounts.add_user("ada", "red", "writer", lambda: PASSWORD)
    for team, role in (("red", "admin"), ("none", "writer"), ("blue", "owner")):
        with raises_code("account_refused"):
            accounts.add_user("ada", team, role, lambda: PASSWORD)
    with raises_code("account_refused"):
        accounts.add_team("red")
    with raises_code("account_refused"):
        accounts.remove_user("bob")
    assert accounts.members() == [Member("ada", "red", "writer")]
