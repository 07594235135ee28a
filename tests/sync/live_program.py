"""A program that keeps a log in sync: each line that it reads is appended, the end ends it.

python live_program.py LOG CONFIG_FOLDER stop|leave

It stops its service at the end, or leaves it running.
"""

import sys
from pathlib import Path

import thence
from thence.sync import BackgroundSyncService
from thence.sync.credentials import CredentialStore

HOUR_S = 3600.0

with thence.open(sys.argv[1]) as log:
    service = BackgroundSyncService(log, HOUR_S, store=CredentialStore(Path(sys.argv[2])))
    service.start()
    for line in sys.stdin:
        log.append("note", {"text": line.strip()})
    if sys.argv[3] == "stop":
        service.stop()
