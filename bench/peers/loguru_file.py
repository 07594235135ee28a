"""A loguru file sink, serialized; `--enqueue` sends records through its queue and thread."""

import sys

from loguru import logger

from bench.peers.records import records, took

logger.remove()
logger.add(sys.argv[1], serialize=True, enqueue="--enqueue" in sys.argv)
for record_id, facts in records():
    logger.bind(id=record_id, **facts).info("worked")
    took(record_id)
