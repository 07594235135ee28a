"""The examples of the page on queries over HTTP, run against a server that serves a run."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.listening import heard
from tests.server.serving import Serving, serving

from thence.sim import EventWriter, VerbosityLevel
from thence.sim.builders import create_action_event, create_decision_event

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "query-over-http.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8377"


def examples(language: str) -> list[str]:
    """The examples in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("root")
    with EventWriter(root / "demo", "demo", verbosity=VerbosityLevel.DETAIL) as writer:
        for turn in range(1, 8):
            decision = create_decision_event("demo", turn, "ada", "trade", None, "sell 3 grain")
            writer.emit(decision)
            action = create_action_event(
                "demo", turn, "ada", "sell", {"grain": 3}, caused_by=[decision.event_id]
            )
            writer.emit(action)
    with serving(root) as made:
        yield made


def test_curl_examples_answer(server: Serving) -> None:
    *asked, live = "".join(examples("sh")).splitlines()
    outs = []
    for line in asked:
        command = line.replace(ADDRESS, server.url)
        outs.append(subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout)
    assert [run["id"] for run in json.loads(outs[0])["simulations"]] == ["demo"]
    page = json.loads(outs[1])
    assert (len(page["events"]), page["total"]) == (2, 7)
    assert [json.loads(line)["turn_number"] for line in outs[2].splitlines()][:2] == [2, 2]
    command = ["sh", "-c", "exec " + live.replace(ADDRESS, server.url)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as streaming:
        assert streaming.stdout is not None
        first = [streaming.stdout.readline() for _ in range(5)]
        streaming.terminate()
    names = [line.partition(b":")[0] for line in first]
    assert names == [b"retry", b"\n", b"id", b"data", b"\n"]


def test_python_examples_run(server: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    for example in examples("py"):
        names: dict[str, object] = {}
        exec(compile(example.replace(ADDRESS, server.url), "query-over-http.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [line for line in said if "turn 7" in line]
    assert len(said) == 3


def test_address_in_javascript_streams_what_the_example_reads(server: Serving) -> None:
    (example,) = examples("js")
    found = re.search(rf'"{ADDRESS}(.*)"', example)
    assert found is not None
    frames = heard(server, found[1], 7)
    for frame in frames:
        event = json.loads(frame.data)
        assert frame.id == event["event_id"]
        assert (event["agent_id"], event["details"]["new_value"]) == ("ada", "sell 3 grain")
