"""The app of a team's server: logins and the exchange of lines, for any ASGI server."""

import logging
import os
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Event as Signal

import msgspec
from starlette.types import Message, Receive, Scope, Send

from thence.core.wire.authorship import TeamKeys
from thence.core.wire.messages import (
    BATCH_BYTES_MAX,
    PROTOCOL,
    Credentials,
    KeyRequest,
    Refresh,
    ServerHealth,
    Tokens,
)
from thence.errors import NotLoggedIn
from thence.server.http.middleware import HeadWithoutBody, host_of
from thence.server.team.accounts import Accounts, Member, check_writing
from thence.server.team.database import Database
from thence.server.team.event_routes import EVENT_ROUTES, EventRoute
from thence.server.team.exchange import Exchange
from thence.server.team.keys import KeyRegistry
from thence.server.team.live_connections import LIVE, Admission, LiveConnections
from thence.server.team.log_folders import LogFolders
from thence.server.team.logins import Logins, Tool
from thence.server.team.passwords import hashed, is_right, nobodys
from thence.server.team.sqlite_store import SqliteStore
from thence.server.team.team_pages import LogsApp, TeamPages
from thence.server.team.wire_http import (
    Asked,
    ClientLeft,
    Reply,
    asked,
    body_of,
    decoded_as,
    packed,
    problem,
    refusal,
    send_reply,
    unknown_host,
    unpacked,
)
from thence.server.workers import Workers

LOGIN_BYTES_MAX = 64 * 1024
# a check of a password takes 64 MiB
LOGIN_THREADS, LOGIN_WAITING_MAX = 2, 32
READING_THREADS, READING_WAITING_MAX = 4, 256
# one writer; each that waits holds a body
WRITING_WAITING_MAX = 64
_API = "/api/"
_TOKENS = "/api/v1/token"
_LIVE_TOKEN = "/api/v1/ws-token"
_KEYS = "/api/v1/keys"
_HEALTH = "/api/v1/sync/health"

_logger = logging.getLogger("thence.server")


class TeamApp:
    """An ASGI app over the database of a team's server.

    `closing` is set before the server ends. Host names are not checked unless `allowed_hosts`
    lists the accepted ones, without ports.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        logs_app: LogsApp,
        allowed_hosts: Collection[str] | None = None,
    ) -> None:
        self._database = database
        store = SqliteStore(database)
        self._exchange = Exchange(store)
        self._accounts = Accounts(database, hashed)
        self._logins = Logins(database, Tool(time.time, os.urandom, is_right))
        self._allowed_hosts = allowed_hosts
        self._logging_in = Workers(LOGIN_THREADS, LOGIN_WAITING_MAX)
        self._reading = Workers(READING_THREADS, READING_WAITING_MAX)
        self._writing = Workers(1, WRITING_WAITING_MAX)
        self._live = LiveConnections(
            self._exchange,
            Admission(self._accounts, self._logins),
            reading=self._reading,
            writing=self._writing,
        )
        self.closing = Signal()
        self._keys = KeyRegistry(database)
        folders = LogFolders(folder, store)
        database.on_erased = folders.drop_all
        self._pages = TeamPages(folders, self._member_of, logs_app, self.closing)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] == "lifespan":
            await self._begin_and_end(receive, send)
        elif scope["type"] == "websocket":
            await self._live(scope, receive, send, self._is_allowed(scope))
        elif scope["type"] == "http":
            with suppress(ClientLeft):
                if not self._is_allowed(scope):
                    await send_reply(send, unknown_host())
                elif scope["path"].startswith(LIVE):
                    upgrade = (("upgrade", "websocket"),)
                    message = "this route speaks WebSocket alone"
                    reply = problem(426, "upgrade_required", message, "", headers=upgrade)
                    await send_reply(send, reply)
                elif scope["path"].startswith(_API):
                    await send_reply(send, await self._reply(scope, receive))
                else:
                    await self._give_page(scope, receive, send)

    async def _begin_and_end(self, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "lifespan.shutdown":
            await self._logging_in.run(nobodys)  # so that the first login takes no longer
            await self._reading.run(self._pages.begin)
            await send({"type": f"{message['type']}.complete"})
        self._pages.close()
        self._database.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _is_allowed(self, scope: Scope) -> bool:
        hosts = [value.decode("latin-1") for key, value in scope["headers"] if key == b"host"]
        allowed = self._allowed_hosts
        return allowed is None or (len(hosts) == 1 and host_of(hosts[0]) in allowed)

    async def _give_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await HeadWithoutBody(self._pages)(scope, receive, send_noting)
        except Exception as error:  # door: a client gets an answer where none has begun
            if has_begun:
                raise
            await send_reply(send, _reported(scope, error))

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        try:
            return await self._answered(asked(scope), receive)
        except ClientLeft:
            raise
        except Exception as error:  # door: a client gets one form of error
            return _reported(scope, error)

    async def _answered(self, request: Asked, receive: Receive) -> Reply:
        if request.path == _HEALTH and request.method == "GET":
            return _health()
        if request.path.startswith(_TOKENS) and request.method == "POST":
            body = await body_of(receive, LOGIN_BYTES_MAX)
            return await self._logging_in.run(partial(self._logged_in, request._replace(body=body)))
        if request.path == _LIVE_TOKEN and request.method == "POST":
            return await self._reading.run(partial(self._live_token, request))
        if request.path == _KEYS:
            return await self._keys_reply(request, receive)
        route = EVENT_ROUTES.get(request.path)
        if route is None:
            return problem(404, "not_found", f"there is no {request.path[:80]}", "")
        if request.method != route.method:
            allow = (("allow", route.method),)
            return problem(405, "method_not_allowed", f"use {route.method}", "", headers=allow)
        member = await self._reading.run(partial(self._member, request, route.is_writing))
        if route.bytes_max:
            request = request._replace(body=await body_of(receive, route.bytes_max))
        work = partial(self._handled, route, member, request)
        if not route.is_writing:
            return await self._reading.run(work)
        reply = await self._writing.run(work)
        self._live.committed(member.team, request.query.get("log"))
        return reply

    def _logged_in(self, request: Asked) -> Reply:
        body = unpacked(request, LOGIN_BYTES_MAX)
        found: Tokens
        if request.path == _TOKENS:
            given: Credentials = decoded_as(body, Credentials)
            found = self._logins.log_in(given.username, given.password)
        elif request.path == f"{_TOKENS}/refresh":
            found = self._logins.refreshed(decoded_as(body, Refresh).refresh)
        elif request.path == f"{_TOKENS}/revoke":
            self._logins.revoke(decoded_as(body, Refresh).refresh)
            return Reply(200, b"{}")
        else:
            return problem(404, "not_found", f"there is no {request.path[:80]}", "")
        return Reply(200, msgspec.json.encode(found))

    async def _keys_reply(self, request: Asked, receive: Receive) -> Reply:
        """Returns the keys of the team, after a key was registered if one is given."""
        if request.method not in ("GET", "POST"):
            allow = (("allow", "GET, POST"),)
            return problem(405, "method_not_allowed", "use GET or POST", "", headers=allow)
        is_writing = request.method == "POST"
        member = await self._reading.run(partial(self._member, request, is_writing))
        if not is_writing:
            found = await self._reading.run(partial(self._keys.of_team, member.team))
        else:
            request = request._replace(body=await body_of(receive, BATCH_BYTES_MAX))
            found = await self._writing.run(partial(self._registered, member, request))
            self._live.committed(member.team, None)
        return packed(request, Reply(200, msgspec.json.encode(found)))

    def _registered(self, member: Member, request: Asked) -> TeamKeys:
        body = unpacked(request, BATCH_BYTES_MAX)
        return self._keys.register(member, decoded_as(body, KeyRequest))

    def _member(self, request: Asked, is_writing: bool) -> Member:
        """Returns who asks, in which team; raises NotLoggedIn, SyncRefused."""
        member = self._member_of(request.token, request.headers.get("x-team-slug"))
        if is_writing:
            check_writing(member)
        return member

    def _member_of(self, token: str, wanted: str | None) -> Member:
        """Returns who has an access token, in the wanted or first team."""
        if not token:
            raise NotLoggedIn(
                "could not answer",
                cause="the request has no access token",
                hint="send Authorization: Bearer ACCESS",
            )
        return self._accounts.member(self._logins.user_of(token), wanted)

    def _live_token(self, request: Asked) -> Reply:
        team = self._member_of(request.token, request.headers.get("x-team-slug")).team
        return Reply(200, msgspec.json.encode(self._logins.live_token(request.token, team)))

    def _handled(self, route: EventRoute, member: Member, request: Asked) -> Reply:
        request = request._replace(body=unpacked(request, route.bytes_max))
        return packed(request, route.handle(self._exchange, member.team, request))


def team_app(
    database: str | Path, logs_app: LogsApp, allowed_hosts: Collection[str] | None = None
) -> TeamApp:
    """Returns the app over a server's database file; raises NotAServer.

    `logs_app` makes the app over a folder of logs; those folders stand beside the database.
    """
    return TeamApp(Database(database), Path(database).absolute().parent, logs_app, allowed_hosts)


def _reported(scope: Scope, error: Exception) -> Reply:
    """Returns the answer that reports an error; one that nobody foresaw is logged."""
    reply = refusal(error)
    if reply.status == 500:
        _logger.error("a request to %s failed", scope["path"], exc_info=error)
    return reply


def _health() -> Reply:
    time_text = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = ServerHealth("ok", (PROTOCOL,), version("thence"), time_text)
    return Reply(200, msgspec.json.encode(found))
