"""Spans leave for a file and for an endpoint, and come in, by the installed command."""

import json
import socket
import subprocess

import pytest
from opentelemetry.proto_json.trace.v1.trace import TracesData
from tests.cli.installed import THENCE, begin, is_three_lines, thence
from tests.sync.test_batch_client import certified
from tests.trace.otlp.collector import collector, spans_of

import thence as package
from thence.core.new_event import HostEvent
from thence.files import file_lock

SECRET = "Bearer s3cr3t-t0ken"


@pytest.fixture
def agent(tmp_path):
    """A step with an event inside, one that failed, and one that is open, in ./agent."""
    with package.open(tmp_path / "agent") as log:
        with package.step("task", log=log, subject="order/1"):
            log.append("seen", {"n": 1})
            with pytest.raises(ValueError, match="no"), package.step("pay"):
                raise ValueError("no")
        log.append_many([HostEvent("call.begun", begins=True)])
    return tmp_path


def exported(cwd, *arguments, **env):
    return thence("export", "--log", "agent", "--otlp", *arguments, cwd=cwd, env=env)


def named(spans):
    return sorted(span["name"] for span in spans)


@pytest.mark.promise("A4d")
def test_file_has_a_trace_a_line_and_is_told_in_json(agent):
    ended = exported(agent, "out.jsonl", "--json")
    size = (agent / "out.jsonl").stat().st_size
    assert ended.json == {"spans": 4, "file": "out.jsonl", "bytes": size}
    (line,) = (agent / "out.jsonl").read_text().splitlines()
    (resource,) = TracesData.from_json(line).resource_spans
    said = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert said["service.name"] == "agent"
    assert named(spans_of(json.loads(line))) == ["call", "pay", "seen", "task"]
    assert exported(agent, "-").out.strip() == line


@pytest.mark.promise("A4d")
def test_filters_and_the_limit_choose_spans(agent):
    def names(*options):
        ended = exported(agent, "-", *options).done()
        return [name for line in ended.lines for name in named(spans_of(json.loads(line)))]

    assert names("--type", "pay.failed") == ["pay"]
    assert names("--subject", "order/1") == ["pay", "task"]
    assert names("--limit", "1") == ["task"]
    assert exported(agent, "-", "--type", "nothing").code == 4


def test_limit_waits_for_the_end_of_what_was_asked_for(tmp_path):
    with package.open(tmp_path / "agent") as log, package.step("task", log=log):
        log.append_many([{"event_type": "inside"}] * 3_000)
    ended = exported(tmp_path, "-", "--limit", "1")
    (span,) = spans_of(json.loads(ended.out))
    assert {"key": "thence.ended", "value": {"stringValue": "task.ended"}} in span["attributes"]


@pytest.mark.promise("A4d")
def test_endpoint_gets_bounded_batches_with_the_headers_and_no_output_shows_them(tmp_path):
    with package.open(tmp_path / "agent") as log:
        log.append_many([{"event_type": f"n{number}"} for number in range(1_100)])
    with collector() as at:
        at.answers.append((503, {"Retry-After": "0"}, b""))
        env = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20s3cr3t-t0ken,x-team=red"}
        ended = exported(tmp_path, at.url, "--json", "-v", **env)
    assert ended.code == 0, ended.err
    assert ended.json == {
        "spans": 1_100,
        "rejected": 0,
        "endpoint": f"{at.url}/v1/traces",
        "message": "",
    }
    path, headers, _ = at.requests[1]
    assert (path, headers["authorization"], headers["x-team"]) == ("/v1/traces", SECRET, "red")
    assert headers["content-type"] == "application/x-protobuf"
    assert [len(spans_of(body)) for _, _, body in at.requests] == [512, 512, 512, 76]
    assert at.requests[0][2] == at.requests[1][2]
    assert "s3cr3t" not in ended.out + ended.err


@pytest.mark.promise("A4d")
def test_refusal_and_silence_are_three_lines_without_the_headers(agent):
    env = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20s3cr3t-t0ken"}
    with collector() as at:
        at.answers.append((401, {}, b"no right for Bearer s3cr3t-t0ken"))
        refused = exported(agent, at.url, **env)
        at.answers.append((302, {"Location": "http://127.0.0.1:9/"}, b""))
        moved = exported(agent, at.url, **env)
        at.answers.extend([(503, {}, b"later")] * 100)
        busy = exported(agent, at.url, "--wait", "0.5", **env)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        silent = exported(agent, f"http://127.0.0.1:{unused.getsockname()[1]}", "--wait", "0")
    for ended, word in ((refused, "401"), (moved, "302"), (busy, "503"), (silent, "refused")):
        assert ended.code == 1
        assert is_three_lines(ended.err), ended.err
        assert word in ended.err
        assert "s3cr3t" not in ended.err
        assert "after 0 spans that it took" in " ".join(ended.err.split())


def test_certificate_is_verified_and_one_of_its_own_is_named(agent):
    authority, certificate, key = certified(agent)
    with collector((certificate, key)) as at:
        refused = exported(agent, at.url)
        trusted = exported(agent, at.url, SSL_CERT_FILE=authority)
    assert (refused.code, is_three_lines(refused.err)) == (1, True)
    assert "SSL_CERT_FILE" in refused.err
    assert (trusted.code, len(at.spans)) == (0, 4)


def test_bad_addresses_headers_and_options_are_told(agent):
    for address in ("http://", "http://u:pw@host", "http://host:x", "http://ho st", "http://h/a b"):
        ended = exported(agent, address)
        ended.failure(2)
        assert "pw" not in ended.err
        assert "it is not http://HOST" in " ".join(ended.err.split())
    assert exported(agent, "grpc://host:4317").code == 2
    assert exported(agent, "").code == 2
    assert exported(agent, "-", "--json").code == 2
    assert exported(agent, "-", "--csv").code == 2
    assert exported(agent, "-", "-o", "x").code == 2
    bad = exported(agent, "http://127.0.0.1:9", OTEL_EXPORTER_OTLP_HEADERS="s3cr3t")
    assert "OTEL_EXPORTER_OTLP_HEADERS" in bad.err
    assert "s3cr3t" not in bad.err


def imported(cwd, file, *arguments, **kwargs):
    return thence("import", "--otlp", file, "--log", "in", *arguments, cwd=cwd, **kwargs)


@pytest.mark.promise("A4e")
def test_spans_come_in_once_and_why_and_unfinished_know_them(agent):
    exported(agent, "out.jsonl")
    with package.open(agent / "agent") as log:
        cause = log.environment(log.events()[0])
    ended = imported(agent, "out.jsonl", env=cause)
    assert (ended.code, ended.lines) == (0, ["6 events of 4 spans"]), ended.err
    again = imported(agent, "-", "--json", stdin=(agent / "out.jsonl").read_bytes())
    nothing = {"events": 0, "own": 0, "unknown_parents": 0, "circular_causes": 0, "refused": {}}
    assert again.json == {**nothing, "spans": 4, "already": 4}
    why = thence("why", "--log", "in", "pay.failed", cwd=agent)
    assert "pay failed" in " ".join(why.out.split())
    with package.open(agent / "in") as log:
        events = {event.event_type: event for event in log.read()}
        assert events["task.begun"].caused_by == ()
        assert events["seen"].caused_by == (events["task.begun"].event_id,)
        assert (events["task.begun"].header.source, events["task.begun"].subject) == (
            "otlp",
            "order/1",
        )
    unfinished = thence("unfinished", "--log", "in", cwd=agent)
    assert "call began" in " ".join(unfinished.out.split())
    assert "its process has ended" not in " ".join(unfinished.out.split())


@pytest.mark.promise("A4e")
def test_what_was_not_taken_is_told(agent):
    lines = [b'{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}', b"x"]
    exported(agent, "out.jsonl", "--type", "pay.failed")
    lines.append((agent / "out.jsonl").read_bytes())
    ended = imported(agent, "-", stdin=b"\n".join(lines))
    assert (ended.code, ended.lines) == (0, ["2 events of 1 span"])
    assert "refused 1 record: a span that is not a map" in ended.err
    assert "refused 1 record: a line that is not JSON" in ended.err
    assert "1 span with a parent that is not here" in ended.err


@pytest.mark.promise("A4e")
def test_import_waits_for_another_one_and_takes_nothing_twice(agent):
    exported(agent, "out.jsonl")
    package.open(agent / "in").close()
    argv = ("import", "--otlp", "out.jsonl", "--log", "in")
    with file_lock(agent / "in/.thence/import.lock"):
        together = [begin(THENCE, *argv, cwd=agent) for _ in range(2)]
        with pytest.raises(subprocess.TimeoutExpired):
            together[0].wait(4)
    ends = [process.communicate(timeout=100) for process in together]
    assert sorted(out for out, _ in ends) == ["0 events of 4 spans\n", "6 events of 4 spans\n"]


def test_what_holds_no_span_and_a_log_of_another_kind_are_errors(agent):
    (agent / "spans.pb").write_bytes(b"\n\x10\x00\x01")
    (agent / "empty").touch()
    (agent / "text").write_text("hello\n")
    for name, word in (
        ("spans.pb", "`format: json`"),
        ("empty", "it is empty"),
        ("text", "1 × a line that is not JSON"),
    ):
        ended = thence("import", "--otlp", name, "--log", "new", cwd=agent)
        assert word in ended.failure(2)
        assert not (agent / "new").exists()
    exported(agent, "out.jsonl")
    with package.open(agent / "run", vocabulary="sim"):
        pass
    ended = thence("import", "--otlp", "out.jsonl", "--log", "run", cwd=agent)
    assert (ended.code, "of another kind" in ended.err) == (2, True)
    assert thence("import", cwd=agent).code == 2
    assert thence("import", "--otlp", "nowhere", cwd=agent).code == 2
