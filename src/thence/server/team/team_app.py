"""The routes of a team's server: ways in, the sync of lines, live connections.

They are plain routes: what a request may hold is checked as wire.md says, of bytes, and not by
models. Passwords are checked in threads of their own: many at once hold up logins and nothing else.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

import apsw
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router, WebSocketRoute

from thence.errors import NotLoggedIn, ThenceError
from thence.server.errors import wire_refusal
from thence.server.http.bodies import (
    address_of,
    answered,
    body_of,
    decoded_as,
    packed,
    token_of,
)
from thence.server.http.workers import Workers
from thence.server.team.accounts import Accounts, Member, check_writing, node_owner
from thence.server.team.audit import AuditLog, acting
from thence.server.team.database import Database
from thence.server.team.event_routes import EVENT_ROUTES, Call, EventRoute
from thence.server.team.live_connections import LiveConnections
from thence.server.team.logins import Logins, dummy_hash, hashed
from thence.server.team.store import Store
from thence.server.team.sync_service import SyncService
from thence.sync.wire.messages import Credentials, LiveToken, Refresh, Tokens

READING_THREADS, READING_WAITING_MAX = 4, 256
# one writer; each that waits holds a body
WRITING_WAITING_MAX = 64
# how long a commit that failed counts, unless one succeeds
FAILING_S = 60.0
BODY_BYTES_MAX = 16 * 1024
# a check of a password takes 64 MiB
CHECKING_THREADS, WAITING_MAX = 2, 32
Endpoint = Callable[[Request], Awaitable[Response]]
# a path of the wire, its methods, and what answers there
WirePath = tuple[str, tuple[str, ...], Endpoint]


class Team:
    """What a team's server answers with, over its database."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._database = database

        def on_redacted(log: str) -> None:
            audit.record("redaction.carried_out", log=log)

        self._service = SyncService(Store(database, on_redacted))
        self._accounts = Accounts(database, hashed)
        self._logins = Logins(database)
        self._audit = audit
        self._reading = Workers(READING_THREADS, READING_WAITING_MAX)
        self._writing = Workers(1, WRITING_WAITING_MAX)
        self._failed_at = -FAILING_S
        self._live = LiveConnections(
            self._service,
            self._accounts,
            self._logins,
            reading=self._reading,
            writing=self._writing,
        )
        self._ways_in = AuthRoutes(self._accounts, self._logins, audit, self._reading)

    async def begin(self) -> None:
        """Prepares the first login, so that it takes no longer than others."""
        await self._ways_in.checking.run(dummy_hash)

    def close(self) -> None:
        """Closes the database."""
        self._database.close()

    def routes(self) -> list[BaseRoute]:
        """Returns the routes of the wire, which other tools call with a slash at the end too."""
        paths: list[WirePath] = [
            ("sync/health", ("GET",), _health),
            *self._ways_in.paths(),
            ("ws-token", ("POST",), self._live_token),
            ("nodes", ("GET",), self._node),
            *(
                (route.path, (route.method,), partial(self._events, route))
                for route in EVENT_ROUTES
            ),
        ]
        api = [
            Route(f"/v1/{path}{end}", endpoint, methods=methods)
            for path, methods, endpoint in paths
            for end in ("", "/")
        ]
        return [
            Route("/ready", self._ready),
            Mount("/api", Router(api, redirect_slashes=False)),
            Route("/ws/{rest:path}", _no_upgrade),
            WebSocketRoute("/{rest:path}", self._live),
        ]

    async def _ready(self, request: Request) -> Response:
        """Reports that the database can be read, and that no commit has failed just now.

        It needs no login, and tells nothing of the content.
        """

        def work(body: bytes) -> bytes:
            if time.monotonic() < self._failed_at + FAILING_S:
                raise HTTPException(503, "the last batch could not be kept; stderr has the error")
            with self._database.reading() as connection:
                connection.execute("SELECT count(*) FROM meta")
            return b'{"status":"ready"}'

        return await answered(request, self._reading, work)

    async def _live_token(self, request: Request) -> Response:
        def work(body: bytes) -> LiveToken:
            access = token_of(request)
            team = self._member_of(access, request.headers.get("x-team-slug")).team
            return self._logins.live_token(access, team)

        return await answered(request, self._reading, work)

    async def _node(self, request: Request) -> Response:
        """Returns who owns the node that is named, and whether who asks may redact its lines."""
        member = await self._member(request, is_writing=False)
        node = request.query_params.get("node", "")
        return await answered(
            request, self._reading, lambda body: node_owner(self._database, member, node)
        )

    async def _events(self, route: EventRoute, request: Request) -> Response:
        """Answers a request about the events of a log."""
        member = await self._member(request, is_writing=route.is_writing)

        def work(body: bytes) -> object:
            return route.handle(Call(self._service, member.team, request, body))

        workers = self._writing if route.is_writing else self._reading
        try:
            response = await answered(request, workers, work, route.bytes_max)
        except (apsw.Error, ThenceError) as error:
            if route.is_writing and wire_refusal(error).status == 503:
                self._failed_at = time.monotonic()
            raise
        if route.is_writing:
            self._failed_at = -FAILING_S
            self._live.committed(member.team, request.query_params.get("log"))
        return response

    async def _member(self, request: Request, *, is_writing: bool) -> Member:
        """Returns who asks, in which team; raises NotLoggedIn, SyncRefused."""
        slug = request.headers.get("x-team-slug")
        member = await self._reading.run(partial(self._member_of, token_of(request), slug))
        acting.set(member.user)
        request.state.login = member.user
        if is_writing:
            check_writing(member)
        return member

    def _member_of(self, access: str, slug: str | None) -> Member:
        """Returns who has an access token, in the team of a name or else in the first one."""
        if not access:
            raise NotLoggedIn(
                "could not answer",
                cause="the request has no access token",
                hint="send Authorization: Bearer ACCESS",
            )
        return self._accounts.member(self._logins.user_of(access), slug)


async def _health(request: Request) -> Response:
    """Reports that the server answers, and the versions of the wire that it speaks."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    health = {"status": "ok", "protocol": [1], "version": version("thence"), "time": now}
    return packed(request, health)


async def _no_upgrade(request: Request) -> Response:
    raise HTTPException(426, "this route speaks only WebSocket", {"Upgrade": "websocket"})


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
