"""The routes by which logins begin, go on and end; the audit log holds what they did."""

from collections.abc import Callable
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from thence.core.wire.messages import Credentials, Refresh
from thence.errors import NotLoggedIn
from thence.server.team.accounts import Accounts
from thence.server.team.audit import AuditLog
from thence.server.team.logins import Logins
from thence.server.team.wire_http import address_of, body_of, decoded_as, packed, unpacked
from thence.server.workers import Workers

LOGIN_BYTES_MAX = 64 * 1024


class LoginRoutes:
    """The routes of logins; only the threads of `checking` check passwords."""

    def __init__(
        self,
        accounts: Accounts,
        logins: Logins,
        audit: AuditLog,
        checking: Workers,
        reading: Workers,
    ) -> None:
        self._accounts = accounts
        self._logins = logins
        self._audit = audit
        self._checking = checking
        self._reading = reading
        logins.on_reuse = self._note_reuse

    def paths(self) -> list[tuple[str, tuple[str, ...], Callable[..., object]]]:
        """Returns paths, their methods and endpoints."""
        return [
            ("token", ("POST",), self._log_in),
            ("token/refresh", ("POST",), partial(self._token, self._refreshed)),
            ("token/revoke", ("POST",), partial(self._token, self._revoked)),
        ]

    async def _log_in(self, request: Request) -> Response:
        """Answers a request for the tokens of a new login, which alone checks a password."""
        body = await body_of(request, LOGIN_BYTES_MAX)
        address = address_of(request)
        self._logins.admit(address)

        def answer() -> Response:
            plain = unpacked(request, body, LOGIN_BYTES_MAX)
            credentials: Credentials = decoded_as(plain, Credentials)
            user = self._checked(credentials, address)
            if credentials.new_password:
                self._accounts.set_password(user, credentials.new_password)
                self._audit.record("password.changed", user, user=user, address=address)
            tokens = self._logins.begin(user)
            self._audit.record("login.succeeded", user, address=address, way="password")
            return packed(request, msgspec.json.encode(tokens))

        return await self._checking.run(answer)

    def _checked(self, credentials: Credentials, address: str) -> str:
        """Returns the name of a user whose password is right; raises what `Logins.check` raises."""
        name = credentials.username
        try:
            return self._logins.check(name, credentials.password, address)
        except NotLoggedIn:
            user = name if self._accounts.has_user(name) else None
            self._audit.record_failure(user, address, "password")
            raise

    async def _token(self, work: Callable[[bytes], bytes], request: Request) -> Response:
        """Answers a request with a refresh token, which waits for no check of a password."""
        body = await body_of(request, LOGIN_BYTES_MAX)

        def answer() -> Response:
            return packed(request, work(unpacked(request, body, LOGIN_BYTES_MAX)))

        return await self._reading.run(answer)

    def _note_reuse(self, user: str) -> None:
        self._audit.record("login.ended", user=user, reason="a refresh token was used twice")

    def _refreshed(self, body: bytes) -> bytes:
        return msgspec.json.encode(self._logins.refreshed(decoded_as(body, Refresh).refresh))

    def _revoked(self, body: bytes) -> bytes:
        user = self._logins.revoke(decoded_as(body, Refresh).refresh)
        if user is not None:
            self._audit.record("login.ended", user, user=user)
        return b"{}"
