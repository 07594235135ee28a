"""A run that is being written, one that has ended, and one that was killed are told apart."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.server.runs import writing
from tests.server.serving import Serving, serving
from tests.tiers import tenth

from thence.sim import EventWriter, MilestoneEvent, create_action_event


def ended(writer: subprocess.Popen[bytes]) -> None:
    writer.communicate(b"\n", 60)


def killed(writer: subprocess.Popen[bytes]) -> None:
    writer.kill()
    writer.communicate()


@pytest.mark.promise("Q1")
@pytest.mark.parametrize(("end", "status"), [(ended, "completed"), (killed, "killed")])
def test_run_is_running_until_its_writer_ends_or_is_killed(tmp_path, end, status):
    root = tmp_path / "output"
    with writing(root / "run", 1, pauses_at=0) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"going\n"
        with serving(root) as server:
            assert told_by_all(root, server, "run") == {"running"}
            end(writer)
            assert told_by_all(root, server, "run") == {status}


def told_by_all(root: Path, server: Serving, run: str) -> set[str]:
    """The status of a run at every door."""
    runs = thence("sim", "list", "--output-root", root, "--json", cwd=root).json["runs"]
    listed = {entry["run_id"]: entry["status"] for entry in runs}
    entries = {entry["id"]: entry["status"] for entry in server.json("/simulations")["simulations"]}
    shown = thence("sim", "show", root / run, "--json", cwd=root).json
    whole = server.json(f"/simulations/{run}")
    for address in ("/", f"/runs/{run}"):
        assert f">{listed[run]}<" in server.get(address).text
    return {listed[run], entries[run], shown["status"], whole["status"]}


@pytest.mark.promise("Q1")
def test_simulation_that_left_no_result_is_judged_by_its_last_event(tmp_path: Path) -> None:
    runs = thence("sim", "run", "spatial_trade_network", cwd=tmp_path)
    assert runs.code == 0, runs.err
    root = tmp_path / "output"
    (folder,) = root.iterdir()
    with serving(root) as server:
        assert told_by_all(root, server, folder.name) == {"completed"}
        (folder / "result.json").unlink()
        assert told_by_all(root, server, folder.name) == {"completed"}
        whole = (folder / "events.jsonl").read_bytes()
        (folder / "events.jsonl").write_bytes(b"".join(whole.splitlines(True)[:-1]))
        assert told_by_all(root, server, folder.name) == {"killed"}


@pytest.mark.promise("Q1")
@pytest.mark.parametrize(
    ("description", "status"),
    [
        (None, "completed"),
        ("simulation_failed: the engine", "failed"),
        ("simulation_interrupted: paused: max_calls is 7", "interrupted"),
        *tenth(
            [
                ("simulation_completed: the last turn", "completed"),
                ("simulation_interrupted", "interrupted"),
                ("simulation_interrupted: closed before its end", "interrupted"),
            ],
            [],
        ),
    ],
)
@pytest.mark.whole
def test_simulation_end_says_how_a_run_ended_until_the_run_goes_on(tmp_path, description, status):
    end = MilestoneEvent(
        simulation_id="run",
        turn_number=1,
        milestone_type="simulation_end",
        description=description,
    )
    with EventWriter(tmp_path / "run", "run") as writer, serving(tmp_path) as server:
        assert writer.emit(create_action_event("run", 1, "ada", "move", {}))
        writer.flush()
        assert told_by_all(tmp_path, server, "run") == {"running"}
        assert writer.emit(end)
        writer.flush()
        assert told_by_all(tmp_path, server, "run") == {status}
        assert writer.emit(create_action_event("run", 2, "ada", "x" * 200_000, {}))
        writer.flush()
        assert told_by_all(tmp_path, server, "run") == {"running"}


@pytest.mark.promise("Q6")
def test_pipe_among_the_openings_is_not_opened(tmp_path: Path, server: Serving) -> None:
    folder = tmp_path / "run"
    (folder / ".thence" / "open").mkdir(parents=True)
    (folder / "events.jsonl").write_bytes(b"")
    os.mkfifo(folder / ".thence" / "open" / "01M81J952C000001C6FWTFDDX0")
    assert server.json("/simulations/run")["status"] == "interrupted"
