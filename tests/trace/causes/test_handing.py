"""Causes across processes: handed on by a variable, durable before, witnessed after."""

import pickle
import sys

import pytest
from tests.cli.installed import THENCE, in_python
from tests.cli.installed import thence as command
from tests.sim.toys import Doer, add, config

import thence
from thence.core.new_event import PassedCause, parse_cause
from thence.errors import EventNotFound, InvalidEvent
from thence.otel import SpanProcessor
from thence.sim import (
    EventWriter,
    SimulationOrchestrator,
    VerbosityLevel,
    create_milestone_event,
    create_state_event,
)

LOG = "0" * 26
STATE_STEP = "1.act.ada.0"


FIRST = """
import os, subprocess, sys, thence
with thence.open("log") as log, thence.step("release", log=log) as begun:
    for _ in range(5):
        log.append("noted")
    subprocess.run(["sh", "-c", sys.argv[1]], check=True, env=os.environ | log.environment(begun))
"""
SHELL = """
set -e
export "$('{thence}' append --log {log} built --env)"
'{python}' -c 'import thence; thence.open("{last}").append("tested")'
"""


def run_chain(tmp_path, log="log", last="log"):
    script = SHELL.format(thence=THENCE, python=sys.executable, log=log, last=last)
    ran = in_python(FIRST, script, cwd=tmp_path)
    assert ran.code == 0, ran.err


@pytest.mark.promise("O6")
def test_why_leads_through_three_processes_to_the_first(tmp_path):
    run_chain(tmp_path)
    with thence.open(tmp_path / "log") as log:
        tested = next(event for event in log.read() if event.event_type == "tested")
        chain = log.why(tested).chain
        assert [event.event_type for event in chain] == ["release.begun", "built", "tested"]
        assert not any(event.external_causes for event in log.read())
        assert log.verify().findings == ()


@pytest.mark.promise("O6")
def test_causes_in_other_logs_are_external_and_their_clocks_witnessed(tmp_path):
    run_chain(tmp_path, "other", "third")
    first, other, third = (thence.open(tmp_path / name) for name in ("log", "other", "third"))
    begun, built, tested = (next(iter(log.read())) for log in (first, other, third))
    assert (built.caused_by, tested.caused_by) == ((begun.event_id,), (built.event_id,))
    assert built.external_causes == (first.environment(begun)["THENCE_CAUSE"],)
    assert parse_cause(tested.external_causes[0]) == (built.event_id, 2, other.log_id)
    assert (begun.lamport_clock, built.lamport_clock, tested.lamport_clock) == (1, 2, 3)
    assert [log.verify().findings for log in (first, other, third)] == [()] * 3
    shown = command("show", "@last", "--log", "other", cwd=tmp_path).out
    assert f"{begun.event_id}, in log {first.log_id}" in shown


@pytest.mark.promise("O6")
def test_appended_event_passes_the_clock_that_was_handed_on(tmp_path):
    env = {"THENCE_CAUSE": f"{LOG}@41@{LOG}"}
    told = command("append", "note", "--log", "log", "--json", cwd=tmp_path, env=env)
    assert (told.code, told.err, told.json["lamport_clock"]) == (0, "", 42)
    first = told.json["event_id"]
    more = ["append", "note", "--log", "log", "--caused-by", "@last"]
    assert command(*more, cwd=tmp_path, env=env).code == 0
    shown = command("show", "@last", "--log", "log", "--json", cwd=tmp_path).json
    assert shown["caused_by"] == [first, LOG]
    assert shown["external_causes"] == [f"{LOG}@41@{LOG}"]
    assert shown["lamport_clock"] == 43
    assert command("verify", "--log", "log", cwd=tmp_path).out.startswith("ok")


def test_append_tells_the_variable_for_the_shell_and_for_programs(tmp_path):
    said = command("append", "note", "--log", "log", "--env", cwd=tmp_path).out.strip()
    told = command("append", "note", "--log", "log", "--env", "--json", cwd=tmp_path).json
    assert parse_cause(told["THENCE_CAUSE"]) == (
        told["event_id"],
        2,
        thence.open(tmp_path / "log").log_id,
    )
    assert parse_cause(said.removeprefix("THENCE_CAUSE=")).lamport_clock == 1


@pytest.mark.parametrize("text", ["nonsense", f"é\udcff@1@{LOG}", f"a@{10**17}@{LOG}", '"\n'])
def test_malformed_cause_is_told_once_and_ignored(tmp_path, monkeypatch, caplog, text):
    monkeypatch.setenv("THENCE_CAUSE", text)
    with thence.open(tmp_path) as log:
        list(log.read())
        assert caplog.text == ""
        assert log.append("a").caused_by == ()
        log.emit("b")
    assert caplog.text.count("cause_ignored") == 1
    assert thence.open(tmp_path).verify().findings == ()


def test_command_tells_a_malformed_cause_in_one_line_and_goes_on(tmp_path):
    env = {"THENCE_CAUSE": "nonsense"}
    ended = command("append", "note", "--log", "log", cwd=tmp_path, env=env)
    assert (ended.code, len(ended.err.splitlines())) == (0, 1)
    assert "nonsense" in ended.err
    assert command("log", "--log", "log", cwd=tmp_path, env=env).err == ""


def test_clock_that_is_too_far_ahead_is_told_and_its_cause_kept(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("THENCE_CAUSE", f"{LOG}@{2**41}@{LOG}")
    with thence.open(tmp_path) as log:
        event = log.append("a")
    assert (event.lamport_clock, event.caused_by) == (1, (LOG,))
    assert "clock_ignored" in caplog.text


def test_handed_on_cause_is_around_all_others(tmp_path, monkeypatch):
    monkeypatch.setenv("THENCE_CAUSE", f"{LOG}@1@{LOG}")
    with thence.open(tmp_path) as log:
        first = log.append("first")
        with thence.because(first):
            assert log.append("second").caused_by == (first.event_id,)
        assert log.append("third", caused_by=[first]).caused_by == (first.event_id, LOG)
        with thence.step("work", log=log) as begun:
            assert log.append("fourth").external_causes == ()
        assert begun.caused_by == (LOG,)
        fifth = log.emit("fifth")
        log.flush()
        assert log.get(fifth).caused_by == (LOG,)


@pytest.mark.promise("O6")
def test_step_in_another_log_is_an_external_cause(tmp_path):
    with thence.open(tmp_path / "a") as a, thence.open(tmp_path / "b") as b:
        for _ in range(9):
            a.append("t")
        with thence.step("outer", log=a) as outer:
            with thence.step("inner", log=b) as inner:
                inside = a.append("t")
            noted = b.append("t")
        assert (
            inner.external_causes
            == noted.external_causes
            == (a.environment(outer)["THENCE_CAUSE"],)
        )
        assert (outer.lamport_clock, inner.lamport_clock) == (10, 11)
        assert inside.external_causes == (b.environment(inner)["THENCE_CAUSE"],)
        assert inside.lamport_clock > inner.lamport_clock
        assert outer.ended.caused_by == (outer.event_id,)
        assert a.verify().findings == b.verify().findings == ()


def test_emitted_event_is_durable_when_it_is_handed_on(log):
    event_id = log.emit("t")
    text = log.environment(event_id)["THENCE_CAUSE"]
    assert parse_cause(text) == PassedCause(event_id, 1, log.log_id)
    assert log.environment(log.get(event_id)) == {"THENCE_CAUSE": text}


def test_what_is_not_in_the_log_is_not_handed_on(log, tmp_path):
    with thence.open(tmp_path / "other") as other, pytest.raises(EventNotFound):
        log.environment(other.append("t"))
    (log.folder / "events.jsonl").write_bytes(b'{"event_id":"not for a variable \\u0000"}\n')
    with pytest.raises(InvalidEvent, match="out of form"):
        log.environment("not for a variable \0")


@pytest.mark.promise("O6")
@pytest.mark.parametrize("verbosity", ["MILESTONE", "STATE"])
def test_subprocess_of_an_agent_names_what_the_agent_read(tmp_path, verbosity):
    def decide(observation):
        _ = observation["x"]
        run = orchestrator.output_dir
        handed_on = orchestrator.event_writer.environment(*observation.causes)
        ran = command("append", "consulted", "--log", run, cwd=tmp_path, env=handed_on)
        assert ran.code == 0, ran.err
        return add()

    orchestrator = SimulationOrchestrator(
        config(turns=2, events={"verbosity": verbosity}),
        output_root=tmp_path,
        agents=[Doer("ada", decide)],
    )
    assert orchestrator.run().error is None
    with thence.open(orchestrator.output_dir) as log:
        consulted = [event for event in log.read() if event.event_type == "consulted"]
        causes = [log.get(*event.caused_by) for event in consulted]
        turns = ["1.turn_start.-.0", "2.turn_start.-.0"]  # at MILESTONE turns stand for all in them
        expected = turns if verbosity == "MILESTONE" else ["0.start.-.0", STATE_STEP]
        assert [each.step for each in causes] == expected
        assert log.verify().findings == ()


@pytest.mark.promise("O6")
@pytest.mark.parametrize("verbosity", ["MILESTONE", "STATE"])
def test_a_run_is_caused_by_what_another_process_handed_on(log, tmp_path, monkeypatch, verbosity):
    for _ in range(7):
        asked = log.append("asked")
    handed_on = log.environment(asked)["THENCE_CAUSE"]
    monkeypatch.setenv("THENCE_CAUSE", handed_on)
    orchestrator = SimulationOrchestrator(
        config(turns=1, events={"verbosity": verbosity}),
        output_root=tmp_path,
        agents=[Doer("ada", lambda observation: add())],
    )
    assert orchestrator.run().error is None
    with thence.open(orchestrator.output_dir) as run:
        start, *later = run.read()
        assert start.caused_by == (asked.event_id,)
        assert start.external_causes == (handed_on,)
        assert start.lamport_clock > asked.lamport_clock
        assert all(event.caused_by and not event.external_causes for event in later)


@pytest.mark.promise("O6")
def test_a_filtered_event_lends_what_another_process_handed_on(log, tmp_path, monkeypatch):
    asked = log.append("asked")
    monkeypatch.setenv("THENCE_CAUSE", log.environment(asked)["THENCE_CAUSE"])
    with EventWriter(tmp_path / "run", "run", VerbosityLevel.MILESTONE, mode="sync") as writer:
        unwritten = create_state_event("run", 1, "x", 1, 2)
        assert writer.emit(unwritten)
        assert writer.emit(
            create_milestone_event("run", 1, "turn_end", caused_by=[unwritten.event_id])
        )
    with thence.open(tmp_path / "run") as run:
        (event,) = run.read()
    assert event.caused_by == (asked.event_id,)
    assert len(event.external_causes) == 1


def test_other_tools_can_not_spoil_a_log_with_causes_elsewhere(log):
    log.append("t")
    lines = [
        b'{"event_id":"a","caused_by":["x"],"external_causes":7}',
        b'{"event_id":"b","caused_by":["y"],"external_causes":["nonsense","y@1@short"]}',
        b'{"event_id":"c","caused_by":["z"],"external_causes":["z@1@%b"]}' % LOG.encode(),
    ]
    with (log.folder / "events.jsonl").open("ab") as file:
        file.write(b"\n".join(lines) + b"\n")
    assert [event.event_id for event in log.read()][1:] == ["a", "b", "c"]
    codes = [finding.code for finding in log.verify().findings]
    assert codes.count("cause_missing") == 2
    assert log.verify().ok


@pytest.mark.parametrize(
    "holding",
    [
        thence.LogHandler,
        thence.StructlogProcessor,
        SpanProcessor,
        lambda log: log.append,
        lambda log: EventWriter(log.folder / "run", "run"),
    ],
)
def test_log_and_what_holds_it_say_that_they_stay_in_their_process(log, holding):
    with pytest.raises(TypeError, match=r"open it there: thence\.open\(path\)"):
        pickle.dumps(holding(log))
