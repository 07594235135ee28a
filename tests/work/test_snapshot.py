"""A snapshot stays as it was read, and moves are decided on it alone."""

import shutil

import pytest
from tests.git.repositories import git, make_repository
from tests.work.boards import NAMED

from thence.errors import HeadsMoved
from thence.work.board.move_request import MoveContext
from thence.work.journal.store import WorkEvent
from thence.work.session.lane_changes import LaneRequest, decide_moves
from thence.work.session.session import Session

SLUG = "001-sync"


@pytest.fixture
def session(tmp_path):
    """A session on a board of two packages, of which the second needs the first."""
    make_repository(tmp_path, NAMED)
    with Session(tmp_path, actor="ada") as session:
        for wp_id, needs in (("WP01", []), ("WP02", ["WP01"])):
            created = {"wp_id": wp_id, "title": wp_id, "feature_slug": SLUG, "dependencies": needs}
            session.append(WorkEvent("WPCreated", created, SLUG))
        session.refresh()
        yield session


def request(wp_id, to, **context):
    return LaneRequest(wp_id, to, MoveContext(**{"actor": "ada", **context}))


def decided(session, *requests, **strict):
    return decide_moves(session.snapshot, SLUG, requests, **strict)


def test_snapshot_stays_as_it_was_read_whatever_comes_later(session):
    before = session.snapshot
    branches, package = dict(before.refs.branches), before.board.package(SLUG, "WP01")
    git(session.project.root, "branch", "later")
    moved = {"wp_id": "WP01", "previous_status": "planned", "new_status": "doing"}
    session.append(WorkEvent("WPStatusChanged", moved, SLUG))
    session.refresh()
    assert (before.refs.branches, before.board.package(SLUG, "WP01")) == (branches, package)
    assert len(before.events) == 2
    assert session.snapshot.board.package(SLUG, "WP01").lane == "doing"
    assert "later" in session.snapshot.refs.branches


@pytest.mark.promise("L14")
def test_moves_are_decided_without_a_look_at_disk_or_git(session):
    snapshot = session.snapshot
    shutil.rmtree(session.project.root)
    requests = [request("WP01", to) for to in ("doing", "for_review")] + [request("WP02", "doing")]
    events, guard, (moves, refused, board) = decide_moves(snapshot, SLUG, requests)
    lanes = [(move.wp_id, move.previous, move.to) for move in moves]
    assert lanes == [
        ("WP01", "planned", "doing"),
        ("WP01", "doing", "for_review"),
        ("WP02", "planned", "doing"),
    ]
    assert [event.payload["new_status"] for event in events] == ["doing", "for_review", "doing"]
    assert not refused
    assert {one.lane for one in board.features[SLUG].packages.values()} == {"for_review", "doing"}
    assert guard.subjects == {one.subject for one in board.features[SLUG].packages.values()}


def test_package_goes_through_all_its_lanes_or_none_and_the_rest_goes_on(session):
    requests = [request("WP02", "doing"), request("WP01", "doing"), request("WP01", "done")]
    events, _, (moves, refused, board) = decided(session, *requests, is_strict=False)
    assert (events, moves, [*refused]) == ([], [], ["WP02", "WP01"])
    assert board == session.board
    events, _, (moves, refused, _) = decided(session, requests[1], requests[0])
    assert ([move.wp_id for move in moves], [*refused]) == (["WP01"], ["WP02"])


@pytest.mark.promise("L14")
def test_what_was_decided_on_an_old_snapshot_is_not_appended(session):
    events, guard, _ = decided(session, request("WP01", "doing"))
    session.append(*events, guard=guard)
    with pytest.raises(HeadsMoved):
        session.append(*decided(session, request("WP01", "doing")).events, guard=guard)
    session.refresh()
    _, _, (moves, refused, _) = decided(session, request("WP01", "doing"))
    assert (moves, refused["WP01"].guard) == ([], "not_in_lane")
    seen = decided(session, request("WP01", "for_review", expected_lane="planned"))
    assert seen.outcome.refused["WP01"].guard == "moved_meanwhile"


def test_command_that_looks_again_sees_what_has_moved(session):
    for again in (session.refresh, session.refresh_events):
        again()
        before = session.refs
        git(session.project.root, "branch", f"branch{len(before.branches)}")
        assert session.refs is before
        again()
        assert len(session.refs.branches) == len(before.branches) + 1
