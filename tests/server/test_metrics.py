"""What the server counts of its own work, read as Prometheus reads it."""

import json
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.server.listening import gauge, heard
from tests.server.runs import make_run
from tests.server.serving import serving
from tests.server.team.lines import lines
from tests.server.team.stranger import Client
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


def test_requests_events_listeners_and_open_logs_are_counted(tmp_path: Path) -> None:
    make_run(tmp_path, "run", count=7)
    with serving(tmp_path) as server:
        for path in ("/simulations/run/events", "/simulations/none/events", "/odd/path"):
            server.get(path)
        server.get("/simulations/run/events.ndjson")
        heard(server, "/simulations/run/events/live", 7)
        answer = server.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = read(answer.text)
        name, route = "thence_http_requests_total", 'route="/simulations/{id}/events"'
        assert found[name, f'code="200",{route}'] == 1
        assert found[name, f'code="404",{route}'] == 1
        assert found[name, 'code="404",route="none"'] == 1
        assert found["thence_http_response_start_seconds_count", route] == 2
        assert found["thence_http_response_start_seconds_sum", route] > 0
        assert found["thence_http_response_start_seconds_bucket", f'le="+Inf",{route}'] == 2
        assert found["thence_events_served_total", ""] == 21
        assert gauge(server, "thence_logs_open") == 1
        assert "none/events" not in answer.text
        assert "_created" not in answer.text
        assert found["process_resident_memory_bytes", ""] > 10_000_000
        assert found["process_open_fds", ""] > 3
        opened = server.get("/metrics", headers={"Accept": "application/openmetrics-text"})
        assert opened.headers["content-type"].startswith("application/openmetrics-text")
        assert opened.text.endswith("# EOF\n")


def test_indexes_made_and_what_they_took_in_are_counted(tmp_path: Path) -> None:
    make_run(tmp_path, "run", count=40)
    names = ("builds", "events", "build_seconds", "catch_up_seconds")
    with serving(tmp_path) as server:

        def cost() -> list[float]:
            return [gauge(server, f"thence_index_{name}_total") for name in names]

        server.json("/simulations/run/events")
        builds, events, build_seconds, catch_up_seconds = cost()
        assert (builds > 0, events) == (True, 40 * builds)
        assert build_seconds > 0
        make_run(tmp_path, "run", count=5, seed=8)
        assert server.json("/simulations/run/events")["total"] == 45
        assert cost()[1] >= events + 5
        assert cost()[3] > catch_up_seconds
        text = server.get("/metrics").text
        assert "# TYPE thence_index_builds_total counter" in text
        assert "# TYPE thence_logs_open gauge" in text


def test_large_counts_are_told_to_the_last_digit(tmp_path: Path) -> None:
    with TestClient(create_app(tmp_path)) as client:
        client.app.state.served.metrics.count_events(123_456_789)
        assert read(client.get("/metrics").text)["thence_events_served_total", ""] == 123_456_789


def test_token_is_wanted_and_never_told(tmp_path: Path) -> None:
    with serving(tmp_path, "--token", "s3cret") as server:
        assert server.code("/metrics") == (401, "unauthorized")
        server.get("/simulations", params={"token": "s3cret"})
        text = server.get("/metrics", headers={"Authorization": "Bearer s3cret"}).text
        assert "s3cret" not in text
        assert ("thence_http_requests_total", 'code="401",route="none"') in read(text)


@pytest.mark.promise("S12")
def test_members_read_the_counts_of_their_team_and_the_operator_those_of_the_server(
    tmp_path: Path,
) -> None:
    with team_server(tmp_path / "data", env={"THENCE_METRICS_TOKEN": "m" * 20}) as server:
        server.add("bob", "blue")
        ada, bob = server.client("ada"), server.client("bob")
        assert ada.statuses("secret-plan", lines(2)) == ["success"] * 2
        assert len(json.loads(ada.ask("GET", "/logs/secret-plan/events").body)["events"]) == 2
        assert ada.page("secret-plan").status == 200

        def counts(client: Client, **headers: str) -> dict[tuple[str, str], float]:
            return read(client.ask("GET", "/metrics", **headers).body.decode())

        of_red, of_blue = counts(ada), counts(bob)
        operator = counts(server.client(), Authorization=f"Bearer {'m' * 20}")
        events, pages = "thence_events_served_total", 'code="200",route="/logs/{id}/events"'
        requests = "thence_http_requests_total"
        assert [figures[events, ""] for figures in (of_red, of_blue, operator)] == [2, 0, 2]
        assert of_red[requests, pages] == operator[requests, pages] == 1
        assert (requests, pages) not in of_blue
        assert operator[requests, 'code="200",route="/api/v1/events/batch"'] == 1
        assert operator[requests, 'code="200",route="/api/v1/events"'] == 1
        assert operator["thence_logs_open", ""] == 1
        assert operator["thence_live_connections", ""] == 0
        assert operator["process_resident_memory_bytes", ""] > 10_000_000
        for member in (of_red, of_blue):  # what the process needs tells of other teams
            assert not [name for name, _ in member if name.startswith(("process_", "thence_live"))]
        assert server.client().ask("GET", "/metrics").status == 401
        wrong = server.client().ask("GET", "/metrics", Authorization="Bearer mm")
        assert wrong.status == 401
