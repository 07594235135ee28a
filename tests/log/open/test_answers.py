"""What an opened log answers: the same by an index in memory and by one in a file."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from tests.log.index.worlds import MISSING, SUBJECTS, TYPES, arrivals
from tests.tiers import examples

import thence
from thence.core.query.why import Concurrent
from thence.errors import EventNotFound


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


@settings(deadline=None, max_examples=examples(40))
@given(arrivals())
def test_index_explains_the_event_that_reading_explains(batches):
    """Of a subject the failure that counts, of a type the latest, else the same error."""
    with TemporaryDirectory() as folder, thence.open(folder) as log:
        for batch in batches:
            with (Path(folder) / "events.jsonl").open("ab") as segment:
                segment.write(b"".join(batch))
        by_reading = [_explained(log, text) for text in (*TYPES, *filter(None, SUBJECTS), MISSING)]
        log.rebuild()
        by_index = [_explained(log, text) for text in (*TYPES, *filter(None, SUBJECTS), MISSING)]
        assert by_index == by_reading


def _explained(log, text):
    try:
        return log.why(text)
    except EventNotFound as error:
        return str(error), error.hint
