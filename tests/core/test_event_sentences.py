"""One event as one sentence that ends in its short id."""

import pytest
from tests.events import drafted, event_of, line_of, stamped

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.sentences.events import (
    NOTICE_ERROR_TYPES,
    SENTENCE_CHARACTERS_MAX,
    duration,
    short_id,
    shown,
    type_words,
)
from thence.core.vocabulary import PLAIN, SIM, WORK

ID = "01KAG0QV3J0000000144SGTKJP"
GAP = "events that an earlier writer had queued may have been lost when it ended"


def said(event_type, details, **members):
    made = drafted(ID, event_type, {"turn_number": 5, **members, "details": details})
    event = parse(stamped(made, 1, 1)[:-1], SIM)
    assert isinstance(event, Event)
    return SIM.sentence(event)


CALL = {
    "error_type": "llm_call",
    "status": "failure",
    "endpoint": "local",
    "error": "no field `do`",
}


@pytest.mark.parametrize(
    ("event_type", "details", "members", "sentence"),
    [
        ("MILESTONE", {"milestone_type": "turn_start"}, {}, "Turn 5 began"),
        ("MILESTONE", {"milestone_type": "turn_end"}, {}, "Turn 5 ended"),
        ("MILESTONE", {"milestone_type": "simulation_start"}, {}, "The simulation began"),
        ("MILESTONE", {"milestone_type": "simulation_end"}, {}, "The simulation ended in turn 5"),
        (
            "MILESTONE",
            {"milestone_type": "phase_transition"},
            {},
            "In turn 5 a phase transition was reached",
        ),
        (
            "DECISION",
            {"new_value": {"sell": 3}},
            {"agent_id": "ada"},
            "In turn 5 ada decided: sell 3",
        ),
        ("ACTION", {"action_type": "rest"}, {"agent_id": "ada"}, "In turn 5 ada did rest"),
        (
            "ACTION",
            {"action_type": "sell", "action_payload": {"good": "salt", "n": [1, 2]}},
            {"agent_id": "ada"},
            "In turn 5 ada did sell (good salt, n 1, 2)",
        ),
        (
            "STATE",
            {"scope": "agent/ada", "variable_name": "money", "old_value": None, "new_value": 1 / 3},
            {},
            "In turn 5 agent/ada/money went from nothing to 0.3333",
        ),
        (
            "SYSTEM",
            {"error_type": "action_retried"},
            {"agent_id": "ada", "description": "no"},
            "In turn 5 the system noted action retried for ada: no",
        ),
        (
            "SYSTEM",
            {"error_type": "action_rejected", "status": "failure", "reason": "too poor", "n": 1},
            {"agent_id": "ada"},
            "In turn 5 the system noted action rejected for ada: too poor, n 1",
        ),
        (
            "SYSTEM",
            {
                "error_type": "agent_failed",
                "status": "failure",
                "error": "RuntimeError: the pencil broke",
                "reads": ["agent/ada/money"],
            },
            {"agent_id": "ada"},
            "RuntimeError: the pencil broke (agent failed for ada in turn 5)",
        ),
        (
            "SYSTEM",
            {**CALL, "model": "qwen", "tokens_in": 20, "tokens_out": 5},
            {"agent_id": "ada"},
            "the answer could not be used: no field `do` (ada asked qwen of local in turn 5)",
        ),
        ("SYSTEM", CALL, {}, "no answer: no field `do` (the engine asked local in turn 5)"),
        (
            "SYSTEM",
            {"error_type": "log_gap", "status": "warning", "retry_count": 0},
            {},
            "events that an earlier writer had queued may have been lost when it ended",
        ),
        ("OTHER", {"a": 1}, {"agent_id": "ada"}, "ada: other: a 1"),
        # what says little is told all the same
        ("MILESTONE", {}, {}, "In turn 5 a milestone was reached"),
        ("MILESTONE", {"milestone_type": "turn_start"}, {"turn_number": None}, "Turn 0 began"),
        ("DECISION", {}, {"agent_id": "ada"}, "In turn 5 ada decided: nothing"),
        ("ACTION", {}, {"agent_id": "ada"}, "In turn 5 ada did something"),
        ("ACTION", {"action_type": "rest"}, {}, "In turn 5 somebody did rest"),
        ("DECISION", {"new_value": 1}, {}, "In turn 5 somebody decided: 1"),
        ("STATE", {"new_value": 1}, {}, "In turn 5 something went from nothing to 1"),
        ("STATE", {"variable_name": "rain"}, {}, "In turn 5 rain went from nothing to nothing"),
        (
            "STATE",
            {
                "scope": "world",
                "variable_name": "rain",
                "old_value": True,
                "new_value": [1.25, "x"],
            },
            {},
            "In turn 5 world/rain went from True to 1.25, x",
        ),
        ("SYSTEM", {}, {}, "In turn 5 the system noted note"),
        (
            "SYSTEM",
            {"error_type": "a_b_c"},
            {"description": "so it was"},
            "In turn 5 the system noted a b c: so it was",
        ),
        ("OTHER", {}, {"description": "Rain fell."}, "Rain fell."),
    ],
)
def test_event_of_a_simulation_is_told(event_type, details, members, sentence):
    assert said(event_type, details, **members) == f"{sentence} [{short_id(ID)}]"


@pytest.mark.parametrize("kind", ["agent_failed", "run_failed", "llm_call"])
@pytest.mark.parametrize("agent", ["ada", "a" * 500, None])
def test_sentence_of_a_failure_begins_with_its_cause_and_is_short(kind, agent):
    for error in ("the stock is gone, " * 40, "x" * 5_000, "\u202e<b>"):
        details = {"error_type": kind, "status": "failure", "error": error, "reads": ["a"] * 99}
        text = said("SYSTEM", details, agent_id=agent).rpartition(" [")[0]
        assert text.removeprefix("no answer: ").startswith(error[:60])
        assert len(text) < 160


PASSED = {"gate_id": "G1", "old_status": "open", "new_status": "passed"}


def done(event_type, payload, about="WP01", actor="ada", feature="001-tea"):
    members = {"feature_slug": feature, "aggregate_id": about, "actor": actor, "payload": payload}
    event = parse(stamped(drafted(ID, event_type, members), 1, 1)[:-1], WORK)
    assert isinstance(event, Event)
    return WORK.sentence(event)


@pytest.mark.parametrize(
    ("event_type", "payload", "sentence"),
    [
        (
            "WPStatusChanged",
            {"previous_status": "planned", "old_status": "new", "new_status": "doing"},
            "ada moved 001-tea/WP01 from planned to doing",
        ),
        (
            "WPStatusChanged",
            {"old_status": "doing", "new_status": "planned", "reason": "killed"},
            "ada moved 001-tea/WP01 from doing to planned: killed",
        ),
        (
            "WPStatusChanged",
            {"new_status": "planned"},
            "ada moved 001-tea/WP01 from nothing to planned",
        ),
        ("WPCreated", {"title": "The pot"}, "ada planned 001-tea/WP01, The pot"),
        (
            "WPCreated",
            {"title": "The cup", "dependencies": ["WP02", "WP03"]},
            "ada planned 001-tea/WP01, The cup, after WP02, WP03",
        ),
        ("WPAssigned", {"agent_id": "ben"}, "001-tea/WP01 was given to ben for implementation"),
        (
            "WPAssigned",
            {"agent_id": "ben", "phase": "review"},
            "001-tea/WP01 was given to ben for review",
        ),
        ("FeatureCreated", {"wp_count": 2}, "ada cut feature 001-tea into 2 work packages"),
        ("FeatureCompleted", {}, "Feature 001-tea was completed"),
        (
            "HistoryAdded",
            {"entry_type": "review", "entry_content": "good"},
            "ada left a review on 001-tea/WP01: good",
        ),
        ("HistoryAdded", {"entry_content": "so"}, "ada left a note on 001-tea/WP01: so"),
        ("ErrorLogged", {"error_message": "no"}, "ada met an error on 001-tea/WP01: no"),
        (
            "DependencyResolved",
            {"dependency_wp_id": "WP02", "resolution_type": "completed"},
            "WP02, which 001-tea/WP01 needs, is completed",
        ),
        ("SpecCreated", {"title": "Tea"}, "ada wrote the spec of 001-tea, Tea"),
        (
            "WorkspaceCreated",
            {"work_package_id": "WP01", "branch_name": "001-tea-WP01"},
            "ada made the branch 001-tea-WP01 for WP01",
        ),
        (
            "WPReviewed",
            {"commit": "0123456789abcdef", "base": "0"},
            "ada handed in 001-tea/WP01 at commit 0123456789ab",
        ),
        (
            "WPLanded",
            {"how": "patch", "commit": "0123456789abcdef"},
            "The code of 001-tea/WP01 is in its target, at commit 0123456789ab",
        ),
        (
            "WPLanded",
            {"how": "no_code", "reason": "talk"},
            "001-tea/WP01 has no code to be merged: talk",
        ),
        (
            "SubtaskCompleted",
            {"work_package_id": "WP02", "subtask_text": "boil"},
            "ada ticked 001-tea/WP01 of WP02: boil",
        ),
        (
            "SubtaskReopened",
            {"work_package_id": "WP02", "subtask_text": "boil"},
            "ada reopened 001-tea/WP01 of WP02: boil",
        ),
        (
            "GateCreated",
            {"work_package_id": "WP02", "gate_type": "taste"},
            "ada set the gate taste before WP02",
        ),
        ("GateResultChanged", PASSED, "ada moved gate G1 from open to passed"),
        (
            "GateResultChanged",
            {**PASSED, "result_data": {"gate_type": "CI_CHECK"}},
            "ada moved gate CI_CHECK from open to passed",
        ),
    ],
)
def test_event_of_work_is_told(event_type, payload, sentence):
    assert done(event_type, payload) == f"{sentence} [{short_id(ID)}]"


def test_work_of_nobody_on_a_feature_itself_or_nothing_is_told_too():
    told = {"entry_content": "so"}
    assert done("HistoryAdded", told, actor=None).startswith("somebody left a note on 001-tea/WP01")
    assert done("HistoryAdded", told, about="001-tea").startswith("ada left a note on 001-tea: so")
    assert done("HistoryAdded", told, about=None).startswith("ada left a note on 001-tea/something")
    assert done("HistoryAdded", told, feature=None).startswith("ada left a note on WP01: so")


def plainly(event_type, payload=None, **members):
    return event_of(stamped(drafted(ID, event_type, {**members, "payload": payload or {}}), 1, 1))


DECLINED = {"error_type": "CardDeclined", "error_message": "gateway gave up after 3 attempts"}
ORDER = {"subject": "order/881"}


@pytest.mark.parametrize(
    ("event", "sentence", "in_columns"),
    [
        (
            plainly("fulfil.failed", {**DECLINED, "duration_s": 0.093}, **ORDER),
            "order/881 fulfil failed after 93 ms: CardDeclined: gateway gave up after 3 attempts",
            "order/881 after 93 ms: CardDeclined: gateway gave up after 3 attempts",
        ),
        (
            plainly("fulfil.begun", {"amount": 12}, actor="bob", **ORDER),
            "bob: order/881 fulfil began: amount 12",
            "order/881: amount 12",
        ),
        (
            plainly("fulfil.ended", {"duration_s": 61}, **ORDER),
            "order/881 fulfil ended after 1 min 1 s",
            "order/881 after 1 min 1 s",
        ),
        (
            plainly("fulfil.cancelled", {"error_type": "CancelledError", "duration_s": 0.5}),
            "fulfil was cancelled after 500 ms",
            "after 500 ms",
        ),
        (
            plainly("fulfil.cancelled", {"error_type": "Stop", "error_message": "shut down"}),
            "fulfil was cancelled: Stop: shut down",
            "Stop: shut down",
        ),
        (
            plainly("order.placed", {"amount": 12, "sku": "x"}, **ORDER),
            "order/881 placed: amount 12, sku x",
            "order/881: amount 12, sku x",
        ),
        (
            plainly("order.placed", {"amount": 1299.99}, subject="customer/7"),
            "customer/7 order placed: amount 1299.99",
            "customer/7: amount 1299.99",
        ),
        (
            plainly("order.paid", actor="bob", subject="order/1"),
            "bob: order/1 paid",
            "order/1",
        ),
        (plainly("order", {"n": 1}, subject="order/1"), "order/1 order: n 1", "order/1: n 1"),
        (plainly("note", {"text": "hello"}), "note: hello", "hello"),
        (plainly("noted"), "noted", ""),
        (
            plainly("ToolCallFailed", {"tool": "web", "error": {"type": "E", "message": "a\n b"}}),
            "tool call failed: E: a b (tool web)",
            "E: a b (tool web)",
        ),
        (
            plainly("llm_call", {"prompt": "x" * 90, "ok": False, "duration_ms": 1500, "n": None}),
            "llm call in 1.5 s: ok false, prompt " + "x" * 63 + "…",
            "in 1.5 s: ok false, prompt " + "x" * 63 + "…",
        ),
        (
            plainly("a", {"type": "a", "who": "bob", "items": [1, {"b": 2}]}, actor="bob"),
            "bob: a: items (1, b 2)",
            "items (1, b 2)",
        ),
        (
            plainly("a", dict.fromkeys("bcdefg", 1)),
            "a: b 1, c 1, d 1, e 1",
            "b 1, c 1, d 1, e 1",
        ),
        (
            plainly("a", {"b": 1, "error": "no"}, description="It rained.", **ORDER),
            "order/881: It rained.: no",
            "order/881: It rained.: no",
        ),
        (plainly("log.gap"), GAP, GAP),
    ],
)
def test_event_of_any_program_is_told(event, sentence, in_columns):
    assert PLAIN.sentence(event) == f"{sentence} [{short_id(ID)}]"
    assert PLAIN.summary(event) == sentence
    assert PLAIN.in_columns(event) == in_columns


def test_sentence_is_short_whatever_the_event_holds():
    long = "x" * 2_000
    for vocabulary in (PLAIN, SIM, WORK):
        members = {"subject": long, "actor": long, "agent_id": long, "aggregate_id": long}
        body = {long: long, "a": [long] * 99, "error": long}
        bodies = {"payload": body, "details": body}
        line = stamped(drafted(ID, long, members | bodies), 1, 1)
        event = event_of(line, vocabulary)
        assert len(vocabulary.summary(event)) <= SENTENCE_CHARACTERS_MAX
        assert len(vocabulary.in_columns(event)) <= SENTENCE_CHARACTERS_MAX


def test_notices_read_the_same_in_every_vocabulary():
    for kind, error_type in NOTICE_ERROR_TYPES.items():
        facts = {"count": 3, "bytes": 5, "file": "events.jsonl", "offset": 7}
        members = {"payload": facts, "details": {**facts, "error_type": error_type}}
        told = {
            vocabulary.summary(event_of(stamped(drafted(ID, name, members), 1, 1), vocabulary))
            for vocabulary, name in ((PLAIN, f"log.{kind}"), (WORK, f"log.{kind}"), (SIM, "SYSTEM"))
        }
        assert len(told) == 1
        assert not told & {f"log {kind}", f"log.{kind}"}


def test_long_values_are_cut():
    assert shown("x" * 64) == "x" * 64
    assert shown("x" * 65) == "x" * 63 + "…"
    assert len(shown(list(range(100)))) == 64


def test_values_are_shown_as_a_reader_would_write_them():
    assert shown(None) == "nothing"
    assert shown(1234567.0) == "1.235e+06"
    assert shown({"a": {"b": None}, "c": (1, 2)}) == "a b nothing, c 1, 2"
    assert shown([]) == shown({}) == ""
    assert shown(list("x" * 40)) == ", ".join("x" * 40)[:63] + "…"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 ms"),
        (0.0204, "20.4 ms"),
        (0.9999, "1 s"),
        (1.5, "1.5 s"),
        (59.99, "60 s"),
        (60, "1 min 0 s"),
        (3_725, "1 h 2 min"),
        (86_400 * 400, "400 d 0 h"),
    ],
)
def test_spans_are_told_in_two_units(seconds, told):
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("event_type", "kind", "words"),
    [
        ("order.placed", "order", "placed"),
        ("order.placed", "customer", "order placed"),
        ("order", "order", "order"),
        ("LLMCallFailed", "", "LLM call failed"),
        ("TOOL_CALL", "", "tool call"),
        ("a.b.begun", "", "a b began"),
        ("cancelled", "", "cancelled"),
        ("cancelled", "order", "was cancelled"),
        ("...", "", ""),
    ],
)
def test_type_is_written_as_words(event_type, kind, words):
    assert type_words(event_type, kind) == words


SHRUNK = "the log ends before what it had made durable: it was cut or restored"


@pytest.mark.parametrize(
    ("kind", "facts", "sentence"),
    [
        (
            "gap",
            {"reason": "killed", "node_id": "ab", "durable_seq": 1200},
            f"{GAP}; its last durable event is 1,200 of node ab",
        ),
        (
            "gap",
            {"reason": "killed"},
            "events that an earlier writer had queued may have been lost when it ended",
        ),
        (
            "recovered",
            {"file": "events.jsonl", "offset": 4096, "bytes": 17, "quarantine": "q/x"},
            "17 bytes that are not a whole event were moved from byte 4,096 of events.jsonl to q/x",
        ),
        (
            "recovered",
            {"places": 2, "bytes": 1, "missing": 3, "rewritten": True},
            "a repair moved 2 bad places, 1 byte, to quarantine; 3 own events are missing there",
        ),
        (
            "recovered",
            {"file": "events.jsonl", "rewritten": True},
            "a redaction wrote events.jsonl anew",
        ),
        (
            "torn",
            {"file": "f", "offset": 0, "bytes": 9, "reason": "crc", "first_seq": 3, "last_seq": 5},
            "9 bytes at byte 0 of f are damaged (crc); own events 3 to 5 are missing there",
        ),
        (
            "torn",
            {"file": "f", "offset": 0, "bytes": 9, "regions": 2},
            "9 bytes at byte 0 of f are damaged in 2 regions",
        ),
        ("joined", {"count": 32}, "represents 32 causes of the next event"),
        (
            "node_changed",
            {"old_node_id": "a", "new_node_id": "b", "reason": "copied"},
            "the log's node changed from a to b: copied",
        ),
        (
            "segment_suspect",
            {"file": "f", "offset": 5, "bytes": 7},
            "the device failed to keep 7 bytes at byte 5 of f; a newer file holds them again",
        ),
        ("events_dropped", {"count": 3}, "3 events were dropped because the queue was full"),
        (
            "write_failed",
            {"count": 2, "reason": "no space"},
            "2 events could not be written: no space",
        ),
        (
            "shrunk",
            {"node_id": "a", "first_seq": 5, "last_seq": 9},
            f"{SHRUNK}; events 5 to 9 of node a are gone",
        ),
        (
            "shrunk",
            {"node_id": "a", "first_seq": 5, "last_seq": 9, "file": "f", "offset": 7, "bytes": 1},
            f"{SHRUNK}; events 5 to 9 of node a and 1 byte behind byte 7 of f are gone",
        ),
        ("shrunk", {"seq": 4}, SHRUNK),
    ],
)
def test_notice_is_a_sentence_with_its_facts(kind, facts, sentence):
    event = event_of(line_of(facts, event_type=f"log.{kind}"))
    assert PLAIN.summary(event) == PLAIN.in_columns(event) == sentence


@pytest.mark.parametrize("wrong", [None, "x", -1, [], {"a": 1}, True, 1.5])
def test_notice_with_facts_of_other_kinds_is_told_all_the_same(wrong):
    names = ("count", "bytes", "file", "offset", "quarantine", "reason", "places", "regions")
    names += ("first_seq", "last_seq", "old_node_id", "new_node_id")
    kinds = ("gap", "recovered", "torn", "joined", "node_changed", "segment_suspect", "shrunk")
    for kind in kinds:
        event = event_of(line_of(dict.fromkeys(names, wrong), event_type=f"log.{kind}"))
        assert PLAIN.summary(event)
