"""Large values in a queue: bounded by their bytes, written in their order, no cost to the small."""

from threading import Thread

import pytest
from tests.disks import FULL, GatedDisk, Scripted
from tests.log.committers import until, waiting

from thence.core.bodies import BODIES_FROM
from thence.errors import LogFull
from thence.log.open import LogSettings, open_host_log
from thence.log.write.batch import QUEUE_BYTES_MAX

KIND = "asked"


def test_queue_holds_no_more_than_its_bytes(tmp_path):
    disk = GatedDisk()
    disk.gate.set()
    with open_host_log(tmp_path, settings=LogSettings(bodies_from=BODIES_FROM), disk=disk) as log:
        log.append(KIND, {"n": 0})
        disk.gate.clear()
        disk.arrived.clear()
        quarter = QUEUE_BYTES_MAX // 4
        ids: list[str] = []

        def emit() -> None:
            ids.extend(log.emit(KIND, {"text": chr(97 + n) * quarter}) for n in range(9))

        thread = Thread(target=emit)
        thread.start()
        assert disk.arrived.wait(60)
        until(lambda: waiting([thread]))
        assert 0 < log._committer._bytes.count <= QUEUE_BYTES_MAX
        assert len(ids) == 3
        disk.gate.set()
        thread.join(60)
        assert not thread.is_alive()
        log.flush()
        assert log._committer._bytes.count == 0
        assert [event.payload.get("text", "?")[0] for event in log.read()] == [*"?abcdefghi"]


def test_emitted_events_that_have_no_room_wait_and_come_in_order(tmp_path):
    disk = Scripted()
    with open_host_log(tmp_path, settings=LogSettings(bodies_from=BODIES_FROM), disk=disk) as log:
        log.append(KIND, {"n": 0})
        disk.error["write"] = FULL
        for number in range(1, 6):
            log.emit(KIND, {"n": number, "text": f"{number}" * 3_000})
        with pytest.raises(LogFull):
            log.append(KIND, {"n": 9})
        disk.error["write"] = None
        log.flush()
        numbers = [event.payload["n"] for event in log.read() if event.event_type == KIND]
        assert numbers == [0, 1, 2, 3, 4, 5]
        assert log.verify().ok
