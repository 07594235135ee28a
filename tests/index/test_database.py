"""The index of one log: it holds what the log holds, whatever happens to its file."""

from pathlib import Path

from thence.core.order import totally_ordered
from thence.index.database import Index
from thence.log.disk import OS_DISK
from thence.replica import Replica, open_replica


def indexed(log: Replica) -> list[bytes]:
    """Returns the lines that the index of a log finds, in total order."""
    with Index(OS_DISK, log.folder, log.vocabulary) as index:
        index.freshen()
        with index.reading() as connection:
            places = "SELECT segment, offset, length FROM events ORDER BY place"
            return [event.line for event in index.fetch(connection, connection.execute(places))]


def written(log: Replica) -> list[bytes]:
    """Returns the lines that a plain reading of the log finds, in total order."""
    return [event.line for event in totally_ordered(log.read())]


def test_an_index_holds_what_the_log_holds_and_follows_it(tmp_path: Path) -> None:
    with open_replica(tmp_path / "log") as log:
        first = log.append("a", {"n": 1})
        assert indexed(log) == written(log) == [first.line]
        log.append("b", caused_by=[first])
        assert indexed(log) == written(log)


def test_a_deleted_index_is_made_again(tmp_path: Path) -> None:
    with open_replica(tmp_path / "log") as log:
        log.append_many([{"event_type": "a"}, {"event_type": "b"}])
        indexed(log)
        (log.folder / ".thence" / "index.db").unlink()
        assert indexed(log) == written(log)


def test_a_line_without_a_clock_stands_before_all_others(tmp_path: Path) -> None:
    with open_replica(tmp_path / "log") as log:
        log.append("a")
        indexed(log)
        with log.current_file.open("ab") as segment:
            segment.write(b'{"event_id":"other","event_type":"x"}\n')
        log.append("b")
        assert indexed(log) == written(log)
        assert b"other" in indexed(log)[0]
