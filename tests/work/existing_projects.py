"""Projects that others began: planning files with lanes, day files in the form of other tools."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.git.repositories import make_repository

from thence.core.event import Event
from thence.work.session.session import Session

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


def events(repo: Path) -> Sequence[Event]:
    """Returns the events of the log, in total order."""
    with Session(repo) as session:
        return session.store.read()
