"""The page of a sweep: each run with its settings, how it ended, and the values at its end."""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
from starlette.responses import Response

from thence.core.markup import Child, Column, cut, el, link, path, table, visible, words
from thence.server.logs.root import SWEEP_PLAN, FoundLog, Root
from thence.server.logs.run_record import FILE_BYTES_MAX, RunRecord, flattened, read_record
from thence.server.logs.summaries import Summaries
from thence.server.web.home import RELOADED_AFTER_S, failures, status
from thence.server.web.layout import page

RUNS_SHOWN_MAX = 1_000
VALUES_SHOWN_MAX = 4
# on the first page: so many sweeps, and runs of each
SWEEPS_MAX, RUNS_LOOKED_AT_MAX = 50, 100


class SweepRun(NamedTuple):
    """A planned run, with its log and its record once it has begun."""

    run_id: str
    seed: int
    settings: Mapping[str, str]
    log: FoundLog | None
    record: RunRecord | None


class FoundSweep(NamedTuple):
    """A sweep under the root: its id, its state in words, its first runs, its settings' keys.

    Without any, `verdict` says why its plan can't be read.
    """

    id: str
    verdict: str
    runs: Sequence[SweepRun] = ()
    keys: Sequence[str] = ()


def find_sweep(root: Root, sweep_id: str, runs_max: int = RUNS_SHOWN_MAX) -> FoundSweep | None:
    """Returns the sweep of an id with its first runs, None if there is none."""
    folder = root.sweep_folder(sweep_id)
    if folder is None:
        return None
    from thence.sim.again.sweep import RUNS_MAX, Plan

    try:
        plan = msgspec.json.decode(root.read(folder, SWEEP_PLAN, FILE_BYTES_MAX), type=Plan)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return FoundSweep(sweep_id, f"its {SWEEP_PLAN} can't be read: {error}")
    count = math.prod(map(len, plan.settings.values())) * len(plan.seeds)
    if count > RUNS_MAX:
        return FoundSweep(sweep_id, f"its {SWEEP_PLAN} has more than {RUNS_MAX:,} runs")
    runs = []
    for one in plan.runs[:runs_max]:
        log = root.found(root.run_of_sweep(sweep_id, one.run_id))
        record = None if log is None else read_record(root, log)
        runs.append(SweepRun(one.run_id, one.seed, flattened(one.settings), log, record))
    completed = sum(run.record is not None and run.record.status == "completed" for run in runs)
    first = f"the first {len(runs):,} of " if len(runs) < count else ""
    verdict = f"{completed:,} of {first}{count:,} runs completed"
    return FoundSweep(sweep_id, verdict, runs, [*plan.settings])


def sweeps(root: Root) -> list[tuple[str, str]]:
    """Returns the ids and states of the sweeps in the served folder, or of the one that it is."""
    names = dict.fromkeys((root.folder.name, *root.names()))
    found_sweeps = (find_sweep(root, name, RUNS_LOOKED_AT_MAX) for name in names)
    return [(one.id, one.verdict) for one in islice(filter(None, found_sweeps), SWEEPS_MAX)]


def sweep_page(sweep: FoundSweep, summaries: Summaries) -> Response:
    """Returns the page; of the values at the end those come first in which the runs differ."""
    trail = (el("span", words(sweep.id, 60), aria_current="page"),)
    verdict = el("p", words(sweep.verdict), class_="verdict")
    records = [run.record for run in sweep.runs if run.record is not None]
    finals = dict.fromkeys(name for record in records for name in record.final)
    names = sorted(finals, key=lambda name: len({one.final.get(name) for one in records}) < 2)
    shown_names = names[:VALUES_SHOWN_MAX]
    columns = [
        Column("Run", names_row=True),
        *(Column(cut(key, 60), "value", visible(cut(key, 60))) for key in sweep.keys),
        Column("Seed", "number", "seed"),
        Column("Status", "status"),
        Column("Turns", "number", "turns"),
        Column("Failures", "number", "failures"),
        *(Column(cut(name, 60), "number value", visible(cut(name, 60))) for name in shown_names),
    ]
    listed = [run.log and summaries.listed(run.log) for run in sweep.runs]
    rows: list[list[Child]] = []
    for run, counted in zip(sweep.runs, listed, strict=True):
        name, record = words(run.run_id), run.record
        rows.append(
            [
                link(name, path("runs", run.log.id)) if run.log else name,
                *(words(run.settings.get(key, ""), 60) for key in sweep.keys),
                f"{run.seed}",
                status(record) if record else "not begun",
                f"{counted.facts.turns:,}" if counted else None,
                failures(run.log, counted) if run.log and counted else None,
                *(words(record.final.get(key, ""), 40) if record else None for key in shown_names),
            ]
        )
    caption = f"{len(rows):,} runs, with {len(shown_names)} of {len(names):,} values at their end"
    body = table(caption, columns, rows) if rows else None
    answer = page(cut(sweep.id, 80), el("h1", words(sweep.id)), verdict, body, trail=trail)
    if any(run.log and not counted for run, counted in zip(sweep.runs, listed, strict=True)):
        answer.headers["Refresh"] = RELOADED_AFTER_S
    return answer
