"""Hostile spans and log records, from a seed: none raises, no end is lost, drops are counted."""

import asyncio

import pytest
from tests.trace.frameworks.hostile import attacked, attacked_in_a_loop
from tests.trace.tracing import traced

import thence
from thence.errors import LogFull
from thence.otel import SpanProcessor

SPANS = 100


@pytest.mark.promise("A4b")
@pytest.mark.parametrize("durable", [True, False, None])
def test_hostile_spans_and_records_are_all_recorded_or_counted(tmp_path, durable):
    seed, folder = 56, tmp_path / "log"
    if durable is None:
        assert asyncio.run(attacked_in_a_loop(folder, SPANS, seed)) == []
    else:
        assert attacked(folder, SPANS, seed, durable) == []
    with thence.open(tmp_path / "log") as log:
        events = list(log.read())
    reasons = {entry["was"] for event in events for entry in event.members.get("repairs", ())}
    assert {"the number NaN", "a lone surrogate", "an integer of more than 64 bits"} <= reasons
    assert any(len(str(event.payload)) > 5_000_000 for event in events)


def test_span_whose_begin_was_dropped_is_not_cancelled_by_an_error_from_before(
    tmp_path, monkeypatch
):
    with thence.open(tmp_path / "log") as log:
        tracer, processor = traced(log)
        try:
            raise asyncio.CancelledError
        except asyncio.CancelledError:
            with monkeypatch.context() as patch:
                full = LogFull("could not append to", place=log.folder, cause="no space", hint="-")
                patch.setattr(SpanProcessor, "_begin", lambda *_: (_ for _ in ()).throw(full))
                span = tracer.start_span("clean")
            span.end()
        assert processor.dropped == 1
        (end,) = [event for event in log.read() if event.event_type.startswith("clean")]
        assert end.event_type == "clean.ended"
