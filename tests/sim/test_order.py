"""Agents that act one after another, what each was shown, and who is there at all."""

import re
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from tests.docs.walk import blocks
from tests.sim.models.endpoint import Endpoint
from tests.sim.models.village import act, choices, user
from tests.sim.test_thinking import behind, causes, events_of, run_of
from tests.sim.toys import Adder, Doer, add, assert_goes_on, config, orchestrator, played

from thence.errors import ScenarioError, ThenceError
from thence.sim import BaseEngine, BaseValidator, Verdict, replay
from thence.sim.run.costs import forecast
from thence.sim.run.engine import HEARD_MAX
from thence.sim.run.simulation import make_components
from thence.sim.scenario.scenario import SimulationConfig

pytestmark = pytest.mark.promise("O14c")
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "simulations" / "who-speaks-when.md"
LINES_MAX = 60


def of_guide(folder: Path, name: str, url: str) -> Path:
    """Writes the files of one scenario of the guide, whose models answer at an address."""
    files = {one.name: one.text for one in blocks(GUIDE.read_text()) if one.name.startswith(name)}
    assert sum(text.count("\n") for text in files.values()) < LINES_MAX
    for file, text in files.items():
        (folder / file).write_text(text.replace("http://127.0.0.1:8000/v1", url))
    return folder / f"{name}.yaml"


def shown(endpoint: Endpoint) -> list[tuple[str, int, list[str]]]:
    """Returns who was asked in which turn, with what it heard, in the order of the requests."""
    rows = []
    for request in endpoint.requests:
        text = user(request.body)
        who, turn = re.match(r"You are (\w+)\. It is turn (\d+)\.", text).groups()
        heard = re.search(r"You hear:\n(.*?)(\n\n|\Z)", text, re.DOTALL)
        rows.append((who, int(turn), heard[1].split("\n") if heard else []))
    return rows


def speaking(body) -> str:
    """Says to all who one is, and in which turn."""
    who, turn = re.match(r"You are (\w+)\. It is turn (\d+)\.", user(body)).groups()
    return act("say", to="all", text=f"{who} {turn}")


@pytest.mark.promise("O14c", tier="person")
def test_haggling_each_answers_to_the_last_word_and_price(tmp_path):
    prices = {"seller": (60, 50, None), "buyer": (20, 40, None)}

    def haggles(body):
        who, turn = re.match(r"You are (\w+)\. It is turn (\d+)\.", user(body)).groups()
        price = prices[who][int(turn) - 1]
        return act("offer", price=price) if price else act("accept")

    with Endpoint(haggles) as endpoint:
        result = run_of(of_guide(tmp_path, "haggling", endpoint.base_url)).run()
    seen = [int(re.search(r"price = (\d+)", user(one.body))[1]) for one in endpoint.requests]
    assert seen == [0, 60, 20, 50, 40, 40]
    assert (result.turns, result.reason) == (3, "they agree")
    events = events_of(result.output_dir)
    assert "2.act.seller.0" in behind(events, "2.llm-decide.buyer.0")
    assert replay(result.output_dir).step == ""


@pytest.mark.promise("O14c", tier="person")
def test_werewolf_the_night_is_the_wolves_and_the_dead_are_nowhere(tmp_path):
    def plays(body):
        who, turn = re.match(r"You are (\w+)\. It is turn (\d+)\.", user(body)).groups()
        if who == "dov" and turn == "1":
            return act("say", to="eve", text="ann")
        if who == "eve" and turn == "1":
            return act("vote", whom="ann")
        return act("vote", whom="dov" if who == "cleo" else "cleo")

    with Endpoint(plays) as endpoint:
        result = run_of(of_guide(tmp_path, "werewolf", endpoint.base_url)).run()
    assert shown(endpoint) == [
        ("dov", 1, []),
        ("eve", 1, ['dov: "ann"']),
        *[(who, 2, []) for who in ("ben", "cleo", "fay", "dov", "eve")],
    ]
    assert choices(endpoint, "ben", 2, "vote", "whom") == ["cleo", "dov", "eve", "fay"]
    assert choices(endpoint, "ben", 2, "say", "to") == ["all", "cleo", "dov", "eve", "fay"]
    assert not any("wolf" in user(one.body) for one in endpoint.requests if "ben" in user(one.body))
    assert (result.turns, result.reason) == (2, "the wolves win")
    events = events_of(result.output_dir)
    assert "1.removed.ann.0" in behind(events, "2.llm-decide.ben.0")
    assert "1.count.-.global/night" in causes(events, "2.decide.ben.0"), "the order has read it"
    assert replay(result.output_dir).step == ""


@pytest.mark.promise("O14c", tier="person")
def test_meeting_each_hears_who_spoke_since_its_own_word(tmp_path):
    with Endpoint(speaking) as endpoint:
        scenario = of_guide(tmp_path, "meeting", endpoint.base_url)
        text = scenario.read_text().replace(", memory: 10", "")
        scenario.write_text(text)
        result = run_of(scenario).run()
    rows = shown(endpoint)
    assert [turn for _, turn, _ in rows] == sorted([1, 2, 3, 4] * 3)
    said = [f'{who}: "{who} {turn}"' for who, turn, _ in rows]
    for place, (who, _, heard) in enumerate(rows):
        own = [earlier for earlier in range(place) if rows[earlier][0] == who]
        assert heard == said[own[-1] + 1 if own else 0 : place]
    orders = [tuple(who for who, turn, _ in rows if turn == number) for number in (1, 2, 3, 4)]
    assert all(sorted(order) == ["chair", "farmer", "mayor"] for order in orders)
    assert len(set(orders)) > 1
    assert replay(result.output_dir).step == ""


def in_order(order, turns=3, **simulation):
    settings = {"name": "toy", "max_turns": turns, "seed": 1, "order": order, **simulation}
    return config(simulation=settings, validator={"retries": 1})


def doubling(name):
    """Returns an agent that adds what the others have together."""

    def answer(seen):
        return add(1 + sum(seen.agent(one)["x"] for one in seen.agents() if one != name))

    return Doer(name, answer)


NAMES = ("ada", "ben", "cid")


def test_each_acts_on_what_those_before_it_did_and_names_it():
    events, simulation = played(in_order("in turn", turns=1), [doubling(name) for name in NAMES])
    assert [simulation.history[-1].agent(name)["x"] for name in NAMES] == [1, 2, 4]
    assert "1.apply0.ben.agent/ben/x" in causes(events, "1.decide.cid.0")
    order = [step for step in events if ".decide." in step or ".apply0." in step]
    assert [step.split(".")[2] for step in order] == [name for name in NAMES for _ in range(2)]


def test_refused_agent_tries_again_before_the_next_acts():
    class Small(BaseValidator):
        def validate_action(self, action, state):
            return Verdict(action.payload["amount"] < 5, "too much")

    asked = []

    def answer(seen):
        asked.append((seen.agent_id, len(seen.rejections)))
        return add(1 if seen.rejections else 9)

    agents = [Doer(name, answer) for name in NAMES[:2]]
    events, _ = played(in_order("in turn", turns=1), agents, validator=Small())
    assert asked == [("ada", 0), ("ada", 1), ("ben", 0), ("ben", 1)]
    assert list(events).index("1.apply0-1.ada.agent/ada/x") < list(events).index("1.reject.ben.0")


@pytest.mark.parametrize("order", ["in turn", "together"])
def test_rules_and_learning_come_once_behind_all_that_act(order):
    calls = []

    class Learner(Doer):
        def learn(self, outcome):
            calls.append(f"{self.name} learns")

    class Told(Adder):
        def apply_action(self, view, action):
            calls.append(f"{action.agent_id} acts")

        def apply_engine_rules(self, view):
            calls.append("rules")

    def asked(seen):
        calls.append(f"{seen.agent_id} decides")
        return add()

    played(in_order(order, turns=2), [Learner(name, asked) for name in NAMES[:2]], Told())
    acting = ["ada decides", "ada acts", "ben decides", "ben acts"]
    if order == "together":
        acting = ["ada decides", "ben decides", "ada acts", "ben acts"]
    assert calls == [*acting, "rules", "ada learns", "ben learns"] * 2


def test_idle_agent_is_a_cause_of_what_it_might_have_changed_at_its_place():
    def answer(seen):
        return None if seen.agent_id == "ben" and seen.agent("ada")["x"] else add()

    class Summing(Adder):
        def apply_action(self, view, action):
            total = sum(view.agent(name)["x"] for name in NAMES)
            view.agent(action.agent_id)["x"] = total + 1

    agents = [Doer(name, answer) for name in NAMES]
    events, _ = played(in_order("in turn", turns=1), agents, Summing())
    assert "1.apply0.ada.agent/ada/x" in causes(events, "1.apply0.cid.agent/cid/x")


def test_random_order_is_that_of_the_seed_and_whoever_is_there():
    def orders(seed, names):
        asked = {}
        agents = [
            Doer(name, lambda seen: asked.setdefault(seen.turn, []).append(seen.agent_id))
            for name in names
        ]
        played(in_order("random", turns=9, seed=seed), agents)
        return [*asked.values()]

    names = [f"a{number}" for number in range(6)]
    first = orders(1, names)
    assert first == orders(1, names)
    assert first != orders(2, names)
    assert len({*map(tuple, first)}) == 9
    fewer = orders(1, names[1:])
    assert fewer == [[name for name in order if name != "a0"] for order in first]


def poorest(view):
    names = [name for name in view.agents() if view.agent(name)["x"] < 3]
    return sorted(names, key=lambda name: (view.agent(name)["x"], -ord(name[0])))


def twice(view):
    return [*view.agents(), "ada"]


def misnamed(view):
    return ["adda"]


def no_list(view):
    return "ada"


HERE = "tests.sim.test_order"


def test_function_says_who_acts_and_what_it_read_is_a_cause_of_all():
    events, simulation = played(in_order(f"{HERE}:poorest"), [doubling(name) for name in NAMES[:2]])
    assert [simulation.history[turn].as_dict()["agent/ada"]["x"] for turn in (1, 2)] == [2, 7]
    assert simulation.history[3].as_dict() == simulation.history[2].as_dict()
    assert "1.apply0.ada.agent/ada/x" in causes(events, "2.decide.ada.0"), "the order has read it"
    assert not any(step.startswith("3.decide") for step in events)


@pytest.mark.parametrize("name", ["twice", "misnamed", "no_list"])
def test_function_that_names_nobody_it_could_is_told(name):
    with pytest.raises(ThenceError, match=r"names of agents") as caught:
        played(in_order(f"{HERE}:{name}"), [doubling("ada")])
    assert caught.value.__notes__ == ["the order"]


class AtOnce(BaseEngine):
    def apply_actions(self, state, actions, writes):
        pass


@pytest.mark.parametrize(
    ("order", "engine", "told_"),
    [
        ("in turn", AtOnce(), "AtOnce overrides apply_actions"),
        ("in turns", None, "order is written as"),
        ("./none.py:order", None, "none.py"),
        (f"{HERE}:nothing", None, "there is no function"),
    ],
)
def test_order_that_can_not_be_had_is_refused(order, engine, told_):
    with pytest.raises(ScenarioError, match=told_):
        make_components(in_order(order), [doubling("ada")], engine or Adder())


@pytest.mark.parametrize("order", ["in turn", "random", f"{HERE}:poorest"])
def test_run_in_an_order_is_replayed_and_resumed_as_it_was(tmp_path, order):
    def parts():
        return {"agents": [doubling(name) for name in NAMES], "engine": Adder()}

    def run(run_id, **words):
        words = {"given": in_order(order, turns=5), "checkpoint_interval": 2, **words}
        return orchestrator(tmp_path, run_id=run_id, **parts(), **words)

    assert_goes_on(tmp_path, run, parts, 3)


def test_forecast_says_that_models_are_asked_one_after_another(tmp_path):
    scenario = of_guide(tmp_path, "meeting", "http://127.0.0.1:9/v1")
    settings = SimulationConfig.from_file(scenario)
    notes = forecast(settings, make_components(settings))["notes"]
    assert "models are asked one after another: order is random" in notes


TALK = """\
simulation: {name: talk, max_turns: 5, on_agent_error: skip}
llm: {endpoints: {local: {base_url: "%s", model: qwen}}}
agents:
  - {name: ann, type: llm_agent, talk: true}
  - name: ben
    type: llm_agent
    talk: true
    actions: [{name: hit, fields: {whom: {type: str, choices: agents}}}]
  - {name: deaf, type: scripted}
engine: {type: "./rules.py:Rules"}
validator: {type: declared}
"""
RULES = """\
from thence.sim import BaseEngine
from thence.sim.run.thinking import PromptedAgent, ScriptedAgent


class Rules(BaseEngine):
    def apply_engine_rules(self, view):
%s
"""


def talking(folder: Path, url: str, rules: str = "pass", talk: str = TALK) -> Any:
    (folder / "rules.py").write_text(RULES % indent(rules, " " * 8))
    (folder / "talk.yaml").write_text(talk % url)
    return run_of(folder / "talk.yaml")


def says(words):
    """Returns a model whose agents say, by (name, turn), a text to somebody; None fails."""

    def answer(body):
        who, turn = re.match(r"You are (\w+)\. It is turn (\d+)\.", user(body)).groups()
        if (who, int(turn)) not in words:
            return act()
        word = words[who, int(turn)]
        return "" if word is None else act("say", to=word[0], text=word[1])

    return answer


def heard_by(endpoint: Endpoint, name: str) -> dict[int, list[str]]:
    return {turn: heard for who, turn, heard in shown(endpoint) if who == name and heard}


@pytest.mark.parametrize(
    ("rules", "failing", "turn"),
    [("pass", (), 2), ("if view.turn == 1:\n    view.pause('ben', until=4)", (), 4)],
)
def test_words_wait_for_who_is_paused(tmp_path, rules, failing, turn):
    with Endpoint(says({("ann", 1): ("ben", "FIRE")})) as endpoint:
        result = talking(tmp_path, endpoint.base_url, rules).run()
    assert heard_by(endpoint, "ben") == {turn: ['ann: "FIRE"']}
    assert choices(endpoint, "ann", 2, "say", "to") == ["all", "ben"], "who is paused is there"
    assert choices(endpoint, "ben", 5, "hit", "whom") == ["ann", "deaf"]
    assert replay(result.output_dir).step == ""


def test_words_wait_past_an_answer_that_can_not_be_used(tmp_path):
    words = {("ann", 1): ("ben", "FIRE"), ("ann", 2): ("all", "RUN"), ("ben", 2): None}
    with Endpoint(says(words)) as endpoint:
        result = talking(tmp_path, endpoint.base_url).run()
    heard = heard_by(endpoint, "ben")
    assert heard == {2: ['ann: "FIRE"'], 3: ['ann: "FIRE"', 'ann: "RUN"']}
    events = events_of(result.output_dir)
    assert "2.failed.ben.0" in behind(events, "3.llm-decide.ben.0")
    assert replay(result.output_dir).step == ""


def test_of_too_many_words_the_oldest_are_dropped_and_counted(tmp_path):
    speaker = '  - {name: bob, type: scripted, talk: true, function: "./bob.py:speak"}\n'
    words = f"[Action('say', {{'to': 'ben', 'text': str(n)}}) for n in range({HEARD_MAX + 2})]"
    (tmp_path / "bob.py").write_text(
        f"from thence.sim import Action\n\n\ndef speak(seen):\n    return {words}\n"
    )
    with Endpoint(says({})) as endpoint:
        talk = TALK.replace("engine:", speaker + "engine:", 1)
        talking(tmp_path, endpoint.base_url, talk=talk).run()
    heard = heard_by(endpoint, "ben")[2]
    assert len(heard) == HEARD_MAX
    assert heard[:2] == ['-: "3 earlier words were dropped"', 'bob: "3"']


def test_heard_is_for_its_owner_alone(tmp_path):
    seen_by = "sees: ['agent/*/*']"
    talk = TALK.replace("{name: ann, type: llm_agent,", f"{{name: ann, type: llm_agent, {seen_by},")
    with Endpoint(says({("ann", 1): ("ben", "SECRET")})) as endpoint:
        talking(tmp_path, endpoint.base_url, talk=talk).run()
    told_ann = [user(one.body) for one in endpoint.requests if "You are ann" in user(one.body)]
    assert not any("SECRET" in text or "agent/ben/heard" in text for text in told_ann)
    assert heard_by(endpoint, "ben") == {2: ['ann: "SECRET"']}


COMES_AND_GOES = """\
if view.turn == 1:
    view.remove_agent('ann')
    view.add_agent(PromptedAgent('new', self.config, talk=True))
    view.add_agent(ScriptedAgent('mute', self.config))
    view.pause('deaf')"""


def test_choices_and_receivers_are_those_that_are_there(tmp_path):
    with Endpoint(says({("ben", 2): ("new", "hello"), ("ben", 3): ("all", "you")})) as endpoint:
        result = talking(tmp_path, endpoint.base_url, COMES_AND_GOES).run()
    assert choices(endpoint, "ben", 1, "hit", "whom") == ["ann", "deaf"]
    assert choices(endpoint, "ben", 1, "say", "to") == ["all", "ann"]
    assert choices(endpoint, "ben", 2, "hit", "whom") == ["deaf", "mute", "new"]
    assert choices(endpoint, "ben", 2, "say", "to") == ["all", "new"]
    assert heard_by(endpoint, "new") == {3: ['ben: "hello"'], 4: ['ben: "you"']}
    events = events_of(result.output_dir)
    assert {"1.removed.ann.0", "1.added.new.0"} <= causes(events, "2.llm-decide.ben.0")
    assert result.final_state["agent/ann"]["heard"] == []


@pytest.mark.parametrize(
    ("spatial", "place"),
    [
        ({"grid": {"width": 1, "height": 1}}, "0,0"),
        ({"network": {"nodes": "agents", "edges": [["wolf", "sheep"], ["sheep", "dog"]]}}, "sheep"),
    ],
)
def test_removed_agent_is_nowhere_on_the_map(spatial, place):
    seen = {}

    class Wolves(BaseEngine):
        def apply_engine_rules(self, view):
            with view.rule("hunt"):
                around = view.world_map
                seen[view.turn] = [
                    around.agents_at(place),
                    sorted(around.agents_within("wolf", 9)),
                    around.position("sheep"),
                    sorted(around.places()),
                ]
                if view.turn == 1:
                    view.remove_agent("sheep")
                    view.pause("dog")
                view.world["sum"] = view.turn

    agents = [Doer(name, lambda seen: None) for name in ("wolf", "sheep", "dog")]
    events, simulation = played(config(turns=2, spatial=spatial), agents, Wolves())
    is_grid = "grid" in spatial
    assert "sheep" in seen[1][0]
    assert seen[1][1] == ["dog", "sheep"]
    assert seen[2] == [
        ["wolf", "dog"] if is_grid else [],
        ["dog"] if is_grid else [],
        "",
        ["0,0"] if is_grid else ["dog", "wolf"],
    ]
    assert "1.removed.sheep.0" in causes(events, "2.hunt.-.global/sum")
    assert simulation.history[-1].agent("sheep")["x"] == 0
