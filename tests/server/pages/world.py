"""What a person has after a week: runs, a sweep, a village of models, a board, a log."""

from pathlib import Path

from tests.cli.installed import thence as command
from tests.server.runs import make_village
from tests.server.test_board_page import write
from tests.server.test_verdict import useless_to_ann
from tests.work.project_events import planned

import thence
from thence.core.new_event import HostEvent

TURNS, TASKS, FAILS_EVERY = 30, 600, 211
SWEEP = "fishery-sweep"


def make_world(root: Path) -> None:
    """Makes the folder of runs and logs."""
    for seed in (1, 2):
        _run(root, "sim", "run", "spatial_trade_network", f"--seed={seed}", f"--turns={TURNS}",
             f"--run-id=market-{seed}", "--output-root=.")  # fmt: skip
    settings = ("--set", "engine.growth=0.1,0.35", "--seeds", "1-3")
    _run(root, "sim", "sweep", "fishery", *settings, "--output", SWEEP)
    make_village(root, "village", useless_to_ann)
    _make_tasks(root / "tasks")
    clone = planned(count=12)
    for number in range(1, 9):
        clone.move(f"WP{number:02}", "planned", "doing", actor=("ada", "ben")[number % 2])
    for number in range(1, 6):
        clone.move(f"WP{number:02}", "doing", "for_review", actor=("ada", "ben")[number % 2])
    write(root, clone)


def make_repository(root: Path) -> Path:
    """Makes the repository of the demo, in which a coding agent was killed amid a call."""
    _run(root, "demo")
    (repository,) = (root / "output").iterdir()
    return repository


def _run(root: Path, *arguments: str) -> None:
    ended = command(*arguments, cwd=root)
    assert ended.code == 0, ended.err


def _make_tasks(folder: Path) -> None:
    with thence.open(folder) as log:
        for number in range(TASKS):
            actor = f"worker-{number % 12}"
            (begin,) = log.append_many([HostEvent("task.begun", {}, actor=actor, begins=True)])
            kind = "task.failed" if number % FAILS_EVERY == FAILS_EVERY - 1 else "task.done"
            log.append_many([HostEvent(kind, {"n": number}, actor=actor, ends=begin.event_id)])
