"""What a person has after a week: runs, a sweep, a village of models, a board, a log."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cli.installed import thence as command
from tests.server.test_board_page import write
from tests.server.test_verdict import USELESS
from tests.sim.models.endpoint import Endpoint
from tests.sim.models.village import generous, user, written
from tests.work.project_events import planned

import thence
from thence.core.new_event import HostEvent
from thence.sim import SimulationConfig, SimulationOrchestrator

TURNS, TASKS, FAILS_EVERY = 30, 600, 211
SWEEP = "fishery-sweep"


def make_world(root: Path) -> None:
    """Makes the folder of runs and logs."""
    for seed in (1, 2):
        _run(root, "sim", "run", "spatial_trade_network", f"--seed={seed}", f"--turns={TURNS}",
             f"--run-id=market-{seed}", "--output-root=.")  # fmt: skip
    settings = ("--set", "engine.growth=0.1,0.35", "--seeds", "1-3")
    _run(root, "sim", "sweep", "fishery", *settings, "--output", SWEEP)
    _make_village(root)
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


def _make_village(root: Path) -> None:
    with Endpoint(lambda body: USELESS if "You are ann." in user(body) else generous(body)) as at:
        config = SimulationConfig.from_file(written(root / ".village", at.base_url))
        run = SimulationOrchestrator(config, output_root=root, run_id="village").run
        with ThreadPoolExecutor() as threads:  # no event loop runs there
            threads.submit(run).result()


def _make_tasks(folder: Path) -> None:
    with thence.open(folder) as log:
        for number in range(TASKS):
            actor = f"worker-{number % 12}"
            (begin,) = log.append_many([HostEvent("task.begun", {}, actor=actor, begins=True)])
            kind = "task.failed" if number % FAILS_EVERY == FAILS_EVERY - 1 else "task.done"
            log.append_many([HostEvent(kind, {"n": number}, actor=actor, ends=begin.event_id)])
