"""A log that moves in time and space: clocks that step by years, folders copied and restored."""

import os
import shutil
import subprocess
from pathlib import Path
from threading import Event as Signal
from threading import Thread

import pytest
from tests.codes import raises_code
from tests.log.faults import WAIT_S
from tests.log.hands import FILE_BYTES
from tests.log.processes import lines, ran, started

import thence
from thence.core.codec import numbers
from thence.core.vocabulary import PLAIN
from thence.errors import ThenceError
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import older_names, segments
from thence.log.open import Log, LogSettings

pytestmark = pytest.mark.xdist_group("heavy")

# The system's clock is replaced before thence is there; all else is real.
STEPPING = """
import sys, time
real, step_s = time.time_ns, 0
time.time_ns = lambda: real() + step_s * 1_000_000_000
import thence
from thence.core.vocabulary import PLAIN
from thence.log.open import Log, LogSettings
folder, year_s = sys.argv[1], 365 * 86_400
log = Log(thence.open(folder).folder, PLAIN, LogSettings(max_file_size=600))
for line in sys.stdin:
    step_s = int(line) * year_s
    ids = [log.emit("t", {"years": int(line)}) for _ in range(5)]
    ids.append(log.append("t", {"years": int(line)}).event_id)
    print(*ids, flush=True)
log.close()
"""


@pytest.mark.promise("E3", "W8", "L5")
def test_clock_that_steps_by_years_moves_no_order(tmp_path):
    processes = [started(STEPPING, tmp_path) for _ in range(2)]
    made, in_turn = ([], []), []
    for steps in [(0, 0), (40, -40), (-50, 60), (0, 0), (-20, 3), (90, -1), (1, 1)] * 3:
        for process, own, years in zip(processes, made, steps, strict=True):
            process.stdin.write(f"{years}\n")
            process.stdin.flush()
            ids = process.stdout.readline().split()
            own += ids
            in_turn += ids
    for process in processes:
        _, problems = process.communicate()
        assert (process.returncode, problems) == (0, "")
    for own in made:
        assert own == sorted(own)
    names = older_names(OS_DISK, tmp_path)
    assert len(names) > 20
    with thence.open(tmp_path) as log:
        assert log.verify().findings == ()
        assert [event.event_id for event in log.read()] == in_turn
        assert [event.event_id for event in log.events()] == in_turn
        assert log.append("t").seq == len(in_turn) + 1
    firsts = [numbers((tmp_path / name).read_bytes().split(b"\n")[0])[1] for name in names]
    assert firsts == sorted(firsts)
    years = {line.split(b'"timestamp":"')[1][:4] for line in lines(tmp_path)}
    assert len(years) > 5


def writing(folder):
    """Start a thread that appends until it is told to stop; it rotates often."""
    log, is_over, failures = Log(folder, PLAIN, LogSettings(max_file_size=FILE_BYTES)), Signal(), []

    def work():
        n = 0
        while not is_over.is_set():
            try:
                for _ in range(20):
                    log.emit("t", {"n": n})
                    n += 1
                log.append("t", {"n": n}, timeout_s=WAIT_S)
                n += 1
            except ThenceError as error:
                failures.append(error)

    thread = Thread(target=work)
    thread.start()

    def stop():
        is_over.set()
        thread.join(WAIT_S)
        assert not thread.is_alive()
        assert log.close()
        return failures

    return log, stop


def given(*folders):
    """Return what each (node_id, seq) stands for in these folders."""
    found = {}
    for folder in folders:
        for line in lines(folder):
            stamp = numbers(line)
            found.setdefault(stamp[:2], set()).add(line)
    return found


@pytest.mark.promise("W9", "W12")
def test_copies_of_a_log_that_is_written_open_and_go_on_as_nodes_of_their_own(tmp_path):
    original = tmp_path / "original"
    thence.open(original).append("t", {"n": -1})
    log, stop = writing(original)
    copies = [tmp_path / f"copy {n}" for n in range(6)]
    for copy in copies:
        log.append("before the copy", timeout_s=WAIT_S)
        # a file that is renamed amid the copy makes cp complain, as it should
        subprocess.run(["cp", "-r", original, copy], capture_output=True, check=False)
        with thence.open(copy) as opened:
            read = [event.event_id for event in opened.read()]
            assert len(set(read)) == len(read)
            assert opened.append("in the copy", timeout_s=WAIT_S).node_id != log.append("t").node_id
            assert opened.append("in the copy").payload == {}
            bad = [f for f in opened.verify().damage if f.code != "events_lost"]
            assert bad == []
    assert stop() == []
    assert thence.open(original).verify().findings == ()
    repeated = {stamp: said for stamp, said in given(original, *copies).items() if len(said) > 1}
    assert repeated == {}


@pytest.mark.promise("P1")
def test_folder_moved_while_it_is_open_refuses_until_it_is_back(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    log = thence.open(here)
    log.append("t", {"n": 0})
    here.rename(there)
    with raises_code("append_failed"):
        log.append("t", {"n": 1})
    log.emit("t", {"n": 2})
    with thence.open(there) as moved:
        assert moved.append("t", {"n": 3}).seq == 2
    assert not here.exists()
    there.rename(here)
    log.flush()
    assert log.append("t", {"n": 4}).seq == 5
    assert log.close()
    with thence.open(here) as log:
        assert log.verify().findings == ()
        told = [(event.event_type, event.payload.get("n")) for event in log.read()]
    assert told == [("t", 0), ("t", 3), ("log.write_failed", None), ("t", 2), ("t", 4)]


def test_new_log_at_the_place_of_a_moved_one_never_gets_numbers_of_its_node(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    log = thence.open(here)
    log.append("t", {"n": 0})
    here.rename(there)
    with thence.open(here) as other, thence.open(there) as moved:
        other.append("t", {"n": 1})
        moved.append("t", {"n": 2})
        log.append("t", {"n": 3})
        other.append("t", {"n": 4})
        moved.append("t", {"n": 5})
    log.close()
    repeated = {stamp: said for stamp, said in given(here, there).items() if len(said) > 1}
    assert repeated == {}


def as_rsync_does(backup, live, is_deleting=False):
    """Write each file beside its place and rename it over; take away what the backup lacks."""
    for path in sorted(backup.rglob("*")):
        target = live / path.relative_to(backup)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif not target.exists() or target.read_bytes() != path.read_bytes():
            beside = target.with_name(f".{target.name}.beside")
            shutil.copy2(path, beside)
            os.replace(beside, target)
    for path in sorted(live.rglob("*")) if is_deleting else ():
        if path.is_file() and not (backup / path.relative_to(live)).exists():
            path.unlink(missing_ok=True)


def in_place(backup, live):
    subprocess.run(["cp", "-a", f"{backup}/.", live], check=True, capture_output=True)


RESTORES = {
    "in place": in_place,
    "as rsync": as_rsync_does,
    "as rsync --delete": lambda backup, live: as_rsync_does(backup, live, is_deleting=True),
}


@pytest.mark.parametrize("restore", RESTORES)
def test_older_backup_restored_over_an_open_log_is_appended_to(tmp_path, restore):
    live, backup = tmp_path / "live", tmp_path / "backup"
    with Log(thence.open(live).folder, PLAIN, LogSettings(max_file_size=2_000)) as log:
        kept = [log.append("kept", {"n": n}).event_id for n in range(10)]
        shutil.copytree(live, backup)
        after = [log.append("after", {"n": n}) for n in range(20)]
        RESTORES[restore](backup, live)
        event = log.append("restored")
        log.emit("restored")
        log.flush()
        there = [found.event_id for found in log.read()]
        assert event.event_id in there
        assert set(kept) <= set(there)
        given_before = {(found.node_id, found.seq) for found in after}
        assert (event.node_id, event.seq) not in given_before
    ran("import sys, thence; thence.open(sys.argv[1]).append('again')", live)
    repeated = {stamp: said for stamp, said in given(live).items() if len(said) > 1}
    assert repeated == {}
    with thence.open(live) as log:
        codes = {finding.code for finding in log.verify().damage}
    assert codes <= {"events_lost"}


def test_next_number_is_above_all_where_older_segments_took_the_place_of_newer_ones(tmp_path):
    """Two restores came after a rotation: the last two segments are those of the backup."""
    with thence.open(tmp_path) as log:
        log.append_many([{"event_type": "t"}] * 3)
        current = tmp_path / "events.jsonl"
        old = current.read_bytes()
        last = log.append_many([{"event_type": "t"}] * 9)[-1]
    current.rename(tmp_path / "events_2026-11-29_08-00-00-000001.jsonl")
    for name in ("events_2026-11-29_08-00-00-000002.jsonl", "events.jsonl"):
        (tmp_path / name).write_bytes(old)
    with thence.open(tmp_path) as log:
        after = log.append("t")
        assert (after.node_id, after.seq) == (last.node_id, last.seq + 1)


@pytest.mark.parametrize("restore", ["as rsync", "as rsync --delete"])
def test_restores_under_a_writer_at_work_never_crash_it(tmp_path, restore):
    live, backup = tmp_path / "live", tmp_path / "backup"
    log, stop = writing(live)
    log.append("t", timeout_s=WAIT_S)
    subprocess.run(["cp", "-r", live, backup], capture_output=True, check=False)
    for _ in range(5):
        log.append("t", timeout_s=WAIT_S)
        RESTORES[restore](backup, live)
    stop()
    with thence.open(live) as again:
        after = again.append("after", timeout_s=WAIT_S)
        own = [event.seq for event in again.read() if event.node_id == after.node_id]
        assert after.seq == max(own)
        assert len(set(own)) == len(own)
    assert [path.name for path in segments(OS_DISK, live)][-1] == "events.jsonl"
    assert Path(live, ".thence/identity.json").exists()
