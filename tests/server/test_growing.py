"""Files that change while they are read: they grow, are rotated, torn, foreign, gone."""

import threading
from pathlib import Path

import pytest
from tests.server.runs import foreign, lines, make_index, make_run, remove, stored, writing
from tests.server.serving import Serving

from thence.sim import EventWriter, create_action_event


@pytest.fixture(params=["read", "indexed"])
def settled(request: pytest.FixtureRequest):
    """What makes a log's index, or leaves a small one without."""
    return make_index if request.param == "indexed" else lambda folder: None


@pytest.mark.promise("Q2", "Q6")
def test_run_that_another_process_writes_pages_cleanly(server, tmp_path, settled):
    folder = tmp_path / "run"
    with writing(folder, 2_000, pauses_at=50) as writer:
        assert writer.stdout.readline() == b"going\n"
        path = "/simulations/run/events"
        while server.get(path).status_code == 404 or server.json(path)["total"] < 40:
            pass
        settled(folder)
        page = server.json(path, limit=5)
        total, events = page["total"], page["events"]
        writer.stdin.write(b"\n")
        writer.stdin.flush()
        while page["has_more"]:
            page = server.json(path, limit=5, cursor=page["next_cursor"])
            assert page["total"] == total
            events += page["events"]
        assert writer.wait() == 0
    assert len(list(folder.glob("events_*.jsonl"))) > 3
    assert events == lines(stored(folder))[:total]
    grown = [event for page in server.pages(path, limit=700) for event in page["events"]]
    assert grown == lines(stored(folder))
    assert len(grown) == 2000
    listed = server.json("/simulations")["simulations"]
    assert [(entry["id"], entry["event_count"]) for entry in listed] == [("run", 2000)]


@pytest.mark.promise("Q5")
def test_bad_lines_are_passed_over_and_told(server: Serving, tmp_path: Path, settled) -> None:
    folder = make_run(tmp_path, "run", count=4)
    settled(folder)
    whole = lines(stored(folder))
    bad = [b"\xff\xfe\x00", b"{", b"[]", b"null", b'{"event_id":1}', b"x" * 3_000_000, b"[" * 9_000]
    with (folder / "events.jsonl").open("ab") as file:
        for number, line in enumerate(bad):
            file.write(line + b"\n" + foreign(number))
        file.write(b'{"event_id":"torn","event_ty')
    page = server.json("/simulations/run/events")
    assert page["total"] == 4 + len(bad)
    assert [event for event in page["events"] if "crc" in event] == whole
    told = server.json("/simulations/run")
    assert (told["event_count"], told["unverified"]) == (4 + len(bad), len(bad))
    assert told["damaged_lines"] == len(bad) + 1
    assert server.json("/health")["damaged_lines"] == len(bad) + 1


@pytest.mark.promise("Q5")
def test_nothing_in_a_file_is_a_failure_of_the_server(server: Serving, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "events.jsonl").write_bytes(foreign(1, turn_number=2**70, agent_id=7))
    (tmp_path / "config" / "config.json").write_bytes(b'{"scenario": {"simulation": [1]}}')
    (tmp_path / "config" / "result.json").write_bytes(b"[" * 100_000)
    odd = tmp_path / "odd"
    (odd / ".thence").mkdir(parents=True)
    (odd / ".thence" / "log.json").write_bytes(b'{"format": 99, "log_id": 1}')
    (odd / "events.jsonl").write_bytes(foreign(1))
    for name in ("config", "odd"):
        for path in ("", "/events", "/events/x", "/why/x", "/causality/x", "/events.ndjson"):
            assert server.get(f"/simulations/{name}{path}").status_code in (200, 404)
    assert server.get("/simulations").status_code == 200


@pytest.mark.promise("Q5")
def test_runs_that_come_and_go_while_they_are_asked_for_never_fail_the_server(server, tmp_path):
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            folder = make_run(tmp_path, "run", count=5)
            with EventWriter(folder, "run", max_file_size=300) as writer:
                for number in range(5):
                    writer.emit(create_action_event("run", number, "ada", "move", {}))
            remove(folder)

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        seen = set()
        for _ in range(40):
            for path in ("/simulations", "/simulations/run", "/simulations/run/events"):
                answer = server.get(path)
                assert answer.status_code in (200, 404, 503), answer.text
                seen.add(answer.status_code)
    finally:
        done.set()
        churning.join()
    assert 200 in seen
