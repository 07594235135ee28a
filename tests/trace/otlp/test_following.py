"""A follower sends each span once its end is in the log, and goes on after a kill."""

import hashlib
import json
import os
import signal
import sys
from contextlib import contextmanager

import pytest
from tests.cli.installed import THENCE, begin, thence
from tests.log.processes import APPEND, started
from tests.trace.otlp.collector import collector

import thence as package
from thence.core.new_event import HostEvent

WAIT_S = 60


@contextmanager
def following(folder, url, *arguments, **env):
    words = ("export", "--log", "agent", "--otlp", url, "--follow", *arguments)
    process = begin(THENCE, *words, cwd=folder, **env)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def sent(process, count):
    """Waits until so many spans were sent, as the command reports them."""
    total = 0
    while total < count:
        total += int(process.stderr.readline().split()[0].replace(",", ""))
    return total


def names(at):
    return [span["name"] for span in at.spans]


def cursor(folder, url):
    name = hashlib.sha256(f"{url}/v1/traces".encode()).hexdigest()[:16]
    return folder / "agent/.thence/followers" / f"otlp-{name}"


@pytest.mark.promise("A4d")
def test_span_is_sent_when_its_end_is_there_and_an_open_one_is_not(tmp_path):
    with collector() as at, package.open(tmp_path / "agent") as log:
        log.append("before")
        with following(tmp_path, at.url) as process:
            assert sent(process, 1) == 1
            with package.step("task", log=log):
                log.append("inside")
                assert sent(process, 1) == 1
            assert sent(process, 1) == 1
            os.kill(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=WAIT_S)
        assert (process.returncode, out, err) == (130, "", "")
        assert names(at) == ["before", "inside", "task"]
        inside, task = at.spans[1:]
        assert inside["parentSpanId"] == task["spanId"]
        assert cursor(tmp_path, at.url).is_file()


@pytest.mark.promise("A4d")
def test_killed_follower_goes_on_and_nothing_is_lost(tmp_path):
    with collector() as at, package.open(tmp_path / "agent") as log:
        for round_number in range(3):
            step = package.step(f"task {round_number}", log=log)
            step.__enter__()
            with following(tmp_path, at.url) as process:
                log.append(f"first {round_number}")
                sent(process, 1)
            log.append(f"second {round_number}")
            step.__exit__(None, None, None)
        with following(tmp_path, at.url) as process:
            while {f"task {n}" for n in range(3)} - {*names(at)}:
                sent(process, 1)
    words = ("first", "second", "task")
    assert {*names(at)} == {f"{word} {n}" for word in words for n in range(3)}
    spans = {span["name"]: span["spanId"] for span in at.spans}
    assert {span["spanId"] for span in at.spans} == {*spans.values()}
    for span in at.spans:
        if span["name"].startswith("second"):
            assert span["parentSpanId"] == spans[f"task {span['name'][-1]}"]


@pytest.mark.promise("A4d")
def test_rotated_redacted_and_pruned_log_is_followed_on(tmp_path):
    with collector() as at:
        with package.open(tmp_path / "agent") as log:
            secret = log.append("secret", {"word": "hunter2"})
        with following(tmp_path, at.url) as process:
            sent(process, 1)
            writer = started(APPEND, tmp_path / "agent", 100, "a")
            sent(process, 100)
            writer.communicate(timeout=WAIT_S)
        words = ("redact", "--log", "agent", secret.event_id, "--reason", "a test", "--yes")
        ended = thence(*words, cwd=tmp_path)
        assert ended.code == 0, ended.err
        before = len([*(tmp_path / "agent").glob("events*.jsonl")])
        ended = thence("prune", "--log", "agent", "--keep-bytes", "4000", "--yes", cwd=tmp_path)
        assert ended.code == 0, ended.err
        assert len([*(tmp_path / "agent").glob("events*.jsonl")]) < before
        count = len(at.spans)
        with package.open(tmp_path / "agent") as log, following(tmp_path, at.url) as process:
            log.append("after")
            while "after" not in names(at):
                sent(process, 1)
    assert count == 101
    assert [name for name in names(at)[count:] if not name.startswith("log.")] == ["after"]


@pytest.mark.promise("A4d")
def test_what_a_killed_process_left_open_is_sent_with_open_alone(tmp_path):
    program = (
        "import os, signal, sys, thence\n"
        "log = thence.open('agent')\n"
        "with thence.step('call', log=log):\n"
        "    log.append('inside')\n"
        "    sys.stdin.read()\n"
    )
    with collector() as at:
        writer = begin(sys.executable, "-c", program, cwd=tmp_path)
        while not (tmp_path / "agent/events.jsonl").exists():
            os.sched_yield()
        with following(tmp_path, at.url, "--open") as process:
            sent(process, 1)
            writer.kill()
            writer.communicate()
            sent(process, 1)
        assert names(at) == ["inside", "call"]
        facts = {pair["key"]: pair["value"] for pair in at.spans[1]["attributes"]}
        assert facts["thence.unfinished"] == {"boolValue": True}
        # another follower finds nothing more
        state = json.loads(cursor(tmp_path, at.url).read_bytes())
        assert state["open"] == []


@pytest.mark.promise("A4d")
def test_log_that_cannot_be_written_has_its_cursor_in_the_cache(tmp_path):
    with package.open(tmp_path / "agent") as log:
        log.append_many([HostEvent("call.begun", begins=True), HostEvent("seen")])
    # a file in the place of the folder: root may write into any
    (tmp_path / "agent/.thence/followers").touch()
    states = []
    with collector() as at:
        for _ in range(2):
            with following(tmp_path, at.url, XDG_CACHE_HOME=str(tmp_path / "cache")) as process:
                if not at.requests:
                    sent(process, 1)
                while not states:
                    states += (tmp_path / "cache").glob("thence/*/followers/otlp-" + "?" * 16)
                with package.open(tmp_path / "agent") as log:
                    log.append(f"after {len(at.requests)}")
                sent(process, 1)
    assert names(at) == ["seen", "after 1", "after 2"]
    assert len(json.loads(states[0].read_bytes())["open"]) == 1


def test_second_follower_to_the_same_url_is_refused(tmp_path):
    with collector() as at, package.open(tmp_path / "agent") as log:
        log.append("seen")
        with following(tmp_path, at.url) as process:
            sent(process, 1)
            ended = thence("export", "--log", "agent", "--otlp", at.url, "--follow", cwd=tmp_path)
    assert ended.code == 1
    assert "it is held" in ended.err


def test_follower_waits_for_an_endpoint_and_says_so(tmp_path):
    with collector() as at, package.open(tmp_path / "agent") as log:
        at.answers.extend([(503, {}, b"later")] * 3)
        log.append("seen")
        with following(tmp_path, at.url, "--wait", "0.1") as process:
            assert "it is tried again" in process.stderr.readline()
            sent(process, 1)
    assert names(at) == ["seen"] * 4


def test_options_that_do_not_go_together_are_refused(tmp_path):
    for words in (["--otlp", "x", "--follow"], ["--follow", "--csv"]):
        assert thence("export", *words, cwd=tmp_path).code == 2
    assert thence("export", "--otlp", "http://h", "--follow", "--limit", 1, cwd=tmp_path).code == 2


def test_cursor_that_is_spoilt_begins_anew_and_a_refusal_ends_it(tmp_path):
    with collector() as at, package.open(tmp_path / "agent") as log:
        log.append("seen")
        with following(tmp_path, at.url) as process:
            sent(process, 1)
        cursor(tmp_path, at.url).write_text('{"position":')
        with following(tmp_path, at.url) as process:
            sent(process, 1)
            at.answers.append((401, {}, b"no"))
            log.append("refused")
            _, err = process.communicate(timeout=WAIT_S)
            assert process.returncode == 1
            assert "it answered 401: no" in " ".join(err.split())
        with following(tmp_path, at.url) as process:
            sent(process, 1)
    assert names(at) == ["seen", "seen", "refused", "refused"]
