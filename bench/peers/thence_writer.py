"""An EventWriter of thence in SYNC mode; `--async` emits 100 at a time, then flushes."""

import sys
from pathlib import Path

from bench.peers.records import records, took
from thence.sim import EventWriter, create_action_event

BATCH_EVENTS = 100
is_async = "--async" in sys.argv
mode = "async" if is_async else "sync"
with EventWriter(Path(sys.argv[1]).parent, "run", mode=mode, on_full="block") as writer:
    waiting: list[str] = []
    for record_id, facts in records():
        event = create_action_event("run", 0, "ada", "worked", {"id": record_id, **facts})
        assert writer.emit(event)
        waiting.append(record_id)
        if not is_async or len(waiting) == BATCH_EVENTS:
            writer.flush()
            took(*waiting)
            waiting.clear()
