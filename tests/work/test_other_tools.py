"""Another tool and thence in turns on one log end on the last mover's board, without a conflict."""

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from tests.cli.work.projects import SLUG, done, planned
from tests.tiers import seed, tenth
from tests.work.boards import features
from tests.work.project_events import work_event

from thence.cli.commands.work.moving import add_history, move_task
from thence.core.codec import FOREIGN_CLOCK_MAX, parse
from thence.core.vocabulary import WORK
from thence.work.board.board import fold
from thence.work.journal.store import EventStore
from thence.work.project.project import find_project
from thence.work.session.session import Session

NODE = "feedfeedfeed"
LANES = ("planned", "doing", "for_review")


class OtherTool:
    """A program that appends lines of its own to a shared day file, as such tools write them."""

    def __init__(self, repo, hours=0.0, node=NODE, members=None):
        self.repo, self.hours, self.node, self.members = repo, hours, node, members or {}
        self._count = 0

    def line(self, event_type, payload, clock, aggregate="WP01"):
        self._count += 1
        at = datetime.now(UTC) + timedelta(hours=self.hours)
        told = {
            "event_id": f"01{self.node[:4].upper()}{self._count:020}",
            "event_type": event_type,
            "timestamp": at.isoformat(),
            "node_id": self.node,
            "lamport_clock": clock,
            "aggregate_id": aggregate,
            "aggregate_type": "WorkPackage",
            "payload": payload,
        }
        return json.dumps(told | self.members).encode()

    def seen(self):
        """Return the largest clock that the log holds."""
        with EventStore.at(self.repo) as store:
            return max((event.lamport_clock for event in store.read()), default=0)

    def say(self, event_type, payload, clock=None):
        """Append a line whose clock is the last seen one and 1."""
        line = self.line(event_type, payload, clock or self.seen() + 1)
        with EventStore.at(self.repo) as store:
            store.log.relay([line])
        return line

    def move(self, previous, lane, clock=None):
        payload = {"wp_id": "WP01", "old_status": previous, "new_status": lane}
        return self.say("WPStatusChanged", {**payload, "feature_slug": SLUG}, clock)


def project(path):
    """Make a project of one feature with one package."""
    repo = planned(path, None)
    done(repo, "finalize-tasks", "--add", "First", "--feature", SLUG)
    return repo


def board_of(repo):
    (feature,) = json.loads(features(repo))
    (lane,) = [lane for lane, packages in feature["lanes"].items() if packages]
    return lane, feature["conflicts"]


def ours_moves(repo, lane, actor="ada"):
    with Session(repo, actor=actor) as session:
        move_task(session, "WP01", lane, feature=SLUG, reason="so", is_forced=True)


@pytest.mark.promise("L2")
@pytest.mark.parametrize("hours", [-9, 9])
@pytest.mark.parametrize("named", ["nothing", "feature", "project and feature"])
@pytest.mark.whole
def test_two_tools_in_turns_end_on_the_last_movers_board_without_a_conflict(tmp_path, hours, named):
    repo = project(tmp_path / "r")
    members = {"feature_slug": SLUG} if "feature" in named else {}
    members |= {"project_uuid": find_project(repo).uuid} if "project" in named else {}
    other = OtherTool(repo, hours, members=members)
    chance = random.Random(seed(f"{named} {hours}"))
    lane = "planned"
    for _ in range(tenth(30, 10)):
        before, lane = lane, chance.choice([each for each in LANES if each != lane])
        if chance.random() < 0.5:
            other.move(before, lane)
        else:
            ours_moves(repo, lane)
        assert board_of(repo) == (lane, [])
    with EventStore.at(repo) as store:
        events = store.read()
        assert store.log.verify().ok
    assert sum(event.is_foreign for event in events) > tenth(3, 1)
    assert max(len(event.caused_by) for event in events) < 32


def test_tools_that_wrote_at_once_are_in_conflict(tmp_path):
    repo = project(tmp_path / "r")
    one, two = OtherTool(repo), OtherTool(repo, node="beefbeefbeef")
    seen = one.seen()
    one.move("planned", "for_review", seen + 1)
    two.move("planned", "doing", seen + 1)
    lane, (conflict,) = board_of(repo)
    assert lane == "for_review", "of equal clocks the larger node is the last writer"
    assert len(conflict["events"]) == 2
    ours_moves(repo, "planned")
    assert board_of(repo) == ("planned", [])


def test_line_of_a_tool_that_had_not_seen_our_move_is_in_conflict_with_it(tmp_path):
    repo = project(tmp_path / "r")
    other = OtherTool(repo)
    seen = other.seen()
    ours_moves(repo, "doing")
    other.move("planned", "for_review", seen + 1)
    lane, (conflict,) = board_of(repo)
    assert len(conflict["events"]) == 2
    assert lane in ("doing", "for_review")


def test_board_takes_a_move_behind_what_it_names_whatever_the_clocks_say():
    """A line may name one whose clock is larger: nothing verifies those of other tools."""
    line = OtherTool(None).line(
        "WPStatusChanged",
        {"wp_id": "WP01", "new_status": "for_review"},
        clock=90,
    )
    theirs = parse(json.dumps(json.loads(line) | {"feature_slug": "028-sync"}).encode(), WORK)
    moved = {"wp_id": "WP01", "previous_status": "for_review", "new_status": "doing"}
    ours = work_event("WPStatusChanged", moved, clock=6, causes=[theirs.event_id])
    board = fold([theirs, ours])
    assert board.features["028-sync"].packages["WP01"].lane == "doing"
    assert board.conflicts == ()


@pytest.mark.parametrize("clock", [0, -1, FOREIGN_CLOCK_MAX + 1, 2**60, True, "7", None])
def test_clock_that_is_none_counts_as_0_and_moves_ours_nowhere(tmp_path, clock):
    repo = project(tmp_path / "r")
    other = OtherTool(repo)
    before = other.seen()
    line = other.line("HistoryAdded", {"wp_id": "WP01", "entry_content": "x"}, clock)
    with EventStore.at(repo) as store:
        (taken,) = store.log.relay([line]).taken
    assert (taken.lamport_clock, taken.seq, taken.node_id) == (0, 0, NODE)
    with Session(repo, actor="ada") as session:
        add_history(session, "WP01", "mine", feature=SLUG)
    assert other.seen() == before + 1


def test_line_that_names_our_node_is_none_of_ours(tmp_path):
    repo = project(tmp_path / "r")
    with EventStore.at(repo) as store:
        own = store.read()[-1]
    other = OtherTool(repo, node=own.node_id)
    other.move("planned", "doing")
    with EventStore.at(repo) as store:
        position = store.log.position()
        assert set(position.intervals) == {own.node_id}
        assert len(position.foreign) == 1
    ours_moves(repo, "for_review")
    with EventStore.at(repo) as store:
        last = store.read()[-1]
        assert (last.node_id, last.seq) == (own.node_id, own.seq + 1)
        assert store.log.verify().ok
    assert board_of(repo) == ("for_review", [])
