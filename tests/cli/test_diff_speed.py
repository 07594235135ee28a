"""Two runs of 100,000 events are compared in little more than it takes to decode them."""

import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.installed import Ended, environment, thence
from tests.events import WHEN
from tests.ratios import ratio

from thence.core.codec import Members, draft, stamper
from thence.core.ids import id_source

EVENTS = 100_000
ALTERED = 50_000
# Processor time of the comparison in terms of the yardstick's. The target is 2 s, which is about
# twice the yardstick on the machine that the figures are from. Quiet and busy it measured 1.3, 1.5
# and 1.4 in the order of these; what takes 1.5 times as long is over the bound.
BOUNDS = {"sim": 1.7, "plain": 1.95, "every": 1.85}
# checksums and dicts of all lines, and a table of them by id
YARDSTICK = """
import gc, sys, zlib
from pathlib import Path
import msgspec

gc.disable()
decode = msgspec.json.Decoder().decode
kept = []
for name in sys.argv[1:]:
    for line in (Path(name) / "events.jsonl").read_bytes().split(b"\\n")[:-1]:
        zlib.crc32(line)
        kept.append(decode(line))
by_id = {each["event_id"]: each for each in kept}
gc.freeze()
"""


def lines(kind: str, run: int, altered: range) -> Iterator[bytes]:
    """Make the lines of a run in which each event has one to four causes among the last 400."""
    new_id = id_source(1_700_000_000_000_000_000, lambda: 0, run)
    chance = random.Random(1)
    ids: list[str] = []
    drafts = []
    for n in range(EVENTS):
        named = [ids[-chance.randint(1, min(n, 400))] for _ in range(chance.randint(1, 4)) if n]
        value = -1.0 - n if n in altered else round(chance.random() * 100, 3)
        said = {"variable_name": "money", "old_value": value, "new_value": value + 1}
        members = {"subject": f"order/{n % 977}", "payload": said}
        if kind == "sim":
            turn = {"simulation_id": f"run-{run}", "turn_number": n // 100}
            members = {**turn, "step": f"{n // 100}.apply0.agent.{n % 100}", "details": said}
        ids.append(new_id())
        causes = tuple(dict.fromkeys(named))
        drafts.append(draft(Members(ids[-1], "STATE", 1, WHEN, causes, **members)))
    yield from stamper(f"{run:012x}")(drafts, 1, 1)


def log(folder: Path, kind: str, run: int, altered: range = range(0)) -> Path:
    folder.mkdir()
    with (folder / "events.jsonl").open("wb") as file:
        file.writelines(lines(kind, run, altered))
    return folder


def processor_s(run: Callable[[], object]) -> float:
    """The processor's time for the processes that are run to their end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def is_quick(folder: Path, bound: float) -> bool:
    """Compare logs a and b again and again, in turns with the yardstick."""
    argv = [sys.executable, "-c", YARDSTICK, "a", "b"]
    found = ratio(
        lambda: processor_s(lambda: compared(folder)),
        lambda: processor_s(
            lambda: subprocess.run(argv, cwd=folder, env=environment(), check=True)
        ),
        bound,
    )
    return found.value < bound


def compared(folder: Path) -> Ended:
    return thence("diff", "a", "b", "--json", cwd=folder)


@pytest.mark.parametrize("kind", ["sim", "plain"])
def test_two_runs_of_100_000_events_are_compared_in_little_processor_time(tmp_path, kind):
    log(tmp_path / "a", kind, 1)
    log(tmp_path / "b", kind, 2, range(ALTERED, ALTERED + 1))
    ended = compared(tmp_path)
    told = ended.json
    assert ended.code == 3
    assert [each["path"].rsplit(".")[-1] for each in told["first"]["differs"]] == [
        "old_value",
        "new_value",
    ]
    follow = told["first"]["follow_a"]
    assert follow == told["first"]["follow_b"] > EVENTS // 4
    expected = (EVENTS - 1, 1, 0) if kind == "sim" else (EVENTS - 1 - follow, 0, 1 + follow)
    assert (told["same"], told["changed"], told["only_b"]) == expected
    assert is_quick(tmp_path, BOUNDS[kind])


def test_runs_that_differ_in_every_event_are_compared_in_little_processor_time(tmp_path):
    log(tmp_path / "a", "sim", 1)
    log(tmp_path / "b", "sim", 2, range(EVENTS))
    told = compared(tmp_path).json
    assert (told["same"], told["changed"], told["only_a"]) == (0, EVENTS, 0)
    assert told["first"]["a"]["seq"] == told["first"]["b"]["seq"] == 1
    assert is_quick(tmp_path, BOUNDS["every"])
