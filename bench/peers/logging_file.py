"""Standard library logging with a FileHandler, which flushes each record to the system."""

import json
import logging
import sys

from bench.peers.records import records, took

handler = logging.FileHandler(sys.argv[1], encoding="utf-8")
handler.setFormatter(logging.Formatter("%(message)s"))
logger = logging.getLogger("peer")
logger.setLevel(logging.INFO)
logger.addHandler(handler)
for record_id, facts in records():
    logger.info(json.dumps({"id": record_id, **facts}))
    took(record_id)
