"""What an opened log answers: the same by reading it whole and by its index."""

import subprocess
import sys

import pytest

import thence
from thence.core.answer import Concurrent
from thence.errors import EventNotFound


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path) as opened:
        yield opened


@pytest.mark.promise("P1")
def test_log_tells_what_went_on_beside_an_event(log):
    order = log.append("order.placed")
    paid = log.append("order.paid", caused_by=[order])
    packed = log.append("order.packed", caused_by=[order])
    other = log.append("unrelated")
    shipped = log.append("order.shipped", caused_by=[paid, packed])
    assert log.concurrent_with(paid) == Concurrent(paid, (packed, other), False)
    assert log.concurrent_with(paid.event_id, limit=1) == Concurrent(paid, (packed,), True)
    assert log.concurrent_with(shipped).events == (other,)
    with pytest.raises(EventNotFound):
        log.concurrent_with("0" * 26)


@pytest.mark.promise("P1")
def test_log_tells_the_latest_cause_that_events_share(log):
    order = log.append("order.placed")
    paid = log.append("order.paid", caused_by=[order])
    packed = log.append("order.packed", caused_by=[paid])
    billed = log.append("order.billed", caused_by=[paid])
    noted = log.append("order.noted", caused_by=[order])
    other = log.append("unrelated")
    assert log.common_cause(packed, billed) == paid
    assert log.common_cause(packed.event_id, noted) == order
    assert log.common_cause(packed, billed, noted) == order
    assert log.common_cause(paid, billed) == paid
    assert log.common_cause(packed, other) is None
    with pytest.raises(EventNotFound):
        log.common_cause(packed, "0" * 26)


def test_what_a_program_imports_to_open_a_log_is_without_sqlite():
    source = "import sys, thence; thence.open; print('sqlite3' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("False\n", "")
