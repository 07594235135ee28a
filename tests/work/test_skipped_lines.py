"""Lines of shared files that the journal did not take in are kept, reported, and tried again."""

import pytest
from tests.cli.warm import warm
from tests.cli.work.projects import work
from tests.events import drafted, new_id
from tests.git.repositories import git, make_repository, write
from tests.work.boards import NAMED

from thence.cli.commands.work.planning import add, init
from thence.cli.commands.work.recording import add_history
from thence.core.clock import CLOCK_AHEAD_MAX
from thence.core.codec import stamper
from thence.work.session.session import Session

DAY = ".kittify/events/2025-11-20.jsonl"
OTHER = "0123456789ab"


def line_of(seq, clock):
    made = drafted(new_id(), "HistoryAdded", {"feature_slug": "000-general", "payload": {}})
    return stamper(OTHER)([made], seq, clock)[0].decode()


def project(path):
    repo = make_repository(path, NAMED)
    with Session(repo) as session:
        init(session)
    with Session(repo) as session:
        add(session, "First")
    return repo


def tracked(repo, files):
    """Commit day files that git ignores, as another tool may."""
    write(repo, files)
    git(repo, "add", "--force", "--", *files)
    git(repo, "commit", "--quiet", "--message", "By hand")


def looked(repo):
    """Look at the shared files; return the ids of all events, and the notes."""
    with Session(repo) as session:
        session.refresh()
        return {event.event_id for event in session.events}, session.warnings


def verified(repo):
    ended = warm("verify", "--json", cwd=repo)
    return ended.code, [
        (note["file"], note["offset"], note["reason"])
        for note in ended.json["notes"]
        if note["code"] == "passed_over"
    ]


def shared(repo):
    ended = warm("doctor", "--json", cwd=repo)
    (check,) = [each for each in ended.json["checks"] if each["name"] == "events"]
    return ended.code, check


@pytest.mark.promise("L2")
def test_damaged_line_of_a_shared_file_is_reported_until_the_file_is_corrected(tmp_path):
    repo = project(tmp_path / "r")
    good, bad = line_of(1, 2), line_of(2, 3)
    damaged = bad.replace("000-general", "001-general")
    tracked(repo, {DAY: f"{good}{damaged}<<<<<<< HEAD\n"})
    assert work(repo, "status").code == 0
    code, ((file, offset, reason), (_, _, marker)) = verified(repo)
    assert (code, file, offset) == (0, DAY, len(good))
    assert reason.startswith("line 2 is not in the journal: the bytes don't match")
    assert marker.startswith("line 3 ")
    code, check = shared(repo)
    assert (code, check["ok"]) == (1, False)
    assert f"{DAY}:2" in check["detail"]
    assert "2 lines" in check["detail"]
    tracked(repo, {DAY: good + bad})
    assert work(repo, "status").code == 0
    assert verified(repo) == (0, [])
    code, check = shared(repo)
    assert (code, check["ok"], check["hint"]) == (0, True, "")
    assert "passed over" not in check["detail"]


@pytest.mark.promise("L2")
def test_parked_line_is_kept_and_taken_in_when_the_bound_has_moved(tmp_path):
    repo = project(tmp_path / "r")
    held, _ = looked(repo)
    parked = line_of(1, len(held) + 1 + CLOCK_AHEAD_MAX + 3)
    tracked(repo, {DAY: parked})
    after, notes = looked(repo)
    assert after == held
    assert any("clock far ahead" in note for note in notes)
    ((file, _, reason),) = verified(repo)[1]
    assert file == DAY
    assert "tried again" in reason
    after, notes = looked(repo)
    assert not any("clock far ahead" in note for note in notes), "it is told once"
    for _ in range(3):
        with Session(repo, actor="ada") as session:
            add_history(session, "WP01", "a note", feature="000-general")
    after, _ = looked(repo)
    assert len(after) == len(held) + 4
    assert verified(repo) == (0, [])
