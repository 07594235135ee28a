"""Hostile spans and log records from a seed: none raises, no end is lost, drops are counted.

They are given to an open log, and further ones to a closed log. It needs the SDK alone.
"""

import logging
import math
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

import thence
from thence.otel import SpanProcessor

LATE = 20  # of each kind, after close
LARGE_BYTES = 5_000_000
LARGE_MAX = 8  # of the values of 5 MB in a run
LIMITS = SpanLimits(max_span_attributes=300, max_events=300, max_links=100)


class Unreadable:
    """A value whose texts can't be had, and that can't be copied or pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    __str__ = __repr__


class OddError(Exception):
    """An error that can't be pickled."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.lock = threading.Lock()


# texts that are JSON, or nearly: what is kept in parts must come back letter by letter
JSON = (
    '[{"role": "user", "parts": [{"type": "text", "content": "%s"}]}]',
    '{"a":1.0,"b":1e5,"c":-0,"d":0.10,"a":2,"long":"%s"}',
    ' [1, 2 ,3,\t"%s"] ',
    '["\\u00e9\\ud83d\\/", "é", "%s"]',
    '["%s", NaN, Infinity]',
    '[123456789012345678901234567890, 0.1234567890123456789012, "%s"]',
    '["%s", ',
    '["%s"]\n["%s"]',
    '{"": {"": ["%s", {}, [], null, true]}}',
)


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)
TEXTS = ("", "\ud83d", "\x00\x1b[31m\n", "x" * 500, "\u202etxt", "a.b[0]", "log.write", "é" * 90)
NUMBERS = (math.nan, math.inf, -math.inf, 2**70, -(2**70), 1e308, 2**63, True)
VALUES = ([math.nan, 1.0], ["\ud83d", "x"], b"\xff", None, [2**70], [])
NAMES = ("execute_tool pay", "log.write_failed", 7, None, b"x")
ANSWERS = ("[", "[1]", '[{"parts": 1}]', "{}")
REQUEST = '[{"role": "assistant"}, {"parts": [{"id": []}]}]'
PROMPTS = ("input.value", "gen_ai.input.messages", "llm.prompts")


class Hostile:
    """Makes what an attacker or a careless program may give, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.large = LARGE_MAX

    def text(self) -> str:
        return self.random.choice(TEXTS)

    def json(self, *counts: int) -> str:
        return self.random.choice(JSON).replace("%s", "word " * self.random.choice(counts))

    def value(self) -> Any:
        if self.large and self.random.random() < 0.01:
            self.large -= 1
            return "x" * LARGE_BYTES
        if self.random.random() < 0.15:
            return self.json(1, 500)
        return self.random.choice((*NUMBERS, self.text(), *VALUES))

    def name(self) -> Any:
        return self.random.choice((self.text(), self.text(), *NAMES))

    def attributes(self) -> dict[Any, Any]:
        choice = self.random.choice
        count = choice((0, 1, 3, 200 if self.random.random() < 0.1 else 2))
        plain = {
            choice((f"key {number}", f"gen_ai.tool.{number}", self.text())): self.value()
            for number in range(count)
        }
        return plain | choice(
            (
                {},
                {"gen_ai.tool.call.id": self.value(), "gen_ai.agent.name": self.value()},
                {"gen_ai.output.messages": choice(ANSWERS)},
                {"gen_ai.input.messages": REQUEST},
                {"graph.node.parent_id": self.value(), "session.id": self.value()},
                {choice(PROMPTS): self.json(500)},
                {"gen_ai.conversation.id": self.text(), "input.value": "[" * 5_000},
            )
        )

    def links(self) -> list[Link]:
        count = 61 if self.random.random() < 0.05 else self.random.choice((0, 0, 1))
        return [
            Link(SpanContext(1 + number, 1 + number, True, TraceFlags(1)), {"n": math.nan})
            for number in range(count)
        ]

    def error(self) -> BaseException:
        inner: list[Exception] = [ValueError(self.text()), OddError("half \ud83d")]
        return self.random.choice(
            (ExceptionGroup("both", inner), OddError(self.text()), KeyError(math.nan), *inner)
        )


def _span(hostile: Hostile, tracer: Any) -> tuple[tuple[str, str], dict[str, str]]:
    """Starts and ends a span; returns its ids in hex, and its attributes that are sound texts."""
    kind = hostile.random.choice(list(SpanKind))
    span = tracer.start_span(
        hostile.name(), kind=kind, attributes=hostile.attributes(), links=hostile.links()
    )
    context = span.get_span_context()
    for _ in range(128 if hostile.random.random() < 0.05 else hostile.random.choice((0, 1))):
        span.add_event(hostile.text(), {"n": math.nan, "half": "\ud83d"})
    if hostile.random.random() < 0.5:
        span.record_exception(hostile.error(), {"more": math.inf})
    if hostile.random.random() < 0.5:
        span.set_status(Status(StatusCode.ERROR, hostile.text()))
    if hostile.random.random() < 0.2:
        span.update_name(hostile.name())
    span.set_attributes(hostile.attributes())
    span.end()
    texts = {
        key: value
        for key, value in span.attributes.items()
        if isinstance(value, str) and "\ud83d" not in f"{key}{value}"
    }
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}"), texts


def _record(hostile: Hostile, logger: logging.Logger) -> None:
    level = hostile.random.choice((logging.INFO, logging.ERROR, 33))
    odd = hostile.random.choice((hostile.value(), Unreadable(), ENDLESS, {1: {2}}, object))
    message = hostile.random.choice(("paid %d", "%s %s", hostile.text(), "{odd}", "100 %"))
    arguments = hostile.random.choice(((), ("x",), (hostile.value(), odd)))
    extra = {f"odd {hostile.text()[:20]}": odd, "more": hostile.value()}
    error = hostile.error() if hostile.random.random() < 0.3 else None
    logger.log(level, message, *arguments, extra=extra, exc_info=error)


@contextmanager
def _quiet() -> Iterator[None]:
    """Lets neither the SDK nor `logging` write of what they refuse."""
    raises = logging.raiseExceptions
    logging.raiseExceptions = False
    sdk = logging.getLogger("opentelemetry")
    level = sdk.level
    sdk.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logging.raiseExceptions = raises
        sdk.setLevel(level)


async def attacked_in_a_loop(folder: Path, count: int, seed: int) -> list[str]:
    """Does so where an event loop runs, and the processor's default writes begins."""
    return attacked(folder, count, seed, None)


def attacked(folder: Path, count: int, seed: int, durable: bool | None) -> list[str]:
    """Gives a log hostile spans and records; returns the faults as sentences."""
    faults: list[str] = []
    hostile, log = Hostile(seed), thence.open(folder)
    provider = TracerProvider(span_limits=LIMITS, shutdown_on_exit=False)
    processor, handler = SpanProcessor(log, durable=durable), thence.LogHandler(log)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("hostile")
    logger = logging.getLogger(f"hostile.{seed}")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    spans: dict[tuple[str, str], dict[str, str]] = {}
    records = 0

    def give(number: int) -> None:
        nonlocal records
        for kind, deed in (("span", _span), ("record", _record)):
            target: Any = tracer if kind == "span" else logger
            try:
                result: Any = deed(hostile, target)
            except Exception as error:  # what is judged: the program must not see it
                faults.append(f"{kind} {number} of seed {seed} raised {error!r}")
                continue
            if kind == "span":
                spans[result[0]] = result[1]
            records += kind == "record"

    with _quiet():
        for number in range(count):
            give(number)
        log.flush()
        dropped, handled = processor.dropped, handler.dropped
        faults += _missing(list(log.read()), spans, records, dropped, handled)
        faults += [f"verify: {finding}" for finding in log.verify().findings]
        open_end = tracer.start_span("open as the log is closed")
        log.close()
        open_end.end()
        for number in range(LATE):
            give(count + number)
    logger.removeHandler(handler)
    late = (processor.dropped - dropped, handler.dropped - handled)
    if late != (2 * LATE + 1, LATE):
        faults.append(f"after close {late} were counted as dropped, not {(2 * LATE + 1, LATE)}")
    return faults


def _missing(
    events: list[Any],
    spans: dict[tuple[str, str], dict[str, str]],
    records: int,
    dropped: int,
    handled: int,
) -> Iterator[str]:
    begins = {
        (one.payload.get("trace_id"), one.payload.get("span_id")): one
        for one in events
        if one.begins
    }
    ends = {one.ends: one for one in events if one.ends}
    without_begin = [key for key in spans if key not in begins]
    without_end = [key for key in spans if key in begins and begins[key].event_id not in ends]
    if without_begin or without_end or dropped:
        yield f"{len(without_begin)} have no begin, {len(without_end)} no end; {dropped} dropped"
    for key, texts in spans.items():
        if key in begins and (end := ends.get(begins[key].event_id)):
            both = (begins[key].payload, end.payload)
            merged = {k: v for payload in both for k, v in payload.get("attributes", {}).items()}
            for name, text in texts.items():
                if merged.get(name) != text:
                    yield f"{name!r:.40} was {text!r:.80}, and is {merged.get(name)!r:.80}"
    kept = sum(one.event_type.startswith("record.") for one in events)
    if kept + handled != records:
        yield f"of {records} records {kept} are in the log, and {handled} counted as dropped"
