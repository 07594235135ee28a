"""A structlog BytesLogger with a JSON renderer, which flushes each record to the system."""

import json
import sys
from pathlib import Path

import structlog

from bench.peers.records import records, took

with Path(sys.argv[1]).open("ab") as file:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(
                serializer=lambda facts, **_: json.dumps(facts).encode()
            ),
        ],
        logger_factory=structlog.BytesLoggerFactory(file),
    )
    logger = structlog.get_logger()
    for record_id, facts in records():
        logger.info("worked", id=record_id, **facts)
        took(record_id)
