"""What a log tells its program: a record that can't be written stops no event."""

import sys

import pytest

from thence.log.notice import guarded, warn


def broken(word, facts):
    raise RuntimeError("a processor of the user's")


@pytest.mark.parametrize("tell", [broken, warn])
def test_record_stops_nothing_though_not_even_logging_can_be_imported(tell, monkeypatch):
    monkeypatch.setitem(sys.modules, "logging", None)  # as in a process out of descriptors
    with pytest.raises((ImportError, RuntimeError)):
        tell("rotated", {})
    guarded(tell)("rotated", {})


def test_record_that_fails_is_told_by_the_logging_of_the_library(caplog):
    guarded(broken)("rotated", {"file": "a"})
    (record,) = caplog.records
    assert "record_failed" in record.message
    assert "a processor of" in record.message
