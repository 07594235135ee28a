"""A collector of OTLP/HTTP on this machine, which answers as a test says."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Collector:
    """What came in, and the answers that are still to be given: a status, headers, a body."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [span for _, _, body in self.requests for span in spans_of(body)]


def spans_of(body: Any) -> list[dict[str, Any]]:
    return [
        span
        for resource in body["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


@contextmanager
def collector(tls: tuple[str, str] | None = None) -> Iterator[Collector]:
    at = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            at.requests.append((self.path, headers, json.loads(body)))
            status, extra, said = at.answers.pop(0) if at.answers else (200, {}, b"{}")
            self.send_response(status)
            for name, value in {"Content-Length": str(len(said)), **extra}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        at.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield at
        finally:
            server.shutdown()
            thread.join()
