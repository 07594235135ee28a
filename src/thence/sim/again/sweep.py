"""Many runs of one scenario in one folder, over seeds and values of its settings.

plan.json tells which runs. A sweep plays those that lack and plays on those that were cut off: the
same sweep, begun again, goes on. Its worker processes end with it, however it ends.
"""

import hashlib
import itertools
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, Protocol

import msgspec
from msgspec.structs import replace

from thence.core.ready import ready
from thence.errors import NotALog, ThenceError
from thence.files import file_lock, replace_file
from thence.sim.again.replay import resume
from thence.sim.results.recorded import final_values, open_run, read_object, read_result
from thence.sim.results.table import Table
from thence.sim.run.calls import described
from thence.sim.run.run import RunResult, SimulationOrchestrator, collecting_rarely
from thence.sim.run.run_folder import RunHold
from thence.sim.scenario.scenario import SimulationConfig
from thence.sim.scenario.scenario_file import find_file

PLAN = "plan.json"
RUNS_MAX = 100_000
# workers of a killed sweep stop within a turn of theirs
_WAIT_S = 10.0
_WORKER = "from thence.sim.again.sweep import work; work()"


class PlannedRun(msgspec.Struct, frozen=True):
    """One run of a sweep, whose folder is called `run_id`; `settings` are values by key."""

    run_id: str
    settings: Mapping[str, Any]
    seed: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a sweep; `scenario` is a file, `files` the SHA-256 of it and what it names."""

    scenario: str
    files: dict[str, str]
    settings: dict[str, list[Any]]
    seeds: list[int]

    @property
    def runs(self) -> list[PlannedRun]:
        """A run for each combination of the settings' values with each seed."""
        combinations = enumerate(itertools.product(*self.settings.values()), 1)
        return [
            PlannedRun(
                f"set-{number}-seed-{seed}", dict(zip(self.settings, values, strict=True)), seed
            )
            for number, values in combinations
            for seed in self.seeds
        ]


def make_plan(scenario: str | Path, settings: dict[str, list[Any]], seeds: Sequence[int]) -> Plan:
    """Returns the plan of a sweep; without seeds the scenario's own counts.

    Each value is checked beside the first ones of the other settings. Raises ScenarioError for an
    unknown setting and a value that does not fit, ThenceError for more than 100,000 runs.
    """
    file = find_file(scenario).absolute()
    first = {key: values[0] for key, values in settings.items()}
    config = SimulationConfig.from_file(file, first)
    for key, values in settings.items():
        for value in values[1:]:
            SimulationConfig.from_file(file, {**first, key: value})
    seeds = sorted(seeds) or [config.simulation.seed]
    count = math.prod(map(len, settings.values())) * len(seeds)
    if count > RUNS_MAX:
        cause, hint = f"it has {count:,} runs, more than {RUNS_MAX:,}", "name fewer seeds or values"
        code = "scenario_error"
        raise ThenceError("could not plan the sweep", cause=cause, hint=hint, code=code)
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest(), **config.files}
    return Plan(scenario=str(file), files=files, settings=settings, seeds=seeds)


def read_plan(folder: Path) -> Plan:
    """Returns the plan that a folder holds; raises ThenceError where there is none."""
    try:
        return msgspec.json.decode((folder / PLAN).read_bytes(), type=ready(Plan))
    except (OSError, msgspec.DecodeError) as error:
        hint = "name the folder of a sweep, or a run, or a scenario to begin one"
        what, why = f"could not read {PLAN} in", getattr(error, "strerror", None) or error
        raise ThenceError(what, place=folder, cause=why, hint=hint) from error


def keep_plan(folder: Path, plan: Plan) -> Plan:
    """Writes the plan of a sweep unless it is there, and returns it as it is kept.

    Raises ThenceError where the plan there has other values or seeds, where the scenario or a file
    that it names has changed, and where the folder is that of a run.
    """
    if not (folder / PLAN).exists():
        if (folder / "events.jsonl").exists():
            cause, hint = "it is the folder of a run", "name another folder with --output"
            raise ThenceError("could not begin the sweep", place=folder, cause=cause, hint=hint)
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / PLAN, msgspec.json.format(msgspec.json.encode(plan)) + b"\n")
    kept = read_plan(folder)
    names = {**kept.files, **plan.files}
    parts = [name for name in names if kept.files.get(name) != plan.files.get(name)]
    parts += [name for name in ("settings", "seeds") if getattr(kept, name) != getattr(plan, name)]
    if parts:
        cause = f"its plan has another value of: {', '.join(parts)}"
        hint = "name another folder with --output, or sweep as the plan there says"
        raise ThenceError("could not continue with the sweep", place=folder, cause=cause, hint=hint)
    return replace(kept, scenario=plan.scenario)


def is_completed(folder: Path, run: PlannedRun) -> bool:
    """Reports whether a run of a sweep has come to its end."""
    return bool(read_result(folder / run.run_id).get("status") == "completed")


def command_of(plan: Plan, run: PlannedRun, folder: Path) -> str:
    """Returns the command that plays one run, or plays it on if it has begun."""
    place = folder.absolute() / run.run_id
    if (place / "events.jsonl").exists():
        return shlex.join(["thence", "sim", "resume", str(place)])
    settings = [f"{key}={msgspec.json.encode(one).decode()}" for key, one in run.settings.items()]
    words = ["thence", "sim", "run", plan.scenario, *(f"--set={text}" for text in settings)]
    words += ["--seed", str(run.seed), "--output-root", str(place.parent), "--run-id", run.run_id]
    return shlex.join(words)


class RunTask(msgspec.Struct, frozen=True):
    """A run to be played by another process, with the files of its plan."""

    scenario: str
    folder: str
    run: PlannedRun
    files: dict[str, str]


class Player(Protocol):
    """What plays runs one by one, in another process."""

    def play(self, task: RunTask) -> str | None:
        """Plays a run; returns "" or why it is not completed, None if the process died."""

    def stop(self) -> None:
        """Interrupts the run that is played; another thread waits for it."""


class Sweep:
    """The runs of a plan that are not completed, and what came of them.

    `completed` counts the completed runs of the plan; `on_done` is called with it. `faults` tell by
    run_id why a run that was played is not completed.
    """

    def __init__(self, plan: Plan, folder: Path, on_done: Callable[[int], None]) -> None:
        self.faults: dict[str, str] = {}
        runs, self.folder = plan.runs, folder.absolute()
        self.waiting = deque(run for run in runs if not is_completed(folder, run))
        self.completed = len(runs) - len(self.waiting)
        self._plan = plan
        self._on_done = on_done
        self._is_stopped = False
        self._lock = threading.Lock()

    def play(self, players: Sequence[Player]) -> None:
        """Lets players play, each in a thread; a run whose process died is played on, once.

        Ctrl-C ends the runs that are played in good order, and a second one does not wait for it;
        KeyboardInterrupt is raised.
        """
        self._on_done(self.completed)
        with ThreadPoolExecutor(len(players)) as threads:
            serving = [threads.submit(self._serve, player) for player in players]
            try:
                for ending in serving:
                    ending.result()
            finally:
                self._is_stopped = True
                for player in players:
                    player.stop()

    def _serve(self, player: Player) -> None:
        while not self._is_stopped:
            try:
                run = self.waiting.popleft()
            except IndexError:
                return
            task = RunTask(self._plan.scenario, str(self.folder), run, self._plan.files)
            fault = player.play(task)
            if fault is None and not self._is_stopped:
                fault = player.play(task)
            with self._lock:
                if fault == "":
                    self.completed += 1
                    self._on_done(self.completed)
                elif not self._is_stopped:
                    self.faults[run.run_id] = fault or "the process that played it died, twice"


class WorkerProcess:
    """A player in a process of this machine, which is replaced when it dies."""

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._start = start
        self._process: Any = None
        self._is_stopped = False

    def play(self, task: RunTask) -> str | None:
        """Plays a run, as `Player` says."""
        with suppress(OSError, ValueError):  # the process is gone, or its answer is cut
            self._process = self._process or self._start()
            if not self._is_stopped:  # before it started: `stop` had nothing to end
                self._process.stdin.write(msgspec.json.encode(task) + b"\n")
                self._process.stdin.flush()
                return msgspec.json.decode(self._process.stdout.readline(), type=str)
        self.close()
        return None

    def stop(self) -> None:
        """Ends the input of the process, which interrupts its run."""
        self._is_stopped = True
        with suppress(OSError):
            if (process := self._process) is not None:
                process.stdin.close()

    def close(self) -> None:
        """Ends the process at once."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(OSError), process:
                process.kill()


def play_in_processes(sweep: Sweep, jobs: int) -> None:
    """Plays the runs of a sweep in `jobs` processes of this machine.

    What the runs write on stdout and stderr goes to workers.log. Raises as `Sweep.play` does, and
    `file_busy` while another sweep plays in the folder.
    """
    # the workers inherit the lock: who goes on with a killed sweep waits until they are gone
    with (
        file_lock(sweep.folder / ".lock", _WAIT_S) as lock,
        (sweep.folder / "workers.log").open("ab") as log,
    ):

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, "-u", "-c", _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=[lock.fileno()],
                start_new_session=True,  # Ctrl-C is the sweep's to pass on
            )

        players = [WorkerProcess(start) for _ in range(min(jobs, len(sweep.waiting)))]
        try:
            sweep.play(players)
        finally:
            for player in players:
                player.close()


def work() -> None:
    """Plays the runs that come on stdin, a line each, and answers on stdout, until stdin ends.

    What the runs write goes to stderr. The end of stdin interrupts the run that is played.
    """
    lines: SimpleQueue[bytes | None] = SimpleQueue()
    main = threading.main_thread().ident
    assert main is not None
    signal.signal(signal.SIGINT, signal.default_int_handler)  # behind `&` a shell ignores it

    def listen() -> None:
        for line in sys.stdin.buffer:
            lines.put(line)
        signal.pthread_kill(main, signal.SIGINT)
        lines.put(None)

    broken = suppress(KeyboardInterrupt, BrokenPipeError)
    with broken, collecting_rarely(), os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        threading.Thread(target=listen, daemon=True).start()
        while (line := lines.get()) is not None:
            fault = play_task(msgspec.json.decode(line, type=ready(RunTask)))
            answers.write(msgspec.json.encode(fault) + b"\n")
            answers.flush()


def play_task(task: RunTask) -> str:
    """Plays one run in this process, from where an earlier one left it, as `Player` says."""
    if is_completed(Path(task.folder), task.run):  # by a worker of a sweep that was killed
        return ""
    try:
        result = _orchestrator(task).run()
    except Exception as error:  # boundary: what one run raises ends no other run
        return described(error)
    assert isinstance(result, RunResult), "no event loop runs in a worker"
    if result.status != "completed":
        return result.error or result.reason
    return f"{result.failed} events could not be written" if result.failed else ""


def _orchestrator(task: RunTask) -> SimulationOrchestrator:
    run, place = task.run, Path(task.folder, task.run.run_id)
    if place.is_dir():
        # a process that was killed holds it until it is gone; raises `run_goes_on` if one does
        RunHold(place, _WAIT_S).release()
        with suppress(NotALog):
            return resume(place)
        shutil.rmtree(place)  # of a process that was killed before the first event
    config = SimulationConfig.from_file(task.scenario, run.settings)
    if changed := [name for name in config.files if config.files[name] != task.files.get(name)]:
        hint = "sweep into another folder with --output"
        cause = f"{', '.join(changed)} changed since the sweep began"
        raise ThenceError("could not play the run", place=run.run_id, cause=cause, hint=hint)
    return SimulationOrchestrator(config, seed=run.seed, output_root=task.folder, run_id=run.run_id)


def sweep_table(
    folder: str | Path, rows: Literal["runs", "turns"] = "runs", variables: Sequence[str] = ()
) -> Table:
    """Returns the table of a sweep, or of one run, by its folder.

    A row is a run, with run_id, the sweep's settings by their keys, seed, status, turns, error, and
    the final value of each variable as `<scope>/<name>`; or a turn of a run that has begun, with
    run_id, settings, seed, turn, and the values after it, with those of the `variables` of single
    rows of populations, such as people/817/money. Raises ThenceError where the folder holds
    neither, `not_recorded` for turns of a run whose verbosity is below STATE.
    """
    members = planned_runs(Path(folder))
    if rows == "turns":
        return Table.of(lambda: _turn_rows(members, variables))
    return Table.of(lambda: _run_rows(members))


def planned_runs(folder: Path) -> list[tuple[Path, PlannedRun]]:
    """Returns the runs of a sweep with their folders, or the one of a run's folder."""
    if not (folder / PLAN).exists() and (config := read_object(folder / "config.json")):
        with suppress(KeyError, TypeError):  # somebody changed it
            return [(folder, PlannedRun(config["run_id"], {}, config["simulation"]["seed"]))]
    return [(folder / run.run_id, run) for run in read_plan(folder).runs]


def equal_seeds(folder: Path) -> str:
    """Returns that the seeds of a sweep made no difference, "" where they did, or nobody knows.

    Where models alone decide, their requests hold no seed of the run unless they are told to.
    """
    ends: dict[str, list[Mapping[str, Any]]] = {}
    for place, run in planned_runs(folder):
        result = read_result(place)
        if result.get("status") == "completed":
            ends.setdefault(str(run.settings), []).append(final_values(result))
    count = min(map(len, ends.values()), default=0)
    if count < 2 or any(values != of_all[0] for of_all in ends.values() for values in of_all):
        return ""
    return (
        f"the runs of all seeds end in the same state, so that {count} of them show what one does; "
        "if models decide, `seed: run` at the endpoint lets each seed differ"
    )


def _run_rows(members: Sequence[tuple[Path, PlannedRun]]) -> Iterator[dict[str, Any]]:
    for place, run in members:
        result = read_result(place)
        status = result.get("status") or ("not ended" if place.is_dir() else "not begun")
        row = {"run_id": run.run_id, **run.settings, "seed": run.seed, "status": status}
        row |= {name: result.get(name) for name in ("turns", "error")}
        yield row | final_values(result)


def _turn_rows(
    members: Sequence[tuple[Path, PlannedRun]], variables: Sequence[str]
) -> Iterator[dict[str, Any]]:
    for place, run in members:
        with suppress(NotALog), open_run(place) as recorded:
            courses: dict[str, list[Any]] = {}
            if variables:
                from thence.sim.populations.why import row_courses

                courses = row_courses(recorded, variables)
            for at, row in enumerate(recorded.variables()):
                of_rows = {name: course[at] for name, course in courses.items()}
                yield {"run_id": run.run_id, **run.settings, "seed": run.seed, **row, **of_rows}
