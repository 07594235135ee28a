"""The board of a project as a page: columns, cards, who waits, and the board as it was."""

import json
import re
from pathlib import Path

import pytest
from tests.cli.work.projects import SLUG as FEATURE
from tests.cli.work.projects import TASKS, done, finalized_project
from tests.git.repositories import commit, git
from tests.server.runs import make_orders
from tests.server.serving import Serving, serving
from tests.server.test_pages import HOSTILE, page
from tests.work.project_events import SLUG, Clone, planned


def write(root: Path, clone: Clone, name: str = "project") -> Path:
    """Writes the events of a clone as a log of their own."""
    folder = root / name
    folder.mkdir()
    lines = [event.line.rstrip(b"\n") + b"\n" for event in clone.events]
    (folder / "events.jsonl").write_bytes(b"".join(lines))
    return folder


@pytest.fixture
def clone() -> Clone:
    clone = planned(count=6)
    clone.move("WP01", "planned", "doing", actor="ada")
    clone.move("WP02", "planned", "doing", actor="ben")
    clone.move("WP01", "doing", "for_review", actor="ada")
    clone.move("WP02", "doing", "for_review", actor="ben")
    return clone


def columns(server: Serving, address: str) -> dict[str, list[str]]:
    """The packages of each column of the first feature."""
    html = server.get(address).text
    body = html.partition('<div class="board">')[2].partition("</section>")[0]
    parts = re.findall(r"<h4><bdi>([^<]+)</bdi>.*?<ul>(.*?)</ul>", body, re.DOTALL)
    return {head: re.findall(r">(WP\d\d)", cards) for head, cards in parts}


def test_board_stands_in_columns_the_oldest_card_first(tmp_path, clone, server) -> None:
    write(tmp_path, clone)
    assert columns(server, "/runs/project") == {
        "Planned": ["WP03", "WP04", "WP05", "WP06"],
        "Doing": [],
        "For review": ["WP01", "WP02"],
        "Approved": [],
        "Done": [],
    }
    text = page(server, "/runs/project").text
    assert f"waits longest for review: WP01 of {SLUG}, for " in text


def test_board_without_a_name_is_headed_by_the_folder_of_its_repository(tmp_path: Path) -> None:
    repo = finalized_project(tmp_path / "shop")
    (home,) = (path for path in (repo / ".git/thence").iterdir() if path.is_dir())
    with serving(home) as server:
        assert "<h1><bdi>shop</bdi></h1>" in server.get(f"/runs/{home.name}").text


def test_board_is_shown_as_it_was_after_an_event(tmp_path, clone, server) -> None:
    write(tmp_path, clone)
    count = len(clone.events)
    earlier = clone.events[-3].event_id
    address = f"/runs/project?board={earlier}"
    assert columns(server, address)["Doing"] == ["WP01", "WP02"]
    shown = page(server, address)
    assert f"after {count - 2} of {count} events" in shown.text
    assert f"/runs/project?board={clone.events[-4].event_id}#board" in shown.links
    assert "/runs/project#board" in shown.links
    first = page(server, f"/runs/project?board={clone.events[0].event_id}")
    assert f"after 1 of {count} events" in first.text
    assert "Earlier" not in first.text
    page(server, "/runs/project?board=01ARZ3NDEKTSV4RRFFQ69G5FAV", status=404)


def test_cards_say_what_holds_a_package_up_and_are_text(tmp_path: Path, server: Serving) -> None:
    clone = planned(count=2)
    title = {"wp_id": "WP03", "title": HOSTILE, "dependencies": ["WP01"]}
    clone.tell("WPCreated", title)
    clone.move("WP02", "planned", "doing", actor=HOSTILE)
    gate = {"gate_id": "g1", "wp_id": "WP02", "gate_type": "ci"}
    clone.tell("GateCreated", gate)
    write(tmp_path, clone)
    shown = page(server, "/runs/project")
    assert "after WP01" in shown.text
    assert "gates open: ci" in shown.text
    assert shown.text.count("<script>alert(1)</script>") > 1


def test_card_names_who_reviews_and_who_is_waited_for(tmp_path: Path, server: Serving) -> None:
    clone = planned(count=5, WP03=["WP01", "WP02", "WP04"], WP05=["WP04"])
    for wp_id, actor in (("WP01", "ada"), ("WP02", "ben"), ("WP04", "cleo")):
        clone.move(wp_id, "planned", "doing", actor=actor)
    clone.move("WP02", "doing", "for_review", actor="ben")
    clone.tell("WPAssigned", {"wp_id": "WP02", "agent_id": "eve", "phase": "review"})
    clone.move("WP04", "doing", "done", actor="cleo")
    write(tmp_path, clone)
    html = server.get("/runs/project").text.partition('<div class="board">')[2]
    cards = html.partition("</section>")[0]
    assert "review by eve" in cards
    assert "after WP01 (ada), WP02 (eve)" in cards
    assert cards.count("after WP") == 1


def test_open_conflict_is_named_before_the_columns(tmp_path: Path, server: Serving) -> None:
    first = planned(count=2)
    other = Clone("b", first.events)
    first.move("WP01", "planned", "doing", actor="ada")
    other.move("WP01", "planned", "rejected", actor="ben", reason="not now")
    first.events.append(other.events[-1])
    write(tmp_path, first)
    assert "WP01: an open conflict of ada, ben" in page(server, "/runs/project").text


def test_cards_say_what_was_approved_forced_and_sent_back_and_where_the_code_is(tmp_path, server):
    clone = planned(count=3)
    said = {"wp_id": "WP01", "entry_type": "review", "entry_content": "approved", "author": "eve"}
    work = {"work_package_id": "WP01", "worktree_path": "w", "branch_name": "028-sync-WP01"}
    clone.tell("WorkspaceCreated", work)
    for wp_id in ("WP01", "WP02"):
        clone.move(wp_id, "planned", "doing", actor="ada")
        clone.move(wp_id, "doing", "for_review", actor="ada")
    clone.move("WP01", "for_review", "doing", actor="eve", reason="no")
    clone.move("WP01", "doing", "for_review", actor="ada")
    oid = "a" * 40
    clone.tell("WPReviewed", {"wp_id": "WP01", "commit": oid, "base": oid, "patch": oid})
    clone.tell("HistoryAdded", said)
    clone.move("WP02", "for_review", "done", actor="ada", overruled=["not_landed"])
    write(tmp_path, clone)
    assert columns(server, "/runs/project")["Approved"] == ["WP01"]
    text = page(server, "/runs/project").text
    for words in (
        "approved by eve",
        "sent back 1 time",
        "branch 028-sync-WP01",
        "commit aaaaaaa",
        "forced past not_landed",
        "landing not recorded",
    ):
        assert words in text


def test_board_of_a_journal_says_what_git_does_and_has_the_tasks(tmp_path: Path) -> None:
    repo = finalized_project(tmp_path / "r", TASKS)
    done(repo, "implement", "WP01", "--actor", "ada")
    commit(repo / ".worktrees" / f"{FEATURE}-WP01", {"a.txt": "a\n"}, "Do it")
    done(repo, "mark-status", "T001")
    done(repo, "move-task", "WP01", "--to", "for_review", "--actor", "ada")
    git(repo, "merge", "--quiet", f"{FEATURE}-WP01")
    (journal,) = [path for path in (repo / ".git/thence").iterdir() if path.is_dir()]
    with serving(journal) as server:
        text = page(server, f"/runs/{journal.name}").text
        assert "its code is in main, and it is not done" in text
        assert "T001 Write" in text
        git(repo, "revert", "--no-edit", "HEAD")
        done(repo, "accept", "WP01", "--force", "--reason", "x")
        text = page(server, f"/runs/{journal.name}").text
        assert "reverted in main by" in text
        assert "forced past not_landed" in text


def test_finished_feature_is_folded_and_a_log_without_a_board_has_none(tmp_path, server) -> None:
    clone = planned(count=2)
    for wp_id in ("WP01", "WP02"):
        clone.move(wp_id, "planned", "done")
    write(tmp_path, clone)
    html = server.get("/runs/project").text
    assert "<details><summary>1 finished feature</summary>" in html
    make_orders(tmp_path)
    assert "Board" not in page(server, "/runs/orders").text


@pytest.mark.promise("Q5")
@pytest.mark.parametrize("time", ["yesterday", "2026-11-20T07:13:00", ""])
def test_card_of_a_move_by_another_tool_at_no_time_stands_on_the_board(
    tmp_path: Path, clone: Clone, time: str, server: Serving
) -> None:
    line = json.loads(clone.move("WP03", "planned", "doing").line) | {"timestamp": time}
    del clone.events[-1], line["seq"], line["crc"]
    with (write(tmp_path, clone) / "events.jsonl").open("a") as file:
        print(json.dumps(line), file=file)
    page(server, "/runs/project")
    assert columns(server, "/runs/project")["Doing"] == ["WP03"]
