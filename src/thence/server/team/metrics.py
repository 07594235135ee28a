"""A team's server's counts of its own work, for its operator's Prometheus.

A route is named by its pattern, so that no log name, no filter and no token appears here.
"""

from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thence.server.http.middleware import has_bearer

PATH = "/metrics"
_UNMATCHED = "none"
_BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0)


class Metrics:
    """The counts of a server, with the memory, processor time and files of its process."""

    def __init__(self, collector: Collector) -> None:
        self._registry = CollectorRegistry()
        name, words = "thence_http_requests", "Requests that were answered."
        self._requests = Counter(name, words, ("route", "code"), registry=self._registry)
        self._starts = Histogram(
            "thence_http_response_start_seconds",
            "Time from a request to the beginning of its answer.",
            ("route",),
            registry=self._registry,
            buckets=_BUCKETS_S,
        )
        self._registry.register(collector)
        ProcessCollector(registry=self._registry)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Counts a request whose response began after `seconds`."""
        self._requests.labels(route, str(status)).inc()
        self._starts.labels(route).observe(seconds)

    def response(self, request: Request) -> Response:
        """Returns all counts in the text format, or as OpenMetrics if `Accept` asks for it."""
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), media_type=media_type)


class OperatorMetrics:
    """Middleware that gives the operator, who shows a token, the counts of the whole server."""

    def __init__(self, app: ASGIApp, metrics: Metrics, token: str) -> None:
        self._app = app
        self._metrics = metrics
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the operator, and passes on whatever else is asked."""
        is_metrics = scope["type"] == "http" and scope["path"] == PATH
        if is_metrics and has_bearer(scope, self._token):
            await self._metrics.response(Request(scope))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class RequestCounter:
    """Middleware that counts each request by the pattern of its route."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and counts it when its response begins."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start_s, prefix = monotonic(), scope.get("root_path", "")

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                mount = scope.get("root_path", "").removeprefix(prefix)
                path = getattr(scope.get("route"), "path", "").rstrip("/")
                route = mount + path or ("/" if scope["path"] == "/" else _UNMATCHED)
                self._metrics.count_request(route, message["status"], monotonic() - start_s)
            await send(message)

        await self._app(scope, receive, send_counted)
