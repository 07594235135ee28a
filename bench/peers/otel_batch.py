"""OpenTelemetry's batch processor over the SDK's console exporter, which writes to the file.

`--flush` calls force_flush after every 100 records and acknowledges them only then.
"""

import sys
from pathlib import Path

from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, ConsoleLogRecordExporter

from bench.peers.records import records, took

BATCH_RECORDS = 100


def line(record: object) -> str:
    """Writes a record as one line of JSON."""
    return record.to_json(indent=None) + "\n"


with Path(sys.argv[1]).open("a", encoding="utf-8") as file:
    provider = LoggerProvider()
    exporter = ConsoleLogRecordExporter(out=file, formatter=line)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("peer")
    waiting: list[str] = []
    for record_id, facts in records():
        logger.emit(LogRecord(body={"id": record_id, **facts}))
        waiting.append(record_id)
        if "--flush" not in sys.argv:
            took(*waiting)
            waiting.clear()
        elif len(waiting) == BATCH_RECORDS:
            assert provider.force_flush()
            took(*waiting)
            waiting.clear()
