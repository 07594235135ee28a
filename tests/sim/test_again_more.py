"""Runs that are played again beyond their first end, from a copy, or with what can't be."""

import json
import shutil

import pytest
from tests.cli.warm import warm
from tests.sim.test_again import at_turn, killed
from tests.sim.toys import SCENARIO

import thence
from thence.core.values.vocabulary import SIM
from thence.errors import ThenceError
from thence.sim import SimulationOrchestrator, branch, replay, resume
from thence.sim.new_project import make_project

pytestmark = pytest.mark.promise("O11")


@pytest.fixture
def folder(tmp_path):
    """The folder of a completed run of four turns, each on the disk when the next begins."""
    run = SimulationOrchestrator(
        SCENARIO, output_root=tmp_path, max_turns=4, verbosity="ACTION", mode="sync"
    )
    return run.run().output_dir


def test_run_that_was_given_more_turns_is_replayed_and_resumed_with_them(folder):
    assert resume(folder, max_turns=6).run().turns == 6
    found = replay(folder)
    assert (found.step, found.turns) == ("", 6)
    with pytest.raises(ThenceError, match="max_turns 6 reached"):
        resume(folder)


def test_run_killed_in_its_further_turns_is_killed_and_resumed_to_their_end(folder):
    killed(lambda: resume(folder, max_turns=8, on_turn=at_turn(6)).run())
    assert warm("sim", "list", "--output-root", folder.parent, cwd=folder).out.startswith("killed")
    result = resume(folder).run()
    assert (result.status, result.turns) == ("completed", 8)


@pytest.mark.parametrize("turns", [3, 4])
def test_resume_for_fewer_turns_than_were_played_is_refused(folder, turns):
    with pytest.raises(ThenceError, match="has played 4 turns already"):
        resume(folder, max_turns=turns)
    assert replay(folder).step == ""


def test_branch_at_a_turn_after_the_end_is_refused_and_makes_no_run(folder):
    with pytest.raises(ThenceError, match="has played 4 turns"):
        branch(folder, 5)
    assert list(folder.parent.iterdir()) == [folder]


def test_copy_without_the_folder_of_checkpoints_is_resumed(folder):
    shutil.rmtree(folder / "checkpoints")
    assert resume(folder, max_turns=5).run().status == "completed"


def test_config_with_a_wrong_list_of_objects_is_played_again(folder):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "given_as_objects": 3}))
    assert replay(folder).step == ""


def test_run_with_notices_of_many_causes_is_replayed_and_resumed(tmp_path):
    make_project(tmp_path / "herd")

    def run(root, on_turn=None):
        scenario = tmp_path / "herd" / "scenario.yaml"
        given = {"max_turns": 20, "mode": "sync", "run_id": "r", "checkpoint_interval": 5}
        return SimulationOrchestrator(
            scenario, output_root=root, on_turn=on_turn, seed=353, **given
        )

    whole = run(tmp_path / "whole").run()
    assert replay(whole.output_dir).step == ""
    killed(lambda: run(tmp_path, at_turn(15)).run())
    with thence.open(tmp_path / "r") as log:
        found = [each.turn_number for each in log.read() if SIM.notice_kind(each) == "joined"]
    assert 11 in found, "the turn behind the checkpoint has one"
    assert resume(tmp_path / "r").run().final_state == whole.final_state
    assert replay(tmp_path / "r").sha256 == replay(whole.output_dir).sha256
