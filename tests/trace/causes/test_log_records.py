"""Log records of a program become events with the cause around them."""

import asyncio
import logging
import signal
import sys
from decimal import Decimal

import pytest
import structlog
from tests.cli.installed import ran

import thence
from thence.trace.causes.log_records import MESSAGE_CHARACTERS_MAX


def recorded(log):
    log.flush()
    return [event for event in log.read() if event.event_type.startswith("record.")]


@pytest.mark.promise("A4b")
def test_record_is_an_event_with_the_cause_around_it(log, logger):
    with thence.step("pay", log=log) as pay:
        logger.info("paid %d", 3, extra={"order": 881, "odd": object})
        logger.debug("too low")
    try:
        raise ValueError("no stock")
    except ValueError:
        logger.exception("failed \ud800")
    paid, failed = recorded(log)
    assert (paid.event_type, paid.caused_by) == ("record.info", (pay.event_id,))
    assert paid.payload == {
        "order": 881,
        "odd": "<class 'object'>",
        "logger": "stall.till",
        "message": "paid 3",
    }
    assert (failed.event_type, failed.payload["error_type"]) == ("record.error", "ValueError")
    assert failed.payload["message"] == "failed \\ud800"
    assert log.verify().findings == ()


@pytest.mark.promise("A4b")
def test_handler_never_raises(log, logger, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.info("%d", "no number")
    logger.info("x" * 2_000_000)
    log.close()
    logger.info("closed")
    with thence.open(log.folder) as again:
        unfit, long = recorded(again)
    assert unfit.payload["message"] == "%d"
    was = "a message whose arguments raised TypeError"
    assert unfit.members["repairs"] == [{"path": "payload.message", "was": was}]
    assert long.payload["message"] == "x" * MESSAGE_CHARACTERS_MAX
    assert logger.handlers[0].dropped == 1


class Mute:
    """A value that can't be shown."""

    def __repr__(self):
        raise RuntimeError("no words")

    __str__ = __repr__
    __hash__ = object.__hash__


class Sly(dict):
    """A mapping that raises when it is asked for its content."""

    def __iter__(self):
        raise KeyError("not you")

    items = __iter__


ODD = {
    "nan": float("nan"),
    "inf": [1, float("-inf")],
    "big": 2**80,
    "half": "\ud83d",
    "mute": Mute(),
    "sly": Sly(a=1),
    "keys": {Mute(): 1, 3: 2, None: 3},
    "set": {1, 2},
    "when": Decimal("1.50"),
}


def is_odd_told(event, path="payload"):
    payload = event.payload
    assert payload["nan"] == "NaN"
    assert payload["inf"] == [1, "-Infinity"]
    assert payload["big"] == str(2**80)
    assert payload["half"] == "\\ud83d"
    assert payload["mute"] == "<Mute whose repr raised RuntimeError>"
    assert payload["sly"] == "<Sly that raised KeyError>"
    assert sorted(payload["keys"].values()) == [1, 2, 3]
    assert (payload["set"], payload["when"]) == ([1, 2], "1.50")
    paths = {entry["path"] for entry in event.members["repairs"]}
    odd = ("nan", "inf[1]", "big", "half", "mute", "sly", "keys", "set")
    assert paths == {f"{path}.{name}" for name in odd}


@pytest.mark.promise("A4b")
def test_record_is_not_lost_because_one_of_its_values_can_not_be_shown(log, logger):
    logger.warning("odd", extra=ODD)
    logger.warning(Mute())
    logger.warning("%s", Mute())
    processor = thence.StructlogProcessor(log)
    processor(None, "warning", {"event": "odd", **ODD})
    processor(None, "warning", {"event": Mute(), "level": "not\na level", 5: 6})
    processor(None, "warning", {"event": "with a message", "message": 5})
    odd, mute, argument, of_structlog, named, message = recorded(log)
    is_odd_told(odd)
    is_odd_told(of_structlog)
    assert mute.payload["message"] == "<Mute whose str raised RuntimeError>"
    assert argument.payload["message"] == "%s"
    assert named.event_type == "record.not\\na level"
    assert (named.payload["5"], message.payload["message"]) == (6, 5)
    assert logger.handlers[0].dropped == processor.dropped == 0
    assert log.verify().findings == ()


@pytest.mark.promise("A4b")
def test_error_of_structlog_is_recorded_however_exc_info_names_it(log):
    def last(*_):
        return ""

    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(0),
        processors=[structlog.processors.add_log_level, thence.StructlogProcessor(log), last],
    )
    events_max = 6
    try:
        raise ConnectionError("gateway 502")
    except ConnectionError as error:
        logger.exception("a")
        logger.error("b", exc_info=True)
        logger.error("c", exc_info=sys.exc_info())
        logger.error("d", exc_info=error)
        asyncio.run(logger.aexception("e"))
        logger.error("f", exc_info=Mute())
    logger.error("g", exc_info=bool(events_max))
    logger.error("h", exc_info=(None, None, None))
    events = recorded(log)
    assert [event.payload["message"] for event in events] == list("abcdefgh")
    for event in events[:events_max]:
        assert event.payload["error_type"] == "ConnectionError"
        assert event.payload["error_message"] == "gateway 502"
    assert not any("error_type" in event.payload for event in events[events_max:])


def test_error_that_can_not_be_shown_is_recorded_by_its_type(log, logger):
    class Silent(ValueError):
        __str__ = Mute.__repr__

    try:
        raise Silent("x")
    except Silent:
        logger.exception("a")
    (event,) = recorded(log)
    assert event.payload["error_type"] == "Silent"
    assert event.payload["error_message"] == "<Silent whose str raised RuntimeError>"


def test_record_that_is_lost_is_counted(log):
    processor = thence.StructlogProcessor(log)
    log.close()
    for _ in range(2):
        assert processor(None, "info", {"event": "closed"}) == {"event": "closed"}
    assert processor.dropped == 2


def test_records_of_thence_itself_are_passed_over(log):
    handler = thence.LogHandler(log)
    handler.emit(logging.makeLogRecord({"name": "thence.sync", "msg": "one"}))
    handler.emit(logging.makeLogRecord({"name": "thenceforth", "msg": "two"}))
    (event,) = recorded(log)
    assert event.payload["message"] == "two"


@pytest.mark.promise("A4b")
def test_processor_of_structlog_records_and_passes_on(log, capsys):
    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stdout),
        processors=[
            structlog.processors.add_log_level,
            thence.StructlogProcessor(log),
            structlog.processors.JSONRenderer(),
        ],
    )
    with thence.step("pay", log=log) as pay:
        logger.warning("low", stock=2, exc_info=OSError("away"))
    (event,) = recorded(log)
    assert (event.event_type, event.caused_by) == ("record.warning", (pay.event_id,))
    told = {"message": "low", "stock": 2, "error_type": "OSError", "error_message": "away"}
    assert event.payload == told
    assert '"event": "low"' in capsys.readouterr().out
    log.close()
    logger.warning("closed")
    assert '"event": "closed"' in capsys.readouterr().out


LAST_WORDS = """
import logging, os, sys, thence
log = thence.open("log")
logger = logging.getLogger("stall")
logger.addHandler(thence.LogHandler(log, durable=sys.argv[1] if sys.argv[1:] else None))
with thence.step("pay", log=log):
    logger.error("the last words")
    os.kill(os.getpid(), 9)
"""


@pytest.mark.promise("A4b")
@pytest.mark.parametrize("level", ["ERROR", "WARNING"])
def test_record_of_a_durable_level_is_there_after_a_kill(tmp_path, level):
    for _ in range(3):
        done = ran(sys.executable, "-c", LAST_WORDS, level, cwd=tmp_path)
        assert done.code == -signal.SIGKILL, done.err
    with thence.open(tmp_path / "log") as log:
        records = [event for event in log.read() if event.event_type == "record.error"]
        begins = [event.event_id for event in log.read() if event.begins]
    assert [event.caused_by for event in records] == [(begin,) for begin in begins]


@pytest.mark.promise("A4b")
def test_durable_record_of_a_signal_handler_amid_an_append_is_queued(log):
    """The append that was interrupted goes on: the record neither waits for it nor is lost."""
    handler = thence.LogHandler(log, durable=logging.ERROR)
    logger = logging.getLogger("stall.signals")
    logger.addHandler(handler)
    logger.propagate = False
    before = signal.signal(signal.SIGALRM, lambda *_: logger.error("alarm"))
    try:
        for number in range(50):
            signal.setitimer(signal.ITIMER_REAL, 0.0002 + number % 5 * 0.0001)
            log.append("a", {"number": number})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        logger.removeHandler(handler)
    assert recorded(log)
    assert handler.dropped == 0
    assert log.verify().findings == ()
