"""Existing features: what their files tell of the past, and what could not be read."""

import random

import pytest

from thence.work.events import checked
from thence.work.plan.spec_kitty import Unread, history_of
from thence.work.plan.tasks import parse

FOLDER = "kitty-specs/028-sync"
META = b'{"friendly_name": "Sync of  logs", "mission": "research", "created_at": "2025-11-19"}'
TASKS = b"""## Work Package WP01: First
- [x] T001 Write
- [ ] T002 Read
## Work Package WP02: Second
### Dependencies
- Depends on WP01
## Work Package WP03: Third
"""
FIRST = """---
work_package_id: "WP01"
title: "The first"
lane: "done"
agent: ada
---
## Activity Log
- 2025-11-20T10:00:00Z – system – lane=planned – Prompt created.
- 2025-11-20T11:00:00Z – ada – shell_pid=1 – lane=doing – Begun
- 2025-11-20T13:00:00Z – bob – lane=for_review – Ready
- 2025-11-20T13:00:00Z – bob – lane=blocked – Stuck
- 2025-11-20T13:00:00Z – bob – lane=doing –
- a remark
"""
SECOND = """---
lane: planned
dependencies: [WP01, first]
---
## Activity Log
- 2025-11-20T12:00:00Z – eve – lane=doing – Begun
- 2025-11-20T11:30:00Z – eve – lane=for_review – Its clock went back
"""
FILES = {
    f"{FOLDER}/tasks/WP01-first.md": FIRST.encode(),
    f"{FOLDER}/tasks/doing/WP02-second.md": SECOND.encode(),
    f"{FOLDER}/tasks/README.md": b"# About tasks\n",
}


def history(meta=META, tasks=TASKS, files=FILES):
    parsed = None if tasks is None else parse(tasks, f"{FOLDER}/tasks.md")
    return history_of("028-sync", meta, parsed, files, "develop")


def told(happened, *types):
    """Returns what happened as (source_id, what it says, actor, time)."""
    return [
        (
            each.source_id.removeprefix("028-sync/").split("/")[0],
            each.payload.get("new_status") or each.payload.get("entry_content"),
            each.actor,
            each.timestamp[11:16],
        )
        for each in happened
        if each.event_type in types
    ]


def test_feature_begins_with_its_spec_and_its_packages():
    happened = history().events
    assert [each.event_type for each in happened[:5]] == [
        "SpecCreated",
        "FeatureCreated",
        "WPCreated",
        "WPCreated",
        "WPCreated",
    ]
    assert happened[0].payload == {
        "feature_slug": "028-sync",
        "title": "Sync of logs",
        "mission": "research",
    }
    assert happened[1].payload == {
        "feature_slug": "028-sync",
        "feature_number": "028",
        "target_branch": "develop",
        "wp_count": 3,
        "created_at": "2025-11-19T00:00:00.000000Z",
    }
    assert [each.payload for each in happened[2:5]] == [
        {
            "wp_id": "WP01",
            "title": "The first",
            "feature_slug": "028-sync",
            "dependencies": [],
        },
        {
            "wp_id": "WP02",
            "title": "Second",
            "feature_slug": "028-sync",
            "dependencies": ["WP01"],
        },
        {"wp_id": "WP03", "title": "Third", "feature_slug": "028-sync", "dependencies": []},
    ]
    assert [(each.file, each.line) for each in happened[2:5]] == [
        (f"{FOLDER}/tasks/WP01-first.md", 1),
        (f"{FOLDER}/tasks/doing/WP02-second.md", 1),
        (f"{FOLDER}/tasks.md", 7),
    ]


def test_moves_and_notes_come_in_the_order_of_time_and_each_file_in_its_own():
    assert told(history().events, "WPStatusChanged", "HistoryAdded") == [
        ("WP01", "Prompt created.", "system", "10:00"),
        ("WP01", "doing", "ada", "11:00"),
        ("WP02", "doing", "eve", "12:00"),
        ("WP02", "for_review", "eve", "11:30"),
        ("WP01", "for_review", "bob", "13:00"),
        ("WP01", "lane=blocked – Stuck", "bob", "13:00"),
        ("WP01", "doing", "bob", "13:00"),
        ("WP01", "done", "ada", ""),
        ("WP02", "planned", "user", ""),
    ]


def test_each_move_leaves_the_lane_that_the_one_before_entered():
    for wp_id, lanes in (
        ("WP01", ["planned", "doing", "for_review", "doing", "done"]),
        ("WP02", ["planned", "doing", "for_review", "planned"]),
    ):
        moves = [
            each.payload
            for each in history().events
            if each.event_type == "WPStatusChanged" and each.payload["wp_id"] == wp_id
        ]
        assert [move["previous_status"] for move in moves] == lanes[:-1]
        assert [move["new_status"] for move in moves] == lanes[1:]


def test_ticked_boxes_are_done_subtasks():
    (ticked,) = (each for each in history().events if each.event_type == "SubtaskCompleted")
    assert ticked.payload == {
        "work_package_id": "WP01",
        "subtask_index": "T001",
        "subtask_text": "Write",
    }
    assert (ticked.source_id, ticked.line) == ("028-sync/T001/done", 2)


def test_what_could_not_be_read_is_told_with_its_place():
    assert history().unread == (
        Unread(f"{FOLDER}/tasks/WP01-first.md", 11, "unknown lane 'blocked'"),
        Unread(f"{FOLDER}/tasks/WP01-first.md", 13, "the line does not begin with a time"),
        Unread(
            f"{FOLDER}/tasks/doing/WP02-second.md",
            1,
            "the dependency 'first' is not a package's id",
        ),
    )


def test_all_that_happened_can_be_written_once():
    happened = history().events
    for each in happened:
        assert checked(each.event_type, each.payload) == each.payload
        assert (each.source, each.feature_slug) == ("kitty-specs", "028-sync")
    ids = [each.source_id for each in happened]
    assert len(set(ids)) == len(ids)


def test_ids_stay_when_files_move_and_grow():
    grown = {
        f"{FOLDER}/tasks/done/WP01-renamed.md": b"\xef\xbb\xbf"
        + (FIRST + "\n- 2025-11-21T10:00:00Z – ada – more\n").replace("\n", "\r\n").encode(),
        f"{FOLDER}/tasks/WP02-second.md": SECOND.encode(),
    }
    before = [each.source_id for each in history().events]
    after = [each.source_id for each in history(files=grown).events]
    assert set(before) < set(after)
    assert len(after) == len(before) + 1


def test_lane_of_a_file_without_one_is_its_folders():
    files = {f"{FOLDER}/tasks/for_review/WP01-a.md": b"# First\n"}
    (move,) = (each for each in history(files=files).events if each.event_type == "WPStatusChanged")
    assert (move.payload["new_status"], move.line) == ("for_review", 1)


def test_feature_without_meta_and_tasks_is_read_from_its_files():
    happened = history(meta=None, tasks=None).events
    assert happened[0].payload["title"] == "sync"
    assert happened[0].payload["mission"] == "software-dev"
    assert happened[1].payload["wp_count"] == 2
    assert [each.payload["title"] for each in happened[2:4]] == ["The first", "WP02"]
    empty = history(meta=None, tasks=None, files={})
    assert [each.event_type for each in empty.events] == ["SpecCreated", "FeatureCreated"]
    assert empty.unread == ()


@pytest.mark.parametrize(
    ("meta", "line"), [(b"", 1), (b'{\n"a": }', 2), (b"[1]", 1), (b"\xff\xfe{", 1)]
)
def test_meta_that_is_no_json_object_is_told(meta, line):
    read = history(meta=meta)
    assert read.unread[0][:2] == (f"{FOLDER}/meta.json", line)
    assert read.events[0].payload["title"] == "sync"


def test_file_with_broken_fields_is_read_by_its_name_and_told():
    broken = b"---\nlane: a: b\n---\n## Activity Log\n- 2025-11-20T10:00:00Z - ada - lane=doing\n"
    read = history(files={f"{FOLDER}/tasks/WP01-first.md": broken})
    assert read.unread == (
        Unread(f"{FOLDER}/tasks/WP01-first.md", 2, "mapping values are not allowed here"),
    )
    assert told(read.events, "WPStatusChanged") == [("WP01", "doing", "ada", "10:00")]


def test_files_that_are_no_packages_or_one_twice_are_told():
    files = {
        f"{FOLDER}/tasks/WPX-odd.md": b"",
        f"{FOLDER}/tasks/odd.md": b"---\nwork_package_id: 1\n---\n",
        f"{FOLDER}/tasks/done/WP01-first.md": b"",
        f"{FOLDER}/tasks/planned/WP01-first.md": b"",
        f"{FOLDER}/tasks/WP04.md": b"---\nlane: stuck\n---\n",
    }
    assert history(files=files, tasks=b"# none\n").unread == (
        Unread(f"{FOLDER}/tasks.md", 1, "no heading begins a work package"),
        Unread(f"{FOLDER}/tasks/WP04.md", 2, "unknown lane 'stuck'"),
        Unread(f"{FOLDER}/tasks/WPX-odd.md", 1, "'WPX-odd.md' is not a package's id"),
        Unread(f"{FOLDER}/tasks/odd.md", 1, "'1' is not a package's id"),
        Unread(
            f"{FOLDER}/tasks/planned/WP01-first.md",
            0,
            f"WP01 has another file, {FOLDER}/tasks/done/WP01-first.md",
        ),
    )


@pytest.mark.parametrize("slug", ["sync", "028", "028-Sync", "28-sync"])
def test_folder_that_is_no_feature_is_told(slug):
    read = history_of(slug, META, None, FILES)
    assert read.events == ()
    assert [(each.file, each.line) for each in read.unread] == [(f"kitty-specs/{slug}", 0)]


def test_any_bytes_give_only_what_can_be_written():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)

    def spoilt(data):
        data = bytearray(data)
        for _ in range(chance.randrange(12)):
            start = chance.randrange(len(data) + 1)
            pieces = [b"\n", b"\r", b"\\ud800", b'"', b"\xff", b": ", b"- ", b"\x00", b"WP", b""]
            data[start : start + chance.randrange(3)] = chance.choice(pieces)
        return bytes(data)

    for _ in range(150):
        files = {name: spoilt(data) for name, data in FILES.items()}
        for each in history(spoilt(META), spoilt(TASKS), files).events:
            assert checked(each.event_type, each.payload) == each.payload
