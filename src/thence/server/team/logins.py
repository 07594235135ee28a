"""Logins: a password becomes tokens, tokens become new ones, and a token names its user.

A password is stored as argon2id stores it. A check of one takes tens of milliseconds and 64 MiB:
the caller bounds how many run at once, and `Logins.admit` how many may fail from one address.

A token is 256 random bits; the database holds its SHA-256. Tokens come in pairs, one generation of
a login after the other. A refresh token is good until a token of a later generation was shown:
the answer that brought those may be lost. Whoever shows it after that has a copy that was to be
gone, and all tokens of the login end (RFC 9700, section 4.14.2). Tokens of other kinds are made
from an access token, and no kind is good in place of another.
"""

import os
import re
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from functools import cache
from hashlib import sha256
from ipaddress import IPv6Network, ip_address
from threading import Lock
from typing import NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from thence.errors import NotLoggedIn, SyncRefused
from thence.server.team.accounts import PASSWORD_CHARACTERS_MAX, is_user_name
from thence.server.team.database import Database, Transaction, first
from thence.sync.wire.messages import LiveToken, Tokens

ACCESS_S = 3_600
REFRESH_S = 30 * 24 * 3_600
LOGINS_MAX = 100  # of one user; the oldest ends first
GENERATIONS_MAX = 1_000  # of one login; tokens of older ones are forgotten
_TOKEN_BYTES = 32
LIVE_S = 60  # a token for one live connection
# attempts from an address that may fail at once, and the seconds until one more may
FAILURES, FAILURE_S = 10, 30.0
PACES_MAX = 10_000
_ADDRESS_CHARACTERS_MAX = 64
_IPV6_NETWORK_BITS = 64  # what one customer of a provider has at least
# a token for a live connection holds the name of its team
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}(\.[0-9a-z_-]{1,64})?", re.ASCII)
# the column is_refresh
_ACCESS, _REFRESH, _LIVE = range(3)

_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """Returns the stored form of a password."""
    return _hasher.hash(password)


@cache
def dummy_hash() -> str:
    """Returns the hash that is checked for an unknown user; it is made at the first call."""
    return hashed("no user has this name")


def verify(stored: str | None, password: str) -> bool:
    """Reports whether a password is the stored one; without one it takes the same time."""
    try:
        return _hasher.verify(stored or dummy_hash(), password) and bool(stored)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


class LiveLogin(NamedTuple):
    """Who opens a live connection: the number of the login, its user, the wanted team if any."""

    login: int
    user: str
    team: str | None


class MachineToken(NamedTuple):
    """A token of a machine such as CI; `expires` in seconds since 1970."""

    name: str
    team: str
    role: str
    expires: float
    has_expired: bool = False


class RateLimiter:
    """How often attempts may fail under one key: `burst` at once, then one each `period_s`.

    An attempt counts when it begins and is forgiven when it succeeds, so that many at once are
    bounded too. Of PACES_MAX keys those that tried last are kept. Safe from threads.
    """

    def __init__(self, burst: int, period_s: float) -> None:
        self._period_s = period_s
        self._burst_s = burst * period_s
        # when all that failed will be forgotten
        self._clear_at: OrderedDict[Hashable, float] = OrderedDict()
        self._mutex = Lock()

    def begin(self, key: Hashable, now: float) -> float:
        """Counts an attempt and returns 0, or returns the seconds until one is allowed."""
        with self._mutex:
            clear_at = max(now, self._clear_at.pop(key, now)) + self._period_s
            wait_s = round(clear_at - now - self._burst_s, 3)  # sums of floats are a little off
            self._clear_at[key] = clear_at if wait_s <= 0 else clear_at - self._period_s
            if len(self._clear_at) > PACES_MAX:
                self._clear_at.popitem(last=False)
            return max(0.0, wait_s)

    def forgive(self, key: Hashable) -> None:
        """Takes back that an attempt was counted."""
        with self._mutex:
            if key in self._clear_at:
                self._clear_at[key] -= self._period_s


class _TokenRow(NamedTuple):
    """A token that a client sent, with its login and user; `newest` is the login's generation."""

    login: int
    generation: int
    user: str
    expires: float
    newest: int
    used: int


_SHOWN = """
    SELECT logins.id, tokens.generation, users.name, tokens.expires, logins.generation, logins.used
    FROM tokens JOIN logins ON logins.id = tokens.login JOIN users ON users.id = logins.user_id
    WHERE tokens.hash = :hash AND tokens.is_refresh = :is_refresh
"""
# held while a pair of tokens is replaced by another
_LOCKED = f"{_SHOWN} FOR UPDATE OF logins"
_PASSWORD = "SELECT password FROM users WHERE name = :name"
_NEW_LOGIN = """
    INSERT INTO logins (user_id, generation, used) SELECT id, 0, 0 FROM users WHERE name = :name
    RETURNING id
"""
_TEAM = """
    SELECT teams.slug FROM members JOIN users ON users.id = members.user_id
    JOIN teams ON teams.id = members.team WHERE users.name = :user ORDER BY members.joined LIMIT 1
"""
_OLD_LOGINS = """
    DELETE FROM logins WHERE user_id = (SELECT id FROM users WHERE name = :name) AND id NOT IN (
        SELECT logins.id FROM logins JOIN users ON users.id = logins.user_id
        WHERE users.name = :name ORDER BY logins.id DESC LIMIT :kept
    )
"""
_TOKEN_COLUMNS = ("hash", "login", "generation", "is_refresh", "expires")
_FORGET = "DELETE FROM tokens WHERE login = :login AND generation < :oldest"
_USED = "UPDATE logins SET used = :generation WHERE id = :login AND used < :generation"
_RENEWED = "UPDATE logins SET used = :used, generation = :newest WHERE id = :login"
_END = "DELETE FROM logins WHERE id = :login"
_EXPIRED = "DELETE FROM tokens WHERE login = :login AND is_refresh = :kind AND expires <= :now"
_SPEND = "DELETE FROM tokens WHERE hash = :hash RETURNING login"
_MACHINES = """
    SELECT users.name, teams.slug, members.role, coalesce(max(tokens.expires), 0)
    FROM users JOIN members ON members.user_id = users.id JOIN teams ON teams.id = members.team
    LEFT JOIN logins ON logins.user_id = users.id
    LEFT JOIN tokens ON tokens.login = logins.id AND tokens.is_refresh = 0
    WHERE users.password = '' GROUP BY users.id, teams.id, members.role ORDER BY users.name
"""
_PRESENT = """
    SELECT logins.id, teams.slug FROM logins
    LEFT JOIN members ON members.user_id = logins.user_id LEFT JOIN teams ON teams.id = members.team
    WHERE logins.id = ANY(:logins)
"""


class Logins:
    """The logins of a server's users; safe from threads.

    Wrong passwords make their address wait, and no other one: not even for the name that they
    were tried with. Whoever has many addresses can therefore guess at one name from each of them,
    and can take up all checks of passwords, so that members get no new login for as long. Members
    behind one address, as those of one office or of a proxy that does not name its clients, wait
    for each other's failures. What needs no password, such as new tokens for old ones, never waits.
    `on_reuse` gets the user whose login has ended since a refresh token of it was used twice.
    `clock` gives seconds since 1970, `random` bytes, and `verify` checks a password.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
        verify: Callable[[str | None, str], bool] = verify,
    ) -> None:
        self._database = database
        self._clock = clock
        self._random = random
        self._verify = verify
        self.on_reuse: Callable[[str], None] = lambda user: None
        self._pace = RateLimiter(FAILURES, FAILURE_S)

    def admit(self, address: str) -> None:
        """Counts an attempt to log in from an address, before anything is spent on it.

        Raises `server_busy` after FAILURES failures, whatever the names.
        """
        wait_s = self._pace.begin(_network(address), self._clock())
        if wait_s:
            raise SyncRefused(
                "could not log in",
                cause="too many attempts failed",
                hint="try again later",
                code="server_busy",
                retry_after_s=wait_s,
            )

    def log_in(self, name: str, password: str, address: str = "") -> Tokens:
        """Returns the tokens of a new login from an address, which `admit` has counted.

        Raises NotLoggedIn, the same for an unknown user and a wrong password, after the same
        time.
        """
        with self._database.reading() as connection:
            rows = connection.execute(_PASSWORD, {"name": name if is_user_name(name) else ""})
        stored = first(rows) if len(password) <= PASSWORD_CHARACTERS_MAX else None
        if not self._verify(stored, password[:PASSWORD_CHARACTERS_MAX]):
            raise NotLoggedIn(
                "could not log in",
                cause="wrong username or password",
                hint="ask a server admin",
            )
        self._pace.forgive(_network(address))
        with self._database.writing() as connection:
            login = _new_login(connection, name)
            connection.execute(_OLD_LOGINS, {"name": name, "kept": LOGINS_MAX})
            now = {"now": self._clock()}
            connection.execute("DELETE FROM tokens WHERE expires <= :now", now)
            return self._new_tokens(connection, login, 0, name)

    def refreshed(self, refresh: str) -> Tokens:
        """Returns new tokens for a refresh token.

        Raises NotLoggedIn for one that is unknown, expired or replaced; the last ends the login.
        """
        self._row_of(refresh, _REFRESH)  # what is no token never waits for the one writer
        with self._database.writing() as connection:
            row = self._row(connection, refresh, _REFRESH, _LOCKED)
            if row is None:
                raise _ended()
            if row.generation >= row.used:
                generation = row.newest + 1
                use = {"login": row.login, "used": row.generation, "newest": generation}
                connection.execute(_RENEWED, use)
                oldest = {"login": row.login, "oldest": row.newest - GENERATIONS_MAX}
                connection.execute(_FORGET, oldest)
                return self._new_tokens(connection, row.login, generation, row.user)
            connection.execute(_END, {"login": row.login})
        self.on_reuse(row.user)
        raise _ended()

    def revoke(self, refresh: str) -> str | None:
        """Ends the login of a refresh token, if there is one; returns its user."""
        with self._database.reading() as connection:
            row = self._row(connection, refresh, _REFRESH)
        if row is not None:
            with self._database.writing() as connection:
                connection.execute(_END, {"login": row.login})
        return row.user if row else None

    def machine_token(self, name: str, lifetime_s: float) -> str:
        """Returns an access token of a user without a password, whom `add_machine` made."""
        token, expires = self._token(), self._clock() + lifetime_s
        with self._database.writing() as connection:
            login = _new_login(connection, name)
            _keep_token(connection, token, login, 0, _ACCESS, expires)
        return token

    def machine_tokens(self) -> list[MachineToken]:
        """Returns the machine tokens of all teams by name, those that have expired too."""
        now = self._clock()
        with self._database.reading() as connection:
            tokens = [MachineToken(*row) for row in connection.execute(_MACHINES)]
        return [token._replace(has_expired=token.expires <= now) for token in tokens]

    def user_of(self, access: str) -> str:
        """Returns the user of an access token; raises NotLoggedIn."""
        return self._used(access).user

    def live_token(self, access: str, team: str) -> LiveToken:
        """Returns a token for one live connection to a team's log; raises NotLoggedIn."""
        token = f"{self._token()}.{team}"
        source, now = self._used(access), self._clock()
        with self._database.writing() as connection:
            connection.execute(_EXPIRED, {"login": source.login, "kind": _LIVE, "now": now})
            expires = now + LIVE_S
            _keep_token(connection, token, source.login, source.generation, _LIVE, expires)
        return LiveToken(token, LIVE_S, token)

    def live_login(self, token: str) -> LiveLogin:
        """Returns whose a token for a live connection is, and spends it; raises NotLoggedIn."""
        row = self._row_of(token, _LIVE)  # what is no token never waits for the one writer
        with self._database.writing() as connection:
            if not connection.execute(_SPEND, {"hash": _hash(token)}):
                raise _ended()
        return LiveLogin(row.login, row.user, token.partition(".")[2])

    def login_of(self, access: str, team: str | None) -> LiveLogin:
        """Returns whose an access token is, with the wanted team; raises NotLoggedIn."""
        row = self._used(access)
        return LiveLogin(row.login, row.user, team)

    def present(self, logins: Collection[int]) -> dict[int, set[str | None]]:
        """Returns those of some logins that have not ended, with the teams of their users."""
        teams: dict[int, set[str | None]] = {}
        with self._database.reading() as connection:
            for login, team in connection.execute(_PRESENT, {"logins": list(logins)}):
                teams.setdefault(login, set()).add(team)
        return teams

    def _used(self, access: str) -> _TokenRow:
        """Returns a good access token, and records that its generation was used."""
        row = self._row_of(access, _ACCESS)
        if row.generation > row.used:
            with self._database.writing() as connection:
                use = {"login": row.login, "generation": row.generation}
                connection.execute(_USED, use)
        return row

    def _row_of(self, token: str, kind: int) -> _TokenRow:
        """Returns a good token of a kind; raises NotLoggedIn."""
        with self._database.reading() as connection:
            row = self._row(connection, token, kind)
        if row is None:
            raise _ended()
        return row

    def _row(
        self, connection: Transaction, token: str, kind: int, query: str = _SHOWN
    ) -> _TokenRow | None:
        if not _TOKEN.fullmatch(token):
            return None
        rows = connection.execute(query, {"hash": _hash(token), "is_refresh": kind})
        row = _TokenRow(*rows[0]) if rows else None
        return row if row and row.expires > self._clock() else None

    def _new_tokens(
        self, connection: Transaction, login: int, generation: int, user: str
    ) -> Tokens:
        access, refresh = (self._token() for _ in range(2))
        now = self._clock()
        pair = ((access, _ACCESS, ACCESS_S), (refresh, _REFRESH, REFRESH_S))
        for token, kind, lifetime_s in pair:
            _keep_token(connection, token, login, generation, kind, now + lifetime_s)
        team = first(connection.execute(_TEAM, {"user": user}))
        return Tokens(access, refresh, ACCESS_S, REFRESH_S, team, user)

    def _token(self) -> str:
        return urlsafe_b64encode(self._random(_TOKEN_BYTES)).rstrip(b"=").decode()


def is_live_token(token: str) -> bool:
    """Reports whether a token has the form of one for a live connection."""
    return "." in token


def _network(address: str) -> str:
    """Returns what is bounded of an address: of IPv6 the network that one customer has."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:_ADDRESS_CHARACTERS_MAX]
    if parsed.version == 4:
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped or IPv6Network((parsed, _IPV6_NETWORK_BITS), strict=False))


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _keep_token(
    connection: Transaction, token: str, login: int, generation: int, kind: int, expires: float
) -> None:
    row = (_hash(token), login, generation, kind, expires)
    connection.insert("tokens", _TOKEN_COLUMNS, [row])


def _new_login(connection: Transaction, name: str) -> int:
    """Returns the number of a new login of a user; raises NotLoggedIn where there is none now."""
    login = first(connection.execute(_NEW_LOGIN, {"name": name}))
    if login is None:
        raise _ended()
    return int(login)


def _ended() -> NotLoggedIn:
    return NotLoggedIn(
        "could not use the token",
        cause="it is unknown, has expired or was replaced",
        hint="log in again: thence sync login",
    )
