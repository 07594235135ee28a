"""The app: the query API over one folder of logs, for any ASGI server."""

import os
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, closing
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from thence.errors import needs_extra
from thence.server.logs.root import Root
from thence.settings import from_environment

with needs_extra("server", "thence.server.app"):
    from fastapi import APIRouter, FastAPI, Query, Request
    from starlette.middleware.cors import CORSMiddleware
    from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
    from starlette.responses import Response
    from starlette.types import Lifespan

    from thence.server.errors import add_error_handlers
    from thence.server.http.middleware import Auth, Headers, HeadWithoutBody, Hosts
    from thence.server.models import Health, Problem
    from thence.server.routes import logs, look
    from thence.server.routes.parameters import Parameters
    from thence.server.routes.state import ServerState, app_state
    from thence.server.web import pages
    from thence.server.web.layout import problem_page, static_route

__all__ = ["create_app", "create_team_app"]

PACKED_BYTES_MIN = 1_024  # of an answer that is compressed
_DESCRIPTION = "The events of simulations and other logs: what many agents did, and why."


def create_app(
    root: str | Path | None = None,
    *,
    allowed_hosts: Collection[str] | None = None,
    cors_origins: Collection[str] = (),
    token: str | None = None,
    places: Mapping[str, Path] = MappingProxyType({}),
    repository: Path | None = None,
) -> FastAPI:
    """Returns an app that serves the logs in a folder; the app writes only indexes there.

    If `root` is None it is THENCE_ROOT, or "output". The root may be a log itself, and may be
    made later. Host names are not checked unless `allowed_hosts` lists the accepted ones,
    without ports. Pages of `cors_origins` may read the answers in a browser.
    With a `token` every path but /health needs it. `places` are logs elsewhere by the ids under
    which they are served too. If one is the log of coding agents in a repository, of which
    `repository` is a folder, the files there are shown with the owner of each line. Raises
    ValueError for an empty token.
    """
    if token is not None and not token:
        raise ValueError("token is empty: pass None to have none")
    folder = root if root is not None else from_environment(os.environ).runs
    state = ServerState(Root(folder, places))
    state.repository = repository

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with closing(state):
            yield

    app = _empty_app(lifespan)
    app.state.served = state
    add_error_handlers(app, problem_page)
    app.include_router(_router)
    for kind in logs.KINDS:
        app.include_router(logs.routes_of(kind))
    app.include_router(look.router)
    app.include_router(pages.router)
    app.router.routes.append(static_route())
    app.add_middleware(
        GZipMiddleware,
        minimum_size=PACKED_BYTES_MIN,
        compresslevel=1,
        exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, logs.NDJSON),
    )
    if token is not None:
        app.add_middleware(Auth, token=token)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "HEAD"],
            allow_headers=["Authorization", "Last-Event-ID"],
        )
    _add_doors(app, allowed_hosts)
    return app


def create_team_app(
    database: str | Path, *, data: Path | None = None, allowed_hosts: Collection[str] | None = None
) -> FastAPI:
    """Returns an app at which the logs of a team meet, by the routes of wire.md.

    `database` is the file that `thence server init` made, or an address of PostgreSQL. The audit
    log is in the folder `data`, else beside the database's file. Host names are not checked unless
    `allowed_hosts` lists the accepted ones, without ports. Raises `not_a_server` if there is no
    such database, `database_unavailable` if it can't be reached, ValueError for an address without
    a folder `data`.
    """
    from thence.server.team.audit import AuditLog
    from thence.server.team.engines import is_address, open_database
    from thence.server.team.team_app import Team

    if data is None and is_address(database):
        raise ValueError("data is missing: a database in PostgreSQL has no folder")
    audit = AuditLog((data or Path(database).parent).absolute())
    team = Team(open_database(database), audit)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with closing(team):
            await team.begin()
            yield

    app = _empty_app(lifespan)
    add_error_handlers(app)
    app.router.routes.extend(team.routes())
    _add_doors(app, allowed_hosts)
    return app


def _empty_app(lifespan: Lifespan[FastAPI]) -> FastAPI:
    """Returns an app without routes."""
    return FastAPI(
        title="thence",
        version=version("thence"),
        description=_DESCRIPTION,
        openapi_url=None,  # its own route would make the document on the event loop
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )


def _add_doors(app: FastAPI, allowed_hosts: Collection[str] | None) -> None:
    """Adds the middleware that every request passes first."""
    app.add_middleware(Headers)
    if allowed_hosts is not None:
        app.add_middleware(Hosts, allowed=allowed_hosts)
    app.add_middleware(HeadWithoutBody)


_router = APIRouter(responses={422: {"model": Problem}})


@_router.get("/openapi.json", include_in_schema=False)
async def _document(request: Request) -> Response:
    """Returns the OpenAPI document of the app."""
    app: FastAPI = request.app
    return logs.answer(await app_state(request).workers.run(app.openapi))


@_router.get("/health", name="health", tags=["health"], response_model=Health)
async def _health(request: Request, parameters: Annotated[Parameters, Query()]) -> Response:
    """Reports that the server answers, with the totals of the logs that were asked for so far.

    No file is touched.
    """
    totals = app_state(request).summaries.totals()
    return logs.answer({"status": "ok", "version": request.app.version, **totals})
