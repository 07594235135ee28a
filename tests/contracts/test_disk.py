"""The real disk and the simulated one keep the same contract."""

from pathlib import Path

import pytest
from tests.contracts.disk import DiskContract
from tests.crash.simulated_disk import SimulatedDisk

from thence.log.files.disk import OS_DISK, Disk


class TestRealDisk(DiskContract):
    @pytest.fixture
    def disk(self):
        return OS_DISK

    @pytest.fixture
    def place(self, tmp_path):
        return tmp_path


class TestSimulatedDisk(DiskContract):
    @pytest.fixture
    def disk(self):
        return SimulatedDisk()

    @pytest.fixture
    def place(self, disk):
        disk.make_folder(Path("/disk/logs"))
        return Path("/disk/logs")


def test_simulated_disk_reaches_the_system_with_no_call():
    own = {name for name in vars(SimulatedDisk) if not name.startswith("_")}
    built_on_others = {"close_quietly", "open_existing", "read_whole", "write_all"}
    calls = {name for name in vars(Disk) if not name.startswith("_")}
    assert calls - own == built_on_others
