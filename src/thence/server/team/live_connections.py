"""The live connections of a team's server, by WebSocket: hints of commits, and acknowledged events.

A hint holds no lines, so that nothing can be lost, ordered or rebuilt: its listener asks for the
lines as ever. Commits of this process are hinted at once, those of other processes within a second.
A listener has one hint to come at most, whatever is committed meanwhile.
"""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from thence.errors import NotLoggedIn, SyncRefused
from thence.server.errors import wire_refusal, wire_response
from thence.server.http.bodies import decoded_as, token_of
from thence.server.http.middleware import deny
from thence.server.http.protocol import TRANSPORT, connections_max
from thence.server.http.workers import Workers
from thence.server.team.accounts import Accounts, Member, check_writing
from thence.server.team.audit import acting
from thence.server.team.event_routes import EVENTS, Call, push_batch
from thence.server.team.logins import ACCESS_S, LiveLogin, Logins, is_live_token
from thence.server.team.sync_service import SyncService
from thence.sync.wire.messages import Results, joined

LISTENERS_MAX, LISTENERS_OF_USER_MAX = 2_000, 100
# how long a listener may take nothing before it is cut off
SEND_S = 5.0
# how often the commits of other processes, and the logins of listeners, are looked at
POLL_S = 1.0
# between two hints to a listener
HINT_S = 0.05
LOGIN_ENDED, NOT_A_MEMBER = 4401, 4403
_PATH = "/ws/v1/events/"

_logger = logging.getLogger("thence.server")
Key = tuple[str, str]


class _Frame(msgspec.Struct):
    """A client's frame; one without a type is an event itself, as other tools send it."""

    type: str = ""
    event: msgspec.Raw = msgspec.Raw()


class _Listener:
    """A live connection: `cursor` is the last one known, `close_code` the reason of its end."""

    def __init__(self, request: HTTPConnection, login: int, member: Member, until: float) -> None:
        self.request = request
        self.key: Key = (member.team, request.query_params.get("log", EVENTS))
        self.login = login
        self.member = member
        self.until = until
        self.changed = asyncio.Event()
        self.cursor: str | None = None
        self.close_code: int | None = None

    def hint(self, cursor: str) -> None:
        """Has a new cursor sent."""
        if cursor != self.cursor:
            self.cursor = cursor
            self.changed.set()

    def judge(self, teams: Collection[str | None] | None, now: float) -> None:
        """Has the connection closed where its login has ended or its user left the team."""
        if teams is None or now >= self.until:
            self.close_code = LOGIN_ENDED
        elif self.member.team not in teams:
            self.close_code = NOT_A_MEMBER
        if self.close_code is not None:
            self.changed.set()


class LiveConnections:
    """An ASGI app for the live connections, for one event loop alone."""

    def __init__(
        self,
        service: SyncService,
        accounts: Accounts,
        logins: Logins,
        *,
        reading: Workers,
        writing: Workers,
        send_s: float = SEND_S,
    ) -> None:
        self._service = service
        self._accounts = accounts
        self._logins = logins
        self._reading = reading
        self._writing = writing
        self._send_s = send_s
        # each holds a connection, and no other can be closed for it: half of them stay for requests
        self._limit = min(LISTENERS_MAX, connections_max() // 2)
        self._user_limit = min(LISTENERS_OF_USER_MAX, self._limit // 2)
        self._listeners: set[_Listener] = set()
        self._touched: set[tuple[str, str | None]] = set()
        self._poke = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    def committed(self, team: str, log: str | None) -> None:
        """Hints that lines were committed to a log of a team, None for one that is not known."""
        if self._listeners:
            self._touched.add((team, log))
            self._poke.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a connection until its end."""
        await receive()  # websocket.connect
        try:
            listener = await self._admitted(HTTPConnection(scope))
        except Exception as error:  # boundary: a client gets one form of error
            await deny(_reported(error), scope, receive, send)
            return
        acting.set(listener.member.user)
        connection = _Connection(scope, receive, send, self._send_s)
        try:
            await self._serve(listener, connection)
        except OSError:  # the client has gone
            return
        finally:
            self._listeners.discard(listener)

    async def _admitted(self, request: HTTPConnection) -> _Listener:
        """Returns the listener of a request, in its place; raises what refuses it."""
        if f"{request.scope['path'].rstrip('/')}/" != _PATH:
            raise HTTPException(404, "there is no such path")
        live_token, access = request.query_params.get("token", ""), token_of(request)
        if is_live_token(access):  # clients of other tools send no parameter
            live_token = live_token or access

        def opened() -> tuple[LiveLogin, Member]:
            if live_token:
                login = self._logins.live_login(live_token)
            elif access:
                login = self._logins.login_of(access, request.headers.get("x-team-slug"))
            else:
                raise NotLoggedIn(
                    "could not open the connection",
                    cause="the request has no token",
                    hint="ask for one: POST /api/v1/ws-token/",
                )
            return login, self._accounts.member(login.user, login.team)

        login, member = await self._reading.run(opened)
        request.state.login = user = member.user
        until = asyncio.get_running_loop().time() + ACCESS_S
        listener = _Listener(request, login.login, member, until)
        listener.cursor = await self._reading.run(partial(self._service.mark, *listener.key))
        cause = "too many are open" if len(self._listeners) >= self._limit else ""
        if sum(one.member.user == user for one in self._listeners) >= self._user_limit:
            cause = f"{self._user_limit} of {user} are open"
        if cause:
            raise SyncRefused("could not open the connection", cause=cause, code="server_busy")
        self._listeners.add(listener)
        self.committed(*listener.key)  # perhaps, since it was admitted
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())
        return listener

    async def _serve(self, listener: _Listener, connection: "_Connection") -> None:
        await connection.send({"type": "websocket.accept"})
        marks = {listener.key[1]: listener.cursor}
        await connection.tell({"type": "snapshot", "work_packages": [], "marks": marks})
        tasks = [
            asyncio.create_task(self._answer_frames(listener, connection)),
            asyncio.create_task(_hint(listener, connection)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for error in results:
            if isinstance(error, Exception):
                raise error

    async def _answer_frames(self, listener: _Listener, connection: "_Connection") -> None:
        while (data := await connection.frame()) is not None:
            reply = await self._answer(listener, data)
            if reply is not None:
                await connection.tell(reply)

    async def _answer(self, listener: _Listener, data: bytes) -> object:
        """Returns the answer to a frame, None for one that gets none."""

        def commit() -> Results:
            member = self._accounts.member(listener.member.user, listener.member.team)
            check_writing(member)  # who may write now
            return push_batch(Call(self._service, member.team, listener.request, body))

        try:
            frame: _Frame = decoded_as(data, _Frame)
            if frame.type == "ping":
                return {"type": "pong"}
            if frame.type not in ("event", ""):
                return None
            body = joined([bytes(frame.event) if frame.type else data])
            results = await self._writing.run(commit)
        except Exception as error:  # boundary: a client gets one form of error
            return _spliced("error", bytes(_reported(error).body))
        self.committed(listener.member.team, listener.request.query_params.get("log"))
        return _spliced("ack", msgspec.json.encode(results.results[0]))

    async def _watch(self) -> None:
        """Hints what is committed, and closes the connections of logins that ended."""

        def look() -> tuple[dict[Key, str], dict[int, set[str | None]]]:
            return {key: self._service.mark(*key) for key in keys}, self._logins.present(logins)

        loop = asyncio.get_running_loop()
        next_look = loop.time()
        while self._listeners:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_look):
                    await self._poke.wait()
            self._poke.clear()
            touched, self._touched = self._touched, set()
            is_due = loop.time() >= next_look
            if is_due:
                next_look = loop.time() + POLL_S
            listeners = [*self._listeners]
            keys = {
                one.key
                for one in listeners
                if is_due or one.key in touched or (one.member.team, None) in touched
            }
            logins = {one.login for one in listeners} if is_due else set()
            try:
                marks, teams = await self._reading.run(look)
            except Exception as error:  # boundary: the next look is in a second
                _logger.warning("could not look for commits: %s", error)
                continue
            for listener in listeners:
                if listener.key in marks:
                    listener.hint(marks[listener.key])
                if listener.login in logins:
                    listener.judge(teams.get(listener.login), loop.time())


class _Connection:
    """The frames of one connection; a client that takes none in time is cut off."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, send_s: float) -> None:
        self._transport = scope.get("state", {}).get(TRANSPORT)
        self._receive = receive
        self._send = send
        self._send_s = send_s

    async def frame(self) -> bytes | None:
        """Returns a client's next frame, None at the end."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return None
        text = message.get("text")
        return text.encode() if text is not None else message.get("bytes") or b""

    async def tell(self, value: object) -> None:
        """Sends a frame; raises OSError if the client has gone or takes nothing."""
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        await self.send({"type": "websocket.send", "text": text})

    async def send(self, message: dict[str, Any]) -> None:
        """Sends a message of ASGI; raises OSError if the client has gone or takes nothing."""
        try:
            async with asyncio.timeout(self._send_s):
                await self._send(message)
        except TimeoutError as error:
            if self._transport is not None:
                self._transport.abort()
            raise ConnectionAbortedError("the listener takes nothing") from error


async def _hint(listener: _Listener, connection: _Connection) -> None:
    """Sends the last cursor whenever it has changed, until the connection is to be closed."""
    while True:
        await listener.changed.wait()
        listener.changed.clear()
        if listener.close_code is not None:
            await connection.send({"type": "websocket.close", "code": listener.close_code})
            return
        hint = {"type": "committed", "log": listener.key[1], "cursor": listener.cursor}
        await connection.tell(hint)
        await asyncio.sleep(HINT_S)


def _spliced(kind: str, body: bytes) -> str:
    """Returns a frame of a type with the members of an object."""
    return f'{{"type":"{kind}",{body[1:].decode()}'


def _reported(error: Exception) -> Response:
    response = wire_response(wire_refusal(error))
    if response.status_code == 500:
        _logger.error("a live connection failed", exc_info=error)
    return response
