"""The query API and its pages over a team's logs, behind the logins of the server.

Programs send the access token as the bearer. A browser opens a page once with `?token=ACCESS`; a
cookie that scripts can't read replaces it until the token expires.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from thence.errors import NotLoggedIn
from thence.server.http.auth import cookie_name, redirect_without, token_parameter, unauthorized
from thence.server.team.accounts import Member
from thence.server.team.exchange import LOG_NAME
from thence.server.team.log_folders import LogFolders
from thence.server.team.logins import ACCESS_S
from thence.server.team.wire_http import token_of
from thence.server.workers import Workers

REFRESHING_THREADS, REFRESHING_WAITING_MAX = 2, 64
_LOG_PATHS = frozenset(("logs", "simulations", "runs"))
LogsApp = Callable[[Path], FastAPI]
FindMember = Callable[[str, str | None], Member]


class TeamPages:
    """An ASGI app that answers with the app of the logs of the asking user's team.

    `member` returns who has a token, in which team; `logs_app` makes the app over a folder.
    """

    def __init__(self, folders: LogFolders, member: FindMember, logs_app: LogsApp) -> None:
        self._folders = folders
        self._member = member
        self._logs_app = logs_app
        self._apps: dict[str, FastAPI] = {}
        self._workers = Workers(REFRESHING_THREADS, REFRESHING_WAITING_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; raises what prevents it before an answer has begun."""
        request = Request(scope, receive)
        token = _token(request)
        work = partial(self._ready, token, request.headers.get("x-team-slug"), scope["path"])
        try:
            team = await self._workers.run(work)
        except NotLoggedIn:
            await unauthorized(scope["path"])(scope, receive, send)
            return
        if request.method == "GET" and token_parameter(scope):
            await redirect_without(scope, token, ACCESS_S)(scope, receive, send)
        else:
            await self._app(team)(scope, receive, send)

    def begin(self) -> None:
        """Removes what a server that was killed left in the folders of logs; raises apsw.Error."""
        self._folders.drop_stale()

    def close(self) -> None:
        """Closes the logs that are open."""
        for app in self._apps.values():
            app.state.served.close()

    def _ready(self, token: str, slug: str | None, path: str) -> str:
        """Returns the team of a token, the folders of whose logs are up to date for a path."""
        team = self._member(token, slug).team
        kind, *rest = path.removeprefix("/").split("/")
        names = [name for name in {*rest[:1], *rest[-1:]} if LOG_NAME.fullmatch(name)]
        if kind in _LOG_PATHS and names:
            for name in names:
                self._folders.refresh(team, name)
        elif not kind or kind in _LOG_PATHS:
            self._folders.refresh_all(team)
        return team

    def _app(self, team: str) -> FastAPI:
        """Returns the app of a team's logs; for the event loop alone."""
        app = self._apps.get(team)
        if app is None:
            app = self._apps[team] = self._logs_app(self._folders.of_team(team))
        return app


def _token(request: Request) -> str:
    """Returns the access token of a request: the bearer, the parameter or the cookie."""
    scope = request.scope
    return (
        token_of(request) or token_parameter(scope) or request.cookies.get(cookie_name(scope), "")
    )
