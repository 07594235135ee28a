"""One folder's log, opened: appended, read back, asked why; drained at every end."""

import json
import re
import signal
from concurrent.futures import ProcessPoolExecutor
from copy import copy
from datetime import UTC, datetime
from multiprocessing import get_context
from operator import attrgetter
from pathlib import Path

import pytest
from tests.events import drafted, line_of
from tests.log.processes import ran

import thence
from thence.core.codec import CAUSES_MAX
from thence.core.ids import is_ulid
from thence.core.vocabulary import WORK
from thence.errors import EventNotFound, InvalidEvent
from thence.log.open import open_host_log


@pytest.mark.promise("P1")
def test_appended_event_is_what_was_said_and_what_is_in_the_file(log, tmp_path):
    before = datetime.now(UTC)
    event = log.append("refund.begun", {"n": 1, "é": [None]}, subject="o/1", actor="w", stream="s")
    assert is_ulid(event.event_id)
    assert (event.event_type, event.subject, event.actor) == ("refund.begun", "o/1", "w")
    assert (event.stream, event.seq, event.lamport_clock) == ("s", 1, 1)
    assert before <= datetime.fromisoformat(event.timestamp) <= datetime.now(UTC)
    assert json.loads((tmp_path / "events.jsonl").read_bytes())["payload"] == {"n": 1, "é": [None]}
    assert log.get(event.event_id) == event
    assert list(log.read()) == [event]
    bare = log.append("t")
    assert (bare.payload, bare.subject, bare.actor, bare.stream) == ({}, None, None, None)


@pytest.mark.promise("P1")
def test_event_reaches_a_spawned_process(log):
    event = log.append("t", {"list": [1]}, subject="s")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        asked = attrgetter("payload", "subject", "seq", "vocabulary.name")
        assert pool.submit(asked, event).result() == ({"list": [1]}, "s", 1, "plain")
        assert pool.submit(copy, event).result() == event


@pytest.mark.promise("P1")
def test_payload_is_taken_as_it_is_when_it_is_emitted(log):
    payload = {"list": [1]}
    event_id = log.emit("t", payload)
    payload["list"].append(2)
    log.flush()
    assert log.get(event_id).payload == {"list": [1]}


@pytest.mark.promise("P1")
def test_why_goes_back_to_the_root_and_effects_forward(log):
    root = log.append("order.placed", subject="order/1")
    step = log.append("order.paid", caused_by=[root])
    other = log.append("unrelated")
    last = log.append("order.shipped", caused_by=[step.event_id])
    why = log.why(last)
    assert why.chain == (root, step, last)
    assert why.cone == ((step, 1), (root, 2))
    assert len(why.sentences) == 3
    for sentence, event in zip(why.sentences, why.chain, strict=True):
        assert sentence.endswith("]")
        assert sentence[sentence.rindex("[") + 1 : -1] == event.event_id[:18]
        assert log.resolve(event.event_id[:18]) == event
    effects = log.effects(root.event_id)
    assert effects.cone == ((step, 1), (last, 2))
    assert log.effects(other).cone == ()
    assert not why.truncated
    assert not effects.truncated
    for ask in (log.why, log.effects, log.get):
        with pytest.raises(EventNotFound):
            ask("0" * 26)


def test_events_come_in_total_order(log, tmp_path):
    foreign = b'{"event_id":"x","timestamp":"9"}\n'
    other = line_of(node_id="f" * 12, lamport_clock=1)
    (tmp_path / "events.jsonl").write_bytes(other + foreign)
    mine = [log.append("t") for _ in range(2)]
    assert [event.lamport_clock for event in mine] == [2, 3]
    assert [event.lamport_clock for event in log.events()] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (("",), "event_type"),
        ((7,), "event_type"),
        (("t", [1]), "payload"),
        (("t", {"a": object()}), "payload.a"),
        (("t", {"a": float("nan")}), "payload.a"),
        (("t", {"a": 2**70}), "payload.a"),
    ],
)
def test_what_can_not_be_stored_is_refused_before_a_number_is_taken(log, arguments, place):
    for call in (log.append, log.emit):
        with pytest.raises(InvalidEvent) as caught:
            call(*arguments)
        assert caught.value.place == f"field {place}"
    assert log.append("next").seq == 1


@pytest.mark.parametrize("field", ["subject", "actor", "stream"])
@pytest.mark.parametrize("value", [7, b"x", "\ud800"])
def test_words_that_are_no_text_are_refused(log, field, value):
    with pytest.raises(InvalidEvent):
        log.append("t", **{field: value})
    with pytest.raises(InvalidEvent):
        log.append("t\ud800")
    assert list(log.read()) == []


def test_log_in_a_folder_whose_name_is_no_utf_8_tells_its_failures(tmp_path):
    folder = Path(str(tmp_path) + "/\udcff")
    with thence.open(folder) as log:
        log.append("a")
        (folder / "events.jsonl").unlink()
        (folder / "events.jsonl").mkdir()
        with pytest.raises(thence.errors.ThenceError):
            log.append("b")
        (folder / "events.jsonl").rmdir()
        log.append("c")
        assert [event.event_type for event in log.read()] == ["log.write_failed", "c"]


ENDS = {
    "end of the interpreter": "log.emit('last')",
    "unhandled exception": "log.emit('last'); raise RuntimeError('unhandled')",
    "sys.exit": "log.emit('last'); sys.exit(3)",
    "exit in a thread": (
        "t = threading.Thread(target=lambda: log.emit('last')); t.start(); t.join()"
    ),
    "garbage collection": "log.emit('last'); del log; print('gone', flush=True)",
    "garbage collection of a circle": (
        "log.emit('last'); c = [log]; c.append(c); del log, c; gc.collect()"
    ),
    "atexit": "atexit.register(lambda: log.emit('last'))",
    "interrupt": "log.emit('last'); os.kill(os.getpid(), signal.SIGINT); log.emit('never')",
}
CODES = {"unhandled exception": 1, "sys.exit": 3, "interrupt": -signal.SIGINT}


@pytest.mark.promise("W6")
@pytest.mark.parametrize("end", ENDS)
def test_what_was_emitted_is_drained_at_every_end(tmp_path, end):
    code = f"""
import atexit, gc, os, signal, sys, threading
import thence
log = thence.open(sys.argv[1])
for n in range(500):
    log.emit("t", {{"n": n}})
{ENDS[end]}
"""
    done = ran(code, tmp_path, check=False)
    assert done.returncode == CODES.get(end, 0)
    assert ("Traceback" in done.stderr) == (CODES.get(end, 3) != 3), done.stderr
    events = list(thence.open(tmp_path).read())
    assert [event.payload["n"] for event in events[:-1]] == list(range(500))
    assert events[-1].event_type == "last"


SOURCES = Path(thence.__file__).parent


@pytest.mark.parametrize("timeout_s", [None, 30])
def test_host_that_encodes_its_events_goes_by_the_path_behind_the_notices_of_causes(
    tmp_path, timeout_s
):
    seen = []

    def encode(event, causes, external):
        seen.append(external)
        return drafted(event, "t", {}, causes)

    with thence.open(tmp_path / "other") as other, thence.open(tmp_path / "log") as log:
        causes = [log.append("t").event_id for _ in range(CAUSES_MAX + 1)]
        with thence.step("outer", log=other) as outer:
            take, put = log._host_appender(encode, timeout_s)
            assert not take([("one", tuple(causes)), ("two", (outer.event_id,))])
            assert put("three", (outer.event_id,))
        log.flush()
        *_, first, second, one, two, three = log.read()
        handed_on = other.environment(outer)["THENCE_CAUSE"]
    assert one.caused_by == (first.event_id, second.event_id)
    assert first.caused_by + second.caused_by == tuple(causes)
    assert (two.event_id, two.caused_by) == ("two", (outer.event_id,))
    assert (three.event_id, three.caused_by) == ("three", (outer.event_id,))
    assert seen == [(), (handed_on,), (handed_on,)]


def test_no_host_reaches_behind_the_log():
    """Import-linter holds the imports; this, the parts of a log that is held, but for its door."""
    parts = re.compile(r"\b_?log\._(?!host_append)[a-z]")
    assert parts.search("self._log._committer")
    for path in SOURCES.rglob("*.py"):
        assert not parts.search(path.read_text("utf-8")), path


def test_events_of_one_append_name_each_other_as_heads_of_work(tmp_path):
    words = {"subject": "WP01", "stream": "001-sync"}
    with open_host_log(tmp_path, WORK) as log:
        first = log.append("a", **words)
        other = log.append("b", subject="WP02", stream="001-sync")
        many = log.append_many([{"event_type": name, **words} for name in "cd"])
    assert [event.caused_by for event in many] == [(first.event_id,), (many[0].event_id,)]
    assert not other.caused_by


def test_remark_is_no_head_for_what_decides(tmp_path):
    words = {"subject": "WP01", "stream": "001-sync"}
    with open_host_log(tmp_path, WORK) as log:
        decided = log.append("WPStatusChanged", **words)
        remark = log.append("HistoryAdded", **words)
        assert remark.caused_by == (decided.event_id,)
        assert log.append("WPStatusChanged", **words).caused_by == (decided.event_id,)


def test_log_by_a_relative_path_stays_where_it_is_when_the_program_changes_its_folder(
    tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    log = thence.open("orders")
    log.append("order.placed", {"amount": 1})
    log.emit("order.queued")
    monkeypatch.chdir(elsewhere)
    log.append("order.paid", {"text": "x" * 2_000})
    assert len(log.query().events) == 3
    log.close()
    assert not list(elsewhere.iterdir())
    with thence.open(tmp_path / "orders", create=False) as again:
        assert [event.event_type for event in again.read()] == [
            "order.placed",
            "order.queued",
            "order.paid",
        ]
