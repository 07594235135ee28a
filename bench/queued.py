"""The ASYNC writer, synced to disk at the end, beside structlog tuned, never synced."""

import logging
import statistics
import time
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import structlog

import thence
from bench.rounds import per_second
from thence.sim import ActionEvent, EventWriter

EVENTS = 300_000
PRODUCERS = 100
PACED_EVENTS = 200_000
PAUSE_NS = 10_000
_encode = msgspec.json.Encoder().encode


def _tuned(folder: Path) -> tuple[Any, Any]:
    file = (folder / "structlog.jsonl").open("wb")
    logger = structlog.wrap_logger(
        structlog.BytesLogger(file),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=lambda data, **_: _encode(data)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    return logger.bind(simulation_id="run"), file


def structlog_tuned(folder: Path) -> float:
    """Logs the same facts with structlog: msgspec renderer, bytes logger, cached, filtering."""
    logger, file = _tuned(folder)

    def work() -> None:
        for turn in range(EVENTS):
            logger.info(
                "ACTION",
                turn_number=turn,
                agent_id="ada",
                action_type="move",
                action_payload={"to": "harbour", "number": turn},
            )

    found = per_second(EVENTS, work)
    file.close()
    return found


def _produce(writer: EventWriter, first: int, count: int) -> None:
    for turn in range(first, first + count):
        writer.emit(
            ActionEvent(
                simulation_id="run",
                turn_number=turn,
                agent_id="ada",
                action_type="move",
                action_payload={"to": "harbour", "number": turn},
            )
        )


def one_producer(folder: Path) -> float:
    """Builds and emits typed events from one thread; the clock stops when all are synced."""
    writer = EventWriter(folder, "run", on_full="block")

    def work() -> None:
        _produce(writer, 0, EVENTS)
        if not writer.close(60):
            raise SystemExit("the writer did not drain")

    return per_second(EVENTS, work)


def many_producers(folder: Path) -> float:
    """The same from 100 threads, with `block`: what a tight loop drops is no figure."""
    writer = EventWriter(folder, "run", on_full="block")
    share = EVENTS // PRODUCERS
    threads = [
        Thread(target=_produce, args=(writer, number * share, share)) for number in range(PRODUCERS)
    ]

    def work() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not writer.close(60):
            raise SystemExit("the writer did not drain")

    return per_second(EVENTS, work)


def plain_emit(folder: Path) -> float:
    """Emits plain events from one thread; the clock stops when all are synced."""
    with thence.open(folder) as log:

        def work() -> None:
            for turn in range(EVENTS):
                log.emit("move", {"to": "harbour", "number": turn}, subject="run", actor="ada")
            log.flush()

        return per_second(EVENTS, work)


CONTENDERS = {
    "structlog tuned": structlog_tuned,
    "plain emit": plain_emit,
    "async, 1 producer": one_producer,
    "async, 100 producers": many_producers,
}


def paced(folder: Path) -> tuple[int, list[int]]:
    """Emits with 10 µs of computing between events; returns the drops and each call's ns."""
    writer = EventWriter(folder, "run", on_full="drop")
    clock = time.perf_counter_ns
    calls: list[int] = []
    for turn in range(PACED_EVENTS):
        event = ActionEvent(
            simulation_id="run",
            turn_number=turn,
            agent_id="ada",
            action_type="move",
            action_payload={"to": "harbour", "number": turn},
        )
        start = clock()
        writer.emit(event)
        end = clock()
        calls.append(end - start)
        while clock() - end < PAUSE_NS:
            pass
    writer.close(60)
    return writer.dropped_count, calls


def percentiles(calls: list[int]) -> tuple[float, float, float]:
    """Returns p50, p99 and the maximum in µs."""
    cuts = statistics.quantiles(calls, n=100)
    return cuts[49] / 1000, cuts[98] / 1000, max(calls) / 1000
