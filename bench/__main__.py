"""Prints every figure with its target: measured, target, reached or not.

`python -m bench working coldstart` prints the parts that are named.
"""

import os
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from bench import (
    asking,
    coldstart,
    contended,
    differing,
    durable,
    emission,
    going_on,
    handovers,
    hooking,
    indexing,
    large_values,
    opening,
    orchestrating,
    parts,
    playing,
    populations,
    pruning,
    queued,
    relaying,
    same_work,
    small,
    sweeps,
    syncing,
    team,
    verifying,
    waking,
    working,
)
from bench.rounds import ROUNDS, Contender, measure, ratio, spread

MOVED_MAX = 2.0


def device(place: Path) -> str:
    """Names the filesystem and device that a folder lies on."""
    best = ("", "unknown", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        what, where, kind, *_ = line.split()
        if str(place).startswith(where) and len(where) > len(best[0]):
            best = (where, kind, what)
    return f"{best[1]} on {best[2]}"


def row(name: str, measured: str, target: str, is_reached: bool) -> None:
    """Prints one row of the table."""
    print(f"{name:<58} {measured:>12} {target:>10}  {'reached' if is_reached else 'NOT REACHED'}")


def rates(figures: dict[str, list[float]]) -> None:
    """Prints the medians behind the ratios."""
    for name, values in figures.items():
        print(f"    {name:<30} {statistics.median(values):>12,.0f} events/s")


def durable_rows(place: Path) -> None:
    """Row 1: a durable append against the raw loop."""
    contenders = {**durable.CONTENDERS, "the same system calls, flat": parts.flat_loop}
    figures = measure(contenders, place, rounds=7)
    moved = spread(figures["raw loop"])
    found = ratio(figures, "append", "raw loop")
    row("durable append, 1 thread / raw append + fdatasync", f"{found:.2f}", "0.7", found >= 0.7)
    found = ratio(figures, "sync emit", "raw loop")
    print(f"    SYNC emit of a typed event / raw append + fdatasync: {found:.2f}")
    found = ratio(figures, "the same system calls, flat", "raw loop")
    print(f"    a flat loop of an append's system calls / raw append + fdatasync: {found:.2f}")
    rates(figures)
    if moved > MOVED_MAX:
        print(f"    the disk's own limit moved by {moved:.1f}x: discard this row, run again")


def contended_rows(place: Path) -> None:
    """Rows 2, 3, 4 and 7: threads, tasks, processes, and an append beside a busy emitter."""
    held = "one lock over write + sync"
    for count, target in ((8, 1.9), (32, 3.2)):
        pair = {"ours": contended.threads(count), held: contended.one_lock(count)}
        compared(place, pair, f"durable, {count} threads / {held}", target)
    many = {f"{count} tasks": contended.tasks(count) for count in (128, 1_000)}
    figures = measure({"raw loop": durable.raw_loop, **many}, place)
    for name, target in zip(many, (8, 10), strict=True):
        found = ratio(figures, name, "raw loop")
        told = f"durable, {name} / raw append + fdatasync"
        row(told, f"{found:.1f}", f"{target}", found >= target)
    rates(figures)
    held = "flock held over fdatasync"
    for each, target in ((1, 1.0), (8, 2.4)):
        pair = {"ours": contended.processes(8, each), held: contended.locked_processes(8)}
        compared(place, pair, f"durable, 8 processes x {each} thread(s) / {held}", target)
    pair = {"beside": contended.beside_an_emitter, "alone": contended.alone}
    found = ratio(measure(pair, place), "beside", "alone")
    row("append beside one busy emitter, p50 / alone", f"{found:.1f}", "10", found <= 10)


def compared(place: Path, pair: dict[str, Contender], name: str, target: float) -> None:
    """Measures two contenders and prints the row of their ratio."""
    one, other = pair
    figures = measure(pair, place)
    found = ratio(figures, one, other)
    row(name, f"{found:.1f}", f"{target}", found >= target)
    rates(figures)


def latency_rows(place: Path) -> None:
    """How long one durable append takes under load, the slowest ones too."""
    for count in (1, 8, 32):
        with tempfile.TemporaryDirectory(dir=place) as folder:
            calls = sorted(contended.latencies(Path(folder), count))
        parts_ = {"p50": 0.5, "p99": 0.99, "p99.99": 0.9999}
        told = [f"{name} {calls[int(len(calls) * at)] * 1e3:.2f}" for name, at in parts_.items()]
        told.append(f"max {calls[-1] * 1e3:.2f}")
        print(f"    append, {count} thread(s), {len(calls)} calls, in ms: {', '.join(told)}")


def opening_rows(place: Path) -> None:
    """Row 11: a log of 1 GB opened."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        opening.written(Path(folder))
        found = opening.after_a_close(Path(folder))
        row("open a clean 1 GB log and append", f"{found * 1e3:.1f} ms", "100 ms", found <= 0.1)
        found, longest = opening.after_a_kill(Path(folder))
        row("the same after a kill", f"{found * 1e3:.1f} ms", "50 ms", found <= 0.05)
        print(f"    the longest: {longest * 1e3:.1f} ms")


def queued_rows(place: Path) -> None:
    """Row 5: the ASYNC writer against structlog."""
    figures = measure(queued.CONTENDERS, place)
    base = "structlog tuned"
    found = ratio(figures, "async, 1 producer", base)
    name = "ASYNC, built and synced / structlog tuned, 1 producer"
    row(name, f"{found:.2f}", "1.1", found >= 1.1)
    found = ratio(figures, "async, 100 producers", base)
    row("the same, 100 producers with block", f"{found:.2f}", "0.9", found >= 0.9)
    found = ratio(figures, "plain emit", base)
    row("plain emit, flushed / structlog tuned", f"{found:.2f}", "1.0", found >= 1)
    rates(figures)


def paced_rows(place: Path) -> None:
    """Rows 6 and 8: what a computing producer loses, and what a call of emit costs."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        dropped, calls = queued.paced(Path(folder))
    row("ASYNC drop, queue 10,000, 10 µs between: dropped", str(dropped), "0", dropped == 0)
    p50, p99, largest = queued.percentiles(calls)
    told = f"p50 {p50:.1f} µs, p99 {p99:.1f} µs, the maximum {largest:,.0f} µs"
    print(f"    a call of emit, of a typed event: {told}")


def emission_rows(place: Path) -> None:
    """O10: what emission costs a simulation, each event counted, synced to disk."""
    parts: dict[str, list[emission.Cost]] = {"async": [], "sync": []}

    def wall_us(folder: Path, mode: str) -> float:
        parts[mode].append(emission.cost(folder, mode))
        return parts[mode][-1].wall_us

    contenders = {mode: lambda folder, mode=mode: wall_us(folder, mode) for mode in parts}
    figures = measure(contenders, place)
    for mode, target_us in (("async", 20), ("sync", 1000)):
        found = statistics.median(figures[mode])
        name = f"an event in a simulation, {mode}, with less without"
        row(name, f"{found:.1f} µs", f"{target_us} µs", found <= target_us)
        _, playing, writing = map(statistics.median, zip(*parts[mode], strict=True))
        print(f"    of a processor: who plays {playing:.1f} µs, who writes {writing:.1f}")
    alone = measure({"in a row": emission.in_a_row_us}, place)["in a row"]
    print(f"    the same events emitted in a row, async: {statistics.median(alone):.1f} µs")


def coldstart_rows(place: Path) -> None:
    """Cold starts against a Python that does nothing."""
    figures = coldstart.figures(place)
    for name, target in (("--help", 6), ("append", 8), ("why", 10), ("work status", 14)):
        found = ratio(figures, name, "python -c pass")
        row(f"cold thence {name} / python -c pass", f"{found:.1f}", f"{target}", found <= target)
    nothing = statistics.median(figures["python -c pass"]) * 1e3
    found = ratio(figures, coldstart.LIBRARIES, "python -c pass")
    print(f"    `pass` takes {nothing:.1f} ms and `{coldstart.LIBRARIES}` {found:.1f} times")
    found = coldstart.health_s(place / "runs", coldstart.RUNS)
    row("first /health of a server on 1,000 runs", f"{found * 1e3:.0f} ms", "500 ms", found <= 0.5)
    found = coldstart.health_s(place / "none", 0)
    print(f"    the same on none: {found * 1e3:.0f} ms")


def verifying_rows(place: Path) -> None:
    """Row 10: verify against a typed decode of the same file."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        bytes_each = verifying.made(Path(folder)) / verifying.EVENTS
    figures = measure(verifying.CONTENDERS, place)
    found = ratio(figures, "verify", "typed decode")
    row("verify / typed decode of the same file", f"{found:.2f}", "0.6", found >= 0.6)
    speed = {name: statistics.median(each) * bytes_each / 1e6 for name, each in figures.items()}
    for name, each in speed.items():
        print(f"    {name:<30} {each:>12,.0f} MB/s, events of {bytes_each:.0f} bytes")
    with tempfile.TemporaryDirectory(dir=place) as folder:
        memory = verifying.memory_mb(Path(folder))
    print(f"    a process that verifies 1,000,000 events takes {memory:.0f} MB")


def indexing_rows(place: Path) -> None:
    """Rows 9 and 13: an index made, followed and weighed."""
    figures = measure(indexing.CONTENDERS, place)
    found = ratio(figures, "rebuild", "executemany")
    row("index rebuild / executemany of the same rows", f"{found:.2f}", "0.75", found >= 0.75)
    rates(figures)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        log, index = indexing.bytes_each(Path(folder))
    found = (log + index) / log
    row("bytes on disk, index included / JSON of the event", f"{found:.2f}", "1.9", found <= 1.9)
    print(f"    an event of {log:.0f} bytes has {index:.0f} bytes of index")
    rates(measure({"followed, 100 events at a time": indexing.followed}, place))
    for name, unit, measured in (
        ("a freshening with nothing new", "µs", indexing.idle_us),
        ("a warm index opened, its first answer", "ms", indexing.warm_ms),
        ("a process that indexes 1,000,000 events", "MB", indexing.memory_mb),
    ):
        with tempfile.TemporaryDirectory(dir=place) as folder:
            print(f"    {name}: {measured(Path(folder)):.1f} {unit}")
    rebuild_parts(place)


def rebuild_parts(place: Path) -> None:
    """Where the time of a rebuild goes, beside that of executemany."""
    print("    a rebuild, in µs of processor time an event")
    rounds = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=place) as folder:
            rounds.append(indexing.rebuild_us(Path(folder)))
    for name in rounds[0]:
        print(f"        {name:<38} {statistics.median(each[name] for each in rounds):>8.2f}")


def differing_rows(place: Path) -> None:
    """Two runs of 100,000 events compared, the whole command."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        figures = differing.figures(Path(folder))
        parts_ms = differing.parts_ms(Path(folder))
    found = max(each.wall_s for each in figures.values())
    row("thence diff of two runs of 100,000 events", f"{found:.2f} s", "2 s", found <= 2)
    for name, each in figures.items():
        print(f"    {name:<38} {each.wall_s:>6.2f} s, {each.processor_s:.2f} s of the processor")
    print("    of the plain logs that part in the middle take, in ms of the processor:")
    for name, ms in parts_ms.items():
        print(f"    {name:<50} {ms:>6.0f}")
    print(f"    {'all of these':<50} {sum(parts_ms.values()):>6.0f}")


def asking_rows(place: Path) -> None:
    """Row 12: single questions to an index of 1,000,000 events."""
    with tempfile.TemporaryDirectory(dir=place) as folder, asking.asked(Path(folder)) as index:
        questions = [
            *((f"page of 100 {name}", asked, 20) for name, asked in asking.pages(index).items()),
            ("one event", asking.one_event(index), 2),
            *((f"cone of 10,000 {name}", asked, 75) for name, asked in asking.cones(index).items()),
        ]
        for name, question, target_ms in questions:
            found = asking.times(index, question)
            told = f"{found.p50:.2f} ms"
            row(f"{name}, p50", told, f"{target_ms} ms", found.p50 <= target_ms)
            print(
                f"    p99 {found.p99:.2f} ms, the longest of {asking.ASKED} {found.longest:.2f} ms"
            )
        seconds, again_ms = asking.where(index)
        print(f"    first page of what `where` asks of 142,857 events: {seconds:.2f} s")
        print(f"    another page of it: {again_ms:.2f} ms")
        print("    of a cone of 10,000 take, in ms:")
        for name, ms in asking.cone_parts_ms(index).items():
            print(f"    {name:<50} {ms:.2f}")
        print("    of the processor take, in ms:")
        for name, ms in {**asking.totals(index), **asking.everything(index)}.items():
            print(f"    {name:<50} {ms:.2f}")
    with tempfile.TemporaryDirectory(dir=place) as folder, asking.stepped(Path(folder)) as index:
        for name, (question, target_ms) in asking.steps().items():
            found = asking.times(index, question, asking.ASKED // 10)
            told = f"{found.p50:.2f} ms"
            row(f"{name} among 1,000,000", told, f"{target_ms} ms", found.p50 <= target_ms)


def small_rows(place: Path) -> None:
    """Q7: what a question to a run below 10,000 events costs the server."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        found = small.measured(Path(folder))
    why = max(costs.pop("why") for costs in found.ms.values())
    worst = max(max(costs.values()) for costs in found.ms.values())
    of_one = "question to a run below 10,000 events"
    for name, ms in ((f"a {of_one}, of a processor", worst), ("why there", why)):
        row(name, f"{ms:.1f} ms", "4 ms", ms <= 4)
    for events, costs in found.ms.items():
        told = ", ".join(f"{name} {ms:.1f}" for name, ms in costs.items())
        print(f"    {events:,} events, in ms: {told}")
        print(f"    its `why` tells {found.why_causes[events]:,.0f} causes on average")
    print(f"    a page of one event, {small.MANY} runs in turn: {found.in_turn_ms:.1f} ms")


def working_rows(place: Path) -> None:
    """L12, L13 and the board: what a project's journal answers."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        top = Path(folder)
        small, usual, large = (
            working.project(top / name, events)
            for name, events in (("small", 1_000), ("usual", 10_000), ("large", 100_000))
        )
        found = working.board_s(small) * 1e3
        row("board from 1,000 events", f"{found:.1f} ms", "50 ms", found <= 50)
        found = working.status_s(top / "usual") * 1e3
        row("cold thence work status, 10,000 events", f"{found:.0f} ms", "300 ms", found <= 300)
        for name, store in (("10,000", usual), ("100,000", large)):
            calls = working.append_s(store)
            for which, at in (("p50", 0.5), ("p99", 0.99)):
                found = calls[int(len(calls) * at)] * 1e3
                told = f"append with its index, {name} events, {which}"
                row(told, f"{found:.1f} ms", "15 ms", found <= 15)
        for name, seconds in working.filters_s(large).items():
            found = seconds * 1e3
            row(f"page by {name}, 100,000 events", f"{found:.2f} ms", "10 ms", found <= 10)


def team_rows(place: Path) -> None:
    """L16: a feature of eight packages, shared by the board's branch."""
    (place / "team").mkdir()
    found = team.feature(place / "team")
    for name, cost in found.commands.items():
        told, most = f"{cost.processes} git, {cost.seconds:.2f} s", team.PROCESSES_MAX.get(name, 99)
        row(name, told, f"{most} git", cost.processes <= most)
    seconds = found.commands["sync now of one event"].seconds
    row("sync now of one event, to a local remote", f"{seconds:.2f} s", "0.5 s", seconds <= 0.5)
    told = f"{found.merges} + {found.commits}"
    is_reached = found.merges == team.PACKAGES and found.commits <= 4
    row("commits on main for eight packages, merges and ours", told, "8 + 4", is_reached)


def part_rows(place: Path) -> None:
    """What explains a target that is missed."""
    print("\nwhere the time goes, in µs")
    rows = (parts.append_rows, parts.event_rows, parts.drafting_rows, waking.task_rows)
    for name, found in [row for made in rows for row in made(place).items()]:
        print(f"    {name:<54} {found:>8.2f}")
    print("    such an append step by step, each step for 1,000 at a time:")
    for name, found in waking.step_rows(place).items():
        print(f"      {name:<52} {found:>8.2f}")
    name = "two threads wake each other, there and back"
    print(f"    {name:<54} {handovers.handover_us():>8.2f}")
    found = handovers.in_turns_us(place / "turns")
    print(f"    {'an append without its sync, another in between':<54} {found:>8.2f}")
    print("\neight bare processes with fdatasync behind the lock, events/s")
    for name, each in handovers.bare_processes(place).items():
        print(f"    one that {name:<45} {each:>8,.0f}")


ROWS = {
    "durable": durable_rows,
    "contended": contended_rows,
    "latency": latency_rows,
    "queued": queued_rows,
    "paced": paced_rows,
    "emission": emission_rows,
    "verifying": verifying_rows,
    "indexing": indexing_rows,
    "differing": differing_rows,
    "asking": asking_rows,
    "going_on": lambda place: going_on.rows(place, row),
    "opening": opening_rows,
    "relaying": lambda place: relaying.rows(place, row),
    "syncing": lambda place: syncing.rows(place, row),
    "coldstart": coldstart_rows,
    "small": small_rows,
    "working": working_rows,
    "team": team_rows,
    "values": lambda place: large_values.rows(place, row),
    "hooks": lambda place: hooking.rows(place, row),
    "orchestrating": lambda place: orchestrating.rows(place, row),
    "playing": lambda place: playing.rows(place, row),
    "populations": lambda place: populations.rows(place, row),
    "same_work": lambda place: same_work.rows(place, row),
    "sweeps": lambda place: sweeps.rows(place, row),
    "pruning": lambda place: pruning.rows(place, row),
    "parts": part_rows,
}


def main(names: list[str]) -> None:
    """Runs all benchmarks, or those named, below the present folder."""
    if unknown := sorted({*names} - {*ROWS}):
        sys.exit(f"no part {', '.join(unknown)}; there are {', '.join(ROWS)}")
    where = device(place := Path(tempfile.mkdtemp(prefix=".bench-", dir=Path.cwd())))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {where}")
    print('"durable" means: fdatasync returned.\n')
    if where.startswith("tmpfs"):
        sys.exit("a tmpfs keeps nothing: run this on a real filesystem")
    print(f"{'':<58} {'measured':>12} {'target':>10}")
    try:
        for name in names or ROWS:
            ROWS[name](place)
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main(sys.argv[1:])
