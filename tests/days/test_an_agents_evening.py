"""A LangGraph agent with two tools: one fails, the process is killed, another goes on.

Its spans are those of the real packages, recorded by `make frameworks`. What is true of the evening
stands first; the commands and a page have to tell it.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.installed import Ended, thence
from tests.house.tree import ROOT
from tests.server.serving import serving
from tests.server.test_pages import page

from thence import open as open_log

# what was in flight when the process was killed, the outermost first
IN_FLIGHT = ["LangGraph.begun", "tools.begun", "pay.begun"]
# what led to each call of the bank: the first failed for want of a key, the second was in flight
AROUND = ["LangGraph.begun", "tools.begun", "pay.begun", "money.asked.for"]
MODEL = "till asked a model"
SPANS = {1: 16, 2: 6}


def evening(folder: Path, order: int = 881) -> None:
    """Plays both processes of an evening, of which the first is killed."""
    for process, code in ((1, -signal.SIGKILL), (2, 0)):
        play(folder, process, code, order)


def play(folder: Path, process: int, code: int, order: int = 881) -> None:
    words = [sys.executable, "-m", "tests.days.evening", folder, str(process), str(order)]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == code


@pytest.mark.promise("A4b")
def test_evening_of_an_agent_is_told_as_it_was(tmp_path: Path) -> None:
    def told(*words: str) -> Ended:
        ended = thence(*words, "--log", "agent", cwd=tmp_path)
        assert ended.code == 0, ended.err
        return ended

    def in_flight() -> list[str]:
        rows = told("unfinished", "--json").json["unfinished"]
        return [row["event"]["event_type"] for row in rows]

    # the process is killed while it pays
    play(tmp_path / "agent", 1, -signal.SIGKILL)
    assert sorted(in_flight()) == sorted(IN_FLIGHT)
    with open_log(tmp_path / "agent") as log:
        kinds = ("stock.read", "money.asked.for", "pay.failed")
        stock, refused, failed, asking = (one for one in log.read() if one.event_type in kinds)
    why = told("why", asking.event_id, "--json").json
    assert [one["event_type"] for one in why["chain"]] == AROUND
    assert why["asked_by"] == [], "its end would say it"

    # the tool that failed: who asked for it was concluded, of the other its end says it
    words = " ".join(told("why", refused.event_id).out.split())
    assert f"the only call that asked for pay(order 881): {MODEL}" in words
    assert "wants pay" in words
    assert f"asked by: {MODEL}" in " ".join(told("why", stock.event_id).out.split())
    assert "failed: give an idempotency key" in " ".join(told("why", "@last-error").out.split())
    with serving(tmp_path) as server:
        for event in (refused, failed):
            found = page(server, f"/runs/agent/events/{event.event_id}").text
            assert f"the only call that asked for pay(order 881): {MODEL}" in found
        assert "pay(order 881) failed: give an idempotency key" in found
        assert "the only call" not in page(server, f"/runs/agent/events/{asking.event_id}").text

    # another process goes on: one stream has it all, and what was cut off stays told
    play(tmp_path / "agent", 2, 0)
    assert sorted(in_flight()) == sorted(IN_FLIGHT)
    listed = told("log", "--stream", "order-881", "--json", "--limit", "1000").out
    begins = [line for line in listed.splitlines() if '"begins":true' in line]
    assert len(begins) == sum(SPANS.values())
    with open_log(tmp_path / "agent") as log:
        paid = [event for event in log.read() if event.event_type == "pay.ended"]
        assert [event.caused_by[0] for event in paid] == [paid[0].ends]
        assert log.verify().findings == ()


@pytest.mark.promise("A4b")
def test_two_evenings_are_the_same_and_another_order_is_found_where_the_model_says_it(tmp_path):
    for name, order in (("one", 881), ("two", 881), ("other", 882)):
        evening(tmp_path / name, order)
    same = thence("diff", "one", "two", "--json", cwd=tmp_path)
    assert (same.code, same.json["first"]) == (0, None)
    first = thence("diff", "one", "other", "--json", cwd=tmp_path).json["first"]
    assert first["a"]["event_type"] == "GenericFakeChatModel.ended"
