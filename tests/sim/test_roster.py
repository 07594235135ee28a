"""An engine adds, removes, pauses and resumes agents while the run goes on."""

import pytest
from tests.sim.toys import Adder, Doer, add, always, causes, config, lines, orchestrator, played

from thence.errors import ThenceError

pytestmark = pytest.mark.promise("O9b")


class World(Adder):
    """An engine that calls a function of its view in one turn, in a rule that read ben's x."""

    def __init__(self, **by_turn):
        super().__init__()
        self.by_turn = {int(turn.removeprefix("t")): rule for turn, rule in by_turn.items()}

    def apply_engine_rules(self, view):
        rule = self.by_turn.get(view.turn)
        if rule is not None:
            with view.rule("staff"):
                assert view.agent("ben")["x"] is not None
                rule(view)
        with view.rule("sum"):
            view.world["sum"] = view.turn + view.agent("ada")["x"]


def pair():
    return [Doer("ada", always(add())), Doer("ben", always(add()))]


def new_agent():
    return Doer("cid", always(add()))


def turns_of(events, agent):
    """Returns the turns in which an agent decided."""
    return [
        event.turn_number
        for event in events.values()
        if event.event_type == "DECISION" and event.agent_id == agent
    ]


def test_added_agent_decides_from_the_next_turn_and_names_its_event_once():
    world = World(t1=lambda view: view.add_agent(new_agent(), {"x": 5}))
    events, simulation = played(config(turns=3), pair(), world)
    assert turns_of(events, "cid") == [2, 3]
    assert causes(events, "1.added.cid.0") == {"1.apply0.ben.agent/ben/x"}
    assert events["1.added.cid.0"].details["initial"] == {"x": 5}
    assert "1.added.cid.0" in causes(events, "2.decide.cid.0")
    assert "1.added.cid.0" not in causes(events, "3.decide.cid.0")
    assert causes(events, "2.apply0.cid.agent/cid/x") == {"2.act.cid.0", "1.added.cid.0"}
    assert simulation.history[3].agent("cid")["x"] == 7


def test_states_before_an_addition_do_not_hold_the_agent():
    world = World(t2=lambda view: view.add_agent(new_agent()))
    _, simulation = played(config(turns=3), pair(), world)
    before, after = simulation.history[1], simulation.history[2]
    assert "agent/cid" not in before.as_dict()
    assert before.agent("cid") == {}
    with pytest.raises(ThenceError, match="agent/cid/x"):
        before.get("agent/cid", "x")
    assert after.as_dict()["agent/cid"] == {"x": 0}


def test_removed_agent_decides_no_more_and_its_variables_stay():
    world = World(t1=lambda view: view.remove_agent("ada"))
    events, simulation = played(config(turns=3), pair(), world)
    assert turns_of(events, "ada") == [1]
    assert simulation.history[3].agent("ada") == {"x": 1}
    assert "1.removed.ada.0" in causes(events, "3.sum.-.global/sum")


def test_paused_agent_decides_again_in_its_turn():
    world = World(t1=lambda view: view.pause("ada", until=4))
    events, _ = played(config(turns=5), pair(), world)
    assert turns_of(events, "ada") == [1, 4, 5]
    assert "1.paused.ada.0" in causes(events, "3.sum.-.global/sum")
    assert causes(events, "4.resumed.ada.0") == {"1.paused.ada.0"}
    assert "4.resumed.ada.0" in causes(events, "4.decide.ada.0")
    assert "4.resumed.ada.0" not in causes(events, "5.decide.ada.0")


def test_paused_agent_is_resumed_by_the_engine():
    world = World(t1=lambda view: view.pause("ada"), t3=lambda view: view.resume("ada"))
    events, _ = played(config(turns=5), pair(), world)
    assert turns_of(events, "ada") == [1, 4, 5]
    assert causes(events, "3.resumed.ada.0") == {"3.apply0.ben.agent/ben/x"}
    assert "3.resumed.ada.0" in causes(events, "4.decide.ada.0")


def test_agent_that_failed_is_paused_until_it_is_resumed():
    def fails(seen):
        return 1 / 0 if seen.turn == 2 else add()

    given = config(simulation={"name": "toy", "max_turns": 6, "on_agent_error": "pause"})
    world = World(t4=lambda view: view.resume("ada"))
    events, simulation = played(given, [Doer("ada", fails), Doer("ben", always(add()))], world)
    assert turns_of(events, "ada") == [1, 5, 6]
    assert simulation.history[6].agent("ada")["x"] == 3
    assert "2.failed.ada.0" in causes(events, "4.sum.-.global/sum")


def test_what_changes_nothing_has_no_event():
    def rule(view):
        view.resume("ada")
        view.pause("ben", until=9)
        view.pause("ben", until=9)

    events, _ = played(config(turns=2), pair(), World(t1=rule))
    changes = ("agent_paused", "agent_resumed")
    found = [step for step, each in events.items() if each.details.get("error_type") in changes]
    assert found == ["1.paused.ben.0"]


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (lambda view: view.pause("adda"), "adda"),
        (lambda view: view.remove_agent("cid"), "cid"),
        (lambda view: view.pause("ada", until=1), "turn 1"),
        (lambda view: view.add_agent(Doer("ada", always(None))), "'ada' appears twice"),
        (lambda view: view.add_agent(Doer("a.b", always(None))), "a.b"),
        (lambda view: view.add_agent(new_agent(), {"x": "much"}), "much"),
        (lambda view: view.add_agent(new_agent(), {"y": 1}), "agent/cid/y"),
    ],
)
def test_change_that_can_not_be_made_is_named(rule, named):
    with pytest.raises(ThenceError, match=named):
        played(config(turns=1), pair(), World(t1=rule))


def adds_ada(view):
    view.add_agent(Doer("ada", always(add())))


def removes_and_adds_ada(view):
    view.remove_agent("ada")
    adds_ada(view)


@pytest.mark.parametrize(
    "rules",
    [
        {"t1": lambda view: view.remove_agent("ada"), "t2": adds_ada},
        {"t1": removes_and_adds_ada},
    ],
)
def test_name_of_a_removed_agent_is_not_used_again(rules):
    with pytest.raises(ThenceError, match="'ada' appears twice"):
        played(config(turns=3), pair(), World(**rules))


def test_agents_change_in_rules_only():
    class Early(Adder):
        def apply_action(self, view, action):
            view.pause("ben")

    with pytest.raises(ThenceError, match="view is that of an action"):
        played(config(turns=1), pair(), Early())


@pytest.mark.parametrize(("verbosity", "is_written"), [("MILESTONE", False), ("DECISION", True)])
def test_changes_are_written_from_decision_up(tmp_path, verbosity, is_written):
    world = World(t1=lambda view: view.add_agent(new_agent()), t2=lambda view: view.pause("cid"))
    run = orchestrator(tmp_path, pair(), world, 4, verbosity=verbosity)
    assert run.run().final_state["agent/cid"] == {"x": 1}
    steps = {each["step"] for each in lines(run.output_dir)}
    assert ({"1.added.cid.0", "2.paused.cid.0"} <= steps) is is_written
