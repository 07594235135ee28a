"""The query API and its pages over a team's logs, behind the logins of the server.

Programs send the access token as the bearer. A browser is led to the login form, and has a cookie
then, which holds a session that opens pages alone.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from thence.errors import NotLoggedIn, SuppressCodes
from thence.server.errors import is_page, refused
from thence.server.http.middleware import cookie_name
from thence.server.http.workers import Workers
from thence.server.routes.state import USER, ServerState
from thence.server.team.accounts import Accounts, Member
from thence.server.team.auth_routes import login_target
from thence.server.team.log_cache import LogCache
from thence.server.team.logins import Logins
from thence.server.team.sync_service import LOG_NAME
from thence.server.team.wire_http import token_of

REFRESHING_THREADS, REFRESHING_WAITING_MAX = 2, 64
_UNAUTHORIZED = (
    "send Authorization: Bearer ACCESS, which POST /api/v1/token/ answers to your name and password"
)
_LOG_PATHS = frozenset(("logs", "simulations", "runs"))
LogsApp = Callable[[Path], FastAPI]


class TeamPages:
    """An ASGI app that answers with the app of the logs of the asking user's team.

    `logs_app` makes the app over a folder.
    """

    def __init__(
        self, folders: LogCache, accounts: Accounts, logins: Logins, logs_app: LogsApp
    ) -> None:
        self._folders = folders
        self._accounts = accounts
        self._logins = logins
        self._logs_app = logs_app
        self._apps: dict[str, FastAPI] = {}
        folders.release = self._release
        self._workers = Workers(REFRESHING_THREADS, REFRESHING_WAITING_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; raises what prevents it before an answer has begun."""
        try:
            member = await self._workers.run(partial(self._ready, Request(scope, receive)))
        except NotLoggedIn:
            if scope["method"] == "GET" and is_page(scope["path"]):
                target = login_target(scope["path"], scope["query_string"])
                answer: Response = RedirectResponse(target, 303)
            else:
                bearer = {"WWW-Authenticate": "Bearer"}
                answer = refused(scope, HTTPException(401, _UNAUTHORIZED, bearer))
            await answer(scope, receive, send)
            return
        scope[USER] = member.user
        app = self._apps.get(member.team)
        if app is None:
            app = self._apps[member.team] = self._logs_app(self._folders.of_team(member.team))
        await app(scope, receive, send)

    def begin(self) -> None:
        """Removes what a server that was killed left in the folders of logs; raises apsw.Error."""
        self._folders.begin()

    async def look(self) -> None:
        """Brings the folders up to date that somebody follows, and drops what was replaced.

        Other processes write to the same database. Raises what `LogCache.refresh` raises.
        """
        followed = [
            (team, name)
            for team, app in self._apps.items()
            for name in {log_id for _, log_id in app.state.served.streams.values()}
        ]

        def refresh() -> None:
            self._folders.drop_replaced()
            for team, name in followed:
                with SuppressCodes("read_failed"):  # it is gone on with
                    self._folders.refresh(team, name, 0.0)

        await self._workers.run(refresh)

    def _release(self, folder: Path) -> bool:
        app = self._apps.get(folder.parent.name)
        return app is None or app.state.served.logs.release(folder)

    def close(self) -> None:
        """Closes the logs that are open."""
        self._folders.close()
        for app in self._apps.values():
            app.state.served.close()

    def figures(self) -> Iterator[Metric]:
        """Yields what the apps of all teams do now, in sum."""
        states: list[ServerState] = [app.state.served for app in list(self._apps.values())]
        streams = sum(len(state.streams) for state in states)
        logs_open = sum(state.logs.open for state in states)
        yield GaugeMetricFamily("thence_listeners", "Open streams of live events.", streams)
        yield GaugeMetricFamily("thence_logs_open", "Logs that are open now.", logs_open)

    def _ready(self, request: Request) -> Member:
        """Returns who asks in which team, the folders of whose logs are up to date for the path.

        Without an access token the cookie names who asks.
        """
        access = token_of(request)
        if access:
            user = self._logins.user_of(access)
        else:
            user = self._logins.user_of_page(request.cookies.get(cookie_name(request.scope), ""))
        member = self._accounts.member(user, request.headers.get("x-team-slug"))
        path: str = request.scope["path"]
        kind, *rest = path.removeprefix("/").split("/")
        names = [name for name in {*rest[:1], *rest[-1:]} if LOG_NAME.fullmatch(name)]
        if kind in _LOG_PATHS and names:
            for name in names:
                self._folders.refresh(member.team, name)
        elif not kind or kind in _LOG_PATHS:
            self._folders.refresh_all(member.team)
        return member
