"""A line that puts a large value at no place of its payload is refused."""

import json

import pytest
from tests.log.test_blob_files import KIND, PROMPT, opened

from thence.core.codec import close_line
from thence.log.blobs.blob_files import Bodies
from thence.log.files.disk import OS_DISK

POINTERS = ["/nope/x", "/", "/text/0", "/map", "/n", "/map/no", "/texT"]


def misplaced(line, pointer):
    """Returns a line whose value has another place in its payload, with a checksum that fits."""
    data = line[:-18].replace(b'[["/text",', json.dumps([[pointer]])[:-2].encode() + b",")
    assert data != line[:-18]
    return close_line(data)[:-1]


@pytest.mark.parametrize("pointer", POINTERS)
def test_line_whose_value_has_no_place_is_not_relayed(tmp_path, pointer):
    with opened(tmp_path / "a") as log, opened(tmp_path / "b") as other:
        event = log.append(KIND, {"text": PROMPT, "map": {"a": 1}, "n": 1})
        line = misplaced(event.line, pointer)
        relayed = other.relay([line], Bodies(OS_DISK, log.folder))
        assert [bad.code for _, bad in relayed.bad] == ["body_missing"]
        assert relayed.taken == ()


def test_line_whose_value_is_of_another_kind_is_not_relayed(tmp_path):
    with opened(tmp_path / "a") as log, opened(tmp_path / "b") as other:
        event = log.append(KIND, {"text": PROMPT, "list": ["short"]})
        relayed = other.relay([misplaced(event.line, "/list")], Bodies(OS_DISK, log.folder))
        assert [bad.code for _, bad in relayed.bad] == ["body_missing"]
