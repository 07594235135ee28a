"""What is open when a log ends: begun by an event, and ended by none."""

from hypothesis import given
from hypothesis import strategies as st
from tests.events import drafted, event_of, new_id, stamped

from thence.core.query.tally import LogEnd, find_end


def lasting(*parts):
    """Make events from names: "+a" begins a, "-a" ends it, anything else is by the way."""
    ids = {part[1:]: new_id() for part in parts if part[0] == "+"}
    events = []
    for number, part in enumerate(parts, 1):
        members = {"begins": True} if part[0] == "+" else {}
        if part[0] == "-":
            members = {"ends": ids.get(part[1:], "an event elsewhere")}
        event_id = ids[part[1:]] if part[0] == "+" else new_id()
        events.append(event_of(stamped(drafted(event_id, part, members), number, number)))
    return events


def types(events):
    return [event.event_type for event in events]


def test_no_events_end_in_nothing():
    assert find_end([]) == LogEnd(None, ())


def test_begun_and_not_ended_is_open_in_total_order():
    events = lasting("+run", "+turn", "note", "-turn", "+second", "note")
    end = find_end(events)
    assert end.last == events[-1]
    assert types(end.still_open) == ["+run", "+second"]


def test_what_was_ended_is_not_open():
    assert find_end(lasting("+run", "+turn", "-turn", "-run")).still_open == ()


def test_end_of_what_was_never_begun_leaves_nothing_open():
    assert types(find_end(lasting("-elsewhere", "+run")).still_open) == ["+run"]


@given(
    st.lists(st.sampled_from(["+a", "+b", "+c", "-a", "-b", "-d", "note"]), unique=True),
    st.randoms(use_true_random=False),
)
def test_order_of_reading_changes_nothing(parts, chance):
    events = lasting(*parts)
    shuffled = list(events)
    chance.shuffle(shuffled)
    found = find_end(shuffled)
    assert found[:2] == find_end(events)[:2]
    ended = {f"+{part[1:]}" for part in parts if part[0] == "-"}
    assert types(found.still_open) == [
        part for part in parts if part[0] == "+" and part not in ended
    ]


def test_end_that_is_read_before_its_begin_closes_it():
    events = lasting("+run", "+turn", "-turn")
    assert types(find_end(reversed(events)).still_open) == ["+run"]
    assert find_end(reversed(events)).last == events[-1]


def test_event_that_ends_one_thing_may_begin_another():
    first, second = new_id(), new_id()
    events = [
        event_of(stamped(drafted(first, "a", {"begins": True}), 1, 1)),
        event_of(stamped(drafted(second, "b", {"begins": True, "ends": first}), 2, 2)),
    ]
    assert types(find_end(events).still_open) == ["b"]
    assert types(find_end(reversed(events)).still_open) == ["b"]


def test_process_that_left_a_step_open_is_known_by_its_ids_until_its_last_event():
    parts = [
        ("begun", 1, {"begins": True}, "AAAAAAAA"),
        ("begun", 2, {"begins": True}, "BBBBBBBB"),
        ("noted", 3, {}, "AAAAAAAA"),
        ("noted", 4, {}, "CCCCCCCC"),
    ]
    for process in range(2_000):  # each of them ends its own step
        parts.append(("begun", 5, {"begins": True}, f"{process:08}"))
        parts.append(("ended", 6, {"ends": f"{len(parts):018}{process:08}"}, f"{process:08}"))
    events = []
    for number, (kind, second, members, noise) in enumerate(parts, 1):
        time = f"2026-11-20T07:00:{second:02}.000000Z"
        item = drafted(f"{number:018}{noise}", kind, members, timestamp=time)
        events.append(event_of(stamped(item, number, number)))
    end = find_end(events)
    assert types(end.still_open) == ["begun", "begun"]
    seconds = {noise: time[17:19] for noise, time in end.seen_last.items()}
    assert seconds == {"AAAAAAAA": "03", "BBBBBBBB": "02"}
