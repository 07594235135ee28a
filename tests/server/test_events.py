"""Causes and effects over HTTP, held to the plain algorithms."""

import random
from pathlib import Path

import pytest
from tests.plain_order import downstream, upstream, why
from tests.server.conftest import Shop
from tests.server.runs import foreign, lines, stored
from tests.server.serving import Serving

from thence.core.vocabulary import SIM


@pytest.mark.promise("Q4")
def test_cones_are_those_of_the_model_at_every_depth(shop: Shop) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    events = stored(shop.root / "first")
    known = {event.event_id: event for event in events}
    for event in [events[0], events[-1], *chance.sample(events, 6)]:
        for depth in (None, 1, 2, 20):
            asked = {} if depth is None else {"depth": depth}
            told = shop.server.json(f"/simulations/first/causality/{event.event_id}", **asked)
            up = [cause for cause, far in upstream(event, known)[0] if far <= (depth or 5)]
            down = [effect for effect, far in downstream(event, events)[0] if far <= (depth or 5)]
            assert told == {
                "event_id": event.event_id,
                "event": lines([event])[0],
                "upstream": lines(up),
                "downstream": lines(down),
                "truncated": False,
            }


@pytest.mark.promise("Q4")
def test_why_is_told_as_data_and_in_sentences(shop: Shop) -> None:
    events = stored(shop.root / "first")
    model = why(events[-1], events, SIM)
    told = shop.server.json(f"/simulations/first/why/{events[-1].event_id}")
    assert told["sentences"] == list(model.sentences)
    assert told["chain"] == lines(list(model.chain))
    assert told["causes"] == [
        {"event_id": cause.event_id, "depth": depth} for cause, depth in model.cone
    ]
    assert (told["event_id"], told["truncated"]) == (events[-1].event_id, False)


def test_id_with_slashes_of_another_tool_is_found(tmp_path: Path, server: Serving) -> None:
    (tmp_path / "run").mkdir()
    lines = foreign(1, event_id="a/b") + foreign(2, event_id="c/", caused_by=["a/b"])
    (tmp_path / "run" / "events.jsonl").write_bytes(lines)
    assert server.json("/simulations/run/events/a%2Fb")["event_id"] == "a/b"
    caused = server.json("/simulations/run/causality/c%2F")
    assert [event["event_id"] for event in caused["upstream"]] == ["a/b"]
    assert server.json("/simulations/run/why/c%2F")["causes"][0]["event_id"] == "a/b"
    assert server.code("/simulations/run/events/a") == (404, "event_not_found")
