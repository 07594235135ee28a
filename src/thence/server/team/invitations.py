"""Invitations: a token, used once, by which somebody becomes a user with a password of their own.

The database holds the SHA-256 of the token, which an admin of the server passes on. An invitation
adds a user who is not there yet: it never changes the password or the teams of one who is.
"""

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from thence.errors import AccountRefused, NotLoggedIn
from thence.server.team.accounts import (
    ADD_USER,
    JOIN,
    Accounts,
    Member,
    check_password,
    is_user_name,
    refused,
)
from thence.server.team.database import Database
from thence.server.team.logins import TOKEN_BYTES


class Invitation(NamedTuple):
    """Who is invited to what; `expires` in seconds since 1970."""

    name: str
    team: str
    role: str
    expires: float
    has_expired: bool = False


_LIST = """
    SELECT invitations.name, teams.slug, invitations.role, invitations.expires
    FROM invitations JOIN teams ON teams.id = invitations.team
"""
_IN_ORDER = f"{_LIST} ORDER BY invitations.name, teams.slug"
_OF_TOKEN = f"{_LIST} WHERE invitations.hash = :hash AND invitations.expires > :now"
_OF_NAME = f"""
    {_LIST} WHERE invitations.name = :name AND invitations.expires > :now ORDER BY teams.slug
"""
_INVITE = """
    INSERT INTO invitations (team, name, role, hash, expires)
    SELECT teams.id, :name, :role, :hash, :expires FROM teams WHERE teams.slug = :team
    ON CONFLICT (team, name) DO UPDATE
    SET role = excluded.role, hash = excluded.hash, expires = excluded.expires
"""
_SPEND = "DELETE FROM invitations WHERE hash = :hash AND expires > :now RETURNING name"
_REVOKE = "DELETE FROM invitations WHERE name = :name RETURNING name"
_ADDRESS = "SELECT value FROM meta WHERE key = 'url'"
_PUT_ADDRESS = """
    INSERT INTO meta (key, value) VALUES ('url', :url)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
"""


class Invitations:
    """The invitations in a server's database; safe from threads and other processes.

    `hashed` makes the stored form of a password, `now` returns seconds since 1970.
    """

    def __init__(
        self, database: Database, hashed: Callable[[str], str], now: Callable[[], float]
    ) -> None:
        self._database = database
        self._accounts = Accounts(database, hashed)
        self._hashed = hashed
        self._now = now

    def invite(self, name: str, team: str, role: str, lifetime_s: float) -> str:
        """Returns the token of a new invitation, which replaces one of this name to this team.

        Raises AccountRefused as `Accounts.add_user` does, and for a user of any team.
        """
        self._accounts.check_joining(name, team, role, "invite")
        if self._accounts.has_user(name):
            hint = f"add {name} to the team without one: thence server user add"
            raise refused("invite", name, "there is a user or a token of this name", hint)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        invitation = Invitation(name, team, role, self._now() + lifetime_s)
        with self._database.writing() as connection:
            connection.execute(_INVITE, {**_named(invitation), "hash": _digest(token)})
        return token

    def all(self) -> list[Invitation]:
        """Returns the invitations that were not used, by name, those that have expired too."""
        with self._database.reading() as connection:
            invitations = [Invitation(*row) for row in connection.execute(_IN_ORDER)]
        now = self._now()
        return [one._replace(has_expired=one.expires <= now) for one in invitations]

    def revoke(self, name: str) -> None:
        """Revokes the invitations of a name, to all teams; raises AccountRefused."""
        with self._database.writing() as connection:
            if not connection.execute(_REVOKE, {"name": name}):
                hint = "see thence server invitation list"
                raise refused("revoke the invitation of", name, "there is none", hint)

    def of(self, token: str) -> Invitation:
        """Returns the invitation of a token, which stays good; raises NotLoggedIn."""
        with self._database.reading() as connection:
            key = {"hash": _digest(token), "now": self._now()}
            rows = connection.execute(_OF_TOKEN, key)
        if not rows:
            raise _spent()
        return Invitation(*rows[0])

    def accept(self, token: str, password: str) -> Member:
        """Spends a token: the invited name becomes a user with this password.

        Raises NotLoggedIn for a token that is unknown, spent or expired; AccountRefused for a
        password that is too short or too long, and a name that was taken meanwhile. These keep
        the invitation.
        """
        invitation = self.of(token)
        name = invitation.name
        if self._accounts.has_user(name):  # before a password is hashed, which is dear
            raise _taken(name)
        user = {**_named(invitation), "password": self._hashed(check_password(name, password))}
        with self._database.writing() as connection:
            key = {"hash": _digest(token), "now": self._now()}
            if not connection.execute(_SPEND, key):
                raise _spent()
            if not connection.execute(ADD_USER, user):
                raise _taken(name)
            if not connection.execute(JOIN, user):
                raise _spent()
        return Member(name, invitation.team, invitation.role)

    def accept_by_name(self, name: str) -> bool:
        """Makes an invited name a user without a usable password, whom a provider lets in.

        Reports whether there was an invitation of this name. Raises AccountRefused for a name
        that was taken meanwhile.
        """
        if not is_user_name(name):
            return False
        key = {"name": name, "now": self._now()}
        with self._database.reading() as connection:
            if not connection.execute(_OF_NAME, key):
                return False
        unusable = self._hashed(secrets.token_urlsafe(TOKEN_BYTES))
        with self._database.writing() as connection:
            invitations = [Invitation(*row) for row in connection.execute(_OF_NAME, key)]
            if not connection.execute(ADD_USER, {"user": name, "password": unusable}):
                raise _taken(name)
            for invitation in invitations:
                connection.execute(JOIN, _named(invitation))
            connection.execute(_REVOKE, key)
        return bool(invitations)

    @property
    def server_url(self) -> str:
        """The address under which the server is reached, "" where none was named."""
        with self._database.reading() as connection:
            rows = connection.execute(_ADDRESS)
        return str(rows[0][0]) if rows else ""

    def keep_server_url(self, url: str) -> None:
        """Keeps the address under which the server is reached; "" keeps the former one."""
        if url and url != self.server_url:
            with self._database.writing() as connection:
                connection.execute(_PUT_ADDRESS, {"url": url})


def _named(invitation: Invitation) -> dict[str, object]:
    name, team, role, expires, _ = invitation
    return {"name": name, "user": name, "team": team, "role": role, "expires": expires}


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()


def _spent() -> NotLoggedIn:
    return NotLoggedIn(
        "could not accept the invitation",
        cause="it is unknown, was used or revoked, or has expired",
        hint="ask an admin of the server for another one",
    )


def _taken(name: str) -> AccountRefused:
    cause = "somebody else has this name by now"
    return refused("accept the invitation of", name, cause, "ask an admin for another name")
