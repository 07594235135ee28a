"""What the golden segment of version 1 holds, member by member; it never changes."""

from typing import Any

NODE = "3f9ac1d2e4b5"
OTHER = "0123456789ab"

IDS = [f"01KAG0QV3J00000{number:03d}44SGTKJP" for number in range(9)]
FOREIGN = '{"event_id": "theirs-1", "timestamp": "2026-11-20T07:12:59Z", "note": "é\\u00e9"}'

# node_id, seq, lamport_clock, and the members in the order of the file
EVENTS: list[tuple[str, int, int, dict[str, Any]]] = [
    (
        NODE,
        1,
        1,
        {
            "event_id": IDS[0],
            "event_type": "refund.begun",
            "timestamp": "2026-11-20T07:13:00.123456Z",
            "begins": True,
            "stream": "nightly",
            "subject": "order/881",
            "actor": "worker-3",
            "payload": {"z": 12, "amount": 12.5, "empty": {}, "list": [1, None, True, [], "x"]},
        },
    ),
    (
        OTHER,
        7,
        9007199254740000,
        {
            "event_id": IDS[1],
            "event_type": 'quoted "type" \\ ü',
            "timestamp": "1999-12-31T23:59:59.999999Z",
            "caused_by": [IDS[0], "theirs-1"],
            "payload": {
                "text": 'quote " backslash \\ slash / newline \n tab \t nul \u0000 del \u007f',
                "unicode": "é 漢字 😀 \u2028 \u2029 \ufeff",
                "": "empty key",
                '","crc":"00000000"}': ',"crc":"00000000"}',
                "largest": 2**64 - 1,
                "smallest": -(2**63),
                "small": 5e-324,
                "large": 1.7976931348623157e308,
                "negative zero": -0.0,
            },
        },
    ),
    (
        NODE,
        2,
        9007199254740001,
        {
            "event_id": IDS[2],
            "event_type": "DECISION",
            "timestamp": "2026-11-20T07:13:00.123457Z",
            "caused_by": [IDS[1]],
            "ends": IDS[0],
            "repairs": [{"path": "details.new_value", "was": "the number NaN"}],
            "simulation_id": "trade-20261120T071300Z-k3x9qa",
            "turn_number": 0,
            "agent_id": "ada",
            "description": "Ada sells grain – three sacks",
            "step": "0.decide.ada.0",
            "details": {"decision_type": "trade", "old_value": None, "new_value": "NaN"},
        },
    ),
    (
        NODE,
        3,
        9007199254740002,
        {
            "event_id": IDS[3],
            "event_type": "log.recovered",
            "timestamp": "2026-11-20T07:13:01.000000Z",
            "payload": {
                "file": "events.jsonl",
                "offset": 1234,
                "bytes": 17,
                "quarantine": f".thence/quarantine/events.jsonl-1234-{IDS[4]}.torn",
            },
        },
    ),
    (
        NODE,
        4,
        9007199254740003,
        {
            "event_id": IDS[5],
            "event_type": "SYSTEM",
            "timestamp": "2026-11-20T07:13:02.000000Z",
            "simulation_id": "trade-20261120T071300Z-k3x9qa",
            "turn_number": 3,
            "details": {
                "error_type": "events_dropped",
                "status": "warning",
                "retry_count": 0,
                "count": 5,
                "after_event_id": IDS[2],
                "before_event_id": None,
            },
        },
    ),
]
