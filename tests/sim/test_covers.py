"""Wide provenances cost few lines, name few events too many, and are played again."""

import pytest
from tests.sim import ring
from tests.sim.test_again import at_turn, killed, told

from thence.sim import VerbosityLevel, replay, resume
from thence.sim.recorded import RecordedRun

pytestmark = pytest.mark.promise("O11")
LINES_MAX = 700  # 7,846 where each wide provenance had notices of its own
# median and 95th percentile of a STATE's causes then
CONES_THEN = {False: (32, 539), True: (37.5, 562)}
WIDER_MAX = 1.2


@pytest.fixture(scope="module", params=[False, True], ids=["own", "reach"])
def of_actions(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("ring")
    return request.param, ring.orchestrator(root, "ACTION", request.param).run()


def test_run_of_people_who_read_their_neighbours_writes_few_notices(of_actions):
    _, result = of_actions
    assert result.status == "completed"
    assert result.events <= LINES_MAX


def test_its_replay_is_the_same(of_actions):
    reaches, result = of_actions
    again = replay(result.output_dir, **ring.components(reaches))
    assert (again.step, again.turns) == ("", ring.TURNS)


@pytest.mark.parametrize("level", [level.name for level in VerbosityLevel])
def test_replay_is_the_same_at_every_verbosity(tmp_path, level):
    result = ring.orchestrator(tmp_path, level, reaches=True).run()
    again = replay(result.output_dir, **ring.components(reaches=True))
    assert (again.step, again.turns) == ("", ring.TURNS)


@pytest.mark.parametrize("turn", [1, 4, 5, 6, 13, 20, 31, 39])
def test_run_that_was_killed_goes_on_to_the_same_state_and_hash(tmp_path, of_actions, turn):
    reaches, whole = of_actions
    settings = {"run_id": "killed", "on_turn": at_turn(turn)}
    killed(lambda: ring.orchestrator(tmp_path, "ACTION", reaches, **settings).run())
    result = resume(tmp_path / "killed", **ring.components(reaches)).run()
    assert result.final_state == whole.final_state
    assert told(tmp_path / "killed") == told(whole.output_dir)
    hashes = {
        replay(folder, **ring.components(reaches)).sha256
        for folder in (whole.output_dir, result.output_dir)
    }
    assert len(hashes) == 1


@pytest.mark.promise("O6")
@pytest.mark.parametrize("reaches", [False, True], ids=["own", "reach"])
def test_cones_stay_narrow(tmp_path, reaches):
    result = ring.orchestrator(tmp_path, "STATE", reaches).run()
    with RecordedRun(result.output_dir) as run:
        sizes = ring.cone_sizes(list(run.log.read()))
    now = sizes[len(sizes) // 2], sizes[len(sizes) * 95 // 100]
    for size, then in zip(now, CONES_THEN[reaches], strict=True):
        assert size <= WIDER_MAX * then
