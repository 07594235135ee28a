"""A project's journal: what an append, a board, a question and a cold status take."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from thence.work.board.board import fold
from thence.work.journal.store import EventStore, WorkEvent
from thence.work.project.project import find_project

PROGRAM = Path(sys.executable).parent / "thence"
ROUNDS = 9
APPENDS = 200
FEATURES = 10
PACKAGES = 10
_BATCH = 500
_LANES = ("planned", "doing")


def project(folder: Path, events: int) -> EventStore:
    """Makes a repository whose journal holds so many events on ten features of ten packages."""
    folder.mkdir()
    for arguments in (
        ("init", "--quiet", "--initial-branch", "main"),
        ("config", "user.name", "Ada"),
        ("config", "user.email", "ada@example.com"),
        ("commit", "--quiet", "--allow-empty", "--message", "Begin"),
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    store = EventStore(find_project(folder), actor="ada")
    slugs = [f"{number:03}-feature" for number in range(1, FEATURES + 1)]
    for slug in slugs:
        store.append(*_begun(slug))
    for start in range(FEATURES * (PACKAGES + 2), events, _BATCH):
        numbers = range(start, min(start + _BATCH, events))
        store.append(*(_moved(slugs[number % FEATURES], number) for number in numbers))
    return store


def _begun(slug: str) -> list[WorkEvent]:
    spec = {"feature_slug": slug, "title": "A feature", "mission": "software-dev"}
    cut = {
        "feature_slug": slug,
        "feature_number": slug[:3],
        "target_branch": "main",
        "wp_count": PACKAGES,
    }
    packages = [
        {"wp_id": f"WP{number:02}", "title": "A package", "feature_slug": slug}
        for number in range(1, PACKAGES + 1)
    ]
    return [
        WorkEvent("SpecCreated", spec, slug),
        WorkEvent("FeatureCreated", cut, slug),
        *(WorkEvent("WPCreated", package, slug) for package in packages),
    ]


def _moved(slug: str, number: int) -> WorkEvent:
    turn = number // (FEATURES * PACKAGES) % 2
    payload = {
        "wp_id": f"WP{number // FEATURES % PACKAGES + 1:02}",
        "previous_status": _LANES[turn],
        "new_status": _LANES[1 - turn],
        "changed_by": "ada",
    }
    return WorkEvent("WPStatusChanged", payload, slug)


def status_s(folder: Path) -> float:
    """Returns the seconds of a cold `thence work status`, the median of several."""
    return _median(
        lambda: subprocess.run(
            [str(PROGRAM), "work", "status"], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
    )


def append_s(store: EventStore) -> list[float]:
    """Returns the seconds of each of many appends, each durable, with the index after it."""
    note = {"wp_id": "WP01", "entry_type": "note", "entry_content": "it goes on"}
    found = []
    for _ in range(APPENDS):
        start = time.perf_counter()
        store.append(WorkEvent("HistoryAdded", note, "001-feature"))
        store.query(subject=store.subject("001-feature", "WP01"), limit=1)
        found.append(time.perf_counter() - start)
    return sorted(found)


def board_s(store: EventStore) -> float:
    """Returns the seconds of reading a journal and folding it."""
    return _median(lambda: fold(store.arrived(), store.project.uuid))


def filters_s(store: EventStore) -> dict[str, float]:
    """Returns the seconds of a page of 100 by each filter."""
    package = store.subject("003-feature", "WP05")
    asked: dict[str, dict[str, object]] = {
        "feature": {"stream": "003-feature"},
        "package": {"subject": package},
        "type": {"type": "WPCreated"},
        "actor": {"actor": "ada"},
        "time": {"since": "2020-01-01", "until": "2100-01-01"},
        "feature and type": {"stream": "003-feature", "type": "WPStatusChanged"},
    }
    return {
        name: _median(lambda keys=keys: store.query(limit=100, **keys))
        for name, keys in asked.items()
    }


def _median(work: Callable[[], object]) -> float:
    work()
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return sorted(found)[ROUNDS // 2]
