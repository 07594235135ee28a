"""What a team's server counts of its own work, read as Prometheus reads it."""

import re
from pathlib import Path

from starlette.testclient import TestClient
from tests.server.team.lines import lines
from tests.server.team.stranger import Got
from tests.server.team.team_server import team_server

from thence.server.app import create_app

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)*)\})? ([0-9.e+-]+|[+]Inf)')


def read(text: str) -> dict[tuple[str, str], float]:
    """All samples of a page in the text format; each has a type before it."""
    samples, typed = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            found = LINE.fullmatch(line)
            assert found, line
            assert re.sub(r"_(sum|count|bucket)$", "", found[1]) in typed or found[1] in typed
            samples[found[1], found[2] or ""] = float(found[3])
    assert text.endswith("\n")
    return samples


def test_operator_reads_the_counts_of_the_whole_server_and_nobody_else(tmp_path: Path) -> None:
    token = "m" * 20
    with team_server(tmp_path / "data", env={"THENCE_METRICS_TOKEN": token}) as server:
        ada = server.client("ada")
        assert ada.statuses("secret-plan", lines(2)) == ["success"] * 2
        assert ada.page("secret-plan").status == 200
        assert ada.page("none").status == 404

        def asked(bearer: str, **headers: str) -> Got:
            bearer = f"Bearer {bearer}"
            return server.client().ask("GET", "/metrics", Authorization=bearer, **headers)

        answer = asked(token)
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        text = answer.body.decode()
        figures = read(text)
        requests, route = "thence_http_requests_total", 'route="/api/v1/events"'
        assert figures[requests, f'code="200",{route}'] == 1
        assert figures[requests, f'code="404",{route}'] == 1
        assert figures[requests, 'code="200",route="/api/v1/events/batch"'] == 1
        assert figures["thence_http_response_start_seconds_count", route] == 2
        assert figures["thence_http_response_start_seconds_sum", route] > 0
        assert figures["thence_http_response_start_seconds_bucket", f'le="+Inf",{route}'] == 2
        assert figures["thence_live_connections", ""] == 0
        assert figures["process_resident_memory_bytes", ""] > 10_000_000
        assert figures["process_open_fds", ""] > 3
        for secret in ("secret-plan", token, "_created"):
            assert secret not in text
        opened = asked(token, Accept="application/openmetrics-text")
        assert opened.headers["content-type"].startswith("application/openmetrics-text")
        assert opened.body.endswith(b"# EOF\n")
        assert asked("mm").status == server.client().ask("GET", "/metrics").status == 404
        assert ada.ask("GET", "/metrics").status == 404


def test_serve_on_this_machine_counts_nothing(tmp_path: Path) -> None:
    with TestClient(create_app(tmp_path)) as client:
        assert client.get("/metrics").status_code == 404
