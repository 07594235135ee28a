"""The trade network is a real economy: goods are kept, prices answer, trades have causes."""

import asyncio
import random
from itertools import pairwise

import pytest
from scenarios.traders import Market, StandingOrder, TradeMap, parse
from tests.sim.toys import SCENARIO
from tests.sim.truth import Run

from thence.sim.run.simulation import Simulation, make_components
from thence.sim.scenario.scenario import SimulationConfig


@pytest.fixture(scope="module")
def given():
    return SimulationConfig.from_file(SCENARIO)


@pytest.fixture(scope="module", params=["shipped seed", "fresh seed"])
def run(given, request):
    is_fresh = request.param == "fresh seed"
    seed = random.SystemRandom().getrandbits(32) if is_fresh else given.simulation.seed
    print(f"seed {seed}")
    return Run(given, seed)


@pytest.mark.promise("O2")
class TestEconomy:
    def test_real_trades_happen_from_early_turns_on(self, run):
        bought = [
            each
            for each in run.events
            if each.event_type == "STATE" and each.variable_name == "filled" and each.new_value
        ]
        assert len([each for each in bought if each.turn_number <= 5]) >= 8
        assert len([each for each in bought if each.turn_number > 30]) >= 20

    def test_traders_are_refused_and_ask_for_less(self, run):
        kinds = [each.details["error_type"] for each in run.events if each.event_type == "SYSTEM"]
        assert {"action_rejected", "action_retried"} <= set(kinds)

    def test_what_a_trader_gets_is_what_it_pays_for(self, given):
        simulation = Simulation(given, make_components(given), lambda event: None)
        asyncio.run(simulation.run())
        settled = 0
        for before, after in pairwise(simulation.history):
            for trader in given.agents:
                was, now = before.agent(trader.name), after.agent(trader.name)
                order = parse(now["order"])
                if order.is_trade:
                    sign = 1 if order.verb == "buy" else -1
                    price = before.place(order.place)[f"price_{order.good}"]
                    assert now[order.good] - was[order.good] == sign * now["filled"]
                    assert was["money"] - now["money"] == pytest.approx(
                        sign * now["filled"] * price
                    )
                    settled += now["filled"]
        assert settled > 300

    def test_prices_answer_to_supply(self, given):
        market = Market(place="A", good="grain", base_price=4.0, makes=1)
        prices = [market.price(stock) for stock in (0, 10, 20, 60)]
        assert prices == sorted(prices, reverse=True)
        assert prices[0] == 8.0
        assert prices[2] == 4.0

    def test_most_late_trades_have_a_chain_of_causes_over_several_turns(self, run):
        trades = [
            each for each in run.events if each.event_type == "ACTION" and each.action_type == "buy"
        ]
        late = trades[-20:]
        assert sum(self.is_of_many(run, trade) for trade in late) > len(late) / 2

    def is_of_many(self, run, trade):
        """Tell whether more than one trader acted on the way to a trade, in more than 3 turns."""
        cone = [run.by_id[event_id] for event_id in run.cone(trade)]
        actions = [each for each in cone if each.event_type == "ACTION"]
        turns = {each.turn_number for each in actions}
        return len({each.agent_id for each in actions}) > 1 and len(turns) > 3


def test_traveller_is_on_the_road_until_the_turn_before_arrival():
    order = StandingOrder("travel", "Ember", until=5)
    assert [order.whereabouts(turn) for turn in (2, 3, 4)] == ["road", "road", "Ember"]


def test_distance_is_along_the_shortest_way(given):
    network = TradeMap(given)
    assert network.distance("Harbour", "Abbey") == 2
    assert network.distance("Abbey", "Harbour") == 2
    assert network.distance("Harbour", "Harbour") == 0


def test_places_without_a_way_between_have_no_distance():
    given = SimulationConfig.from_mapping(
        {"simulation": {"name": "x"}, "spatial": {"places": [{"name": "A"}, {"name": "B"}]}}
    )
    with pytest.raises(ValueError, match="no way leads from A to B"):
        TradeMap(given).distance("A", "B")
