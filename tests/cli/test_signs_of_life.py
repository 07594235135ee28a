"""Long work shows on a terminal that it goes on, whatever the command."""

import sys

import pytest
from tests.cli.installed import on_terminal

import thence

# as if all work were long
HASTY = """
import sys
from thence.cli.main import main
from thence.cli.shared import progress
progress.DRAWN_AFTER_S = 0
sys.exit(main())
"""
EVENTS = 3_000


@pytest.fixture
def folder(tmp_path):
    for name in ("orders", "others"):
        with thence.open(tmp_path / name, max_file_size=200_000) as log:
            for number in range(EVENTS):
                log.emit("order.placed", {"amount": number, "note": "said"}, subject=f"o/{number}")
    return tmp_path


@pytest.mark.promise("P6")
@pytest.mark.parametrize(
    ("words", "sign"),
    [
        ("verify --log orders", "checking every line"),
        ("diff orders others", "comparing the events"),
        ("export --log orders --csv -o a.csv", "rows read"),
        ("export --log orders --otlp a.json", "spans written"),
        ("redact @last --log others --yes", "redacting every line"),
        ("prune --log others --keep-bytes 200000 --yes", "pruning"),
    ],
)
def test_long_work_gives_a_sign_of_life(folder, words, sign):
    program = (sys.executable, "-c", HASTY)
    code, shown = on_terminal(folder, *words.split(), program=program)
    assert code in (0, 3), shown  # a difference
    assert sign in shown
