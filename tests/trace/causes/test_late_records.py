"""A log record that is handled later has the cause of its making, never of what runs then."""

import asyncio
import itertools
import logging
import logging.config
import logging.handlers
import multiprocessing
import pickle
import queue
import socketserver
import subprocess
import sys
import threading
import warnings

import pytest
from opentelemetry.sdk.trace import TracerProvider
from tests.cli.installed import environment
from tests.log.faults import WAIT_S

import thence
from thence.core.clock import timestamp_at
from thence.otel import SpanProcessor

pytestmark = pytest.mark.promise("A4b")
SHOP = logging.getLogger("shop")
TILL = logging.getLogger("shop.till")


@pytest.fixture(autouse=True)
def only_the_tests_handlers():
    """Leaves the logger, and logging's record factory, as they were."""
    factory, level = logging.getLogRecordFactory(), SHOP.level
    logging.setLogRecordFactory(logging.LogRecord)  # other tests leave handlers open
    SHOP.setLevel(logging.DEBUG)
    SHOP.propagate = False
    yield
    for handler in SHOP.handlers[:]:
        SHOP.removeHandler(handler)
        handler.close()
    SHOP.setLevel(level)
    logging.captureWarnings(False)
    present = logging.getLogRecordFactory()
    logging.setLogRecordFactory(factory)
    assert present is logging.LogRecord


@pytest.fixture
def handler(log):
    made = thence.LogHandler(log)
    yield made
    made.close()


def memory(handler, capacity=1_000):
    """Returns a handler that keeps records for another one until a critical one comes."""
    first = logging.handlers.MemoryHandler(capacity, logging.CRITICAL, handler)
    SHOP.addHandler(first)
    return first


def recorded(log):
    """Returns the records of a log by their messages, each with the events that caused it."""
    log.flush()
    events = log.events()
    names = {
        event.event_id: f"{event.event_type} {event.subject or ''}".strip() for event in events
    }
    return {
        event.payload["message"]: [names.get(cause, cause) for cause in event.caused_by]
        for event in events
        if event.event_type.startswith("record.")
    }


def times(log):
    """Returns the time of making of each record that was handled later, by their messages."""
    log.flush()
    records = [event for event in log.events() if event.event_type.startswith("record.")]
    return {one.payload["message"]: one.payload["at"] for one in records if "at" in one.payload}


def test_record_of_a_memory_handler_has_the_cause_of_its_own_step(log, handler):
    memory(handler, capacity=3)
    with thence.step("pay", log=log, subject="order/1"):
        SHOP.info("of order 1")
        TILL.info("of order 1 too")
    with thence.step("pay", log=log, subject="order/2"):
        SHOP.info("of order 2")
    assert recorded(log) == {
        "of order 1": ["pay.begun order/1"],
        "of order 1 too": ["pay.begun order/1"],
        "of order 2": ["pay.begun order/2"],
    }
    assert times(log).keys() == {"of order 1", "of order 1 too"}  # the third made it flush


def test_record_of_no_step_has_no_cause_when_one_in_a_step_flushes_it(log, handler):
    memory(handler)
    TILL.info("of none")
    with thence.step("pay", log=log):
        TILL.critical("of the step")
    assert recorded(log) == {"of none": [], "of the step": ["pay.begun"]}


def test_time_of_its_making_is_in_the_payload(log, handler):
    first = memory(handler)
    SHOP.info("early", extra={"order": 7})
    SHOP.info("said", extra={"at": "the till"})
    (made, _) = first.buffer
    first.flush()
    SHOP.removeHandler(first)
    SHOP.addHandler(handler)
    SHOP.info("direct")
    log.flush()
    early, said, direct = log.query(type="record.info").events
    assert early.payload["at"] == timestamp_at(int(made.created * 1_000_000))
    assert early.payload["at"] <= early.timestamp
    assert early.payload.keys() == {"at", "order", "logger", "message"}
    assert said.payload["at"] == "the till"  # what the program itself says stays
    assert direct.payload == {"logger": "shop", "message": "direct"}


def test_queue_with_its_listener_names_the_step_of_each_task(log, handler):
    records = queue.SimpleQueue()
    SHOP.addHandler(logging.handlers.QueueHandler(records))
    listener = logging.handlers.QueueListener(records, handler)
    listener.start()

    async def pay(order):
        with thence.step("pay", log=log, subject=f"order/{order}"):
            await asyncio.sleep(0)
            TILL.info("of order %d", order)

    async def main():
        await asyncio.gather(*map(pay, range(5)))

    asyncio.run(main())
    TILL.info("of none")
    listener.stop()
    expected = {f"of order {order}": [f"pay.begun order/{order}"] for order in range(5)}
    assert recorded(log) == {**expected, "of none": []}
    assert times(log).keys() == recorded(log).keys()


def test_record_of_another_thread_or_generator_has_the_cause_there(log, handler):
    first = memory(handler)

    def stream():
        with thence.step("stream", log=log):
            yield TILL.info("of the stream")

    kept = stream()
    next(kept)
    TILL.info("of none")
    with thence.step("hand", log=log):
        thread = threading.Thread(target=thence.propagate(lambda: TILL.info("of hand")))
    thread.start()
    thread.join()
    with thence.step("flush", log=log):
        first.flush()
    assert recorded(log) == {
        "of the stream": ["stream.begun"],
        "of none": [],
        "of hand": ["hand.begun"],
    }


def test_record_names_the_failure_that_was_handled_and_not_that_of_its_flush(log, handler):
    def fail(name):
        with thence.step(name, log=log):
            raise ValueError(name)

    first = memory(handler)
    for name in ("early", "late"):
        try:
            fail(name)
        except ValueError:
            if name == "early":
                TILL.exception("%s failed", name)
            else:
                first.flush()
    log.flush()
    (event,) = log.query(type="record.error").events
    assert recorded(log) == {"early failed": ["early.failed"]}
    assert event.payload["error_message"] == "early"


def test_record_of_a_span_names_it_after_its_end_and_inside_another(log, handler):
    provider = TracerProvider()
    provider.add_span_processor(SpanProcessor(log))
    tracer = provider.get_tracer("test")
    first = memory(handler)
    TILL.info("of none")
    with tracer.start_as_current_span("chat"):
        TILL.info("of chat")
    with tracer.start_as_current_span("tool"):
        first.flush()
    assert recorded(log) == {"of none": [], "of chat": ["chat.begun"]}


def test_warnings_that_are_captured_have_the_cause_of_their_making(log, handler):
    logger = logging.getLogger("py.warnings")
    first = logging.handlers.MemoryHandler(1_000, logging.CRITICAL, handler)
    logger.addHandler(first)
    logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            with thence.step("pay", log=log):
                warnings.warn("old", stacklevel=1)
            logging.captureWarnings(False)
        with thence.step("flush", log=log):
            first.flush()
    finally:
        logger.removeHandler(first)
        logger.propagate = True
    assert list(recorded(log).values()) == [["pay.begun"]]


def test_pickled_record_takes_its_cause_along(log, handler):
    """As by a queue of multiprocessing; other programs need no thence to read it."""
    records = multiprocessing.get_context("spawn").Queue()
    SHOP.addHandler(logging.handlers.QueueHandler(records))
    with thence.step("pay", log=log):
        TILL.info("of pay")
    record = records.get(timeout=WAIT_S)
    assert b"thence.trace" not in pickle.dumps(record)
    with thence.step("drain", log=log):
        handler.handle(record)
    records.close()
    assert recorded(log) == {"of pay": ["pay.begun"]}


SENDER = """
import logging, logging.handlers, sys
import thence

port, folder = sys.argv[1:]
logger = logging.getLogger("shop.till")
logger.setLevel(logging.INFO)
logger.addHandler(logging.handlers.SocketHandler("127.0.0.1", int(port)))
with thence.open(folder) as log:
    handler = thence.LogHandler(log)
    with thence.step("pay", log=log):
        logger.info("of pay")
    logger.info("of none")
logger.handlers[0].close()
"""


def test_record_that_a_socket_brings_has_the_cause_in_the_process_that_made_it(log, tmp_path):
    """The receiver is the logging cookbook's, inside a step."""
    handler = thence.LogHandler(log)
    SHOP.addHandler(handler)

    class Receiver(socketserver.StreamRequestHandler):
        def handle(self):
            with thence.step("receive", log=log):
                while header := self.rfile.read(4):
                    data = self.rfile.read(int.from_bytes(header))
                    record = logging.makeLogRecord(pickle.loads(data))
                    logging.getLogger(record.name).handle(record)

    with socketserver.TCPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        port, folder = str(server.server_address[1]), str(tmp_path / "sender")
        command = [sys.executable, "-c", SENDER, port, folder]
        subprocess.run(command, check=True, env=environment(), timeout=WAIT_S)
        thread.join(WAIT_S)
    with thence.open(folder) as sender:
        (begun,) = sender.query(type="pay.begun").events
        expected = sender.handed_on(begun).text
    assert recorded(log) == {"of pay": [begun.event_id], "of none": []}
    events = {event.payload["message"]: event for event in log.query(type="record.info").events}
    assert [*events["of pay"].external_causes] == [expected]
    assert times(log).keys() == {"of pay", "of none"}


def test_record_without_a_stamp_has_a_cause_only_where_it_is_handled_as_it_is_made(log):
    """Of another thread, task or process, or made before the step around it: none."""
    handler = thence.LogHandler(log)
    logging.setLogRecordFactory(logging.LogRecord)  # as a program may that has one of its own
    first = memory(handler)
    SHOP.addHandler(handler)
    elsewhere = {"name": "shop", "levelname": "INFO", "msg": "of another process"}

    async def pay(order):
        with thence.step("pay", log=log, subject=order):
            await asyncio.sleep(0)
            TILL.info("direct in the task %s", order)
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(pay("a"), pay("b"))

    with thence.step("around", log=log):
        TILL.info("direct")
        thread = threading.Thread(target=lambda: TILL.info("in a thread"))
        thread.start()
        thread.join()
        handler.handle(logging.makeLogRecord(elsewhere))
    asyncio.run(main())
    assert recorded(log) == {
        "direct": ["around.begun"],
        "in a thread": [],
        "of another process": [],
        "direct in the task a": ["pay.begun a"],
        "direct in the task b": ["pay.begun b"],
    }
    SHOP.removeHandler(handler)
    with thence.step("flush", log=log):
        first.flush()
    log.flush()
    late = [event for event in log.query(type="record.info").events if "at" in event.payload]
    assert [event.caused_by for event in late] == [()] * 5
    SHOP.addHandler(handler)


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
@pytest.mark.parametrize("own", [None, 0, 1, 2])
def test_handlers_that_are_closed_in_any_order_leave_the_factory_as_it_was(log, order, own):
    """One that the program set after a handler stays, whether it calls the former one or not."""

    class Marked(logging.LogRecord):
        pass

    def factory(*args, **kwargs):
        return Marked(*args, **kwargs)

    outer = logging.getLogRecordFactory()
    logging.setLogRecordFactory(Marked)
    expected, handlers = Marked, []
    for number in range(3):
        handlers.append(thence.LogHandler(log))
        if own == number:
            expected = factory
            logging.setLogRecordFactory(factory)
    SHOP.addHandler(handlers[order[-1]])
    assert isinstance(SHOP.makeRecord("shop", 20, "", 1, "made", (), None), Marked)
    for number in order[:-1]:
        handlers[number].close()
        handlers[number].close()
    with thence.step("pay", log=log):
        SHOP.info("direct")
    assert recorded(log) == {"direct": ["pay.begun"]}
    handlers[order[-1]].close()
    present = logging.getLogRecordFactory()
    logging.setLogRecordFactory(outer)
    assert present is expected


def test_very_many_handlers_that_nobody_closes_are_no_burden(log):
    before = logging.getLogRecordFactory()
    for _ in range(3 * sys.getrecursionlimit()):
        thence.LogHandler(log)
    first = memory(thence.LogHandler(log))
    with thence.step("pay", log=log):
        SHOP.info("of pay")
    first.flush()
    assert recorded(log) == {"of pay": ["pay.begun"]}
    SHOP.removeHandler(first)
    first.target.close()
    assert logging.getLogRecordFactory() is before


def test_record_outside_of_any_step_is_as_its_program_made_it(log):
    handler = thence.LogHandler(log)
    record = SHOP.makeRecord("shop", 20, "", 1, "made", (), None)
    handler.close()
    assert vars(record).keys() == vars(SHOP.makeRecord("shop", 20, "", 1, "made", (), None)).keys()
