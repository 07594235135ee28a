"""The moves of newer spec-kitty projects: read from status.events.jsonl, once, in our lanes."""

import json

from tests.git.repositories import write
from tests.work.existing_projects import FOLDER, SLUG, events, existing

from thence.cli.commands.work.looking import status
from thence.cli.commands.work.sharing import import_history
from thence.work.session.session import Session

FILE = f"{FOLDER}/status.events.jsonl"


def line(number, before, after, wp_id="WP02", **more):
    told = {
        "actor": "eve",
        "at": f"2026-02-09T10:{number:02}:00+00:00",
        "event_id": f"01HXYZ{number:020}",
        "evidence": None,
        "execution_mode": "worktree",
        "feature_slug": SLUG,
        "force": False,
        "from_lane": before,
        "reason": None,
        "review_ref": None,
        "to_lane": after,
        "wp_id": wp_id,
    }
    return json.dumps(told | more)


LIFE = [
    line(1, "planned", "claimed"),
    line(2, "claimed", "in_progress"),
    line(3, "in_progress", "blocked", reason="no key"),
    line(4, "blocked", "in_progress"),
    line(5, "in_progress", "for_review"),
    line(6, "for_review", "in_progress", reason="tests", review_ref="PR#7"),
    line(7, "in_progress", "for_review"),
    line(8, "for_review", "approved", actor={"role": "reviewer", "tool": "bob"}),
    line(9, "approved", "done", evidence={"review": {"verdict": "approved"}}),
    line(10, "planned", "canceled", "WP03", reason="not needed"),
]


def imported(repo):
    with Session(repo) as session:
        return import_history(session, None)


def lanes(repo):
    with Session(repo) as session:
        (feature,) = status(session, None).data["features"]
    return {each["wp_id"]: lane for lane, held in feature["lanes"].items() for each in held}


def moves(repo, wp_id):
    return [
        (event.payload["previous_status"], event.payload["new_status"])
        for event in events(repo)
        if event.event_type == "WPStatusChanged" and event.payload["wp_id"] == wp_id
    ]


def test_moves_come_in_by_our_lanes_and_what_is_no_move_as_a_note(tmp_path):
    repo = existing(tmp_path / "r", **{FILE: "\n".join(reversed(LIFE)) + "\n"})
    result = imported(repo)
    assert result.data["unread"] == []
    assert lanes(repo) == {"WP01": "for_review", "WP02": "done", "WP03": "rejected"}
    assert moves(repo, "WP02") == [
        ("planned", "doing"),
        ("doing", "for_review"),
        ("for_review", "doing"),
        ("doing", "for_review"),
        ("for_review", "done"),
    ]
    notes = [
        (event.actor, event.payload["entry_content"])
        for event in events(repo)
        if event.event_type == "HistoryAdded" and event.payload["wp_id"] == "WP02"
    ]
    assert notes == [
        ("eve", "lane=in_progress"),
        ("eve", "lane=blocked – no key"),
        ("eve", "lane=in_progress"),
        ("eve", '{"review_ref": "PR#7"}'),
        ("bob", "lane=approved"),
        ("eve", '{"evidence": {"review": {"verdict": "approved"}}}'),
    ]
    assert moves(repo, "WP01") == [("planned", "doing"), ("doing", "for_review")]


def test_second_import_brings_what_is_new_by_its_event_id(tmp_path):
    repo = existing(tmp_path / "r", **{FILE: "\n".join(LIFE[:5])})
    imported(repo)
    assert imported(repo).data["features"] == {SLUG: 0}
    write(repo, {FILE: "\n".join(LIFE[:7])})
    assert imported(repo).data["features"] == {SLUG: 3}
    assert lanes(repo)["WP02"] == "for_review"
    ids = [event.header.source_id for event in events(repo)]
    assert len(set(ids)) == len(ids)
    assert {json.loads(each)["event_id"] for each in LIFE[:2]} & {
        each.removesuffix("/note") for each in ids
    }


def test_status_lines_decide_where_the_activity_log_tells_of_lanes_too(tmp_path):
    lines = [line(1, "planned", "claimed", "WP01"), line(2, "claimed", "planned", "WP01")]
    repo = existing(tmp_path / "r", **{FILE: "\n".join(lines)})
    imported(repo)
    assert moves(repo, "WP01") == [("planned", "doing"), ("doing", "planned")]
    assert lanes(repo)["WP01"] == "planned"
    noted = [event.payload.get("entry_content") for event in events(repo)]
    assert {"Begun", "Ready"} <= {*noted}


def test_lines_that_cannot_be_read_are_told_and_end_nothing(tmp_path):
    odd = [
        "<<<<<<< HEAD",
        '["a"]',
        line(1, "planned", "claimed", event_id=None),
        line(2, "planned", "claimed", to_lane=7),
        line(3, "planned", "claimed", "first"),
        line(4, "planned", "claimed", at="yesterday"),
        line(5, "planned", "frozen", reason="who knows"),
        line(6, "planned", "claimed"),
        line(6, "planned", "done"),
    ]
    repo = existing(tmp_path / "r", **{FILE: "\r\n".join(odd)})
    unread = imported(repo).data["unread"]
    assert [(each["file"], each["line"]) for each in unread] == [(FILE, n) for n in range(1, 8)]
    assert "'frozen'" in unread[-1]["reason"]
    assert lanes(repo)["WP02"] == "doing"
    noted = [event.payload.get("entry_content") for event in events(repo)]
    assert "lane=frozen – who knows" in noted
