"""The server's counts of its own work, in the text format 0.0.4 of Prometheus.

A route is named by its pattern, so that no log name, no filter and no token appears here.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from threading import Lock
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "text/plain; version=0.0.4"
_UNMATCHED = "none"


class Metrics:
    """The counts of one app; thread-safe."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._events = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._starts: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}

    def count_events(self, number: int) -> None:
        """Counts events that were sent."""
        with self._mutex:
            self._events += number

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Counts a request whose response began after `seconds`."""
        with self._mutex:
            self._requests[route, status] += 1
            self._starts[route] += 1
            self._seconds[route] = self._seconds.get(route, 0.0) + seconds

    def text(self, others: Mapping[str, tuple[str, float]]) -> str:
        """Returns all counts, and those in `others`: names with their help text and value.

        A name that ends in `_total` is a counter, which only grows; any other is a gauge.
        """
        with self._mutex:
            lines = list(self._lines())
        for name, (help_text, value) in others.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [
                f"# HELP {name} {help_text}",
                f"# TYPE {name} {kind}",
                f"{name} {round(value, 6)}",
            ]
        return "\n".join(lines) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# HELP thence_http_requests_total Requests that were answered."
        yield "# TYPE thence_http_requests_total counter"
        for (route, status), count in sorted(self._requests.items()):
            labels = f'route="{_label(route)}",code="{status}"'
            yield f"thence_http_requests_total{{{labels}}} {count}"
        name = "thence_http_response_start_seconds"
        yield f"# HELP {name} Time from a request to the beginning of its answer."
        yield f"# TYPE {name} summary"
        for route, count in sorted(self._starts.items()):
            label = f'{{route="{_label(route)}"}}'
            yield f"{name}_sum{label} {self._seconds[route]:.6f}"
            yield f"{name}_count{label} {count}"
        yield "# HELP thence_events_served_total Events sent in pages, lines and streams."
        yield "# TYPE thence_events_served_total counter"
        yield f"thence_events_served_total {self._events}"


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
        began = monotonic()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", _UNMATCHED)
                self._metrics.count_request(route, message["status"], monotonic() - began)
            await send(message)

        await self._app(scope, receive, send_counted)


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
