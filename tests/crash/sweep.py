"""Every call to the disk failed at every place, in every scene, and each log judged afterwards.

`python -m tests.crash.sweep` runs the full product; `python -m tests.crash.sweep 2000 7` a
sample of so many runs, by the seed 7. Exit 1 and the problems when a promise was broken.
"""

import json
import logging
import os
import random
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from tests.crash.evidence import events, files, is_torn, is_valid, notice, unreported
from tests.crash.faulty import Fault, FaultyDisk, Span, faults, summary
from tests.crash.promised import Ended, Run, silent
from tests.crash.scenes import HASTY_DISK, SCENES, Scene

from thence.core.vocabulary import VOCABULARIES
from thence.errors import ThenceError
from thence.log.open import Log, LogSettings
from thence.log.write import committer

RUN_S = 60.0
THREAD_S = 60.0
RETRY_S = 0.02
GOES_ON = 99
LAST = 100
KINDS = ("recovered", "write_failed", "segment_suspect")


def played(scene: Scene, fault: Fault | None, folder: Path, disk: FaultyDisk) -> Run:
    """Play a scene with one fault, to its end and on a disk that is well again."""
    scene.prepare(folder)
    run = Run(folder, disk, strangers=ours())
    run.kept |= {-position: e for position, e in enumerate(ids(folder), 1)}
    if not scene.arms_itself:
        run.disk.arm()
    try:
        scene.play(run)
        if not scene.arms_itself:
            go_on(run, fault)
    except Ended:
        pass
    run.close()
    run.disk.heal()
    wait_for_threads(run)
    if run.log or run.writer:
        run.close(THREAD_S)
    return run


def go_on(run: Run, fault: Fault | None) -> None:
    """Append once more: a disk that is well again must be written to again."""
    if fault is None or fault.span is Span.HEALED:
        run.disk.heal()
    run.disk.is_doomed = False
    is_well = run.disk.is_well
    if run.writer is not None:
        run.tell(GOES_ON)
    elif run.log is not None:
        if is_well:
            run.retry()
        run.append(GOES_ON)
    is_taken = GOES_ON in run.kept or GOES_ON in run.queued
    if is_well and not is_taken:
        error = run.refused.get(GOES_ON) or run.unknown.get(GOES_ON)
        run.problems.append(f"the disk is well again, not so the log: {error!r}")


def ids(folder: Path) -> list[str]:
    return [members["event_id"] for _, members in events(folder) if members]


def ours(strangers: Collection[Thread] = ()) -> list[Thread]:
    """List the threads of thence, but those that another test has left and nobody collected."""
    running = [thread for thread in threading.enumerate() if thread.name.startswith("thence")]
    return [thread for thread in running if thread not in strangers]


def wait_for_threads(run: Run) -> None:
    for thread in ours(run.strangers):
        thread.join(THREAD_S)


def judged(run: Run, vocabulary: str) -> list[str]:
    """Tell every promise that a run broke."""
    found = [*run.problems, *left_behind(run), *undurable(run)]
    for place, members in events(run.folder):
        if members is None:
            found.append(f"{place}: a line that is not an event")
    older = [path for path in files(run.folder) if path.name != "events.jsonl"]
    found += [f"{path.name} ends in half a line" for path in older if is_torn(path)]
    try:
        with Log(
            run.folder, VOCABULARIES[vocabulary], LogSettings(report=silent), disk=HASTY_DISK
        ) as log:
            run.kept[LAST] = log.append("reopened", timeout_s=2).event_id
            found += [f"verify: {finding}" for finding in log.verify().damage]
            served = Counter(event.event_id for event in log.read())
    except (ThenceError, OSError) as error:
        return [*found, f"the log can't be opened again: {error!r}"]
    good = [members for _, members in events(run.folder) if members]
    found += [f"{e} is served {n} times" for e, n in served.items() if n > 1]
    found += [
        f"event {number} was acknowledged and is lost"
        for number, event_id in run.kept.items()
        if event_id not in served
    ]
    found += misnumbered(good) + repeated(run) + unrefused(run, good) + mistold(run, good)
    return found + counts(run, served, good)


def left_behind(run: Run) -> list[str]:
    """Look for what a closed log still holds: descriptors, maps, threads."""
    folder = run.folder
    found = [f"the thread {thread.name} is left" for thread in ours(run.strangers)]
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if target.startswith(f"{folder}/"):
            found.append(f"a descriptor of {target} is left")
    if str(folder) in Path("/proc/self/maps").read_text():
        found.append("a map of a file is left")
    return found


def undurable(run: Run) -> list[str]:
    """Find acknowledged events that no sync has made durable, which a power cut may take."""
    safe: set[str] = set()
    for path in files(run.folder):
        status = path.stat()
        tails = run.disk.durable((status.st_dev, status.st_ino))
        data = path.read_bytes()
        for start, end in tails:
            safe |= {
                line[13:39].decode("ascii", "replace") for line in data[start:end].split(b"\n")
            }
    safe -= {event_id for event_id, digests in named(run).items() if digests - safe_values(run)}
    return [
        f"event {number} was acknowledged, and no sync of it succeeded"
        for number, event_id in run.kept.items()
        if number >= 0 and event_id not in safe and number not in run.elsewhere
    ]


def named(run: Run) -> dict[str, set[str]]:
    """Return the digests of the large values that each event names."""
    good = [members for _, members in events(run.folder) if members]
    return {
        members["event_id"]: {digest for _, digest, _ in members["bodies"]}
        for members in good
        if "bodies" in members
    }


def safe_values(run: Run) -> set[str]:
    """Return the digests of the pieces of large values that a sync has made durable."""
    found: set[str] = set()
    for path in run.folder.glob("bodies*.jsonl"):
        status, data = path.stat(), path.read_bytes()
        for start, end in run.disk.durable((status.st_dev, status.st_ino)):
            found |= {
                line[11:75].decode("ascii", "replace") for line in data[start:end].split(b"\n")
            }
    return found


def misnumbered(good: list[dict[str, Any]]) -> list[str]:
    """Check the numbers of each node and the clock of all."""
    found = []
    first = {members["event_id"]: members for members in reversed(good)}
    once = [members for members in good if first[members["event_id"]] is members]
    for node in dict.fromkeys(members["node_id"] for members in once):
        seqs = [members["seq"] for members in once if members["node_id"] == node]
        if seqs != list(range(1, len(seqs) + 1)):
            found.append(f"the numbers of node {node} are {seqs}")
    clocks = [members["lamport_clock"] for members in once]
    if clocks != sorted(set(clocks)):
        found.append(f"the clocks are {clocks}")
    return found


def number_of(members: dict[str, Any]) -> int | None:
    if members["event_type"] == "worked":
        return int(members["payload"]["n"])
    return int(members["turn_number"]) if members["event_type"] == "ACTION" else None


def notices(good: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [told for told in map(notice, good) if told is not None]


def mistold(run: Run, good: list[dict[str, Any]]) -> list[str]:
    """Check what the log tells of itself: only what a failing disk can bring about.

    Where a session had no file or left no mark, the end is unknown; its queue may be marked still.
    """
    found = [
        f"a notice tells of {kind}, {facts}"
        for kind, facts in notices(good)
        if (kind not in KINDS and not (kind == "gap" and run.disk.failed))
        or facts.get("bytes", 0) < 0
    ]
    recovered = [members for members in good if (notice(members) or [""])[0] == "recovered"]
    return found + unreported(run.folder, recovered)


def repeated(run: Run) -> list[str]:
    """Find events that stand twice, but for equal lines of a segment that is told as suspect."""
    known: dict[int, tuple[str, int, bytes]] = {}
    found = []
    good = [members for _, members in events(run.folder) if members]
    regions = [facts for kind, facts in notices(good) if kind == "segment_suspect"]
    for path in files(run.folder):
        offset = 0
        for line in path.read_bytes().splitlines(keepends=True):
            number = number_of(json.loads(line)) if is_valid(line[:-1]) else None
            if number is not None and number in known:
                file, start, first = known[number]
                if line != first:
                    found.append(f"event {number} stands twice, not the same")
                if not any(
                    facts["file"] == file
                    and facts["offset"] <= start < facts["offset"] + facts["bytes"]
                    for facts in regions
                ):
                    found.append(f"event {number} stands twice, which nothing tells")
            elif number is not None:
                known[number] = (path.name, offset, line)
            offset += len(line)
    return found


def unrefused(run: Run, good: list[dict[str, Any]]) -> list[str]:
    """Find events that were refused and stand there."""
    there = set(map(number_of, good))
    found = []
    for numbers, error in run.pieces:
        stand = [number for number in numbers if number in there]
        if stand != numbers[: len(stand)] or (stand == numbers):
            found.append(f"of {numbers}, refused, {stand} stand: {error!r}")
    return found + [
        f"event {number} was refused and is there: {error!r}"
        for number, error in run.refused.items()
        if number in there and number not in run.kept and number not in run.unknown
    ]


def counts(run: Run, served: Counter[str], good: list[dict[str, Any]]) -> list[str]:
    """Check what close answered and what was counted against what is there."""
    opened = run.log._committer if run.log else run.writer
    if opened is None:
        return []
    found = []
    missing = [e for e in run.queued.values() if e not in served]
    failed = opened.failed_count
    if run.is_drained is None:
        found.append("close gave no answer")
    if run.is_drained and missing:
        found.append(f"close answered that all is written, and {len(missing)} are missing")
    if run.answers:
        if failed != [*run.answers.values()].count(False):
            found.append(f"failed_count is {failed}, answers {run.answers}")
        told = sum(facts["count"] for kind, facts in notices(good) if kind == "write_failed")
        # whose sync failed was not confirmed, and may have been written again since
        missing = [event_id not in served for event_id in run.answers]
        last = max((at for at, is_good in enumerate(run.answers.values()) if is_good), default=0)
        if told != sum(missing[:last]):
            found.append(f"notices tell of {told} refused, answers {run.answers}")
    elif not len(missing) <= failed <= len(run.queued):
        found.append(f"failed_count is {failed}, {len(missing)} of {len(run.queued)} are missing")
    elif failed > len(missing) and not run.may_count_too_many:
        found.append(f"failed_count is {failed}, and {len(missing)} are missing")
    return found


@dataclass
class Tally:
    """What a sweep saw."""

    seed: int
    judged: int = 0
    missed: int = 0  # the run made fewer calls than the fault's number
    kinds: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


@contextmanager
def quick() -> Iterator[None]:
    """Have refused batches tried again soon, and threads that die heard."""
    logger = logging.getLogger("thence")
    hooks = threading.excepthook, sys.unraisablehook
    delay_s, handlers, flows = committer.RETRY_S, logger.handlers, logger.propagate
    committer.RETRY_S = RETRY_S
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    try:
        yield
    finally:
        committer.RETRY_S = delay_s
        logger.handlers, logger.propagate = handlers, flows
        threading.excepthook, sys.unraisablehook = hooks


def watched(work: Callable[[], list[str]]) -> list[str]:
    """Do the work in a thread of its own; a hang ends in the stacks of all threads."""
    found: list[str] = []
    died: list[str] = []

    def worked() -> None:
        found.extend(work())

    def dies(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "?"
        lines = "".join(traceback.format_exception(args.exc_value)[-4:])
        died.append(f"the thread {name} died: {lines}")

    def ignored(args: Any) -> None:
        died.append(f"an error that nobody saw: {args.exc_value!r} in {args.object!r}")

    threading.excepthook = dies
    sys.unraisablehook = ignored
    thread = Thread(target=worked, name="sweep", daemon=True)
    thread.start()
    thread.join(RUN_S)
    if thread.is_alive():
        stacks = [traceback.format_stack(frame) for frame in sys._current_frames().values()]
        found.append("it hangs\n" + "\n--\n".join("".join(stack[-6:]) for stack in stacks))
    return found + died


def judge(
    name: str,
    fault: Fault | None,
    folder: Path,
    scene: Scene | None = None,
    disk: FaultyDisk | None = None,
) -> tuple[list[str], Run]:
    """Play and judge one run; a problem says with what fault, in which scene."""
    scene = scene or SCENES[name]
    disk = disk or FaultyDisk(fault)
    runs: list[Run] = []

    def work() -> list[str]:
        runs.append(played(scene, fault, folder, disk))
        return judged(runs[0], scene.vocabulary)

    found = watched(work)
    run = runs[0] if runs else Run(folder, disk)
    place = f"{name}, {fault} ({disk.struck or 'not reached'})"
    return [f"{place}: {problem}" for problem in found], run


def counted(name: str) -> Run:
    """Play a scene without a fault, to know its calls."""
    with tempfile.TemporaryDirectory() as folder:
        found, run = judge(name, None, Path(folder))
    assert not found, "\n".join(found)
    return run


def product() -> list[tuple[str, Fault]]:
    """List every fault at every call of every scene."""
    return [(name, fault) for name in SCENES for fault in faults(counted(name).disk.calls)]


def sweep(cases: list[tuple[str, Fault]], seed: int, problems_max: int = 1) -> Tally:
    """Judge so many cases; stop when there are problems enough."""
    tally = Tally(seed)
    with quick():
        for name, fault in cases:
            with tempfile.TemporaryDirectory() as folder:
                found, run = judge(name, fault, Path(folder))
            is_struck = bool(run.disk.struck or run.is_struck_elsewhere)
            tally.judged += is_struck
            tally.missed += not is_struck
            tally.kinds[run.disk.struck] += is_struck
            tally.problems += found
            if len(tally.problems) >= problems_max:
                break
    return tally


def sample(cases: list[Any], size: int, seed: int) -> list[Any]:
    """Draw so many cases, all of them if there are no more."""
    return cases if size >= len(cases) else random.Random(seed).sample(cases, size)


def main(arguments: list[str]) -> int:
    seed = int(arguments[1]) if len(arguments) > 1 else random.randrange(2**32)
    with quick():
        for name in SCENES:
            print(
                f"{name}: {len((run := counted(name)).disk.calls)} calls, {summary(run.disk.calls)}"
            )
        cases = product()
    chosen = sample(cases, int(arguments[0]) if arguments else len(cases), seed)
    begun = time.monotonic()
    tally = sweep(chosen, seed, problems_max=1_000_000)
    took_s = time.monotonic() - begun
    print(f"seed {seed}: {tally.judged} of {len(cases)} faults judged in {took_s:.0f} s")
    print(f"{tally.missed} runs ended before their fault")
    print(dict(tally.kinds))
    print("\n".join(tally.problems))
    return bool(tally.problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
