"""Log records of a program become events with the cause around them."""

import logging
import sys

import pytest
import structlog

import thence
from thence.records import MESSAGE_CHARACTERS_MAX


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path / "log") as opened:
        yield opened


@pytest.fixture
def logger(log):
    handler = thence.LogHandler(log, logging.INFO)
    logger = logging.getLogger("shop.till")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False  # what pytest captures of it could not be reported
    yield logger
    logger.removeHandler(handler)


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
        "logger": "shop.till",
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
        (long,) = recorded(again)
    assert long.payload["message"] == "x" * MESSAGE_CHARACTERS_MAX


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
