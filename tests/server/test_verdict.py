"""The first line of a log's page, its failures, and what models answered that was of no use."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.runs import foreign, make_orders, make_run, make_village
from tests.server.serving import Serving, serving
from tests.server.test_board_page import write
from tests.server.test_pages import HOSTILE, TURNED, Parsed, page, shown
from tests.sim.models.village import generous, user
from tests.work.project_events import SLUG, planned

import thence
from thence.core.new_event import HostEvent
from thence.sim import Event, EventWriter, VerbosityLevel

USELESS = json.dumps({"reasoning": HOSTILE, "action": {"do": "none"}})
PARTLY = "completed, 4 of 12 decisions failed"


def useless_to_ann(body: Any) -> object:
    return USELESS if "You are ann." in user(body) else generous(body)


def verdict(found: Parsed) -> str:
    """The text of the page's first verdict line, up to the next heading or list."""
    (first, *_) = found.paragraphs("verdict")
    return first


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Serving]]:
    """A run in which ann's model answers in another shape, and one in which all is well."""
    root = tmp_path_factory.mktemp("root")
    for name, script in (("partly", useless_to_ann), ("well", generous)):
        make_village(root, name, script)
    with serving(root) as server:
        yield root, server


def test_run_with_failed_decisions_is_never_good_on_its_page_or_at_home(village):
    _, server = village
    for address in ("/runs/partly", "/"):
        found = page(server, address)
        assert PARTLY in found.text
        assert [one for one in found.all("span") if one.get("class") == "status-failed"]
    assert "completed, 4 turns; 4 of 12 decisions failed" in verdict(page(server, "/runs/partly"))
    well = page(server, "/runs/well")
    assert "completed, 4 turns; 0 of 12 decisions failed; 300 tokens" in verdict(well)
    assert not [one for one in well.all("span") if one.get("class") == "status-failed"]


def test_completed_run_whose_result_is_gone_is_as_good_as_its_events(village, tmp_path):
    for name, style in (("partly", "status-failed"), ("well", "status-completed")):
        shutil.copytree(village[0] / name, tmp_path / name)
        (tmp_path / name / "result.json").unlink()
        with serving(tmp_path) as server:
            for address in (f"/runs/{name}", "/"):
                html = server.get(address).text
                assert f'<span class="{style}"><bdi>completed</bdi>' in html, address
        shutil.rmtree(tmp_path / name)


def test_failures_are_counted_and_one_click_away(village: tuple[Path, Serving]) -> None:
    root, server = village
    with thence.open(root / "partly", create=False) as log:
        failed = [event.event_id for event in log.query(failed=True)]
    assert len(failed) == 12
    found = page(server, "/runs/partly")
    assert "/runs/partly?failed=1#events" in found.links
    narrowed = page(server, "/runs/partly?failed=1")
    assert shown(narrowed, "partly") == failed
    assert {"value": "1", "selected": None} in narrowed.all("option")
    assert "failed" in {one["name"] for one in narrowed.all("select")}
    for kind in ("simulations", "logs"):
        events = server.json(f"/{kind}/partly/events", failed=1)["events"]
        assert [event["event_id"] for event in events] == failed
    assert server.json("/simulations/partly")["failures"] == len(failed)
    entries = server.json("/simulations")["simulations"]
    assert {entry["id"]: entry["failures"] for entry in entries} == {"partly": 12, "well": 0}
    page(server, "/runs/partly?failed=maybe", 422)


@pytest.mark.parametrize("kind", ["agent_failed", "llm_call"])
def test_answer_of_no_use_is_told_with_its_prompt(village: tuple[Path, Serving], kind: str) -> None:
    root, server = village
    with thence.open(root / "partly", create=False) as log:
        event = next(one for one in log.query(failed=True) if one.payload["error_type"] == kind)
    found = page(server, f"/runs/partly/events/{event.event_id}")
    assert "Model, systemYou may give money." in found.text.replace("\n", "")
    assert "Model, userYou are ann." in found.text
    assert f"Model, answer{USELESS}" in found.text
    assert found.text.index("Model, answer") < found.text.index("Payload")


def test_each_kind_of_log_begins_with_its_own_line(tmp_path: Path, server: Serving) -> None:
    make_orders(tmp_path)
    with thence.open(tmp_path / "steps") as log:
        begins = [HostEvent(kind, begins=True) for kind in ("pay.begun", "scan.begun")]
        begin, quick = log.append_many(begins)
        log.append_many([HostEvent("scan.done", ends=quick.event_id)])
        log.append_many([HostEvent("pay.failed", {"error": "no"}, ends=begin.event_id)])
        log.append_many([HostEvent("pay.begun", begins=True)])
    thence.open(tmp_path / "empty").close()
    hurt = tmp_path / "hurt"
    hurt.mkdir()
    (hurt / "events.jsonl").write_bytes(foreign(1) + b"\xff\xfe not text\n" + foreign(2))
    clone = planned(count=3)
    clone.move("WP01", "planned", "doing", actor="ada")
    clone.move("WP01", "doing", "for_review", actor="ada")
    write(tmp_path, clone, "board")
    make_run(tmp_path, "killed", count=9)
    lines_of = {
        name: verdict(page(server, f"/runs/{name}"))
        for name in ("orders", "steps", "empty", "hurt", "board", "killed")
    }
    assert lines_of["orders"] == "1 failure of 4 events"
    assert re.fullmatch(
        r"1 failure of 3 steps; 1 open: .+; the longest: pay began \([\d.]+ m?s\)",
        lines_of["steps"],
    )
    assert lines_of["empty"] == "no events yet"
    assert lines_of["hurt"].endswith("; 1 damaged line")
    assert lines_of["board"].startswith(f"waits longest for review: WP01 of {SLUG}, for ")
    assert lines_of["killed"] == "completed, 1 turn; 0 failures"


def test_rejected_action_and_failure_have_colours_of_their_own(tmp_path, server) -> None:
    with EventWriter(tmp_path / "run", "run", verbosity=VerbosityLevel.DETAIL) as writer:
        for kind in ("action_rejected", "agent_failed", "note"):
            details = {"error_type": kind, "status": "failure" if kind != "note" else "success"}
            event = {"event_type": "SYSTEM", "simulation_id": "run", "turn_number": 1}
            writer.emit(Event(**event, agent_id="ada", details=details))
    found = page(server, "/runs/run")
    marks = [one["class"] for one in found.all("span") if "mark" in str(one.get("class"))]
    assert marks == ["mark rejected", "mark failed"]
    address = next(link for link in found.links if "/events/" in link)
    assert "mark rejected" in {one.get("class") for one in page(server, address).all("span")}


def test_agent_leads_to_the_changes_of_its_variables(tmp_path: Path, server: Serving) -> None:
    with EventWriter(tmp_path / "run", "run", verbosity=VerbosityLevel.DETAIL) as writer:
        for agent in ("ada", HOSTILE + TURNED):
            event = {"simulation_id": "run", "turn_number": 1}
            details = {"scope": f"agent/{agent}", "variable_name": "money"}
            changed = {**details, "old_value": 1, "new_value": 2}
            writer.emit(Event(**event, event_type="STATE", details=changed))
            writer.emit(Event(**event, event_type="NOTE", agent_id=agent))
    links = [one for one in page(server, "/runs/run").links if "scope" in one]
    links.sort(key=len)
    assert len(links) == 2
    texts = [page(server, one).text for one in links]
    assert all("1 event, in total order" in text for text in texts)
    assert "agent/ada/money" in texts[0]
    assert HOSTILE[:20] in texts[1]


def test_number_leads_to_exactly_what_it_counts(village: tuple[Path, Serving]) -> None:
    root, server = village
    with thence.open(root / "partly", create=False) as log:
        failed = log.query(failed=True)
    left = [one.event_id for one in failed if one.payload["error_type"] == "agent_failed"]
    assert len(left) == 4
    (link,) = [one for one in page(server, "/runs/partly").links if "agent_failed" in one]
    assert shown(page(server, link.partition("#")[0]), "partly") == left
