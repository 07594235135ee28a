"""A server on this machine's own address, from the first connection to a signal.

It listens before anything heavy is imported: the system keeps the connections of that time, and
they are answered as soon as the app is there.
"""

import errno
import os
import re
import signal
import socket
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from thence.errors import ThenceError
from thence.sync.wire.messages import EVENT_BYTES_MAX

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from thence.trace.otlp.receiving import SpanIntake

HOST = "127.0.0.1"
# the names of this machine for itself
LOOPBACK = (HOST, "localhost", "[::1]")
PORT = 8377
# in the folder of a team's server
TEAM_DATABASE = "server.db"
# whatever a team's server and its commands make is their owner's alone
OWNER_UMASK = 0o077
PORTS_TRIED_MAX = 100
# to a Unix socket its owner may connect, and a proxy of the same group
_SOCKET_UMASK = 0o117
_BACKLOG = 1024
_KEEP_ALIVE_S = 30
# how long a request to a team's server may take to its end once that ends
_PUSHING_S = 8
# how long a thread that answers a slow question may keep the interpreter from the others; at a
# quarter of that under load a tenth less is answered, for they take it from each other
_SWITCH_S = 0.002


def listening(port: int | None = None, host: str = HOST) -> socket.socket:
    """Returns a socket that listens on an address, by default on 8377 or the next free port.

    A port that is named is that one or none, 0 is any. Raises `port_taken`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    ports = range(PORT, PORT + PORTS_TRIED_MAX) if port is None else (port,)
    for number in ports:
        # by this protocol asyncio knows that it may send small answers without delay
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, number))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            cause = error.strerror or str(error)
        else:
            return listener
    tried = f"{host}:{ports[0]}" if len(ports) == 1 else f"{host}:{ports[0]} to {ports[-1]}"
    hint = "name a free one with --port; 0 takes any"
    code = "port_taken"
    raise ThenceError("could not listen on", place=tried, cause=cause, hint=hint, code=code)


def listening_at(path: Path) -> socket.socket:
    """Returns a Unix socket that listens at a path, for its owner and group alone.

    A socket file that nobody listens on any more is replaced. Raises `port_taken`.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            if path.is_socket() and probe.connect_ex(str(path)) == errno.ECONNREFUSED:
                path.unlink()
        umask = os.umask(_SOCKET_UMASK)
        try:
            listener.bind(str(path))
        finally:
            os.umask(umask)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ThenceError(
            "could not listen on",
            place=path,
            cause=error.strerror or str(error),
            hint="name an unused path of at most 100 bytes, in a folder that exists",
            code="port_taken",
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Returns the address to give to a client or a proxy: a URL, or `unix:PATH`."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"http://[{name[0]}]:{name[1]}" if ":" in name[0] else f"http://{name[0]}:{name[1]}"


def serve(
    listener: socket.socket,
    root: Path,
    token: str | None,
    cors_origins: Collection[str],
    places: Mapping[str, Path],
    repository: Path | None,
    intake: "SpanIntake | None" = None,
) -> None:
    """Answers on a listening socket until SIGINT or SIGTERM, then ends at once.

    With an `intake` it takes spans over OTLP too. Requests that run get a tenth of a second more,
    streams too. The signal is raised again at the end, for the handler that was there before.
    """
    from thence.server.app import create_app

    app = create_app(
        root,
        allowed_hosts=_hosts(listener, HOST),
        cors_origins=cors_origins,
        token=token,
        places=places,
        repository=repository,
    )
    if intake is not None:
        from thence.server.routes.otlp import routes_for

        app.router.routes.extend(routes_for(intake))
    _run(listener, app)


def serve_team(
    listener: socket.socket,
    database: str | Path,
    data: Path,
    host: str,
    *,
    is_behind_proxy: bool = False,
) -> None:
    """Answers for a team's server as `serve` does; on loopback under its names alone.

    A proxy names its clients' addresses: one on this machine, or with `is_behind_proxy`, or on a
    Unix socket, any. A request, such as a batch, has 8 seconds to end once a signal came, a client
    that is waited for 2; a second signal ends them too. Files that this process makes from then on
    are its owner's alone.
    """
    from thence.server.app import create_team_app

    os.umask(OWNER_UMASK)
    hosts = _hosts(listener, host)
    app = create_team_app(database, data=data.absolute(), allowed_hosts=hosts)
    is_behind_proxy = is_behind_proxy or listener.family == socket.AF_UNIX
    _run(listener, app, is_live=True, is_behind_proxy=is_behind_proxy)


def _hosts(listener: socket.socket, host: str) -> Collection[str] | None:
    """Returns the names under which a socket is asked; on a Unix socket the proxy knows them."""
    return LOOPBACK if listener.family != socket.AF_UNIX and is_loopback(host) else None


def is_loopback(host: str) -> bool:
    """Reports whether an address reaches this machine alone."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def _run(
    listener: socket.socket,
    app: "ASGIApp",
    *,
    is_live: bool = False,
    is_behind_proxy: bool = False,
) -> None:
    import logging

    from uvicorn import Config, Server

    from thence.server.http.protocol import Protocol, WebSocketProtocol, connections_max

    class QuietServer(Server):
        """A server that ends without a word."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """Begins the end, of which nothing is logged; the second signal hurries it."""
            self.force_exit = self.should_exit
            logging.getLogger("uvicorn.error").disabled = True
            super().handle_exit(sig, frame)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """Ends the connections; who is left then, as by a second signal, is cut off."""
            await super().shutdown(sockets)
            for connection in [*self.server_state.connections]:
                connection.transport.abort()

    sys.setswitchinterval(_SWITCH_S)
    config = Config(
        app,
        loop="asyncio",
        http=Protocol,
        backlog=_BACKLOG,
        limit_concurrency=connections_max(),
        ws=WebSocketProtocol if is_live else "none",
        ws_max_size=EVENT_BYTES_MAX,
        ws_per_message_deflate=False,  # what is unpacked would have no bound
        lifespan="on",
        log_config=None,
        forwarded_allow_ips="*" if is_behind_proxy else HOST,
        access_log=False,  # it would hold the token of a first visit
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_PUSHING_S if is_live else 0,
    )
    QuietServer(config).run(sockets=[listener])


def end_on_sigterm() -> None:
    """Has SIGTERM end the process as a success, once the server is down."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
