"""A log record that is handled later has the cause of its making, never of what runs then."""

import logging
import logging.config
import logging.handlers
import pickle
import queue
import sys
import threading

import pytest

import thence
from thence.core.clock import timestamp_at

pytestmark = pytest.mark.promise("A4b")
SHOP = logging.getLogger("shop")
TILL = logging.getLogger("shop.till")


@pytest.fixture(autouse=True)
def only_the_tests_handlers():
    """Leaves the logger, and logging's record factory, as they were."""
    factory, level = logging.getLogRecordFactory(), SHOP.level
    logging.setLogRecordFactory(logging.LogRecord)
    SHOP.setLevel(logging.DEBUG)
    SHOP.propagate = False
    yield
    for handler in SHOP.handlers[:]:
        SHOP.removeHandler(handler)
        handler.close()
    SHOP.setLevel(level)
    logging.setLogRecordFactory(factory)


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


def test_record_of_a_span_names_it_after_its_end_and_inside_another(log, tracer, handler):
    first = memory(handler)
    TILL.info("of none")
    with tracer.start_as_current_span("chat"):
        TILL.info("of chat")
    with tracer.start_as_current_span("tool"):
        first.flush()
    assert recorded(log) == {"of none": [], "of chat": ["chat.begun"]}


def test_record_that_a_socket_brings_has_the_cause_in_the_process_that_made_it(log, tmp_path):
    """The receiver is the logging cookbook's, inside a step."""
    made = queue.SimpleQueue()
    SHOP.addHandler(logging.handlers.QueueHandler(made))
    handler, sender = thence.LogHandler(log), logging.handlers.SocketHandler("", 0)
    with thence.open(tmp_path / "sender") as other, thence.step("pay", log=other) as begun:
        TILL.info("of pay")
    TILL.info("of none")
    with thence.step("receive", log=log):
        for _ in range(2):
            data = sender.makePickle(made.get())[4:]
            assert b"thence.trace" not in data, "other programs need no thence to read it"
            handler.handle(logging.makeLogRecord(pickle.loads(data)))
    handler.close()
    assert recorded(log) == {"of pay": [begun.event_id], "of none": []}
    events = {event.payload["message"]: event for event in log.query(type="record.info").events}
    assert [*events["of pay"].external_causes] == [other.handed_on(begun).text]
    assert times(log).keys() == {"of pay", "of none"}


def test_record_without_a_stamp_has_a_cause_only_where_it_is_handled_as_it_is_made(log):
    """Of another thread, task or process, or made before the step around it: none."""
    handler = thence.LogHandler(log)
    logging.setLogRecordFactory(logging.LogRecord)  # as a program may that has one of its own
    first = memory(handler)
    SHOP.addHandler(handler)
    elsewhere = {"name": "shop", "levelname": "INFO", "msg": "of another process"}
    with thence.step("around", log=log):
        TILL.info("direct")
        thread = threading.Thread(target=lambda: TILL.info("in a thread"))
        thread.start()
        thread.join()
        handler.handle(logging.makeLogRecord(elsewhere))
    expected = {"direct": ["around.begun"], "in a thread": [], "of another process": []}
    assert recorded(log) == expected
    SHOP.removeHandler(handler)
    with thence.step("flush", log=log):
        first.flush()
    log.flush()
    late = [event for event in log.query(type="record.info").events if "at" in event.payload]
    assert [event.caused_by for event in late] == [()] * len(expected)
    SHOP.addHandler(handler)


def test_record_is_what_the_factory_of_the_program_makes_however_many_handlers_there_are(log):
    class Marked(logging.LogRecord):
        pass

    def made():
        return SHOP.makeRecord("shop", 20, "", 1, "made", (), None)

    logging.setLogRecordFactory(Marked)
    usual = vars(made()).keys()
    for _ in range(3 * sys.getrecursionlimit()):
        thence.LogHandler(log).close()
    assert vars(made()).keys() == usual
    with thence.step("pay", log=log):
        assert isinstance(made(), Marked)
        assert len(vars(made()).keys() - usual) == 1
