"""No power cut loses what was acknowledged, or makes an event of what nobody wrote."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.crash import power_cuts
from tests.crash.images import Image, paths_of
from tests.crash.power_cuts import SAMPLES, WAYS_MAX, Verdict, parts, run, soak
from tests.crash.repertoire import INTRUDED, NAMED, intruded_ones, named
from tests.crash.simulated_disk import SimulatedDisk
from tests.crash.traces import FOLDER, lines_of, played
from tests.tiers import IS_WHOLE, seed, tenth

from thence.log.files.segment import current_path, own_folder

STATES = 100_000
# how many of them traces by name have at least, which are the same in each run
STATES_BETWEEN = {
    "a log is made and written": 8_200,
    "the first event": 1_600,
    "four events": 3_800,
    "a rotation": 2_100,
    "a rotation in a batch": 1_300,
    "a rotation at each event": 2_100,
    "a torn tail": 2_700,
    "a tail without its newline": 1_800,
    "a full disk": 2_200,
    "a sync that fails": 5_600,
    "a sync that fails of a long line": 9_600,
    "syncs that fail": 3_900,
    "syncs that all fail": 3_900,
    "a sync that fails at a rotation": 8_500,
    "the first large value": 2_600,
    "a large value twice": 2_300,
    "rotations of large values": 1_800,
    "a sync that fails of a large value": 10_700,
}
# traces with more ways to cut the power: they take most of the time
LONG = [name for name in NAMED if "fail" in name or name == "a long batch"]
PARTS = tenth(8, 1)
PART_STATES = (STATES - sum(STATES_BETWEEN.values())) // 8
# traces with no longer line are visited whole
LINE_BYTES_MAX = 2_000


@pytest.mark.promise("W13")
@pytest.mark.parametrize("name", [name for name in NAMED if name not in LONG])
@pytest.mark.whole
def test_no_way_to_cut_the_power_breaks_the_log(name):
    judge_whole(name)


@pytest.mark.promise("W13")
@pytest.mark.parametrize("name", LONG)
@pytest.mark.whole
def test_no_way_to_cut_the_power_breaks_a_long_trace(name):
    judge_whole(name)


def judge_whole(name):
    trace = named(name)
    verdict = Verdict().judge(trace, tenth(SAMPLES, 20), tenth(WAYS_MAX, 700))
    print(dict(verdict.seen))
    assert not verdict.problems, "\n".join(verdict.problems)
    longest = max(len(line) for moment in trace.moments for line in lines_of(moment))
    is_long = longest > LINE_BYTES_MAX or "fail of a large value" in name
    assert verdict.seen["whole traces"] or is_long or not IS_WHOLE


@pytest.mark.promise("W13")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", INTRUDED)
@pytest.mark.whole
def test_no_other_writer_in_between_breaks_it_either(name):
    verdict = Verdict()
    for trace in intruded_ones(name):
        verdict.judge(trace, samples=20, ways_max=1_500 if "fail" in name else WAYS_MAX)
    print(dict(verdict.seen))
    assert not verdict.problems, "\n".join(verdict.problems)
    assert verdict.seen["whole traces"] == verdict.seen["traces"] or "fail" in name
    assert verdict.seen["judged"] >= tenth(STATES_BETWEEN[name], 100)


@pytest.mark.promise("W13")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.whole
def test_no_power_cut_in_random_traces_breaks_it(part):
    verdict = run(PART_STATES, seed(f"wandering {part}"))
    print(dict(verdict.seen))
    assert not verdict.problems, "\n".join(verdict.problems)
    assert verdict.seen["judged"] >= PART_STATES


class ForgetfulDisk(SimulatedDisk):
    """Leaves out the syncs of one kind, as a broken writer would.

    `forgets` is told each sync by its call, the path, and whether the append lock is held.
    """

    def __init__(self, image: Image, forgets: Callable[[str, str, bool], bool]) -> None:
        super().__init__(image, is_recording=True)
        self._forgets = forgets

    def sync_data(self, descriptor: int) -> None:
        paths = paths_of(self.moment(), self.file_id(descriptor)[0][1])
        if not self._forgets("sync_data", paths[0] if paths else "", self.is_locked):
            super().sync_data(descriptor)

    def sync_folder(self, folder: Path) -> None:
        if not self._forgets("sync_folder", str(folder), self.is_locked):
            super().sync_folder(folder)


EVENTS = str(current_path(FOLDER))
OWN = str(own_folder(FOLDER))
BROKEN = {
    "acknowledges before it syncs": (
        "one event",
        lambda call, path, locked: path == EVENTS and not locked,
    ),
    "acknowledges a batch before it syncs": (
        "a long batch",
        lambda call, path, locked: path == EVENTS and not locked,
    ),
    "makes a file and syncs no name": (
        "the first event",
        lambda call, path, _: path == str(FOLDER),
    ),
    "rotates and syncs no name": ("a rotation", lambda call, path, _: path == str(FOLDER)),
    "rotates before it syncs the file": (
        "a rotation in a batch",
        lambda call, path, locked: path == EVENTS and locked,
    ),
    "makes a log in a folder without a synced name": (
        "a log is made and written",
        lambda call, path, _: path == str(FOLDER.parent),
    ),
    "links log.json before its content is synced": (
        "a log is made and written",
        lambda call, path, _: call == "sync_data" and path.startswith(f"{OWN}/log.json"),
    ),
    "forgets the names of log.json and identity.json": (
        "a log is made and written",
        lambda call, path, _: path == OWN,
    ),
    "names identity.json before its content is synced": (
        "the first event",
        lambda call, path, _: path.startswith(f"{OWN}/identity.json"),
    ),
    "cuts a tail before its copy is synced": (
        "a torn tail",
        lambda call, path, _: call == "sync_data" and "/quarantine/" in path,
    ),
    "cuts a tail before the name of its copy is synced": (
        "a torn tail",
        lambda call, path, _: path.endswith("/quarantine"),
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_harness_notices_a_writer_that(kind):
    name, forgets = BROKEN[kind]
    image, play, options = NAMED[name]
    start = image()
    trace = played(name, play, start, disk=ForgetfulDisk(start, forgets), **options)
    assert len(trace.moments) < len(named(name).moments), "nothing was left out"
    assert Verdict().judge(trace).problems


def test_harness_notices_events_that_nobody_wrote():
    trace = named("one event")
    assert Verdict().judge(trace._replace(written=frozenset())).problems
    lost = trace._replace(acknowledged=[(0, b"x")])
    assert any("acknowledged and lost" in text for text in Verdict().judge(lost).problems)


def test_soak_is_parted_and_its_seed_repeats_the_parts(monkeypatch):
    monkeypatch.setattr(power_cuts, "PART_STATES", 50)
    found = list(parts(120, 7))
    assert [part.states for part in found] == [50, 50, 20]
    assert len({part.seed for part in found}) == 3
    assert list(parts(120, 7)) == found
    assert list(parts(120, 8)) != found


@pytest.mark.parametrize("workers", [1, 2])
def test_soak_tells_each_part_with_its_seed(workers, monkeypatch, capfd):
    monkeypatch.setattr(power_cuts, "PART_STATES", 20)
    assert soak(60, 7, workers) == 0
    told = capfd.readouterr().out.splitlines()
    assert {line.split(":")[0] for line in told} == {f"seed {seed}" for _, seed in parts(60, 7)}
    done = [int(line.rpartition(", ")[2].removesuffix(" in all")) for line in told]
    assert done == sorted(done)
    assert done[-1] >= 60


def test_soak_ends_at_the_first_part_with_a_problem(monkeypatch, capfd):
    def broken(states, seed):
        verdict = Verdict(seed)
        verdict.seen["judged"] = states
        verdict.problems = ["acknowledged and lost"] if seed == second.seed else []
        return verdict

    monkeypatch.setattr(power_cuts, "PART_STATES", 20)
    _, second, third = parts(60, 7)
    monkeypatch.setattr(power_cuts, "run", broken)
    assert soak(60, 7) == 1
    told = capfd.readouterr().out
    assert told.endswith("40 in all\nacknowledged and lost\n")
    assert str(third.seed) not in told
