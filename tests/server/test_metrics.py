"""What the server counts of its own work, read as Prometheus reads it."""

import re
from pathlib import Path

from tests.server.listening import gauge, heard
from tests.server.runs import make_run
from tests.server.serving import serving

from thence.server.metrics import Metrics

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\]|\\.)*",?)*)\})? ([0-9.e+-]+)')


def read(text: str) -> dict[tuple[str, str], float]:
    """All samples of a page in the text format; each has a type before it."""
    samples, typed = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            found = LINE.fullmatch(line)
            assert found, line
            assert re.sub(r"_(sum|count)$", "", found[1]) in typed or found[1] in typed
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
        assert found[name, f'{route},code="200"'] == 1
        assert found[name, f'{route},code="404"'] == 1
        assert found[name, 'route="none",code="404"'] == 1
        assert found["thence_http_response_start_seconds_count", route] == 2
        assert found["thence_http_response_start_seconds_sum", route] > 0
        assert found["thence_events_served_total", ""] == 21
        assert gauge(server, "thence_logs_open") == 1
        assert "none/events" not in answer.text


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


def test_large_counts_are_told_to_the_last_digit() -> None:
    told = Metrics().text({"thence_index_events_total": ("Events.", 123_456_789)})
    assert read(told)["thence_index_events_total", ""] == 123_456_789


def test_token_is_wanted_and_never_told(tmp_path: Path) -> None:
    with serving(tmp_path, "--token", "s3cret") as server:
        assert server.code("/metrics") == (401, "unauthorized")
        server.get("/simulations", params={"token": "s3cret"})
        text = server.get("/metrics", headers={"Authorization": "Bearer s3cret"}).text
        assert "s3cret" not in text
        assert ("thence_http_requests_total", 'route="none",code="401"') in read(text)
