"""Two runs of 100,000 events are compared in processor time that grows with their number alone."""

import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.events import WHEN

from thence.core.codec import Members, draft, stamper
from thence.core.ids import id_source

EVENTS = 100_000
ALTERED = 50_000
# the target is 2 s of wall time on a quiet machine; one that does much else takes twice as long
PROCESSOR_S_MAX = 5


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


def processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("kind", ["sim", "plain"])
def test_two_runs_of_100_000_events_are_compared_in_little_processor_time(tmp_path, kind):
    log(tmp_path / "a", kind, 1)
    log(tmp_path / "b", kind, 2, range(ALTERED, ALTERED + 1))
    before = processor_s()
    ended = thence("diff", "a", "b", "--json", cwd=tmp_path)
    used = processor_s() - before
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
    assert used < PROCESSOR_S_MAX


def test_runs_that_differ_in_every_event_are_compared_in_little_processor_time(tmp_path):
    log(tmp_path / "a", "sim", 1)
    log(tmp_path / "b", "sim", 2, range(EVENTS))
    before = processor_s()
    ended = thence("diff", "a", "b", "--json", cwd=tmp_path)
    used = processor_s() - before
    told = ended.json
    assert (told["same"], told["changed"], told["only_a"]) == (0, EVENTS, 0)
    assert told["first"]["a"]["seq"] == told["first"]["b"]["seq"] == 1
    assert used < PROCESSOR_S_MAX
