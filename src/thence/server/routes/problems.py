"""What the OpenAPI document says of errors."""

from typing import Any

from thence.server.models import Problem

RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No token, or a wrong one (`unauthorized`)."},
    403: {"model": Problem, "description": "A foreign host name (`forbidden`)."},
    404: {"model": Problem, "description": "There is no such log or event."},
    422: {"model": Problem, "description": "`invalid_parameter`, `invalid_cursor`."},
    503: {"model": Problem, "description": "It could not be read now (`unavailable`)."},
}
LIVE_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events without end: `id:` is the event's id, `data:` its line.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
METRICS_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Counts and gauges.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}
NDJSON_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events that match, in total order, a line each.",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }
}
