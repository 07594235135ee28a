"""The log of one test, beside whatever else its folder holds, and what it records."""

import logging

import pytest
from opentelemetry import context
from tests.trace.tracing import traced

import thence


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path / "log") as opened:
        yield opened


@pytest.fixture
def tracer(log):
    yield traced(log)[0]
    # a generator that is closed late makes a span of before current again
    context.attach(context.Context())


@pytest.fixture
def logger(log):
    """A logger whose records from INFO on the log has."""
    handler = thence.LogHandler(log, logging.INFO)
    logger = logging.getLogger("stall.till")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False  # what pytest captures of it could not be reported
    yield logger
    logger.removeHandler(handler)
