"""A log of format 2, with large values, is read for ever, and its values still written the same."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

import thence

FOLDER = Path(__file__).parent / "bodies-v2"
COMMON = [
    {"role": "system", "content": 'quote " backslash \\ newline \n nul \u0000 é 漢字 😀 ' * 30}
]
PAYLOADS = [
    {"model": "m", "messages": COMMON},
    {"model": "m", "messages": [*COMMON, {"role": "user", "content": "a" * 400}], "n": 1},
    {
        "deep/er~": {"text": 'tab \t del \u007f line \u2028 "😀" ' * 60},
        "": [0.5, None, "x" * 1_100],
    },
    {"messages": [*COMMON, {"role": "user", "content": "b" * 400}], "same": "a" * 1_024},
    {"again": "a" * 1_024, "small": "a" * 1_023},
]


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "log")
    return tmp_path / "log"


def test_values_are_read_and_verified(folder):
    with thence.open(folder, create=False) as log:
        assert [event.payload for event in log.read()] == PAYLOADS
        assert log.verify().findings == ()
        assert log.query(where='again ~ "aaaa"').total == 1


def test_same_values_are_written_as_the_same_pieces(folder, tmp_path):
    opened = partial(thence.open, bodies_from=1_024)
    with opened(tmp_path / "new") as log, opened(folder) as old:
        for event, payload in zip(list(old.read()), PAYLOADS, strict=True):
            again = log.append(event.event_type, payload)
            assert again.members["payload"] == event.members["payload"]
            assert again.members["bodies"] == event.members["bodies"]
        old.append("asked", PAYLOADS[3])
    assert json.loads((folder / ".thence" / "log.json").read_text())["format"] == 2
    golden = (FOLDER / "bodies.jsonl").read_bytes()
    assert (tmp_path / "new" / "bodies.jsonl").read_bytes() == golden
    assert (folder / "bodies.jsonl").read_bytes() == golden
