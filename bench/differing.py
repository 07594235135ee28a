"""How long `thence diff` of two runs of 100,000 events takes, the whole command, and its parts."""

import gc
import random
import resource
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench.coldstart import PROGRAM
from thence.core.codec import draft, stamper
from thence.core.diff import ALONE, LogSide, aligned, difference, is_same, side
from thence.core.event import EventFields
from thence.core.ids import IdSource
from thence.core.vocabulary import PLAIN, SIM, Vocabulary
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import current_path
from thence.log.read.opening import prepare
from thence.log.read.reader import events as events_of

EVENTS = 100_000
ROUNDS = 5
_WHEN = "2026-11-20T07:13:00.123456Z"
_CAUSES_MAX = 4
_REACH = 400
_DIFFER = 3  # the exit code of two logs that differ
_CASES = {
    "the same": range(0),
    "from the middle on": range(EVENTS // 2, EVENTS // 2 + 1),
    "in every event": range(EVENTS),
}


def written(folder: Path, words: Vocabulary, run: int, altered: range) -> None:
    """Writes a run in which each event has up to four causes; `altered` says otherwise."""
    prepare(OS_DISK, folder, words)
    new_id = IdSource(1_700_000_000_000_000_000, lambda: 0, run).new_id
    chance = random.Random(1)
    ids: list[str] = []
    drafts = []
    for at in range(EVENTS):
        reach = min(at, _REACH)
        back = [chance.randint(1, reach) for _ in range(chance.randint(1, _CAUSES_MAX)) if at]
        value = -1.0 - at if at in altered else round(chance.random() * 100, 3)
        said = {"scope": f"agent/ada{at % 100}", "old_value": value, "new_value": value + 1}
        members: dict[str, object] = {"actor": f"ada{at % 100}", "payload": said}
        if words is SIM:
            members = {"simulation_id": f"run-{run}", "turn_number": at // 100, "details": said}
            members |= {"agent_id": f"ada{at % 100}", "step": f"{at // 100}.apply0.ada.{at % 100}"}
        causes = tuple(dict.fromkeys(ids[-each] for each in back))
        ids.append(new_id())
        drafts.append(draft(EventFields(ids[-1], "STATE", 1, _WHEN, causes, **members)))  # type: ignore[arg-type]
    with current_path(folder).open("ab") as file:
        file.writelines(stamper(f"{run:012x}")(drafts, 1, 1))


class Took(NamedTuple):
    """What a comparison took, in seconds: by the clock, and of the processor."""

    wall_s: float
    processor_s: float


def figures(place: Path) -> Mapping[str, Took]:
    """Returns the medians of each comparison, each round all in turn."""
    kinds = {"simulation": SIM, "plain log": PLAIN}
    for kind, words in kinds.items():
        written(place / kind / "a", words, 1, range(0))
        for case, altered in _CASES.items():
            written(place / kind / case, words, 2, altered)
    names = [(kind, case) for kind in kinds for case in _CASES]
    found: dict[str, list[Took]] = {f"{kind}, {case}": [] for kind, case in names}
    for _ in range(ROUNDS):
        for kind, case in names:
            expected = 0 if case == "the same" else _DIFFER
            found[f"{kind}, {case}"].append(_took(place / kind, case, expected))
    return {
        name: Took(*(statistics.median(each) for each in zip(*rounds, strict=True)))
        for name, rounds in found.items()
    }


def _took(folder: Path, case: str, expected: int) -> Took:
    """Runs the command once."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run([str(PROGRAM), "diff", "a", case], cwd=folder, stdout=subprocess.DEVNULL)
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode != expected:
        raise SystemExit(f"thence diff ended with {ended.returncode}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(wall_s, used)


def parts_ms(place: Path) -> dict[str, float]:
    """Returns where the time of a comparison goes: of the processor, in ms, medians.

    That is of the plain logs that `figures` wrote, which part in the middle.
    """
    logs = [place / "plain log" / name for name in ("a", "from the middle on")]
    rounds = [_parts(*logs) for _ in range(ROUNDS)]
    return {name: statistics.median(each[name] for each in rounds) * 1e3 for name in rounds[0]}


def _parts(a: Path, b: Path) -> dict[str, float]:
    """Takes the steps of one comparison; in s."""
    seconds: defaultdict[str, float] = defaultdict(float)
    gc.collect()
    gc.disable()  # as the command does
    try:
        one, other = (_laid_out(folder, seconds) for folder in (a, b))
        start = time.process_time()
        partners = aligned(one, other)
        seconds["finding pairs"] = time.process_time() - start
        pairs = [(x, y) for x, y in enumerate(partners) if y != ALONE]
        start = time.process_time()
        _ = [is_same(one.events[x], other.events[y]) for x, y in pairs]
        seconds["comparing pairs"] = time.process_time() - start
        start = time.process_time()
        difference(one, other)
        whole = time.process_time() - start
    finally:
        gc.enable()
    parts = seconds["finding pairs"] + seconds["comparing pairs"]
    return {**seconds, "the first divergence, what follows": whole - parts}


def _laid_out(folder: Path, seconds: defaultdict[str, float]) -> LogSide:
    """Reads one log and lays it out."""
    start = time.process_time()
    events = events_of(OS_DISK, folder, PLAIN)
    seconds["reading"] += time.process_time() - start
    start = time.process_time()
    laid = side(events)
    seconds["order, causes"] += time.process_time() - start
    return laid
