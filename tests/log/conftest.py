"""Where tests of the log's inner parts begin: a log that is prepared, files that are open."""

import pytest

import thence
from thence.log.files.disk import OS_DISK
from thence.log.files.identity import identify


@pytest.fixture
def prepared(tmp_path):
    """Make the log and its identity, so that the next sync is that of an event."""
    thence.open(tmp_path).close()
    identify(OS_DISK, tmp_path)


@pytest.fixture
def made_of(tmp_path):
    """Give what opens a file of such bytes for appending, and closes it at the end."""
    descriptors = []

    def opened_with(data, name="events.jsonl"):
        path = tmp_path / name
        path.write_bytes(data)
        descriptors.append(OS_DISK.open_append(path))
        return descriptors[-1], path

    yield opened_with
    for descriptor in descriptors:
        OS_DISK.close(descriptor)
