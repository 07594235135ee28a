"""The query API and its pages over a team's logs, behind the logins of the server.

Programs send the access token as the bearer. A browser opens a page once with `?token=ACCESS`; a
cookie that scripts can't read replaces it for an hour. It holds a session that opens pages alone.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event as Signal

from fastapi import FastAPI
from starlette.requests import cookie_parser
from starlette.types import Receive, Scope, Send

from thence.errors import NotLoggedIn, SyncRefused
from thence.server.errors import problem
from thence.server.http.auth import cookie_name, redirect_without, token_parameter, unauthorized
from thence.server.team.accounts import Member
from thence.server.team.exchange import LOG_NAME
from thence.server.team.log_folders import LogFolders
from thence.server.team.logins import ACCESS_S, Logins
from thence.server.workers import Workers

REFRESHING_THREADS, REFRESHING_WAITING_MAX = 2, 64
_LOG_PATHS = frozenset(("logs", "simulations", "runs"))
LogsApp = Callable[[Path], FastAPI]
FindMember = Callable[[str, str | None, str], Member]


class TeamPages:
    """An ASGI app that answers with the app of the logs of the asking user's team.

    `member` returns who has a token or a session, in which team; `logs_app` makes the app over a
    folder.
    """

    def __init__(
        self,
        folders: LogFolders,
        member: FindMember,
        logins: Logins,
        logs_app: LogsApp,
        closing: Signal,
    ) -> None:
        self._folders = folders
        self._member = member
        self._logins = logins
        self._logs_app = logs_app
        self._closing = closing
        self._apps: dict[str, FastAPI] = {}
        self._workers = Workers(REFRESHING_THREADS, REFRESHING_WAITING_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; raises what prevents it before an answer has begun."""
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        token = _token(scope, headers)
        cookies = {} if token else cookie_parser(headers.get("cookie", ""))
        session = cookies.get(cookie_name(scope), "")
        work = partial(self._ready, token, session, headers.get("x-team-slug"), scope["path"])
        try:
            team = await self._workers.run(work)
            if scope["method"] == "GET" and token_parameter(scope):
                session = await self._workers.run(partial(self._logins.page_session, token))
                await redirect_without(scope, session, ACCESS_S)(scope, receive, send)
                return
        except NotLoggedIn:
            await unauthorized(scope["path"])(scope, receive, send)
        except SyncRefused as error:
            await problem(403, "forbidden", str(error))(scope, receive, send)
        else:
            await self._app(team)(scope, receive, send)

    def begin(self) -> None:
        """Removes what a server that was killed left in the folders of logs; raises apsw.Error."""
        self._folders.drop_stale()

    def close(self) -> None:
        """Closes the logs that are open."""
        for app in self._apps.values():
            app.state.served.close()

    def _ready(self, token: str, session: str, wanted: str | None, path: str) -> str:
        """Returns the team of a token or session, with its logs' folders fresh for a path."""
        team = self._member(token, wanted, session).team
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
        found = self._apps.get(team)
        if found is None:
            found = self._apps[team] = self._logs_app(self._folders.of_team(team))
            found.state.served.closing = self._closing
        return found


def _token(scope: Scope, headers: dict[str, str]) -> str:
    """Returns the access token of a request: the bearer or the parameter."""
    kind, _, bearer = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return bearer.strip()
    return token_parameter(scope)
