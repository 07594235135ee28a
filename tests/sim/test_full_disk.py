"""Runs on a disk that fills up: they end with a result, and can be resumed."""

import resource
from pathlib import Path

import pytest
import structlog
from tests.sim.toys import SCENARIO, Adder, Doer, add, at_turn, killed, lines, orchestrator
from tests.sim.written import action, notices

import thence
from thence.sim import EventWriter, SimulationOrchestrator, branch, replay, resume

pytestmark = pytest.mark.promise("W10")
TURNS = 9


def set_room(is_there):
    """Lets files take bytes, or refuses each with the error of a limit, as a full disk does."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if is_there else 0, hard))


@pytest.fixture(autouse=True)
def room():
    yield
    set_room(True)


def filled(first, last, then=lambda progress: None):
    """Returns a function for on_turn: the disk is full from after turn `first` to `last`."""

    def on_turn(progress):
        if progress.turn in (first, last):
            set_room(progress.turn == last)
        then(progress)

    return on_turn


def started(root, on_turn, mode="sync", **given):
    given = {"mode": mode, "verbosity": "STATE", "max_turns": TURNS, "on_turn": on_turn, **given}
    return SimulationOrchestrator(SCENARIO, output_root=root, run_id="r", **given)


def is_sound(folder):
    """Reports whether a log is undamaged and each cause in it has a line."""
    with thence.open(folder) as log:
        events = log.read()
        ids = {event.event_id for event in events}
        assert all(cause in ids for event in events for cause in event.caused_by)
        return log.verify().ok


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_run_goes_on_over_a_full_disk_and_counts_what_it_refused(tmp_path, mode):
    whole = started(tmp_path / "whole", None, mode).run()
    with structlog.testing.capture_logs() as records:
        result = started(tmp_path, filled(3, 5), mode, checkpoint_interval=4).run()
    assert (result.status, result.turns) == ("completed", TURNS)
    assert result.final_state == whole.final_state
    assert "checkpoint_not_written" in [each["event"] for each in records]
    assert not list(result.output_dir.rglob("*.part"))
    (notice,) = notices(result.output_dir, "write_failed")
    assert "events.jsonl" in notice["reason"]
    assert is_sound(result.output_dir)
    built = [each for each in lines(whole.output_dir) if "step" in each]
    present = [each for each in lines(result.output_dir) if "step" in each]
    is_checkpoint = [".checkpoint." in each["step"] for each in present].count
    lost = len(built) + is_checkpoint(True) - len(present)
    assert lost == result.failed
    if mode == "sync":
        assert notice["count"] == result.failed > 0
    else:
        assert result.failed == 0
        assert replay(result.output_dir).step == ""


@pytest.mark.parametrize("kill_at", [7, 8])
@pytest.mark.parametrize("seed", range(1, 5))
def test_run_that_lost_events_and_was_killed_is_resumed_behind_the_loss(tmp_path, kill_at, seed):
    expected = started(tmp_path / "whole", None, seed=seed).run()
    kill = at_turn(kill_at)
    killed(lambda: started(tmp_path, filled(3, 5, kill), checkpoint_interval=20, seed=seed).run())
    result = resume(tmp_path / "r").run()
    assert (result.status, result.final_state) == ("completed", expected.final_state)
    assert is_sound(tmp_path / "r")


def test_run_whose_log_lacks_events_is_not_said_to_have_other_components(tmp_path):
    result = started(tmp_path, filled(3, 5)).run()
    found = replay(result.output_dir)
    assert found.step == "6.turn_start.-.0"
    assert f"{result.failed} events" in found.difference
    again = branch(result.output_dir, 3, run_id="anew").run()
    assert again.final_state == result.final_state
    assert replay(again.output_dir).step == ""


def test_run_whose_disk_stays_full_ends_with_a_count_and_is_resumed_whole(tmp_path):
    whole = started(tmp_path / "whole", None).run()
    with structlog.testing.capture_logs() as records:
        result = started(tmp_path, filled(3, 0)).run()
    set_room(True)
    assert result.status == "completed"
    assert result.failed == whole.events - result.events > 0
    assert "result_not_written" in [each["event"] for each in records]
    assert [path.name for path in Path(result.output_dir).iterdir() if path.suffix == ".part"] == []
    resumed = resume(result.output_dir).run()
    assert resumed.final_state == whole.final_state
    assert replay(resumed.output_dir).step == ""


@pytest.mark.promise("O11")
def test_answer_that_the_disk_refuses_ends_the_run_which_is_resumed_from_there(tmp_path):
    asked = []

    def ask(seen):
        return add(seen.outcome("how much?", lambda: asked.append(seen.turn) or seen.turn))

    def given():
        return {"agents": [Doer("ada", ask)], "engine": Adder()}

    result = orchestrator(tmp_path, turns=4, mode="sync", on_turn=filled(2, 0), **given()).run()
    set_room(True)
    assert result.status == "failed"
    assert "outcomes.jsonl" in result.error
    resumed = resume(result.output_dir, **given()).run()
    assert resumed.status == "completed"
    assert asked == [1, 2, 3, 3, 4]
    assert resumed.final_state["agent/ada"]["x"] == 10


def test_queued_events_that_the_disk_refuses_to_the_end_are_counted_when_close_returns(tmp_path):
    writer = EventWriter(tmp_path / "log", "r")
    writer.emit(action())
    writer.flush()
    set_room(False)
    for _ in range(10_000):  # of more than one batch
        writer.emit(action())
    assert not writer.close(timeout=0.4)
    assert writer.failed_count == 10_000
