"""The routes of a team's server: logins, the exchange of lines, live connections, pages.

They are plain routes, which no document of the query API lists: what a request may hold is
checked as wire.md says, of bytes, and not by models.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence, Set
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

import msgspec
from prometheus_client.metrics_core import Metric
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router, WebSocketRoute

from thence.core.wire.messages import (
    BATCH_BYTES_MAX,
    PROTOCOL,
    KeyRequest,
    ServerHealth,
)
from thence.errors import NotLoggedIn
from thence.server.http.auth import grant_time
from thence.server.login_settings import LoginSettings
from thence.server.metrics import gauge
from thence.server.team.accounts import Accounts, Member, check_writing
from thence.server.team.audit import AuditLog, acting
from thence.server.team.database import Database
from thence.server.team.event_routes import EVENT_ROUTES, EventRoute
from thence.server.team.exchange import Exchange
from thence.server.team.invitation_pages import InvitationPages
from thence.server.team.invitations import Invitations
from thence.server.team.keys import KeyRegistry
from thence.server.team.live_connections import Admission, LiveConnections
from thence.server.team.log_cache import LogCache
from thence.server.team.login_routes import LoginRoutes
from thence.server.team.logins import Logins, Tool, hashed, is_right, nobodys
from thence.server.team.oidc import Provider
from thence.server.team.oidc_pages import LOGIN_PATH, OidcPages
from thence.server.team.rows import StoredLog
from thence.server.team.store import Store
from thence.server.team.team_pages import LogsApp, TeamPages
from thence.server.team.wire_http import body_of, decoded_as, packed, token_of, unpacked
from thence.server.workers import Workers

# a check of a password takes 64 MiB
LOGIN_THREADS, LOGIN_WAITING_MAX = 2, 32
READING_THREADS, READING_WAITING_MAX = 4, 256
# one writer; each that waits holds a body
WRITING_WAITING_MAX = 64
WIRE_PATHS = ("/api/", "/ws/")
LOOK_S = 1.0

_logger = logging.getLogger("thence.server")


class Team:
    """What a team's server answers with, over its database.

    `logs_app` makes the app over a folder of logs; `folders` makes these. `settings` says how
    people come in. Raises FileBusy where another process has the folders.
    """

    def __init__(
        self,
        database: Database,
        folders: Callable[[Store], LogCache],
        logs_app: LogsApp,
        settings: LoginSettings,
        audit: AuditLog,
    ) -> None:
        self._database = database
        store = Store(database)
        self._exchange = Exchange(store)
        self._accounts = Accounts(database, hashed)
        self._logins = Logins(database, Tool(time.time, os.urandom, is_right))
        self._audit = audit
        self._logging_in = Workers(LOGIN_THREADS, LOGIN_WAITING_MAX)
        self._reading = Workers(READING_THREADS, READING_WAITING_MAX)
        self._writing = Workers(1, WRITING_WAITING_MAX)
        self._live = LiveConnections(
            self._exchange,
            Admission(self._accounts, self._logins),
            reading=self._reading,
            writing=self._writing,
        )
        self._keys = KeyRegistry(database)
        cache = folders(store)

        def on_erased(logs: Sequence[StoredLog]) -> None:
            cache.drop_all(logs)
            audit.record("redaction.carried_out", logs=[log.name for log in logs])

        database.on_erased = on_erased
        self._login_routes = LoginRoutes(
            self._accounts, self._logins, audit, self._logging_in, self._reading
        )
        invitations = Invitations(database, hashed, time.time)
        self._keep_url = partial(invitations.keep_server_url, settings.url)
        self._invitations = InvitationPages(invitations, self._logins, audit, self._logging_in)
        self._oidc = None
        if settings.oidc is not None:
            provider = Provider(settings.oidc)
            self._oidc = OidcPages(
                provider, settings.url, self._accounts, invitations, self._logins, audit
            )
        login_path = LOGIN_PATH if self._oidc else ""
        self._pages = TeamPages(cache, self._accounts, self._logins, logs_app, login_path)

    async def begin(self) -> None:
        """Prepares the first login, and the folders of logs; raises apsw.Error."""
        await self._logging_in.run(nobodys)  # so that the first login takes no longer
        await self._writing.run(self._keep_url)
        await self._reading.run(self._pages.begin)

    async def watch(self) -> None:
        """Sees each second to what other processes did with the logs; never ends by itself."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._pages.look()
            except Exception as error:  # door: the next look is in a second
                _logger.warning("could not look for what is new: %s", error)

    def close(self) -> None:
        """Closes the logs that are open, and the database."""
        self._pages.close()
        self._database.close()
        self._audit.close()

    def figures(self) -> Iterator[Metric]:
        """Yields the state of the whole server, of all teams in sum."""
        yield from self._pages.figures()
        words = "Open live connections of the wire."
        yield gauge("thence_live_connections", words, self._live.count)

    def routes(self) -> list[BaseRoute]:
        """Returns the routes of the wire, which other tools call with a slash at the end too."""
        paths: list[tuple[str, tuple[str, ...], Callable[..., object]]] = [
            ("sync/health", ("GET",), _health),
            *self._login_routes.paths(),
            ("ws-token", ("POST",), self._live_token),
            *self._invitations.paths(),
            *(self._oidc.paths() if self._oidc else ()),
            ("keys", ("GET", "POST"), self._team_keys),
        ]
        paths += [
            (route.path, (route.method,), partial(self._events, route)) for route in EVENT_ROUTES
        ]
        api = [
            Route(f"/v1/{path}{end}", endpoint, methods=methods)
            for path, methods, endpoint in paths
            for end in ("", "/")
        ]
        return [
            Route("/ready", self._ready),
            *self._invitations.routes(),
            *(self._oidc.routes() if self._oidc else ()),
            Mount("/api", Router(api, redirect_slashes=False)),
            Route("/ws/{rest:path}", _no_upgrade),
            WebSocketRoute("/{rest:path}", self._live),
            Mount("", self._pages),
        ]

    async def _ready(self, request: Request) -> Response:
        """Reports that the database can be read; without login, and with nothing of its content."""

        def answer() -> Response:
            with self._database.reading() as connection:
                connection.execute("SELECT count(*) FROM meta")
            return packed(request, b'{"status":"ready"}')

        return await self._reading.run(answer)

    async def _live_token(self, request: Request) -> Response:
        def answer() -> Response:
            access = token_of(request)
            team = self._member_of(access, request.headers.get("x-team-slug")).team
            token = self._logins.live_token(access, team)
            return packed(request, msgspec.json.encode(token))

        return await self._reading.run(answer)

    async def _team_keys(self, request: Request) -> Response:
        """Returns the keys of the team, after the one in the request was registered."""
        is_writing = request.method == "POST"
        member = await self._member(request, is_writing=is_writing)
        body = await body_of(request, BATCH_BYTES_MAX) if is_writing else b""

        def answer() -> Response:
            if is_writing:
                key = decoded_as(unpacked(request, body, BATCH_BYTES_MAX), KeyRequest)
                claims = self._keys.of_team(member.team).claims
                keys = self._keys.register(member, key)
                self._note_claims(member, key.public_key, keys.claims.items() - claims.items())
            else:
                keys = self._keys.of_team(member.team)
            return packed(request, msgspec.json.encode(keys))

        if not is_writing:
            return await self._reading.run(answer)
        response = await self._writing.run(answer)
        self._live.committed(member.team, None)
        return response

    def _note_claims(self, member: Member, key: str, claims: Set[tuple[str, str]]) -> None:
        """Records which nodes a key has claimed, that nobody had."""
        nodes = sorted(node for node, owner in claims if owner == key)
        if nodes:
            words = {"team": member.team, "nodes": nodes, "public_key": key}
            self._audit.record("node.claimed", member.user, **words)

    async def _events(self, route: EventRoute, request: Request) -> Response:
        """Answers a request about the events of a log."""
        member = await self._member(request, is_writing=route.is_writing)
        body = await body_of(request, route.bytes_max) if route.bytes_max else b""

        def answer() -> Response:
            plain = unpacked(request, body, route.bytes_max)
            return packed(request, route.handle(self._exchange, member.team, request, plain))

        if not route.is_writing:
            return await self._reading.run(answer)
        response = await self._writing.run(answer)
        self._live.committed(member.team, request.query_params.get("log"))
        return response

    async def _member(self, request: Request, *, is_writing: bool) -> Member:
        """Returns who asks, in which team; raises NotLoggedIn, SyncRefused."""
        slug = request.headers.get("x-team-slug")
        member = await self._reading.run(partial(self._member_of, token_of(request), slug))
        grant_time(request.scope)
        acting.set(member.user)
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
    health = ServerHealth("ok", (PROTOCOL,), version("thence"), now)
    return packed(request, msgspec.json.encode(health))


async def _no_upgrade(request: Request) -> Response:
    raise HTTPException(426, "this route speaks WebSocket alone", {"Upgrade": "websocket"})
