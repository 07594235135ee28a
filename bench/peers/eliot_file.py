"""An eliot file destination, which flushes each message to the system."""

import sys
from pathlib import Path

import eliot

from bench.peers.records import records, took

with Path(sys.argv[1]).open("ab") as file:
    eliot.to_file(file)
    for record_id, facts in records():
        eliot.log_message("worked", id=record_id, **facts)
        took(record_id)
