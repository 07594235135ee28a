"""Projects that others began: planning files with lanes, day files in the form of other tools."""

import json
from pathlib import Path

from tests.git.repositories import make_repository

SLUG = "028-sync"
FOLDER = f"kitty-specs/{SLUG}"
DAY = ".kittify/events/2025-11-20.jsonl"
META = '{"feature_number": "028", "slug": "028-sync", "friendly_name": "Sync of logs"}'
TASKS = """# Tasks

## Work Package WP01: First

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
lane: "for_review"
agent: ada
---
## Activity Log
- 2025-11-20T10:00:00Z – system – lane=planned – Prompt created.
- 2025-11-20T11:00:00Z – ada – shell_pid=1 – lane=doing – Begun
- 2025-11-20T13:00:00Z – bob – lane=for_review – Ready
"""
SECOND = """---
work_package_id: WP02
agent: ben
---
# Second
"""
FILES = {
    f"{FOLDER}/meta.json": META,
    f"{FOLDER}/tasks.md": TASKS,
    f"{FOLDER}/tasks/WP01-first.md": FIRST,
    f"{FOLDER}/tasks/doing/WP02-second.md": SECOND,
    f"{FOLDER}/tasks/README.md": "# How to work here\n",
}


def existing(path: Path, **more: str) -> Path:
    """Make a repository in which others cut a feature, long before there was a log."""
    return make_repository(path, FILES | more)


def foreign_line(number: int, event_type: str, payload: object, **members: object) -> str:
    """Return an event as other tools write it: no seq, no checksum, names of their own."""
    told = {
        "event_id": f"01JD{number:022}",
        "event_type": event_type,
        "timestamp": f"2025-11-20T10:00:{number:02}Z",
        "node_id": "a laptop",
        "lamport_clock": number,
        "entity_id": "WP01",
        "entity_type": "WorkPackage",
        "feature_slug": "030-log",
        "payload": payload,
        "weather": ["fine"],
    }
    return json.dumps(told | members)


def moved(number: int, previous: str, lane: str, **members: object) -> str:
    """Return the line of a move of WP01, in the words of other tools."""
    payload = {"wp_id": "WP01", "old_status": previous, "new_status": lane, "mood": "good"}
    return foreign_line(number, "WPStatusChanged", payload, **members)


def large(path: Path, features: int, packages: int) -> Path:
    """Make a repository of many missions in spec-kitty's newer form, as one that is years old.

    Of their packages three quarters are done, a fifth is approved, one of each mission in work is
    at work, and half of the missions have a target that is gone.
    """
    files = {}
    for number in range(features):
        slug = f"mission-of-old-01K{number:05}"
        count = packages // features + (number < packages % features)
        target = "main" if number % 2 else f"kitty/{slug}"
        meta = {"mission_id": slug, "friendly_name": f"Mission {number}", "target_branch": target}
        sections, lines = ["# Tasks"], []
        for place in range(1, count + 1):
            wp_id = f"WP{place:02}"
            sections.append(f"## Work Package {wp_id}: Part {place}\n\n- [ ] T{place:03} Do it")
            head = f'---\nwork_package_id: {wp_id}\ntitle: "Part {place}"\ndependencies: []\n---\n'
            files[f"kitty-specs/{slug}/tasks/{wp_id}-part.md"] = f"{head}# Part {place}\n"
            last = ("done", "done", "done", "approved")[number % 4]
            ways = ["claimed", "in_progress", "for_review", "approved", "done"]
            ways = ways[: ways.index("in_progress" if (number % 40, place) == (3, 1) else last) + 1]
            for step, lane in enumerate(ways):
                told = {"wp_id": wp_id, "to_lane": lane, "actor": "eve", "annotation": None}
                told["at"] = f"2025-{1 + number % 12:02}-{place:02}T10:0{step}:00+00:00"
                told["event_id"] = f"01HX{number:010}{place:06}{step:06}"
                lines += [json.dumps(told), json.dumps({"annotation": "noted", "wp_id": wp_id})]
        files[f"kitty-specs/{slug}/meta.json"] = json.dumps(meta)
        files[f"kitty-specs/{slug}/tasks.md"] = "\n\n".join(sections) + "\n"
        files[f"kitty-specs/{slug}/status.events.jsonl"] = "\n".join(lines) + "\n"
    return make_repository(path, files)
