"""The page on where a log's time, tokens, cost and failures went."""

from pathlib import Path

from tests.server.serving import Serving
from tests.server.test_pages import page

import thence
from thence.core.new_event import HostEvent
from thence.core.sentences.events import counted


def call(log: thence.Log, kind: str, actor: str, **payload: object) -> None:
    begun = log.append_many([HostEvent(f"{kind}.begun", {}, actor=actor, begins=True)])
    outcome = "failed" if "error" in payload else "done"
    log.append_many([HostEvent(f"{kind}.{outcome}", payload, actor=actor, ends=begun[0].event_id)])


def test_each_call_counts_and_each_row_is_a_filter(tmp_path: Path, server: Serving) -> None:
    with thence.open(tmp_path / "calls") as log:
        for _ in range(120):
            call(log, "chat", "ada", model="m1", tokens_in=10, tokens_out=2)
        for number in range(3):
            call(log, "pay", "ben", error="card declined", order=number)
        call(log, "pay", "ben", error="no such <order>")
        log.append("asked", {"model": "m2", "tokens_in": 5}, actor="cleo")
    assert page(server, "/runs/calls").links.count("/runs/calls?calls=model%3Am1#events") == 1
    found = page(server, "/runs/calls/spending")
    text = found.text.replace("\n", "")
    assert "ada120" in text
    assert "1,440" in text  # tokens of each of the 120 calls
    assert "ben44" in text  # four calls, all of them failed
    assert "m21" in text
    assert "card declined3" in text
    assert "no such <order>1" in text
    for wanted, events in (
        ("card", 3),
        ("calls=actor%3Aada", 120),
        ("calls=model%3Am1", 120),
        ("calls=model%3Am2", 1),
        ("calls=type%3Apay.begun", 4),
    ):
        address, *_ = [one for one in found.links if wanted in one]
        assert counted(events, "event") in page(server, address.partition("#")[0]).text, wanted
    failed = [one for one in found.links if "failed=1" in one and "calls=actor%3Aben" in one]
    assert "4 events" in page(server, failed[0].partition("#")[0]).text
    page(server, "/runs/calls?calls=colour:red", status=422)
    assert "No event matches" in page(server, "/runs/calls?calls=model:nobody").text


def test_calls_of_coding_agents_count_by_their_tool(tmp_path: Path, server: Serving) -> None:
    with thence.open(tmp_path / "agents") as log:
        for number in range(5):
            call(log, "tool", "claude-code", tool="Bash" if number else "Edit")
        call(log, "tool", "claude-code", tool="Bash", error="x" * 3_000 + str(number))
        log.append("noted", {"tool": "hammer"})
    found = page(server, "/runs/agents/spending")
    assert "Bash51" in found.text.replace("\n", "")
    assert "hammer" not in found.text
    (long,) = [one for one in found.links if "said=xxx" in one]
    assert "1 event, in" in page(server, long.partition("#")[0]).text


def test_name_with_the_most_of_a_column_is_shown_among_many(tmp_path, server) -> None:
    with thence.open(tmp_path / "calls") as log:
        for number in range(20):
            failed = {"error": "no"} if number == 18 else {}
            call(log, "chat", f"p{number:02}", tokens_in=9 if number == 17 else 1, **failed)
    found = page(server, "/runs/calls/spending")
    actors = [one for one in found.links if "calls=actor%3Ap" in one and "failed=" not in one]
    shown = {one.partition("%3A")[2].partition("#")[0] for one in actors}
    assert {"p00", "p11", "p17", "p18"} <= shown
    assert f"{len(shown)} of 20, with the most of each column" in found.text


def test_failures_that_differ_in_names_and_numbers_are_one_row(tmp_path, server) -> None:
    with thence.open(tmp_path / "calls") as log:
        for turn in range(8):
            call(log, "act", f"p{turn % 2}", error=f"turn {turn}: p{turn % 2} has no answer")
        call(log, "act", "ada", error="turn 9: ada has no answer")
        for status in (503, 404, 503):
            call(log, "pay", "ben", error=f"HTTP {status}")
        call(log, "pay", "ben", error={"code": 7})
    found = page(server, "/runs/calls/spending")
    rows = {"turn …: … has no answer": 9, "HTTP 503": 2, "HTTP 404": 1, "(error (code 7))": 1}
    for said, count in rows.items():
        assert f"{said}{count}" in found.text.replace("\n", ""), said
    links = [link for link in found.links if "said=" in link]
    assert len(links) == len(rows)
    for link, count in zip(links, rows.values(), strict=True):
        assert counted(count, "event") in page(server, link.partition("#")[0]).text, link
    (more,) = [link for link in links if "turn" in link]
    both = page(server, f"{more.partition('#')[0]}&calls=actor:ada")
    assert "1 event, in" in both.text
    assert {"calls", "said"} <= {field.get("name") for field in both.all("input")}


def test_log_without_calls_says_so(tmp_path: Path, server: Serving) -> None:
    with thence.open(tmp_path / "notes") as log:
        log.append("noted", {})
    assert "no calls that ended" in page(server, "/runs/notes/spending").text
