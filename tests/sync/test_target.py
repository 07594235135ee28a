"""The target and the last round, beside the log."""

import msgspec
import pytest

import thence
from thence.errors import SyncRefused
from thence.sync.target import (
    SyncReport,
    SyncTarget,
    enabled_target,
    read_status,
    read_target,
    recorded,
    sync_folder,
    team_of,
    write_target,
)

TARGET = SyncTarget("https://thence.example", "atlas", "ada", "orders", "plain", "2026-01-01")


@pytest.fixture
def folder(tmp_path):
    with thence.open(tmp_path / "orders") as log:
        log.append("note")
    return tmp_path / "orders"


@pytest.mark.promise("S4")
def test_sync_is_off_until_it_is_enabled(folder):
    assert (read_target(folder), read_status(folder), team_of(folder)) == (None, None, None)
    with pytest.raises(SyncRefused, match="not enabled"):
        enabled_target(folder)
    recorded(folder, SyncReport())
    assert not sync_folder(folder).exists()
    write_target(folder, TARGET)
    assert enabled_target(folder) == TARGET
    assert team_of(folder) == "atlas"
    write_target(folder, msgspec.structs.replace(TARGET, is_enabled=False))
    assert team_of(folder) is None
    with pytest.raises(SyncRefused):
        enabled_target(folder)


@pytest.mark.promise("S4")
@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 5000, b"\xff"])
def test_spoilt_target_keeps_nobody_from_the_log(folder, data):
    write_target(folder, TARGET)
    recorded(folder, SyncReport())
    for name in ("target.json", "status.json"):
        (sync_folder(folder) / name).write_bytes(data)
    assert (team_of(folder), read_status(folder)) == (None, None)
    with pytest.raises(SyncRefused):
        read_target(folder)


def test_target_behind_a_symbolic_link_is_refused(folder, tmp_path):
    write_target(folder, TARGET)
    sync_folder(folder).rename(tmp_path / "elsewhere")
    sync_folder(folder).symlink_to(tmp_path / "elsewhere")
    assert team_of(folder) is None
    with pytest.raises(SyncRefused, match="symbolic link"):
        read_target(folder)
