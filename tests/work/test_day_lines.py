"""The lines that a day file lacks of the journal's events, by their bytes and not by their ids."""

import json

from tests.events import drafted, event_of, new_id, stamped

from thence.work.day_lines import lacking

AT = "2026-11-20T07:13:00.123456Z"


def test_verified_event_is_added_beside_another_tools_or_damaged_line_of_its_id():
    line = stamped(drafted(new_id(), "WPCreated", {"payload": {}}, timestamp=AT), 1, 1)
    event = event_of(line)
    foreign = json.dumps({"event_id": event.event_id, "event_type": "WPCreated"}).encode()
    damaged = event.line.replace(b"WPCreated", b"WPCreatee")
    for other in (foreign, damaged):
        assert lacking(other + b"\n", [event], list) == [event.line]
    assert lacking(event.line + b"\n", [event], list) == []
