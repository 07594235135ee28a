"""An open log of thence: `append` returns when the event is durable."""

import sys
from pathlib import Path

import thence
from bench.peers.records import records, took

with thence.open(Path(sys.argv[1]).parent) as log:
    for record_id, facts in records():
        log.append("worked", {"id": record_id, **facts})
        took(record_id)
