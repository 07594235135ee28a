"""SQLite in WAL mode, a commit for each record; `--normal` syncs at checkpoints only.

`--read` prints the ids that are there.
"""

import json
import sqlite3
import sys

from bench.peers.records import records, took

database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute(f"PRAGMA synchronous = {'NORMAL' if '--normal' in sys.argv else 'FULL'}")
database.execute("CREATE TABLE IF NOT EXISTS record (id TEXT PRIMARY KEY, facts TEXT)")
if "--read" in sys.argv:
    for (record_id,) in database.execute("SELECT id FROM record"):
        print(record_id)
else:
    for record_id, facts in records():
        database.execute("INSERT INTO record VALUES (?, ?)", (record_id, json.dumps(facts)))
        took(record_id)
