"""What a log says about itself, in sentences."""

import pytest
from tests.events import event_of, line_of

from thence.core.values.vocabulary import PLAIN

GAP = "events that an earlier writer had queued may have been lost when it ended"
SHRUNK = "the log ends before what it had made durable: it was cut or restored"


@pytest.mark.parametrize(
    ("kind", "facts", "sentence"),
    [
        (
            "gap",
            {"count": None, "reason": "killed", "node_id": "ab", "durable_seq": 1200},
            f"{GAP}; its last durable event is 1,200 of node ab",
        ),
        (
            "gap",
            {"count": 12, "reason": "killed"},
            "up to 12 queued events of an earlier writer were lost when it ended",
        ),
        (
            "recovered",
            {"file": "events.jsonl", "offset": 4096, "bytes": 17, "quarantine": "q/x"},
            "17 bytes that are no whole event were moved from byte 4,096 of events.jsonl to q/x",
        ),
        (
            "recovered",
            {"file": "events.jsonl", "offset": 0, "bytes": 1, "healed": 2, "rewritten": True},
            "a repair wrote events.jsonl anew: 2 places healed, 1 byte taken out",
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
        ("joined", {"count": 32}, "stands for 32 causes of the next event"),
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
        ("shrunk", {"seq": 4}, f"{SHRUNK} (seq 4)"),
    ],
)
def test_notice_is_a_sentence_with_its_facts(kind, facts, sentence):
    event = event_of(line_of(facts, event_type=f"log.{kind}"))
    assert PLAIN.summary(event) == PLAIN.in_columns(event) == sentence


@pytest.mark.parametrize("wrong", [None, "x", -1, [], {"a": 1}, True, 1.5])
def test_notice_with_facts_of_other_kinds_is_told_all_the_same(wrong):
    names = ("count", "bytes", "file", "offset", "quarantine", "reason", "healed", "regions")
    names += ("first_seq", "last_seq", "old_node_id", "new_node_id")
    kinds = ("gap", "recovered", "torn", "joined", "node_changed", "segment_suspect", "shrunk")
    for kind in kinds:
        event = event_of(line_of(dict.fromkeys(names, wrong), event_type=f"log.{kind}"))
        assert PLAIN.summary(event)
