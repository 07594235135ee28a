"""Values of an event written short."""

import pytest

from thence.core.sentences.wording import duration, type_words


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 ms"),
        (0.0204, "20.4 ms"),
        (0.9999, "1 s"),
        (1.5, "1.5 s"),
        (59.99, "60 s"),
        (60, "1 min 0 s"),
        (3_725, "1 h 2 min"),
        (86_400 * 400, "400 d 0 h"),
    ],
)
def test_spans_are_told_in_two_units(seconds, told):
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("event_type", "kind", "words"),
    [
        ("order.placed", "order", "placed"),
        ("order.placed", "customer", "order placed"),
        ("order", "order", "order"),
        ("LLMCallFailed", "", "LLM call failed"),
        ("TOOL_CALL", "", "tool call"),
        ("a.b.begun", "", "a b began"),
        ("cancelled", "", "cancelled"),
        ("cancelled", "order", "was cancelled"),
        ("...", "", ""),
    ],
)
def test_type_is_written_as_words(event_type, kind, words):
    assert type_words(event_type, kind) == words
