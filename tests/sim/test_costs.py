"""Prices before and after: a forecast that sends nothing, own calls told from inherited ones."""

import json
import re

import pytest
from tests.cli.warm import warm
from tests.sim.models.endpoint import Endpoint, Reply, completion
from tests.sim.models.village import generous, user, village, written
from tests.sim.test_futures import LEAVING

from thence.sim import SimulationOrchestrator, branch, resume

NOWHERE = "http://127.0.0.1:9/v1"


def test_forecast_renders_the_messages_of_turn_1_and_sends_nothing(tmp_path):
    with village(generous, tmp_path) as (endpoint, scenario):
        validated = warm("sim", "validate", scenario, "--cost", "--json", cwd=tmp_path)
        assert endpoint.requests == []
        run = warm("sim", "run", scenario, "--turns", "1", "-q", cwd=tmp_path)
        assert run.code == 0
        sizes = [
            sum(len(message["content"]) for message in one.body["messages"])
            for one in endpoint.requests
        ]
    tokens = sum(-(-size // 4) for size in sizes)
    price = validated.json["forecast"]
    assert price["turns"] == 4
    assert price["calls"] == [12, 12]
    assert price["tokens_in"] == [4 * tokens, 8 * tokens]
    assert price["tokens_out"] == [4 * 600, 8 * 600]
    dollars = (tokens * 1 + 600 * 2) / 1e6
    assert price["cost"] == pytest.approx([4 * dollars, 8 * dollars])


def test_forecast_is_told_in_lines(tmp_path):
    scenario = written(tmp_path, NOWHERE, keys="memory: 3")
    shown = warm("sim", "validate", scenario, "--cost", cwd=tmp_path).out
    assert shown.startswith("ok: village, 3 agents, at most 4 turns\n4 turns: 12 calls, ")
    assert "prompts grow with what agents remember" in shown


def test_scenario_without_models_costs_nothing(tmp_path):
    shown = warm("sim", "validate", "fishery", "--cost", cwd=tmp_path)
    _, forecast, reason = shown.lines
    assert forecast == "40 turns: 0 calls, 0 tokens in, 0 tokens out, cost 0 to 0"
    assert (shown.code, reason) == (0, "no agent asks a model")


def test_answers_are_of_max_tokens_and_without_prices_there_is_no_cost(tmp_path):
    scenario = written(tmp_path, NOWHERE, **{"price_in: 1, price_out: 2": "max_tokens: 50"})
    price = warm("sim", "validate", scenario, "--cost", "--json", cwd=tmp_path).json["forecast"]
    assert (price["tokens_out"], price["cost"]) == ([600, 1200], None)


def test_scenario_with_a_problem_has_no_forecast(tmp_path):
    scenario = written(tmp_path, NOWHERE, **{"max_turns: 4": "max_turn: 4"})
    shown = warm("sim", "validate", scenario, "--cost", "--json", cwd=tmp_path)
    assert (shown.code, shown.json.keys()) == (2, {"ok", "problems"})


def test_shorter_run_ends_with_what_all_turns_would_cost(tmp_path):
    with village(generous, tmp_path) as (_, scenario):
        run = warm("sim", "run", scenario, "--turns", "2", cwd=tmp_path)
        whole = warm("sim", "run", scenario, cwd=tmp_path)
    line = "all 4 turns at this rate: 12 calls, 240 tokens in, 60 tokens out, cost 0.00036"
    assert run.err.splitlines()[-1] == line
    assert "at this rate" not in whole.err


def test_branch_tells_its_own_calls_from_those_of_its_parent(tmp_path):
    with village(generous, tmp_path) as (endpoint, scenario):
        parent = SimulationOrchestrator(scenario, output_root=tmp_path / "output", run_id="a").run()
        assert "by_origin" not in parent.usage
        count = len(endpoint.requests)
        done = warm("sim", "branch", "a", "--at", "2", "--set", "agent/ann/money=90", cwd=tmp_path)
        own = len(endpoint.requests) - count
    *_, counts = done.out.splitlines()
    assert counts == (
        f"models: {own} calls, {own * 20} tokens in, {own * 5} tokens out, cost {own * 30e-6:.4g};"
        f" {12 - own} calls, {(12 - own) * 20} tokens in,"
        f" {(12 - own) * 5} tokens out, cost {(12 - own) * 30e-6:.4g} from recorded answers"
    )
    (folder,) = (one for one in (tmp_path / "output").iterdir() if one.name != "a")
    origins = json.loads((folder / "result.json").read_bytes())["usage"]["by_origin"]
    assert (origins["own"]["calls"], origins["inherited"]["calls"]) == (own, 12 - own)
    assert 0 < own < 12
    assert "inherited: " in warm("sim", "show", folder, cwd=tmp_path).out


def test_run_by_a_cassette_has_paid_for_nothing(tmp_path):
    with village(generous, tmp_path) as (_, scenario):
        SimulationOrchestrator(scenario, output_root=tmp_path / "output", run_id="a").run()
    words = ("--cassette", "output/a/outcomes.jsonl", "--run-id", "b")
    done = warm("sim", "run", scenario, *words, cwd=tmp_path)
    assert re.fullmatch(
        r"models: \d+ calls, \d+ tokens in, \d+ tokens out, cost [\d.e-]+ from recorded answers",
        done.out.splitlines()[-1],
    )


def test_paused_run_names_the_cost_that_lets_it_go_on(tmp_path):
    with village(generous, tmp_path) as (endpoint, scenario):
        words = ("--max-cost", "1e-4", "--run-id", "a")
        following = warm("sim", "run", scenario, *words, cwd=tmp_path).err.splitlines()[-1][8:]
        assert following == "thence sim resume output/a --max-cost 0.0002"
        count = len(endpoint.requests)
        warm(*following.split()[1:], cwd=tmp_path)
        assert len(endpoint.requests) > count


def test_run_that_no_option_lets_go_on_names_none(tmp_path):
    paused = warm("sim", "run", written(tmp_path, NOWHERE), "--run-id", "a", cwd=tmp_path)
    assert paused.err.splitlines()[-1] == "  next: thence sim resume output/a"


def test_branch_of_a_branch_counts_only_its_own_calls(tmp_path):
    with village(generous, tmp_path) as (endpoint, scenario):
        run = SimulationOrchestrator(scenario, output_root=tmp_path / "output").run()
        first = branch(run.output_dir, 3, set={"agent/ann/money": 90}).run()
        second = branch(first.output_dir, 4).run()
    assert second.usage["by_origin"]["own"]["calls"] == 0
    assert second.usage["by_origin"]["inherited"]["calls"] == 12
    assert user(endpoint.requests[0].body)


def noting(body):
    if "What do you conclude" in body["messages"][0]["content"]:
        return json.dumps({"note": "so it is", "importance": 5})
    return json.dumps({**json.loads(generous(body)), "note": "a", "importance": 5})


def test_forecast_and_pilot_count_reflections_and_are_exact_where_nobody_leaves(tmp_path):
    with Endpoint(noting) as endpoint:
        keys = "memory: {size: 9, reflect: 5}"
        changes = {'type: "./gifts.py:Gifts"': "type: base", "max_turns: 4": "max_turns: 20"}
        scenario = written(tmp_path, endpoint.base_url, keys=keys, **changes)
        price = warm("sim", "validate", scenario, "--cost", "--json", cwd=tmp_path).json["forecast"]
        shown = warm("sim", "validate", scenario, "--cost", cwd=tmp_path)
        early = warm("sim", "run", scenario, "--turns", "2", cwd=tmp_path)
        later = warm("sim", "run", scenario, "--turns", "7", cwd=tmp_path)
        whole = SimulationOrchestrator(scenario, output_root=tmp_path / "output").run()
    spent = sum(entry["calls"] for entry in whole.usage["by_model"].values())
    assert price["calls"] == [spent, spent] == [72, 72]
    assert "20 turns: 72 calls, " in shown.out
    assert "a survey of all asks once more for each of 3 agents" in shown.out
    for pilot in (early, later):
        assert "all 20 turns at this rate: 72 calls, " in pilot.err


def test_forecast_is_a_range_where_agents_can_leave(tmp_path):
    with Endpoint(noting) as endpoint:
        keys = "memory: {size: 9, reflect: 2}"
        scenario = written(tmp_path, endpoint.base_url, keys=keys)
        with (tmp_path / "gifts.py").open("a") as file:
            file.write(LEAVING.replace("turn == 2", "turn == 1"))
        price = warm("sim", "validate", scenario, "--cost", "--json", cwd=tmp_path).json["forecast"]
        early = warm("sim", "run", scenario, "--turns", "1", cwd=tmp_path)
        whole = SimulationOrchestrator(scenario, output_root=tmp_path / "output").run()
    spent = sum(entry["calls"] for entry in whole.usage["by_model"].values())
    assert price["calls"] == [3, 18]
    assert "all 4 turns at this rate: 3 to 18 calls" in early.err
    assert spent == 3 + 2 * 3 + 2 * 2


def unreadable(body):
    """Every other turn has a body of which half is missing."""
    turn = int(re.search(r"It is turn (\d+)", user(body))[1])
    data = json.dumps(completion(generous(body))).encode()
    return Reply(data[: len(data) // 2] if turn % 2 else data)


def test_requests_of_a_call_that_a_pause_ended_are_paid_and_count_after_it(tmp_path):
    with village(unreadable, tmp_path) as (endpoint, scenario):
        root = {"output_root": tmp_path / "output"}
        paused = SimulationOrchestrator(scenario, max_cost=1.0, run_id="a", **root).run()
        count = len(endpoint.requests)
        again = resume(paused.output_dir).run()
        assert (paused.status, again.status) == ("interrupted", "interrupted")
        assert len(endpoint.requests) == count
        (sums,) = again.usage["by_model"].values()
        assert (sums["requests"], sums["without_cost"]) == (count, count)
        counted = SimulationOrchestrator(scenario, max_calls=5, run_id="b", **root).run()
        assert (counted.status, len(endpoint.requests)) == ("interrupted", count + 5)
        assert resume(counted.output_dir).run().turns == counted.turns
        assert len(endpoint.requests) == count + 5
