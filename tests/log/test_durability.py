"""What a sync is worth, by the filesystem: told once, and appending goes on."""

import logging
import os

import pytest
import structlog

import thence
from thence.core.values.vocabulary import PLAIN, SIM
from thence.log.storage.disk import Disk, durability_on
from thence.log.storage.disk_errors import DiskError
from thence.replica import Log
from thence.sim import EventWriter, MilestoneEvent


class On(Disk):
    """A disk of another type."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def filesystem(self, folder):
        if not self.kind:
            raise DiskError(13, "hidden")
        return self.kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "9p", "fuse.sshfs"])
def test_network_filesystem_is_warned_of_once_and_appending_goes_on(tmp_path, kind, caplog):
    with Log(tmp_path, PLAIN, disk=On(kind)) as log:
        assert log.durability == "unproven"
        for _ in range(3):
            log.append("t")
        log.emit("t")
    (record,) = [record for record in caplog.records if "unproven" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert kind in record.getMessage()
    assert len(list(thence.open(tmp_path).read())) == 4


def test_reading_there_warns_of_nothing(tmp_path, caplog):
    log = Log(tmp_path, SIM, disk=On("nfs"))
    assert list(log.read()) == []
    assert caplog.records == []


def test_simulation_is_warned_in_its_own_records(tmp_path, caplog):
    structlog.reset_defaults()  # another test may have left it configured
    with EventWriter(tmp_path, "run", disk=On("nfs")) as writer:
        writer.emit(MilestoneEvent(simulation_id="run", milestone_type="turn_start"))
    assert any("event_writer_unproven" in record.getMessage() for record in caplog.records)


def test_other_filesystems_are_not_warned_of(tmp_path, caplog):
    for kind in ("ext4", "tmpfs", ""):
        with Log(tmp_path, PLAIN, disk=On(kind)) as log:
            log.append("t")
    assert caplog.records == []
    assert durability_on("ext4") == durability_on("") == "synced"
    assert durability_on("tmpfs") == "memory"


def test_this_machine_is_looked_at(tmp_path):
    log = thence.open(tmp_path)
    assert log.durability in ("synced", "unproven", "memory")
    if os.path.isdir("/proc/self"):
        assert thence.open(tmp_path, create=False).durability == log.durability
