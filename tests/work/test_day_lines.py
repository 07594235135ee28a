"""What a day file lacks of the journal's events, by their lines and not by their ids alone."""

import json

from tests.events import drafted, event_of, new_id, stamped

from thence.work.day_lines import splices

AT = "2026-11-20T07:13:00.123456Z"


def added(event, data):
    ((_, splice),) = splices([event]).items()
    return splice(data)


def test_verified_event_is_added_beside_another_tools_or_damaged_line_of_its_id():
    line = stamped(drafted(new_id(), "WPCreated", {"payload": {}}, timestamp=AT), 1, 1)
    event = event_of(line)
    foreign = json.dumps({"event_id": event.event_id, "event_type": "WPCreated"}).encode()
    damaged = event.line.replace(b"WPCreated", b"WPCreatee")
    for other in (foreign, damaged):
        assert added(event, other + b"\n") == other + b"\n" + event.line + b"\n"
    assert added(event, event.line + b"\n") == event.line + b"\n"
    known = json.dumps({"event_id": event.event_id, "timestamp": AT}).encode()
    assert added(event_of(known), event.line) == event.line
