"""A log, a page, causes and runs show themselves in a notebook: every text of theirs is text."""

import asyncio
import json
from pathlib import Path

from tests.server.test_pages import Parsed
from tests.sim.models.endpoint import Endpoint
from tests.sim.models.village import generous, written
from tests.sim.toys import config

import thence
from thence.sim import RunResult, SimulationOrchestrator, open_run

HOSTILE = "<script>alert(1)</script>"


def shown_as(html: str | None) -> Parsed:
    """Takes a piece of HTML apart; every element must be closed."""
    return Parsed(f"<!doctype html>{html}")


def test_log_page_causes_and_effects_are_tables_and_lists_of_text(tmp_path: Path) -> None:
    with thence.open(tmp_path / "log") as log:
        first = log.append("order.taken", {"note": HOSTILE}, actor=HOSTILE)
        for number in range(30):
            last = log.append("order.step", {"n": number}, caused_by=[first.event_id])
        shown = {
            "log": shown_as(log._repr_html_()),
            "page": shown_as(log.query(limit=25)._repr_html_()),
            "why": shown_as(log.why(last)._repr_html_()),
            "effects": shown_as(log.effects(first)._repr_html_()),
        }
    assert len(shown["log"].all("tr")) == 21
    assert f"last events of {tmp_path / 'log'}" in shown["log"].text
    assert "20 of 31 events" in shown["page"].text
    assert json.dumps({"note": HOSTILE}, separators=(",", ":")) in shown["page"].text
    assert len(shown["why"].all("li")) == 2
    assert "and 10 more" in shown["effects"].text
    assert not any(one.all("script") for one in shown.values())


def test_run_shows_its_result_and_one_that_is_not_played_its_words(tmp_path: Path) -> None:
    run = SimulationOrchestrator(config(), output_root=tmp_path)
    assert run._repr_html_() is None
    result = run.run()
    for shown in (shown_as(result._repr_html_()), shown_as(run._repr_html_())):
        assert f"{run.run_id}: completed" in shown.text
        assert "turns" in shown.text
    with open_run(run.output_dir) as recorded:
        assert f"{run.run_id}: completed" in shown_as(recorded._repr_html_()).text


def test_decision_and_call_of_a_model_show_themselves(tmp_path: Path) -> None:
    hostile = json.dumps({"action": {"do": "none"}, "why": HOSTILE})
    with Endpoint(lambda body: hostile if len(body["messages"]) > 2 else generous(body)) as models:
        result = SimulationOrchestrator(
            written(tmp_path, models.base_url), output_root=tmp_path / "runs"
        ).run()
    with open_run(result.output_dir) as run:
        decision = shown_as(run.log.query(type="DECISION").events[0]._repr_html_())
        call = next(e for e in run.log.read() if e.payload.get("error_type") == "llm_call")
        shown = shown_as(call._repr_html_())
    assert "DECISION 1.decide.ann.0" in decision.text
    assert "new_value" in decision.text
    assert ("You may give money." in shown.text, "It is turn 1." in shown.text) == (True, True)
    assert shown.all("dl")
    assert not shown.all("script") + decision.all("script")


def test_event_shows_hostile_text_as_text(tmp_path: Path) -> None:
    with thence.open(tmp_path / "log") as log:
        event = log.append("order.taken", {HOSTILE: HOSTILE, "n": [1]}, actor=HOSTILE)
        shown = shown_as(event._repr_html_())
    assert shown.text.count(HOSTILE) == 3
    assert not shown.all("script")


def test_run_of_models_is_awaited_in_a_loop_that_runs_and_shows_itself(tmp_path: Path) -> None:
    async def cell(url: str) -> tuple[SimulationOrchestrator, RunResult]:
        run = SimulationOrchestrator(written(tmp_path, url), output_root=tmp_path / "runs")
        return run, await run.run()

    with Endpoint(generous) as models:
        run, result = asyncio.run(cell(models.base_url))
    assert shown_as(run._repr_html_()).text == shown_as(result._repr_html_()).text
    assert f"{run.run_id}: completed" in shown_as(result._repr_html_()).text
