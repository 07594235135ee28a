"""What an opened log answers: the same by an index in memory and by one in a file."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from tests.log.index.worlds import MISSING, SUBJECTS, TYPES, arrivals
from tests.tiers import examples

import thence
from thence.core.query.why import Concurrent
from thence.core.vocabulary import PLAIN
from thence.errors import EventNotFound
from thence.log.files.disk import OS_DISK
from thence.log.index.connection import Index


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


def asked(log, events):
    """Ask a log everything, and return all that it answers."""
    answers = [
        log.resolve("@last"),
        log.resolve("@last-error"),
        log.heads("order/1"),
        log.heads("x"),
    ]
    for event in events:
        found = log.concurrent_with(event, limit=3)
        answers += [log.get(event.event_id), log.resolve(event.event_id[:24]), log.why(event)]
        answers += [log.effects(event.event_id), found, log.common_cause(event, events[-1])]
        answers.append(log.common_cause(events[0], event, events[2]))
    for ask in (log.get, log.resolve, log.why, log.effects, log.concurrent_with):
        with pytest.raises(EventNotFound, match="no event of the log") as raised:
            ask("0" * 26)
        answers.append(str(raised.value))
    return answers


@pytest.mark.promise("P1")
def test_log_answers_by_its_index_what_it_answers_by_being_read(log, tmp_path):
    first = log.append("order.placed", subject="order/1")
    events = [first]
    for number in range(20):
        causes = events[-3::2] if number % 4 else []
        kind = "order.failed" if number == 7 else "order.noted"
        subject = "order/1" if number % 3 else None
        events.append(log.append(kind, {"n": number}, subject=subject, caused_by=causes))
    read = asked(log, events)
    assert not (tmp_path / ".thence" / "index.db").exists()
    with Index(OS_DISK, tmp_path, PLAIN) as index:
        index.refresh()
    assert asked(log, events) == read
    later = log.append("order.closed", subject="order/1", caused_by=[first])
    assert log.why(later).chain == (first, later)
    assert log.heads("order/1")[-1] == later


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
