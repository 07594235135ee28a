"""What the server counts of its own work, as Prometheus reads it.

The format is the text format 0.0.4. Routes are told by their pattern, so that no name of a
log, no filter and no token stands here.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from threading import Lock
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "text/plain; version=0.0.4"
_UNMATCHED = "none"


class Metrics:
    """Counts of one app; safe from threads."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._events = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._began: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}

    def count_events(self, number: int) -> None:
        """Counts events that were sent."""
        with self._mutex:
            self._events += number

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Counts a request whose answer began after so many seconds."""
        with self._mutex:
            self._requests[route, status] += 1
            self._began[route] += 1
            self._seconds[route] = self._seconds.get(route, 0.0) + seconds

    def text(self, others: Mapping[str, tuple[str, float]]) -> str:
        """Returns all counts, and what others count or measure: names with their help and value.

        What ends in `_total` only grows; else it is a gauge.
        """
        with self._mutex:
            lines = list(self._lines())
        for name, (told, value) in others.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP {name} {told}", f"# TYPE {name} {kind}", f"{name} {round(value, 6)}"]
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
        for route, count in sorted(self._began.items()):
            label = f'{{route="{_label(route)}"}}'
            yield f"{name}_sum{label} {self._seconds[route]:.6f}"
            yield f"{name}_count{label} {count}"
        yield "# HELP thence_events_served_total Events sent in pages, lines and streams."
        yield "# TYPE thence_events_served_total counter"
        yield f"thence_events_served_total {self._events}"


class Counting:
    """Counts each request by the pattern of its route."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as the app does, and counts when the answer begins."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = monotonic()

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", _UNMATCHED)
                self._metrics.count_request(route, message["status"], monotonic() - began)
            await send(message)

        await self._app(scope, receive, sent)


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
