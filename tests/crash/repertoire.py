"""The traces that power is cut in: the named ones, and any number of random ones."""

import random
from collections.abc import Callable, Iterator

from tests.crash.crash_states import Crashes
from tests.crash.images import Image, settled
from tests.crash.simulated_disk import SimulatedDisk
from tests.crash.traces import (
    FOLDER,
    Play,
    Trace,
    appends,
    batch,
    batch_of_lines,
    failing,
    fails_and_goes_on,
    home,
    intruded,
    log_of,
    log_of_line,
    only_opens,
    opened,
    played,
    two_writers,
    two_writers_of_values,
    wandering,
    writes,
)
from tests.tiers import some

from thence.log.files.segment import current_path

TORN = b'{"event_id":"01J0000000'
SMALL_LIMIT = 700  # bytes, two or three events
GENERATIONS = 2
VALUES: dict[str, object] = {"bodies_from": 256}


def made_only() -> Image:
    """A disk with a log that has its log.json and nothing else."""
    disk = SimulatedDisk(home())
    opened(disk).close()
    return settled(disk.moment())


def foreign() -> Image:
    """A disk with a file of another tool's lines, and nothing of ours."""
    disk = SimulatedDisk(home())
    disk.make_folder(FOLDER)
    descriptor = disk.open_append(current_path(FOLDER))
    disk.write(descriptor, b'{"event_id":"a"}\n{"event_id":"b"}\n')
    disk.close(descriptor)
    return settled(disk.moment())


def unfinished() -> Image:
    """A disk with a log whose last event lacks its newline."""
    image = log_of(3)
    number = image.folders[str(FOLDER)][1]["events.jsonl"]
    return image._replace(files={**image.files, number: image.files[number][:-1]})


NAMED: dict[str, tuple[Callable[[], Image], Play, dict[str, object]]] = {
    "a log is made": (home, only_opens, {}),
    "a log is made and written": (home, appends(2), {}),
    "the first event": (made_only, appends(1), {}),
    "one event": (lambda: log_of(2), appends(1), {}),
    "four events": (lambda: log_of(2), appends(4, 200), {}),
    "a batch": (lambda: log_of(2), batch(5), {}),
    "a long batch": (lambda: log_of(2), batch(10, 120), {}),
    "lines that begin a sector": (lambda: log_of_line(512), batch_of_lines(512, 512, 512, 512), {}),
    "newlines that begin a sector": (
        lambda: log_of_line(513),
        batch_of_lines(512, 512, 512, 512),
        {},
    ),
    "a line with both newlines in one sector": (
        lambda: log_of_line(512),
        batch_of_lines(512, 513, 511, 512),
        {},
    ),
    "a long line": (lambda: log_of(1), appends(1, 9_000), {}),
    "what is written and synced later": (lambda: log_of(2), writes(3), {}),
    "a rotation of what is written": (lambda: log_of(1), writes(3, 60), {"limit": SMALL_LIMIT}),
    "a sync that fails of what is written": (lambda: log_of(1), writes(1, 10, 1), {}),
    "syncs that all fail of what is written": (lambda: log_of(2), writes(1, 10, 100), {}),
    "large values, written": (lambda: log_of(1), writes(2, 600), VALUES),
    "a rotation": (lambda: log_of(2), appends(2, 100), {"limit": SMALL_LIMIT}),
    "a rotation in a batch": (lambda: log_of(1), batch(5, 60), {"limit": SMALL_LIMIT}),
    "a rotation at each event": (lambda: log_of(1, limit=1), appends(2), {"limit": 1}),
    "a torn tail": (lambda: log_of(2, TORN), appends(2), {"kept": TORN}),
    "a tail of zeros": (lambda: log_of(2, bytes(600)), appends(1), {"kept": bytes(600)}),
    "a tail without its newline": (unfinished, appends(2), {}),
    "bad bytes with a newline": (lambda: log_of(2, TORN + b"\n"), appends(2), {"kept": TORN}),
    "a foreign log": (foreign, appends(2), {}),
    "a full disk": (lambda: log_of(2), fails_and_goes_on, {}),
    "a sync that fails": (lambda: log_of(2), failing(1), {}),
    "a sync that fails of a long line": (lambda: log_of(2), failing(1, 5_000), {}),
    "syncs that fail": (lambda: log_of(2), failing(2), {}),
    "syncs that all fail": (lambda: log_of(2), failing(100), {}),
    "a sync that fails at a rotation": (lambda: log_of(1), failing(1), {"limit": SMALL_LIMIT}),
    "two writers": (lambda: log_of(2), two_writers, {}),
    "two writers of a new log": (home, two_writers, {}),
    "two writers and rotations": (lambda: log_of(1), two_writers, {"limit": SMALL_LIMIT}),
    "the first large value": (made_only, appends(1, 600), VALUES),
    "a large value twice": (lambda: log_of(1), appends(2, 600), VALUES),
    "a batch of large values": (lambda: log_of(1), batch(3, 400), VALUES),
    "rotations of large values": (lambda: log_of(1), batch(3, 400), {**VALUES, "limit": 500}),
    "a sync that fails of a large value": (lambda: log_of(1), failing(1, 600), VALUES),
    "syncs that fail of a large value": (lambda: log_of(1), failing(2, 600), VALUES),
    "syncs that all fail of a large value": (lambda: log_of(1), failing(100, 600), VALUES),
    "two writers of large values": (lambda: log_of(1), two_writers_of_values, VALUES),
}
# those in which another opening steps in before each call in turn
INTRUDED = (
    "a log is made and written",
    "the first event",
    "four events",
    "a rotation",
    "a rotation in a batch",
    "a rotation at each event",
    "a torn tail",
    "a tail without its newline",
    "a full disk",
    "a sync that fails",
    "a sync that fails of a long line",
    "syncs that fail",
    "syncs that all fail",
    "a sync that fails at a rotation",
    "the first large value",
    "a large value twice",
    "rotations of large values",
    "a sync that fails of a large value",
)


def named(name: str) -> Trace:
    """Play a named trace."""
    image, play, options = NAMED[name]
    return played(name, play, image(), **options)  # type: ignore[arg-type]


def intruded_ones(name: str) -> Iterator[Trace]:
    """Play a named trace for each of its calls (a tenth), another writer right before it."""
    image, play, options = NAMED[name]
    numbers = range(1, len(named(name).moments))
    for number in some(numbers, -(-len(numbers) // 10), name):
        told = f"{name}, another writer before call {number}"
        yield played(told, intruded(play, number), image(), **options)  # type: ignore[arg-type]


def wanderings(chance: random.Random) -> Iterator[Trace]:
    """Play random traces for ever; each few go on where the power was cut in the last."""
    while True:
        image = chance.choice((home, made_only, lambda: log_of(2), lambda: log_of_line(512)))()
        needed: list[bytes] = []
        # what a cut left may stand beside zeros, on one line with them, and is served all the same
        written: frozenset[bytes] = frozenset()
        limit = chance.choices((1, SMALL_LIMIT, 2_000, 1_000_000), (1, 2, 5, 14))[0]
        bodies_from = chance.choice((None, 256))
        for generation in range(GENERATIONS):
            is_again = generation > 0
            name = f"wandering, generation {generation}, limit {limit}"
            trace = played(
                name,
                wandering(chance),
                image,
                limit=limit,
                chance=chance,
                needed=needed,
                is_again=is_again,
                bodies_from=bodies_from,
            )
            written |= trace.written
            yield trace._replace(written=written)
            at = chance.randrange(len(trace.moments))
            image = Crashes(trace.moments[at]).some(chance)
            needed = [line for since, line in trace.acknowledged if since <= at]
