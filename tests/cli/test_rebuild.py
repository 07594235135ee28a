import json
import re
import signal
import sys
from pathlib import Path

import pytest
from tests.cli.installed import DRAWN_AT_ONCE, SIGNALLED, WITH_BAR, in_python, on_terminal, thence
from tests.cli.warm import warm
from tests.events import large_log

from thence.cli.shared.progress import INDEX_AFTER_S
from thence.log.open import open_log

EVENTS = 40_000
BAR = "bytes read "


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A log of 60 MB."""
    return large_log(tmp_path / "large", EVENTS)


@pytest.mark.promise("P6")
def test_rebuild_tells_how_much_it_indexed(tmp_path, orders):
    size = (tmp_path / "orders" / "events.jsonl").stat().st_size
    ended = warm("rebuild", "--log", "orders", cwd=tmp_path).done()
    assert ended.out.startswith("indexed 4 events in ")
    assert ended.err == ""
    told = warm("rebuild", "--log", "orders", "--json", "-q", cwd=tmp_path)
    assert (told.code, told.err) == (0, "")
    assert told.json["events"] == 4
    assert told.json["bytes"] == size
    assert told.json["seconds"] >= 0


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


def test_ctrl_c_leaves_no_half_index_and_the_next_question_makes_a_whole_one(tmp_path, large):
    warm("rebuild", "--log", "large", cwd=tmp_path)
    words = ("save_damage", "3", f"{signal.SIGINT:d}")
    amid = (sys.executable, "-c", DRAWN_AT_ONCE + SIGNALLED, *words)
    code, shown = on_terminal(tmp_path, "rebuild", "--log", "large", program=amid)
    assert code == 130
    assert "interrupted" in shown
    assert "Traceback" not in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
    assert not list(large.glob(".thence/index.db*"))
    with open_log(large, create=False) as log:
        assert log.query(limit=1).total == EVENTS
    assert (large / ".thence" / "index.db").exists()


# a machine may read half of the log in the time that a user waits for the line
EARLIER = """
import sys
from thence.cli.main import main
from thence.cli.shared import progress
progress.INDEX_AFTER_S = 0.03
sys.exit(main())
"""
TOLD = re.compile(r"building the index: bytes read ([\d,]+) of ([\d,]+)")


def test_first_question_says_at_once_how_far_the_index_is(tmp_path, large):
    size = (large / "events.jsonl").stat().st_size
    question = ("log", "--limit", "2", "--json", "--log", "large")
    assert INDEX_AFTER_S <= 0.25
    ended = in_python(EARLIER, *question, cwd=tmp_path)
    first, *others = ended.err.splitlines()
    read, total = (int(text.replace(",", "")) for text in TOLD.fullmatch(first).groups())
    assert (ended.code, len(ended.lines), total) == (0, 2, size)
    assert read < size / 2, "the line comes while most is still to be read"
    assert others == ["2 of 40,000 events; --limit 0 shows all"]
    # one that is there says nothing; one that is damaged is made again, and says so
    again = thence("log", "--last", "2", "--json", "--log", "large", "-q", cwd=tmp_path)
    assert again.err == ""
    (large / ".thence" / "index.db").write_bytes(b"x" * 10_000)
    ended = thence("stats", "--log", "large", cwd=tmp_path)
    assert TOLD.search(ended.err)
    assert f"{EVENTS:,}" in ended.out


def test_tail_needs_no_index(tmp_path, large):
    lines = (large / "events.jsonl").read_text().splitlines()
    assert warm("tail", "-n", "3", "--json", "--log", "large", cwd=tmp_path).lines == lines[-3:]
    assert not (large / ".thence" / "index.db").exists()
