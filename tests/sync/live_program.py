"""A program that keeps logs in sync: each line that it reads is appended to the next one in turn.

python live_program.py CONFIG_FOLDER stop|leave LOG [LOG …]

It prints the id of each event once that is durable. How each round ended stands in `rounds` in the
folder: the code of its error, `left` or `well`. At the end of its input it stops the services, or
leaves them running. It comes back to a server within a second, and not within half a minute.
"""

import random
import sys
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from threading import Event

import thence
from thence.sync import BackgroundSyncService, SyncEngine
from thence.sync.credentials import CredentialStore
from thence.sync.target import SyncReport

HOUR_S = 3600.0


class Telling(SyncEngine):
    """An engine that tells how each round ended."""

    def round(self) -> SyncReport:
        report = super().round()
        word = "left" if report.left else "well"
        with Path(sys.argv[1], "rounds").open("a") as rounds:
            rounds.write(f"{report.error.code if report.error else word}\n")
        return report


def chosen_s(low: float, high: float) -> float:
    return random.uniform(low, min(high, 1.0))


def wait(signal: Event, seconds: float) -> bool:
    return signal.wait(seconds if seconds == HOUR_S else min(seconds, 1.0))


with ExitStack() as stack:
    logs = [stack.enter_context(thence.open(folder)) for folder in sys.argv[3:]]
    store = CredentialStore(Path(sys.argv[1]))
    settings = {"store": store, "engine": Telling, "uniform": chosen_s, "wait": wait}
    services = [BackgroundSyncService(log, HOUR_S, **settings) for log in logs]
    for service in services:
        service.start()
    for line, log in zip(sys.stdin, cycle(logs), strict=False):
        print(log.append("note", {"text": line.strip()}).event_id, flush=True)
    for service in services if sys.argv[2] == "stop" else ():
        service.stop()
