"""A sync that fails, and then the power: what was acknowledged in between stays."""

from tests.crash.crash_states import worst
from tests.crash.simulated_disk import SimulatedDisk
from tests.crash.traces import log_of, opened

import thence

LONG = {"text": "x" * 5_000}  # more than a page


def test_event_survives_though_a_later_opening_believed_it_safe():
    disk = SimulatedDisk(log_of(1))
    with opened(disk) as first, opened(disk) as later:
        first.append("a")

        def step_in(call):
            if call == "failed":
                disk.before = None
                later.append("c")

        disk.before, disk.failing = step_in, 1
        acknowledged = first.append("b", LONG)
        left = opened(SimulatedDisk(worst(disk.moment())))
        assert acknowledged.line in {event.line for event in left.read()}


def test_numbers_go_on_behind_a_segment_whose_copy_was_cut_short(tmp_path):
    with thence.open(tmp_path) as log:
        lines = [log.append("t").line + b"\n" for _ in range(3)]
    path = tmp_path / "events.jsonl"
    path.rename(tmp_path / "events_2026-11-20_10-00-00-000000.jsonl")
    path.write_bytes(lines[1] + lines[2][:50])
    with thence.open(tmp_path) as log:
        assert log.append("next").seq == 5  # behind the notice of the recovery
