"""The results of gates that `thence work move-task` records, with a move or without."""

import pytest
from tests.cli.work.three_packages import done, refused, reviewed

pytestmark = pytest.mark.promise("L9")
PASSED = ("--gate", "CI_CHECK=passed")


def gates(folder):
    (feature,) = done(folder, "status")["features"]
    packages = (package for lane in feature["lanes"].values() for package in lane)
    return {gate["gate_type"]: gate["status"] for each in packages for gate in each["gates"]}


def test_refused_move_sets_no_gate_and_one_that_is_made_sets_all(project):
    refused(project, "not_in_lane", "move-task", "WP01", "--to", "done", *PASSED)
    assert gates(project) == {}
    more = ("--gate", "SECURITY_SCAN=pending")
    told = done(project, "move-task", "WP03", "--to", "doing", *PASSED, *more)
    assert (told["from"], told["to"]) == ("planned", "doing")
    assert gates(project) == {"CI_CHECK": "passed", "SECURITY_SCAN": "pending"}


def test_gate_that_passes_opens_the_move_that_it_comes_with(project):
    reviewed(project)
    done(project, "merge", "WP01")
    done(project, "move-task", "WP01", "--gate", "CI_CHECK=failed")
    error = refused(project, "gates_open", "move-task", "WP01", "--to", "done")
    assert "move-task WP01 --feature 001-sync --gate CI_CHECK=passed" in error["hint"]
    assert done(project, "move-task", "WP01", "--to", "done", *PASSED)["overruled"] == []
