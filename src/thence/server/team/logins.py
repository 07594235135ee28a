"""Logins: a password becomes tokens, tokens become new ones, and a token names its user.

A token is 256 random bits; the database holds its SHA-256. Tokens come in pairs, one generation of
a login after the other. A refresh token is good until a token of a later generation was shown:
the answer that brought those may be lost. Whoever shows it after that has a copy that was to be
gone, and all tokens of the login end (RFC 9700, section 4.14.2).
"""

import re
from array import array
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection
from hashlib import sha256
from typing import Any, NamedTuple

import apsw

from thence.core.wire.messages import LiveToken, Tokens
from thence.errors import NotLoggedIn, ServerBusy
from thence.server.team.accounts import PASSWORD_CHARACTERS_MAX
from thence.server.team.database import Database
from thence.server.team.throttle import Throttle

ACCESS_S = 3_600
REFRESH_S = 30 * 24 * 3_600
LOGINS_MAX = 100  # of one user; the oldest ends first
GENERATIONS_MAX = 1_000  # of one login; tokens of older ones are forgotten
TOKEN_BYTES = 32
LIVE_S = 60  # a token for one live connection
# a token for a live connection holds the name of its team
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}(\.[0-9a-z_-]{1,64})?", re.ASCII)
# the column is_refresh
_ACCESS, _REFRESH, _LIVE = range(3)


class Tool(NamedTuple):
    """What logins take from outside: seconds since 1970, random bytes, the check of a password."""

    now: Callable[[], float]
    random: Callable[[int], bytes]
    is_right: Callable[[str | None, str], bool]


class LiveLogin(NamedTuple):
    """Who opens a live connection: the number of the login, its user, the wanted team if any."""

    login: int
    user: str
    team: str | None


class _Shown(NamedTuple):
    """A token that was shown, with its login and user."""

    login: int
    generation: int
    user: str
    expires: float
    made: int
    used: int


_SHOWN = """
    SELECT logins.id, tokens.generation, users.name, tokens.expires, logins.generation, logins.used
    FROM tokens JOIN logins ON logins.id = tokens.login JOIN users ON users.id = logins.user
    WHERE tokens.hash = :hash AND tokens.is_refresh = :is_refresh
"""
_PASSWORD = "SELECT id, password FROM users WHERE name = :name"
_TEAM = """
    SELECT teams.slug FROM members JOIN users ON users.id = members.user
    JOIN teams ON teams.id = members.team WHERE users.name = :user ORDER BY members.id LIMIT 1
"""
_OLD_LOGINS = """
    DELETE FROM logins WHERE user = :user AND id NOT IN
    (SELECT id FROM logins WHERE user = :user ORDER BY id DESC LIMIT :kept)
"""
_NEW_TOKEN = """
    INSERT INTO tokens (hash, login, generation, is_refresh, expires) VALUES (?, ?, ?, ?, ?)
"""
_FORGET = "DELETE FROM tokens WHERE login = :login AND generation < :oldest"
_USED = "UPDATE logins SET used = max(used, :generation) WHERE id = :login"
_END = "DELETE FROM logins WHERE id = :login"
_OLD_LIVE = "DELETE FROM tokens WHERE login = :login AND is_refresh = :kind AND expires <= :now"
_SPEND = "DELETE FROM tokens WHERE hash = :hash"
_PRESENT = """
    SELECT logins.id, teams.slug FROM logins
    LEFT JOIN members ON members.user = logins.user LEFT JOIN teams ON teams.id = members.team
    WHERE logins.id IN carray(:logins)
"""


class Logins:
    """The logins of a server's users; safe from threads."""

    def __init__(self, database: Database, tool: Tool) -> None:
        self._database = database
        self._tool = tool
        self._throttle = Throttle()

    def log_in(self, name: str, password: str) -> Tokens:
        """Returns the tokens of a new login.

        Raises NotLoggedIn, the same for an unknown user and a wrong password, after the same
        time; ServerBusy after several failures under this name.
        """
        now = self._tool.now()
        key = name[:PASSWORD_CHARACTERS_MAX]
        wait_s = self._throttle.wait_s(key, now)
        if wait_s:
            raise ServerBusy(
                "could not log in",
                cause="too many attempts failed",
                hint="try again later",
                retry_after_s=wait_s,
            )
        with self._database.reading() as connection:
            row = _first(connection, _PASSWORD, {"name": name})
        user, stored = row if row and len(password) <= PASSWORD_CHARACTERS_MAX else (None, None)
        if not self._tool.is_right(stored, password[:PASSWORD_CHARACTERS_MAX]):
            self._throttle.failed(key, self._tool.now())
            raise NotLoggedIn(
                "could not log in",
                cause="there is no such user with this password",
                hint="ask an admin of the server",
            )
        self._throttle.succeeded(key)
        with self._database.writing() as connection:
            insert = "INSERT INTO logins (user, generation, used) VALUES (:user, 0, 0)"
            connection.execute(insert, {"user": user})
            login = connection.last_insert_rowid()
            connection.execute(_OLD_LOGINS, {"user": user, "kept": LOGINS_MAX})
            connection.execute("DELETE FROM tokens WHERE expires <= :now", {"now": now})
            return self._new_tokens(connection, login, 0, name)

    def refreshed(self, refresh: str) -> Tokens:
        """Returns new tokens for a refresh token.

        Raises NotLoggedIn for one that is unknown, expired or replaced; the last ends the login.
        """
        with self._database.writing() as connection:
            shown = self._shown(connection, refresh, _REFRESH)
            if shown is None:
                raise _ended()
            is_good = shown.generation >= shown.used
            if not is_good:
                connection.execute(_END, {"login": shown.login})
            else:
                given = {"login": shown.login, "generation": shown.generation}
                connection.execute(_USED, given)
                made = {"login": shown.login, "generation": shown.made + 1}
                connection.execute(
                    "UPDATE logins SET generation = :generation WHERE id = :login", made
                )
                oldest = {"login": shown.login, "oldest": shown.made - GENERATIONS_MAX}
                connection.execute(_FORGET, oldest)
                return self._new_tokens(connection, shown.login, shown.made + 1, shown.user)
        raise _ended()

    def revoke(self, refresh: str) -> None:
        """Ends the login of a refresh token, if there is one."""
        with self._database.writing() as connection:
            shown = self._shown(connection, refresh, _REFRESH)
            if shown is not None:
                connection.execute(_END, {"login": shown.login})

    def user_of(self, access: str) -> str:
        """Returns the user of an access token; raises NotLoggedIn."""
        return self._used(access).user

    def live_token(self, access: str, team: str) -> LiveToken:
        """Returns a token for one live connection to a team's log; raises NotLoggedIn."""
        shown = self._used(access)
        token, now = f"{self._token()}.{team}", self._tool.now()
        with self._database.writing() as connection:
            given = {"login": shown.login, "kind": _LIVE, "now": now}
            connection.execute(_OLD_LIVE, given)
            row = (_hash(token), shown.login, shown.generation, _LIVE, now + LIVE_S)
            connection.execute(_NEW_TOKEN, row)
        return LiveToken(token, LIVE_S)

    def live_login(self, token: str) -> LiveLogin:
        """Returns whose a token for a live connection is, and spends it; raises NotLoggedIn."""
        with self._database.writing() as connection:
            shown = self._shown(connection, token, _LIVE)
            if shown is not None:
                connection.execute(_SPEND, {"hash": _hash(token)})
        if shown is None:
            raise _ended()
        return LiveLogin(shown.login, shown.user, token.partition(".")[2])

    def login_of(self, access: str, team: str | None) -> LiveLogin:
        """Returns whose an access token is, with the wanted team; raises NotLoggedIn."""
        shown = self._used(access)
        return LiveLogin(shown.login, shown.user, team)

    def present(self, logins: Collection[int]) -> dict[int, set[str | None]]:
        """Returns those of some logins that have not ended, with the teams of their users."""
        found: dict[int, set[str | None]] = {}
        if not logins:
            return found
        with self._database.reading() as connection:
            given = {"logins": apsw.carray(array("q", logins))}
            for login, team in connection.execute(_PRESENT, given):
                found.setdefault(login, set()).add(team)
        return found

    def _used(self, access: str) -> _Shown:
        """Returns a good access token, and records that its generation was used."""
        with self._database.reading() as connection:
            shown = self._shown(connection, access, _ACCESS)
        if shown is None:
            raise _ended()
        if shown.generation > shown.used:
            with self._database.writing() as connection:
                given = {"login": shown.login, "generation": shown.generation}
                connection.execute(_USED, given)
        return shown

    def _shown(self, connection: apsw.Connection, token: str, kind: int) -> _Shown | None:
        if not _TOKEN.fullmatch(token):
            return None
        given = {"hash": _hash(token), "is_refresh": kind}
        row = _first(connection, _SHOWN, given)
        shown = _Shown(*row) if row else None
        return shown if shown and shown.expires > self._tool.now() else None

    def _new_tokens(
        self, connection: apsw.Connection, login: int, generation: int, user: str
    ) -> Tokens:
        access, refresh = (self._token() for _ in range(2))
        now = self._tool.now()
        made = ((access, _ACCESS, ACCESS_S), (refresh, _REFRESH, REFRESH_S))
        for token, kind, lifetime_s in made:
            row = (_hash(token), login, generation, kind, now + lifetime_s)
            connection.execute(_NEW_TOKEN, row)
        team = connection.execute(_TEAM, {"user": user}).get
        return Tokens(access, refresh, ACCESS_S, REFRESH_S, team)

    def _token(self) -> str:
        return urlsafe_b64encode(self._tool.random(TOKEN_BYTES)).rstrip(b"=").decode()


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _first(
    connection: apsw.Connection, query: str, given: dict[str, object]
) -> tuple[Any, ...] | None:
    found: tuple[Any, ...] | None = connection.execute(query, given).fetchone()
    return found


def _ended() -> NotLoggedIn:
    return NotLoggedIn(
        "could not use the token",
        cause="it is unknown, has expired or was replaced",
        hint="log in again: thence sync login",
    )
