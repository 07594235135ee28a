import json
import signal
import sys
from pathlib import Path

import pytest
from tests.cli.installed import DRAWN_AT_ONCE, SIGNALLED, WITH_BAR, on_terminal
from tests.cli.warm import warm

from thence.core.codec import draft, stamper
from thence.core.event import Members
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK
from thence.log.files.process_state import new_id, now
from thence.log.files.segment import current_path
from thence.log.read.opening import prepare
from thence.open_log.log import open_log

EVENTS = 40_000
BAR = "bytes read "


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A log of 60 MB."""
    folder = tmp_path / "large"
    prepare(OS_DISK, folder, PLAIN)
    payload = {"text": "x" * 1_300}
    drafts = [draft(Members(new_id(), "noted", 1, now(), payload=payload)) for _ in range(EVENTS)]
    current_path(folder).write_bytes(b"".join(stamper("3f9ac1d2e4b5")(drafts, 1, 1)))
    return folder


@pytest.mark.promise("P6")
def test_rebuild_tells_how_much_it_indexed(tmp_path, orders):
    size = (tmp_path / "orders" / "events.jsonl").stat().st_size
    ended = warm("rebuild", "--log", "orders", cwd=tmp_path)
    assert ended.code == 0
    assert ended.out.startswith("indexed 4 events in ")
    assert ended.err == ""
    told = warm("rebuild", "--log", "orders", "--json", "-q", cwd=tmp_path)
    assert (told.code, told.err) == (0, "")
    assert told.json["events"] == 4
    assert told.json["bytes"] == size
    assert told.json["seconds"] >= 0


def test_damaged_index_is_made_again(tmp_path, orders):
    warm("rebuild", "--log", "orders", cwd=tmp_path)
    index = tmp_path / "orders" / ".thence" / "index.db"
    index.write_bytes(b"x" * 10_000)
    assert warm("rebuild", "--log", "orders", cwd=tmp_path).code == 0
    assert len(warm("query", "--log", "orders", cwd=tmp_path).lines) == 4


def test_bytes_read_are_drawn_on_a_terminal_alone(tmp_path, large):
    size = (large / "events.jsonl").stat().st_size
    code, shown = on_terminal(tmp_path, "rebuild", "--log", "large", program=WITH_BAR)
    assert code == 0
    assert f" of {size:,}" in shown
    assert BAR in shown
    assert f"indexed {EVENTS:,} events in " in shown
    out = tmp_path / "out"
    code, shown = on_terminal(
        tmp_path, "rebuild", "--log", "large", "--json", out=out, program=WITH_BAR
    )
    assert code == 0
    assert BAR in shown
    assert json.loads(out.read_bytes())["events"] == EVENTS
    for said in (("-q",), ("-q", "--json")):
        code, shown = on_terminal(tmp_path, "rebuild", "--log", "large", *said, program=WITH_BAR)
        assert (code, BAR in shown) == (0, False)
    ended = warm("rebuild", "--log", "large", cwd=tmp_path)
    assert ended.err == ""


def test_first_question_to_a_large_log_draws_the_bytes_that_its_index_reads(tmp_path, large):
    for is_first in (True, False):
        code, shown = on_terminal(tmp_path, "last", "--log", "large", program=WITH_BAR)
        assert (code, BAR in shown) == (0, is_first)
    assert "nothing was left open" in shown


def test_ctrl_c_leaves_no_half_index_and_the_next_question_makes_a_whole_one(tmp_path, large):
    warm("rebuild", "--log", "large", cwd=tmp_path)
    amid = (
        sys.executable,
        "-c",
        DRAWN_AT_ONCE + SIGNALLED,
        "save_damage",
        "3",
        str(int(signal.SIGINT)),
    )
    code, shown = on_terminal(tmp_path, "rebuild", "--log", "large", program=amid)
    assert code == 130
    assert "interrupted" in shown
    assert "Traceback" not in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
    assert not list(large.glob(".thence/index.db*"))
    with open_log(large, create=False) as log:
        assert log.query(limit=1).total == EVENTS
    assert (large / ".thence" / "index.db").exists()
