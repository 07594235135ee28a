"""A conversation's prompts are kept once, live and imported, and given back as they were."""

import json

import pytest
from tests.cli.installed import thence as command
from tests.trace.tracing import traced

import thence

TURNS = 30


def talk():
    """Yields the messages of each turn: a question and an answer more."""
    messages = []
    for turn in range(TURNS):
        for role in ("user", "assistant"):
            text = " ".join(f"{role}{turn}word{number}" for number in range(30))
            messages.append({"role": role, "parts": [{"type": "text", "content": text}]})
        yield json.dumps(messages)


def record(log):
    tracer, _ = traced(log)
    for text in talk():
        with tracer.start_as_current_span("chat") as span:
            span.set_attribute("gen_ai.input.messages", text)
            body = {"messages": json.loads(text), "model": "m", "tools": ["x" * 300]}
            span.set_attribute("input.value", json.dumps(body))


def check(folder):
    *_, last = talk()
    kept = (folder / "bodies.jsonl").stat().st_size
    # each of the two forms once, with the names of its pieces
    assert kept < 2 * 1.35 * len(last)
    with thence.open(folder) as log:
        ends = [event.payload["attributes"] for event in log.query(type="chat.ended").events]
        assert [one["gen_ai.input.messages"] for one in ends] == list(talk())
        assert all(json.loads(one["input.value"])["model"] == "m" for one in ends)
        assert log.verify().findings == ()


@pytest.mark.promise("A4b")
def test_prompts_are_kept_once_and_given_back_as_they_were(tmp_path):
    with thence.open(tmp_path / "log") as log:
        record(log)
    check(tmp_path / "log")


@pytest.mark.promise("A4e")
def test_prompts_that_come_in_are_kept_once_too(tmp_path):
    with thence.open(tmp_path / "log") as log:
        record(log)
    spans, copy = str(tmp_path / "s.jsonl"), str(tmp_path / "in")
    for words in (
        ("export", "--log", tmp_path / "log", "--otlp", spans),
        ("import", "--otlp", spans, "--log", copy),
    ):
        done = command(*words, cwd=tmp_path)
        assert done.code == 0, done.err
    kept = (tmp_path / "in" / "bodies.jsonl").stat().st_size
    assert kept < 1.1 * (tmp_path / "log" / "bodies.jsonl").stat().st_size
