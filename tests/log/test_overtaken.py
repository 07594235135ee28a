"""A reader whose next events were pruned gets the notice first, then the rest."""

from threading import Event as Signal

import pytest
from tests.codes import raises_code
from tests.log.pruned import EVENTS, SEGMENT_BYTES, filled, pruned

import thence
from thence.core.new_event import Position
from thence.errors import EventNotFound


@pytest.fixture(params=[False, True], ids=["in memory", "in a file"])
def log(tmp_path, request):
    filled(tmp_path)
    with thence.open(tmp_path, max_file_size=SEGMENT_BYTES) as opened:
        if request.param:
            opened.rebuild()
        yield opened


def missed(notice, position):
    """Return the numbers that a notice tells of and a position lacks."""
    assert notice.event_type == "log.pruned"
    (node,) = notice.payload["numbers"]
    told = {n for a, b in notice.payload["numbers"][node] for n in range(a, b + 1)}
    held = {n for a, b in position.intervals.get(node, ()) for n in range(a, b + 1)}
    return sorted(told - held)


def checked(served, position, plan):
    """Assert that the notice comes first and once, then all that is left; return the numbers."""
    notice, *rest = served
    gone = plan.pruned.events
    assert missed(notice, position) == list(range(len(held(position)) + 1, gone + 1))
    assert [event.seq for event in rest] == list(range(gone + 1, EVENTS + 1))
    return missed(notice, position)


def held(position):
    return [n for own in position.intervals.values() for a, b in own for n in range(a, b + 1)]


@pytest.mark.promise("A5")
def test_reader_behind_a_position_is_told_first_what_it_missed(log):
    events = list(log.read())
    position = Position().after(events[:5])
    plan = pruned(log, keep=2 * SEGMENT_BYTES)
    served = list(log.read(position))
    assert len(checked(served, position, plan)) == plan.pruned.events - 5
    # who has read the notice is not told again
    after = position.after(served)
    assert list(log.read(after)) == []
    assert next(iter(log.read(position.after(served[:1])))).seq == plan.pruned.events + 1
    # who has read all that went gets it in its place
    held_all = Position().after(events[: plan.pruned.events])
    assert [event.seq for event in log.read(held_all)][-1] == EVENTS + 1
    assert next(iter(log.read(Position().after(events)))).event_type == "log.pruned"


@pytest.mark.promise("A5")
def test_follower_behind_a_position_is_told_first_and_goes_on(log):
    position = Position().after(list(log.read())[:5])
    plan = pruned(log, keep=2 * SEGMENT_BYTES)
    stop, served = Signal(), []
    follower = log.follow(position, stop)
    served = [next(follower) for _ in range(EVENTS - plan.pruned.events + 1)]
    checked(served, position, plan)
    new = log.append("noted")
    assert next(follower) == new
    stop.set()


@pytest.mark.promise("A5")
@pytest.mark.parametrize("keep", [2 * SEGMENT_BYTES, 0])
@pytest.mark.parametrize("begins", ["start", "position", "event", "read", "read after"])
def test_reader_that_is_overtaken_on_its_way_is_told(log, begins, keep, monkeypatch):
    monkeypatch.setattr("thence.log.index.arrivals.BATCH_EVENTS", 3)
    monkeypatch.setattr("thence.log.index.arrivals._UNREAD_EVENTS", 3)
    monkeypatch.setattr("thence.log.files.disk.READ_BYTES", 1 << 12)
    events = list(log.read())
    stop = Signal()
    reader = {
        "start": lambda: log.follow(None, stop),
        "position": lambda: log.follow(Position().after(events[:2]), stop),
        "event": lambda: log.follow(events[1], stop),
        "read": lambda: (log.rebuild(), log.read())[1],  # one without is read at once
        "read after": lambda: log.read(Position().after(events[:2])),
    }[begins]()
    served = [next(reader) for _ in range(2)]
    plan = pruned(log, keep=keep)
    last = log.append("noted")
    for event in reader:
        served.append(event)
        if event == last:
            break
    stop.set()
    (at,) = [n for n, event in enumerate(served) if event.event_type == "log.pruned"]
    before = Position().after([*events[:2], *served[:at]])
    rest = [event.seq for event in served[at + 1 :]]
    gap = range(len(held(before)) + 1, rest[0])
    assert missed(served[at], before) == list(gap)
    assert len(gap) > 0
    assert rest == [*range(plan.pruned.events + 1, EVENTS + 1), EVENTS + 2]


@pytest.mark.promise("A5")
def test_position_counts_what_was_pruned_as_known(log):
    pruned(log, keep=5 * SEGMENT_BYTES)
    position = log.position()
    assert held(position) == list(range(1, EVENTS + 2))
    log.append("noted")
    second = pruned(log, keep=2 * SEGMENT_BYTES)
    assert [event.event_type for event in log.read(position)] == ["noted", "log.pruned"]
    assert held(log.position()) == list(range(1, EVENTS + 4))
    assert second.pruned.numbers.keys() == position.intervals.keys()


@pytest.mark.promise("A5")
def test_id_that_was_pruned_is_told_as_pruned_and_another_as_not_found(log):
    first = next(iter(log.read()))
    plan = pruned(log, keep=2 * SEGMENT_BYTES)
    asked = {
        "get": lambda text: log.get(text),
        "find": lambda text: log.resolve(text),
        "why": lambda text: log.why(text),
        "effects": lambda text: log.effects(text),
        "read": lambda text: list(log.read(text)),
        "follow": lambda text: next(log.follow(text)),
    }
    for ask in asked.values():
        with raises_code("event_pruned") as refused:
            ask(first.event_id)
        assert isinstance(refused.value, EventNotFound)
        assert plan.pruned.words in refused.value.cause
        for other in (f"7{'Z' * 25}", "nothing-like-it"):
            with raises_code("event_not_found"):
                ask(other)


def test_notice_of_another_log_tells_nothing_here(log, tmp_path):
    pruned(log, keep=2 * SEGMENT_BYTES)
    notice = log.resolve("@last")
    with thence.open(tmp_path / "other") as other:
        mine = other.append("noted")
        other.relay([notice.line])
        assert other.last_prune() is None
        assert [event.event_type for event in other.read(Position())] == ["noted", "log.pruned"]
        with raises_code("event_not_found"):
            other.get(mine.event_id[:25] + ("0" if mine.event_id[25] != "0" else "1"))
