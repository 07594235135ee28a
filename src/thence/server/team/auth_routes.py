"""The ways into a team's server: a password becomes tokens, tokens become new ones, or end.

Passwords are checked in threads of their own: many at once hold up logins and nothing else. An
attempt that fails counts against its address, and the audit log has it.
"""

from collections.abc import Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from thence.errors import NotLoggedIn
from thence.server.http.workers import Workers
from thence.server.team.accounts import Accounts
from thence.server.team.audit import AuditLog
from thence.server.team.logins import Logins
from thence.server.team.wire_http import WirePath, address_of, answered, body_of, decoded_as
from thence.sync.wire.messages import Credentials, Refresh, Tokens

BODY_BYTES_MAX = 16 * 1024
# a check of a password takes 64 MiB
CHECKING_THREADS, WAITING_MAX = 2, 32


class AuthRoutes:
    """The routes by which people and programs come in.

    What checks no password runs in `reading`.
    """

    def __init__(
        self, accounts: Accounts, logins: Logins, audit: AuditLog, reading: Workers
    ) -> None:
        self._accounts = accounts
        self._logins = logins
        self._audit = audit
        self._reading = reading
        self.checking = Workers(CHECKING_THREADS, WAITING_MAX)
        logins.on_reuse = lambda user: audit.record(
            "login.ended", user=user, reason="a refresh token was used twice"
        )

    def paths(self) -> list[WirePath]:
        """Returns the paths of the wire, with their methods and endpoints."""

        def refreshed(body: bytes) -> Tokens:
            return self._logins.refreshed(decoded_as(body, Refresh).refresh)

        def revoked(body: bytes) -> dict[str, str]:
            user = self._logins.revoke(decoded_as(body, Refresh).refresh)
            if user is not None:
                self._audit.record("login.ended", user, user=user)
            return {}

        return [
            ("token", ("POST",), self._log_in),
            ("token/refresh", ("POST",), partial(self._take, refreshed)),
            ("token/revoke", ("POST",), partial(self._take, revoked)),
        ]

    async def _take(self, work: Callable[[bytes], object], request: Request) -> Response:
        """Answers a request with what a work returns of its body."""
        return await answered(request, self._reading, work, BODY_BYTES_MAX)

    async def _log_in(self, request: Request) -> Response:
        """Answers a request for the tokens of a new login, which alone checks a password."""
        body = await body_of(request, BODY_BYTES_MAX)
        address = address_of(request)
        self._logins.admit(address)

        def work(plain: bytes) -> Tokens:
            credentials: Credentials = decoded_as(plain, Credentials)
            name = credentials.username
            try:
                tokens = self._logins.log_in(name, credentials.password, address)
            except NotLoggedIn:
                # people type passwords in place of their name: one that no user has is not kept
                known_name = name if self._accounts.has_user(name) else None
                self._audit.record("login.failed", user=known_name, address=address)
                raise
            self._audit.record("login.succeeded", name, address=address)
            return tokens

        return await answered(request, self.checking, work, BODY_BYTES_MAX, body)
