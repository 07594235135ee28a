"""Durable appends from one thread, beside the raw loop of append and fdatasync."""

import os
from pathlib import Path

import thence
from bench.rounds import per_second

EVENTS = 2_000
PAYLOAD = {"good": "grain", "amount": 3, "price": 4.25, "note": "a line of about 335 bytes " * 3}


def raw_loop(folder: Path) -> float:
    """Appends lines as long as ours to a kept descriptor, each followed by fdatasync."""
    with thence.open(folder / "sample") as log:
        line = log.append("trade.done", PAYLOAD, subject="order/1", actor="ada").line + b"\n"
    descriptor = os.open(folder / "raw", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def work() -> None:
        for _ in range(EVENTS):
            os.write(descriptor, line)
            os.fdatasync(descriptor)

    found = per_second(EVENTS, work)
    os.close(descriptor)
    return found


def ours(folder: Path) -> float:
    """Appends events with `Log.append`."""
    with thence.open(folder) as log:
        log.append("trade.begun")

        def work() -> None:
            for _ in range(EVENTS):
                log.append("trade.done", PAYLOAD, subject="order/1", actor="ada")

        return per_second(EVENTS, work)


def sync_writer(folder: Path) -> float:
    """Emits typed events with an EventWriter in SYNC mode."""
    from thence.sim import EventWriter, create_action_event

    with EventWriter(folder, "run", mode="sync") as writer:
        writer.emit(create_action_event("run", 0, "ada", "trade", PAYLOAD))

        def work() -> None:
            for turn in range(EVENTS):
                writer.emit(create_action_event("run", turn, "ada", "trade", PAYLOAD))

        return per_second(EVENTS, work)


CONTENDERS = {"raw loop": raw_loop, "append": ours, "sync emit": sync_writer}
