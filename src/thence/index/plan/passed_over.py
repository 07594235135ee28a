"""What readers of a log pass over, as its index has counted it."""

import sqlite3

from thence.index.file.database import Index


def passed_over(index: Index) -> tuple[int, int]:
    """Returns how many lines are damaged, and how many are unfinished: none or the last one."""

    def work(connection: sqlite3.Connection) -> tuple[int, int]:
        found = connection.execute(
            "SELECT total(bad_lines), total(name = 'events.jsonl' AND size > read_bytes)"
            " FROM segments"
        ).fetchone()
        return int(found[0]), int(found[1])

    return index.answer(work)
