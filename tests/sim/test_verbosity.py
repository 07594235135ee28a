"""What a run writes at each verbosity: less, never otherwise, and its causes stay whole."""

import itertools

import pytest
from tests.sim.toys import SCENARIO, Adder, Doer, add, always, config, lines

from thence.sim import SimulationOrchestrator, VerbosityLevel

TURNS = 12


def written(folder, verbosity, mode="async"):
    given = {"verbosity": verbosity, "mode": mode, "on_full": "block"}
    with SimulationOrchestrator(SCENARIO, output_root=folder, **given) as run:
        for _ in range(TURNS):
            run.step()
    return lines(run.output_dir)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The events of one seed, written at each verbosity."""
    folder = tmp_path_factory.mktemp("runs")
    return {level.name: written(folder, level) for level in VerbosityLevel}


def told(events):
    """What is compared between runs: notices aside."""
    return {
        (each["event_type"], each["step"], repr(each["details"]))
        for each in events
        if "step" in each
    }


@pytest.mark.promise("O7")
def test_higher_verbosity_is_a_superset(files):
    names = [level.name for level in VerbosityLevel]
    for lower, higher in itertools.pairwise(names):
        assert told(files[lower]) < told(files[higher])


@pytest.mark.promise("O7")
def test_same_seed_gives_the_same_events(files, tmp_path):
    assert told(written(tmp_path, "STATE", "sync")) == told(files["STATE"])


@pytest.mark.promise("O5")
def test_each_step_is_written_once(files):
    for events in files.values():
        steps = [each["step"] for each in events if "step" in each]
        assert len(steps) == len(set(steps))


@pytest.mark.promise("O6")
@pytest.mark.parametrize("verbosity", [level.name for level in VerbosityLevel])
def test_every_cause_is_in_the_file_and_earlier(files, verbosity):
    seen = set()
    for event in files[verbosity]:
        assert set(event.get("caused_by", ())) <= seen
        is_notice = "step" not in event
        assert event.get("caused_by") or is_notice or event["step"] == "0.start.-.0"
        seen.add(event["event_id"])


@pytest.mark.promise("O6")
@pytest.mark.parametrize("verbosity", [level.name for level in VerbosityLevel][1:])
def test_chains_run_through_many_turns(files, verbosity):
    events = {each["event_id"]: each for each in files[verbosity]}
    depth = {}
    for event_id, event in events.items():
        own = [
            depth[cause]
            for cause in event.get("caused_by", ())
            if events[cause]["event_type"] in ("DECISION", "ACTION", "STATE", "SYSTEM")
        ]
        turns = max(own, default=frozenset(), key=len)
        depth[event_id] = turns | {event["turn_number"]}
    assert max(map(len, depth.values())) >= TURNS - 2


@pytest.mark.promise("O4")
def test_simulation_id_is_the_run_id(files):
    for events in files.values():
        assert len({each["simulation_id"] for each in events}) == 1


@pytest.mark.promise("O5")
def test_turn_tells_each_decision_action_and_change_once(tmp_path):
    class Overriding(Adder):
        def apply_actions(self, state, actions, writes):
            super().apply_actions(state, actions, writes)

        def apply_engine_rules(self, view):
            with view.rule("sum"):
                view.world["sum"] = view.agent("ada")["x"] + view.agent("ben")["x"]

    agents = [Doer("ada", always(add())), Doer("ben", always([add(1), add(2)]))]
    run = SimulationOrchestrator(
        config(turns=1),
        output_root=tmp_path,
        agents=agents,
        engine=Overriding(),
        verbosity="STATE",
    )
    found = [
        (each["event_type"], each["step"], each["details"].get("old_value"),
         each["details"].get("new_value"))
        for each in lines(run.run().output_dir)
        if each["event_type"] in ("ACTION", "STATE")
    ]  # fmt: skip
    assert found == [
        ("ACTION", "1.act.ada.0", None, None),
        ("ACTION", "1.act.ben.0", None, None),
        ("ACTION", "1.act.ben.1", None, None),
        ("STATE", "1.apply0.ada.agent/ada/x", 0, 1),
        ("STATE", "1.apply0.ben.agent/ben/x", 0, 1),
        ("STATE", "1.apply1.ben.agent/ben/x", 1, 3),
        ("STATE", "1.sum.-.global/sum", 0, 4),
    ]
