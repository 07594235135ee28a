"""Power cuts by the million: after each one the log is opened again and judged.

`python -m tests.crash.power_cuts STATES [SEED [WORKERS]]` goes on until so many states were
judged, in parts of 50,000, as many parts at once as there are workers: one a processor, unless it
is told.
"""

import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing import get_context
from typing import NamedTuple

from tests.crash import traces
from tests.crash.crash_states import Crashes, worst
from tests.crash.evidence import mistold
from tests.crash.images import PAGE_BYTES, Image, Moment
from tests.crash.repertoire import wanderings
from tests.crash.simulated_disk import SimulatedDisk
from tests.crash.traces import FOLDER, Trace, opened

from thence.core.event import Event
from thence.errors import ThenceError
from thence.log.files.disk import Disk
from thence.log.files.segment import own_folder

# a trace with at most so many ways to cut the power is visited whole
WAYS_MAX = 7_000
SAMPLES = 200
NESTED_EVERY = 16
THOROUGH_EVERY = 4
PROBLEMS_MAX = 10
PART_STATES = 50_000


class Outcome(NamedTuple):
    """What a log was found to be after a power cut: what it served, who it is."""

    problems: list[str]
    served: list[Event]
    identity: tuple[str, str]


class Verdict:
    """What was found in one trace after another; `seen` counts what was done.

    Every so many states, as `thorough_every` says, verify is asked too, and whether the
    opening behind the next one tells anything again.
    """

    def __init__(self, seed: int = 0, thorough_every: int = 1) -> None:
        self._thorough_every = thorough_every
        self.chance = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.problems: list[str] = []

    def judge(self, trace: Trace, samples: int = SAMPLES, ways_max: int = WAYS_MAX) -> "Verdict":
        """Cut the power at every call of a trace, in every way or in many; judge each."""
        known: dict[tuple[object, ...], Outcome] = {}
        moments = [Crashes(moment) for moment in trace.moments]
        is_whole = sum(crashes.count for crashes in moments) <= ways_max
        self.seen["traces"] += 1
        self.seen["whole traces"] += is_whole
        for at, (moment, crashes) in enumerate(zip(trace.moments, moments, strict=True)):
            needed = [line for since, line in trace.acknowledged if since <= at]
            for image in self._images(moment, crashes, is_whole, samples):
                self.seen["visited"] += 1
                key = key_of(image)
                if key not in known:
                    known[key] = self._judged(image, trace)
                    self.seen["judged"] += 1
                outcome = known[key]
                found = outcome.problems + missing(needed, outcome.served)
                if needed and at >= trace.identified_at:
                    found += another(trace.identity, outcome.identity)
                if found:
                    self._report(trace, at, found, image)
                    if len(self.problems) >= PROBLEMS_MAX:
                        return self
        return self

    def _images(
        self, moment: Moment, crashes: Crashes, is_whole: bool, samples: int
    ) -> Iterator[Image]:
        if is_whole or crashes.count <= samples:
            yield from crashes.every()
            return
        paged = Crashes(moment, PAGE_BYTES)
        if paged.count <= samples:
            yield from paged.every()
        yield worst(moment)
        for number in range(samples):
            yield (crashes if number % 4 else paged).some(self.chance)

    def _judged(self, image: Image, trace: Trace) -> Outcome:
        is_nested = self.seen["judged"] % NESTED_EVERY == 0
        disk = SimulatedDisk(image, is_recording=is_nested)
        is_thorough = self.seen["judged"] % self._thorough_every == 0
        outcome = after_crash(disk, trace, is_thorough)
        if is_nested and not outcome.problems:
            moment = self.chance.choice(disk.moments)
            again = SimulatedDisk(Crashes(moment).some(self.chance))
            lines = [event.line for event in outcome.served]
            fresh = set(traces.lines_in(disk.moments))
            second = after_crash(
                again, trace._replace(written=trace.written | fresh, is_again=True)
            )
            outcome.problems.extend(
                f"cut again in recovery: {text}"
                for text in second.problems + missing(lines, second.served)
            )
            self.seen["cut again"] += 1
        return outcome

    def _report(self, trace: Trace, at: int, found: list[str], image: Image) -> None:
        call = trace.moments[at].call
        self.problems += [f"{trace.name}, after call {at} ({call}): {text}" for text in found]


def key_of(image: Image) -> tuple[object, ...]:
    """Return what tells one state from another."""
    return (
        tuple(sorted(image.files.items())),
        tuple((path, number, *names.items()) for path, (number, names) in image.folders.items()),
    )


def after_crash(disk: SimulatedDisk, trace: Trace, is_thorough: bool = True) -> Outcome:
    """Open a log again, append to it, cut the power, read it: nothing may be wrong."""
    served: list[Event] = []
    identity = ("", "")
    try:
        identity = traces.identity_of(disk)
        log = opened(disk, trace.limit)
        served = list(log.read())
        appended = log.append("after")
        left = SimulatedDisk(worst(disk.moment()))
        log.close()
        again = opened(left, trace.limit)
        later = list(again.read())
        found = [*problems(served, later, appended, trace), *unreported(left, later)]
        if trace.kept and not any(trace.kept in data for data in settled_files(left)):
            found.append("bytes that were moved aside are gone")
        if is_thorough:
            found += wrong(again, trace)
        if is_thorough and told(later):
            before = recoveries(left)
            again.append("once more")
            if recoveries(left) != before:
                found.append("a recovery is told again")
        again.close()
    except ThenceError as error:
        found = [f"it does not open: {error}"]
    return Outcome(found, served, identity)


def settled_files(disk: SimulatedDisk) -> Iterator[bytes]:
    for versions in disk.moment().files.values():
        yield versions[-1]


def recoveries(disk: SimulatedDisk) -> int:
    """Count the notices of recoveries in all files."""
    lines = {line for data in settled_files(disk) for line in data.split(b"\n")}
    return sum(b'"log.recovered"' in line for line in lines)


def problems(
    served: list[Event], later: list[Event], appended: Event, trace: Trace
) -> Iterator[str]:
    """Compare what was served before and after the next append with what was ever written."""
    written = trace.written
    for event in served:
        if event.line not in written:
            yield f"a line is served that nobody wrote: {event.line!r}"
    lines = [event.line for event in later]
    if not lines or lines[-1] != appended.line:
        yield "the next append is not the last event after one more power cut"
    if missing([event.line for event in served], later):
        yield "what was served after the power cut is gone after the next append"
    numbers: dict[tuple[str, int], str] = {}
    clock = 0
    for event in later:
        known = numbers.setdefault((event.node_id, event.seq), event.event_id)
        if known != event.event_id and not event.is_foreign:
            yield f"the number {event.seq} stands for two events"
        is_late = event.lamport_clock <= clock and not trace.has_failed
        if is_late and not event.is_foreign:
            yield f"the clock goes back from {clock} to {event.lamport_clock}"
        clock = max(clock, event.lamport_clock)
        is_notice = event.event_type.startswith("log.")
        if event.line not in written and not is_notice and event.line != appended.line:
            yield f"a line appears that nobody wrote: {event.line!r}"


def missing(needed: list[bytes], served: list[Event]) -> list[str]:
    """Tell what was acknowledged and is not served, or not in the order of its numbers."""
    there = {event.line for event in served}
    return [f"acknowledged and lost: {line!r}" for line in needed if line not in there]


def another(was: tuple[str, str], is_now: tuple[str, str]) -> list[str]:
    """Tell whether the log or its node is no longer the one under which it was written."""
    pairs = zip(("log_id", "node_id"), was, is_now, strict=True)
    return [f"the {key} was {a!r}, is {b!r}" for key, a, b in pairs if a != b]


def unreported(disk: Disk, later: list[Event]) -> list[str]:
    """Tell what was moved aside without a notice, and notices of what is not there."""
    quarantine = own_folder(FOLDER) / "quarantine"
    there = {
        name.removesuffix(".untold"): len(disk.read_whole(quarantine / name) or b"")
        for name in disk.names(quarantine)
    }
    return mistold(there, dict(told(later)))


def told(events: list[Event]) -> list[tuple[str, int]]:
    """List what the notices of recoveries tell: a name in quarantine, its size."""
    return [
        (str(event.payload["quarantine"]).rpartition("/")[2], int(str(event.payload["bytes"])))
        for event in events
        if event.event_type == "log.recovered"
    ]


def wrong(log: traces.Log, trace: Trace) -> list[str]:
    """Tell what verify finds that no power cut may cause.

    A second cut in the midst of a recovery, or one between a failed sync and its notice, may
    leave bad bytes that no notice tells of: there only numbers and contents are judged.
    """
    damage = log.verify().damage
    if trace.has_failed or trace.is_again:
        kept = {"inconsistent", "body_missing"}
        damage = tuple(
            finding
            for finding in damage
            if finding.code in kept and not finding.reason.startswith("the clock goes back")
        )
    return [f"{found.code}: {found.reason}" for found in damage]


def run(states: int, seed: int) -> Verdict:
    """Judge random traces until so many states were judged or a problem was found."""
    verdict = Verdict(seed, THOROUGH_EVERY)
    for trace in wanderings(verdict.chance):
        verdict.judge(trace)
        if verdict.problems or verdict.seen["judged"] >= states:
            break
    return verdict


class Part(NamedTuple):
    """So many states of a soak, judged by one process; who knows the seed can repeat it."""

    states: int
    seed: int


# a part, what was done in it, its problems
Judged = tuple[Part, Counter[str], list[str]]


def parts(states: int, seed: int) -> Iterator[Part]:
    """Part so many states, each part with a seed of its own."""
    chance = random.Random(seed)
    for begun in range(0, states, PART_STATES):
        yield Part(min(states - begun, PART_STATES), chance.randrange(2**32))


def judged(part: Part) -> Judged:
    """Judge one part; return what was found in it."""
    verdict = run(*part)
    return part, verdict.seen, verdict.problems


def soak(states: int, seed: int, workers: int = 1) -> int:
    """Judge so many states in parts whose seeds are printed, so many parts at once."""
    done = 0
    found: Iterator[Judged] = map(judged, parts(states, seed))
    with ExitStack() as stack:
        if workers > 1:
            pool = stack.enter_context(get_context("spawn").Pool(workers))
            found = pool.imap_unordered(judged, parts(states, seed))
        for part, seen, problems in found:
            done += seen["judged"]
            print(f"seed {part.seed}: {dict(seen)}, {done} in all", flush=True)
            if problems:
                print("\n".join(problems))
                return 1
    return 0


if __name__ == "__main__":
    wanted = int(sys.argv[1])
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"seed {chosen}", flush=True)
    at_once = int(sys.argv[3]) if len(sys.argv) > 3 else os.cpu_count() or 1
    sys.exit(soak(wanted, chosen, at_once))
