"""What an index says is passed over is what is."""

from pathlib import Path

from thence.core.values.vocabulary import PLAIN
from thence.index.connection import Index
from thence.index.segments import passed_over
from thence.log.storage.disk import OS_DISK
from thence.replica import open_log


def counts(folder: Path) -> tuple[int, int]:
    with Index(OS_DISK, folder, PLAIN) as index:
        return index.answer(passed_over)


def test_damaged_and_unfinished_lines_are_counted_as_the_log_grows(tmp_path):
    with open_log(tmp_path) as log:
        log.append_many([{"event_type": "a"}] * 3)
    assert counts(tmp_path) == (0, 0)
    path = tmp_path / "events.jsonl"
    with path.open("ab") as segment:
        segment.write(b"{damaged}\n")
    assert counts(tmp_path) == (1, 0)
    with path.open("ab") as segment:
        segment.write(b'{"unfinished":')
    assert counts(tmp_path) == (1, 1)
    with path.open("ab") as segment:
        segment.write(b" now it is whole}\n")
    assert counts(tmp_path) == (2, 0)
