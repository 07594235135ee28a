"""A log whose clock can't grow any more refuses, and nobody's clock brings it there."""

import pytest
from tests.events import drafted, new_id

import thence
from thence.core.clock import CLOCK_MAX, LamportClock
from thence.core.values.codec import stamper
from thence.errors import ClockExhausted
from thence.log.crash.sessions import leave_mark
from thence.log.storage.disk import OS_DISK

OTHER = "0123456789ab"
AHEAD = 2**40


def ended_at(folder, clock):
    """Make a log whose last event has this clock."""
    with thence.open(folder) as log:
        first = log.append("first")
    made = stamper(first.node_id)([drafted(new_id(), "last", {})], 2, clock)[0]
    with (folder / "events.jsonl").open("ab") as file:
        file.write(made)
    leave_mark(OS_DISK, folder, first.node_id, 2)  # as a clean close does


@pytest.mark.parametrize("left", [0, 1, 2])
def test_append_is_refused_when_no_clock_is_left_and_what_stands_is_read(tmp_path, left):
    ended_at(tmp_path, CLOCK_MAX - left)
    with thence.open(tmp_path) as log:
        for number in range(left):
            assert log.append("t").lamport_clock == CLOCK_MAX - left + number + 1
        for _ in range(2):
            with pytest.raises(ClockExhausted) as raised:
                log.append("over")
        assert raised.value.hint
        with pytest.raises(ClockExhausted):
            log.append_many([{"event_type": "over"}, {"event_type": "over"}])
        assert [event.event_type for event in log.read()] == ["first", "last", *["t"] * left]
        assert log.verify().ok


def test_batch_that_does_not_fit_is_refused_whole(tmp_path):
    ended_at(tmp_path, CLOCK_MAX - 2)
    with thence.open(tmp_path) as log:
        with pytest.raises(ClockExhausted):
            log.append_many([{"event_type": "over"}] * 3)
        # a notice of the refusal comes before it
        assert log.append("fits").lamport_clock == CLOCK_MAX


def test_clock_of_its_own_ends_at_the_same_place():
    clock = LamportClock(CLOCK_MAX - 1)
    assert clock.tick() == CLOCK_MAX
    for call in (clock.tick, lambda: clock.update(3)):
        with pytest.raises(ClockExhausted):
            call()


def test_received_clocks_move_a_log_on_by_its_events_however_often_they_come(tmp_path):
    with thence.open(tmp_path) as log:
        log.append("a")
        made = drafted(new_id(), "b", {})
        near, far = (stamper(OTHER)([made], 1, AHEAD + n)[0][:-1] for n in (2, 3))
        first = log.relay([far])
        assert [event.line for event in first.parked] == [far]
        second = log.relay([near])
        assert [event.line for event in second.taken] == [near]
        assert log.append("c").lamport_clock == AHEAD + 3
        # once more by as much: the log's own clock is no measure
        further = stamper(OTHER)([drafted(new_id(), "d", {})], 2, 2 * AHEAD)[0][:-1]
        third = log.relay([further])
        assert [event.line for event in third.parked] == [further]


def test_events_that_are_taken_in_count_and_a_parked_line_is_taken_later(tmp_path):
    lines = [
        stamper(OTHER)([drafted(new_id(), "t", {})], n, clock)[0][:-1]
        for n, clock in enumerate((AHEAD + 1, AHEAD + 2, AHEAD + 4), 1)
    ]
    with thence.open(tmp_path) as log:
        log.append("a")
        assert len(log.relay(lines).taken) == 3
        late = stamper(OTHER)([drafted(new_id(), "t", {})], 9, AHEAD + 7)[0][:-1]
        assert log.relay([late]).parked
        log.append_many([{"event_type": "t"}] * 2)
        assert log.relay([late]).taken


def test_cause_from_elsewhere_beyond_the_bound_is_named_and_not_witnessed(tmp_path, monkeypatch):
    for clock, received in ((AHEAD, AHEAD + 1), (CLOCK_MAX, 1)):
        cause = new_id()
        monkeypatch.setenv("THENCE_CAUSE", f"{cause}@{clock}@{new_id()}")
        with thence.open(tmp_path / str(clock)) as log:
            event = log.append("t")
        assert event.caused_by == (cause,)
        assert len(event.external_causes) == 1
        assert event.lamport_clock == received


def test_cause_from_elsewhere_may_be_ahead_by_the_events_of_the_log_not_by_its_clock(
    tmp_path, monkeypatch
):
    with thence.open(tmp_path) as log:
        log.append_many([{"event_type": "t"}] * 3)
    for clock, received in ((AHEAD + 3, AHEAD + 4), (2 * AHEAD, AHEAD + 5)):
        monkeypatch.setenv("THENCE_CAUSE", f"{new_id()}@{clock}@{new_id()}")
        with thence.open(tmp_path) as log:
            assert log.append("t").lamport_clock == received
