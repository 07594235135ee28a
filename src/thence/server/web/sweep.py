"""The page of a sweep: each run with its settings, how it ended, and the values at its end."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from statistics import median, median_low, quantiles
from typing import NamedTuple

import msgspec
from starlette.responses import Response

from thence.core.markup import (
    Child,
    Column,
    Html,
    cut,
    el,
    joined,
    link,
    path,
    table,
    visible,
    words,
)
from thence.core.ready import ready
from thence.core.sentences.events import counted
from thence.server.logs.root import SWEEP_PLAN, FoundLog, Root
from thence.server.logs.summaries import (
    FILE_BYTES_MAX,
    RunRecord,
    Summaries,
    flattened,
    read_record,
)
from thence.server.web.home import RELOADED_AFTER_S
from thence.server.web.layout import page
from thence.server.web.parts import NUMBER_MAX, choice, failures_link, numbers, spread, status

RUNS_SHOWN_MAX = 1_000
VALUES_SHOWN_MAX = 4
CHOICES_MAX = 200
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
    """A sweep under the root: its id, its state in words, its first runs, what differs in them.

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
        plan = msgspec.json.decode(root.read(folder, SWEEP_PLAN, FILE_BYTES_MAX), type=ready(Plan))
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
    keys = [key for key, values in plan.settings.items() if len(values) > 1]
    settings = runs[0].settings if runs else {}
    of_all = [f"{key} {settings.get(key, '')}" for key in plan.settings if key not in keys]
    verdict += f"; in all: {', '.join(of_all)}" if of_all else ""
    return FoundSweep(sweep_id, verdict, runs, keys)


def listed_sweeps(root: Root) -> list[tuple[Html, str]]:
    """Returns the names and states of the sweeps that the served folder holds, or is."""
    names = dict.fromkeys((root.folder.name, *root.names()))
    found_sweeps = (find_sweep(root, name, RUNS_LOOKED_AT_MAX) for name in names)
    sweeps = islice(filter(None, found_sweeps), SWEEPS_MAX)
    return [(link(words(one.id), path("runs", one.id)), one.verdict) for one in sweeps]


def sweep_page(sweep: FoundSweep, summaries: Summaries, variable: str = "") -> Response:
    """Returns the page; of the values at the end those come first in which the runs differ.

    The chart is of a variable, else of the first of these values that is a number.
    """
    trail = (el("span", words(sweep.id, 60), aria_current="page"),)
    verdict = el("p", words(sweep.verdict), class_="verdict")
    records = [run.record for run in sweep.runs if run.record is not None]
    finals = dict.fromkeys(name for record in records for name in record.final)
    names = sorted(finals, key=lambda name: len({one.final.get(name) for one in records}) < 2)
    shown_names = names[:VALUES_SHOWN_MAX]
    columns = [
        Column("Run", names_row=True),
        *(Column(cut(key, 60), "value", visible(cut(key, 60))) for key in sweep.keys),
        *numbers("Seed"),
        Column("Status", "status"),
        *numbers("Turns", "Failures"),
        *(Column(cut(name, 60), "number value", visible(cut(name, 60))) for name in shown_names),
    ]
    summed = [summaries.listed(run.log) if run.log else None for run in sweep.runs]
    rows: list[list[Child]] = []
    for run, listed in zip(sweep.runs, summed, strict=True):
        name, record = words(run.run_id), run.record
        rows.append(
            [
                link(name, path("runs", run.log.id)) if run.log else name,
                *(words(run.settings.get(key, ""), 60) for key in sweep.keys),
                f"{run.seed}",
                status(record, listed.facts.failures if listed else None)
                if record
                else "not begun",
                f"{listed.facts.turns:,}" if listed else None,
                failures_link(run.log, listed.facts.failures, class_="status-failed")
                if run.log and listed
                else None,
                *(words(record.final.get(key, ""), 40) if record else None for key in shown_names),
            ]
        )
    caption = f"{len(rows):,} runs, with {len(shown_names)} of {len(names):,} values at their end"
    body = table(caption, columns, rows) if rows else None
    heading, chart = el("h1", words(sweep.id)), _chart(sweep, names, variable)
    answer = page(cut(sweep.id, 80), heading, verdict, chart, body, trail=trail)
    if any(run.log and not listed for run, listed in zip(sweep.runs, summed, strict=True)):
        answer.headers["Refresh"] = RELOADED_AFTER_S
    return answer


def _chart(sweep: FoundSweep, names: Sequence[str], variable: str) -> Html | None:
    """Returns a number at the end of the runs, by their settings without the seed.

    Of each setting it has the median, which leads to the run that is nearest below it, and a bar
    of 10 to 90 %, as `thence sim plot` draws them.
    """
    choices = [name for name in names[:CHOICES_MAX] if any(_numbers(sweep, name))]
    if not choices:
        return None
    variable = variable if variable in choices else choices[0]
    found = [*_numbers(sweep, variable)]
    axis = (min(found)[0], max(found)[0])
    rows = []
    groups: dict[str, list[tuple[float, int]]] = {}
    for number, at in found:
        settings = sweep.runs[at].settings
        setting = ", ".join(f"{key} {settings.get(key, '')}" for key in sweep.keys)
        groups.setdefault(setting or "all runs", []).append((number, at))
    for setting, group in groups.items():
        values = [number for number, _ in group]
        tenths = quantiles(values, n=10, method="inclusive") if len(values) > 1 else values
        three = (tenths[0], median(values), tenths[-1])
        low, middle, high = map(_text, three)
        name = f"median {middle}, 10 to 90 % {low} to {high}"
        run = sweep.runs[dict(group)[median_low(values)]].log
        mark = link(middle, path("runs", run.id)) if run else middle
        chart = spread(three, axis, name)
        rows.append((words(setting), chart, mark, f"{low} to {high}", f"{len(group):,}"))
    ends = el("span", *(el("span", _text(end)) for end in axis), class_="ends")
    columns = [Column("Setting", names_row=True), Column(ends, "chart")]
    columns += numbers("Median", "10 to 90 %", "Runs")
    omitted = len(sweep.runs) - len(found)
    text = f" at the end of {counted(len(found), 'run')}, from {_text(axis[0])} to "
    text += _text(axis[1])
    text += f"; {counted(omitted, 'run')} without such a number left out" if omitted else ""
    caption = joined(words(variable, 60), text)
    options = choice("var", "At the end of the runs", variable, [(name, name) for name in choices])
    form = el("form", options, el("button", "Show", type="submit"), class_="plain do")
    return joined(form, table(caption, columns, rows))


def _numbers(sweep: FoundSweep, name: str) -> Iterator[tuple[float, int]]:
    """Yields the numbers of that name at the ends of runs, with the places of these."""
    for at, run in enumerate(sweep.runs):
        with suppress(ValueError):
            number = float(run.record.final.get(name, "") if run.record else "")
            if abs(number) < NUMBER_MAX:
                yield number, at


def _text(number: float) -> str:
    return f"{number:,.6g}"
