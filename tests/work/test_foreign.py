"""Events of other tools: what they go on from, and which of them contradict each other."""

import pytest
from tests.work.existing_projects import foreign_line, moved
from tests.work.told import work_event

from thence.core.codec import parse
from thence.core.vocabulary import WORK
from thence.work.board import fold
from thence.work.foreign import linked

ID = "01JD{:022}".format


def read(*lines):
    """Return lines as events."""
    return [parse(line.encode(), WORK) for line in lines]


def causes(*lines):
    """Return the causes that each event has been given."""
    return [event.caused_by for event in linked(read(*lines), WORK.subject_of)]


@pytest.mark.promise("L10")
def test_history_of_one_tool_is_no_conflict(tmp_path):
    created = {"wp_id": "WP01", "title": "A", "feature_slug": "030-log"}
    note = {"wp_id": "WP01", "entry_type": "note", "entry_content": "fine"}
    lines = (
        foreign_line(1, "WPCreated", created),
        moved(2, "planned", "doing", actor="ada"),
        foreign_line(3, "HistoryAdded", note),
        moved(4, "doing", "for_review", actor="ada"),
    )
    assert causes(*lines) == [(), (ID(1),), (ID(2),), (ID(3),)]
    board = fold(read(*lines))
    package = board.features["030-log"].packages["WP01"]
    assert (package.lane, package.agent) == ("for_review", "ada")
    assert board.conflicts == ()


@pytest.mark.promise("L10")
def test_moves_from_one_lane_to_two_are_a_conflict():
    lines = (moved(1, "planned", "doing"), moved(2, "planned", "rejected"))
    assert causes(*lines) == [(), ()]
    (conflict,) = fold(read(*lines)).conflicts
    assert conflict.is_open


def test_move_that_names_no_lane_before_it_goes_on_from_the_last():
    payload = {"wp_id": "WP01", "new_status": "doing"}
    assert causes(moved(1, "planned", "done"), foreign_line(2, "WPStatusChanged", payload)) == [
        (),
        (ID(1),),
    ]


def test_events_on_other_packages_are_apart():
    lines = (moved(1, "planned", "doing"), moved(2, "doing", "done", entity_id="WP02"))
    assert causes(*lines) == [(), ()]


def test_causes_that_an_event_names_are_its_own():
    lines = (moved(1, "planned", "doing"), moved(2, "doing", "done", caused_by=["elsewhere"]))
    assert causes(*lines) == [(), ("elsewhere",)]


def test_events_about_nothing_and_our_own_stay_as_they_are():
    (nothing,) = read('{"event_id":"x","event_type":"y"}')
    ours = work_event("WPStatusChanged", {"wp_id": "WP01", "new_status": "doing"})
    assert linked([nothing, ours], WORK.subject_of) == [nothing, ours]
    assert ours.caused_by == ()
