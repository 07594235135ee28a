"""A collector of OTLP/HTTP on this machine, which answers as a test says."""

import ssl
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

IDS = ("traceId", "spanId", "parentSpanId")


@dataclass
class Collector:
    """What came in, and the answers that are still to be given: a status, headers, a body."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [span for _, _, body in self.requests for span in spans_of(body)]


def json_of(request: ExportTraceServiceRequest) -> Any:
    """What a request in protobuf says, in the form of OTLP/JSON: its ids are hex."""

    def hexed(value: Any) -> Any:
        if isinstance(value, list):
            return [hexed(one) for one in value]
        if not isinstance(value, dict):
            return value
        return {
            key: b64decode(one).hex() if key in IDS else hexed(one) for key, one in value.items()
        }

    return hexed(MessageToDict(request, use_integers_for_enums=True))


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
            data = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json_of(ExportTraceServiceRequest.FromString(data))
            at.requests.append((self.path, headers, body))
            status, extra, said = at.answers.pop(0) if at.answers else (200, {}, b"")
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
