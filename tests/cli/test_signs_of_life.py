"""Long work shows on a terminal that it goes on, whatever the command."""

import pytest
from tests.cli.installed import WITH_BAR, on_terminal
from tests.cli.scenarios import counting

import thence

EVENTS = 3_000


@pytest.fixture
def folder(tmp_path):
    for name in ("orders", "others"):
        with thence.open(tmp_path / name, max_file_size=200_000) as log:
            for number in range(EVENTS):
                log.emit("order.placed", {"amount": number, "note": "said"}, subject=f"o/{number}")
    counting(tmp_path)
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
        ("sim sweep counting.yaml --seeds 1-2", "runs 2 of 2"),
    ],
)
def test_long_work_gives_a_sign_of_life(folder, words, sign):
    code, shown = on_terminal(folder, *words.split(), program=WITH_BAR)
    assert code in (0, 3), shown  # a difference
    assert sign in shown
