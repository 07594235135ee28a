"""The public names of `thence.sync`."""

import subprocess
import sys

import pytest

import thence.sync


@pytest.mark.promise("S4")
def test_commands_of_work_import_no_http():
    program = (
        "import sys, thence.work, thence.cli.frame;"
        "print('httpx2' in sys.modules, 'thence.sync.service' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("False False\n", "")


def test_unknown_name_of_sync_is_refused():
    with pytest.raises(AttributeError, match="Service"):
        _ = thence.sync.Service
    assert dir(thence.sync) == ["BackgroundSyncService", "SyncEngine"]
    assert thence.sync.BackgroundSyncService.__module__ == "thence.sync.service"
