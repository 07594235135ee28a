"""What large values cost: the room of five conversations, and the time of an append."""

import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import thence
from bench.rounds import measure, per_second, ratio
from thence.core.bodies import BODIES_FROM
from thence.core.codec import draft, without_bodies
from thence.core.event import EventFields
from thence.core.vocabulary import PLAIN

CALLS = 100
APPENDS = 300
_WORDS = tuple(f"{number * 7919:x}" for number in range(4_000))

Appender = Callable[[Path], float]


def text(size: int, chance: random.Random) -> str:
    """Returns words that no other text of this chance has in this order."""
    return " ".join(chance.choices(_WORDS, k=size // 4))[:size]


def conversations() -> dict[str, Callable[[random.Random], Iterator[object]]]:
    """Returns five conversations of 100 calls, by name; each yields what a call is asked."""

    def of(size: Callable[[random.Random], int]) -> Callable[[random.Random], Iterator[object]]:
        def calls(chance: random.Random) -> Iterator[object]:
            messages: list[dict[str, str]] = []
            for _ in range(CALLS):
                messages.append({"role": "user", "content": text(size(chance), chance)})
                yield list(messages)

        return calls

    def growing(chance: random.Random) -> Iterator[object]:
        prompt = ""
        for _ in range(CALLS):
            prompt += text(10_000, chance) + "\n"
            yield prompt

    return {
        "messages of 20 kB": of(lambda chance: 20_000),
        "messages of 4 kB": of(lambda chance: 4_000),
        "messages of 1.5 kB": of(lambda chance: 1_500),
        "messages of 150 B to 8 kB": of(lambda chance: chance.randrange(150, 8_000)),
        "one growing text": growing,
    }


def sizes(place: Path) -> dict[str, int]:
    """Returns the bytes of all segments and values that each conversation leaves."""
    left = {}
    for number, (name, calls) in enumerate(conversations().items()):
        folder = place / f"conversation-{number}"
        with thence.open(folder, bodies_from=BODIES_FROM) as log:
            for asked in calls(random.Random(number)):
                log.append("llm.called", {"model": "m", "messages": asked})
            assert log.verify().ok
        left[name] = sum(path.stat().st_size for path in folder.glob("*.jsonl"))
    return left


def appender(size: int, bodies_from: int | None, *, is_new: bool) -> Appender:
    """Returns a function that appends texts of a size and returns events a second."""

    def rate(folder: Path) -> float:
        chance, number = random.Random(1), count()
        same = text(size, chance)
        texts = [f"{next(number)} {text(size, chance)}" if is_new else same for _ in range(APPENDS)]
        with thence.open(folder, bodies_from=bodies_from) as log:
            log.append("llm.called", {"text": same})

            def work() -> None:
                for one in texts:
                    log.append("llm.called", {"text": one})

            return per_second(APPENDS, work)

    return rate


CONTENDERS: dict[str, Appender] = {
    "300 bytes, lines whole": appender(300, None, is_new=True),
    "300 bytes": appender(300, BODIES_FROM, is_new=True),
    "20 kB, lines whole": appender(20_000, None, is_new=True),
    "20 kB, new": appender(20_000, 1024, is_new=True),
    "20 kB, known": appender(20_000, 1024, is_new=False),
}


def looked_for(size: int, place: Path) -> tuple[float, float]:
    """Returns the seconds of a look for large values, and of an append of small ones."""
    payload = {f"key {number}": "x" * 90 for number in range(max(1, size // 100))}
    members = EventFields("01KAG0QV3J0000000144SGTKJP", "t", 1, "2026-11-20T07:13:00.123456Z")
    members.payload = payload
    item = draft(members)

    def looks() -> None:
        for _ in range(APPENDS):
            if len(item.tail) >= BODIES_FROM:
                without_bodies(item, PLAIN, BODIES_FROM, payload)

    with TemporaryDirectory(dir=place) as folder, thence.open(folder, bodies_from=None) as log:

        def appends() -> None:
            for _ in range(APPENDS):
                log.append("llm.called", payload)

        look_s = 1 / max(per_second(APPENDS, looks) for _ in range(5))
        return look_s, 1 / per_second(APPENDS, appends)


def rows(place: Path, row: Callable[[str, str, str, bool], None]) -> None:
    """Prints the rows: five conversations, the time of appends, the look for large values."""
    with TemporaryDirectory(dir=place) as folder:
        for name, size in sizes(Path(folder)).items():
            row(f"100 calls, {name}", f"{size / 1e6:.2f} MB", "4 MB", size <= 4_000_000)
    figures = measure(CONTENDERS, place)
    for whole, cut, target in (
        ("300 bytes, lines whole", "300 bytes", 1.05),
        ("20 kB, lines whole", "20 kB, new", 2.2),
        ("20 kB, lines whole", "20 kB, known", 1.0),
    ):
        times = ratio(figures, whole, cut)
        row(
            f"append of {cut} / with whole lines, time",
            f"{times:.2f}",
            f"{target}",
            times <= target,
        )
    for size, target in ((300, 0.01), (50_000, 0.05)):
        look_s, append_s = looked_for(size, place)
        added = look_s / append_s
        name = f"look for large values in {size:,} B / its append"
        row(name, f"{added:.1%}", f"{target:.0%}", added <= target)
        print(f"    {look_s * 1e6:.1f} of {append_s * 1e6:.0f} µs")
