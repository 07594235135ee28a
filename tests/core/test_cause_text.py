"""A cause as one text: read back as it was written, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import ulids

from thence.core.clock import CLOCK_MAX
from thence.core.values.new_event import PassedCause, parse_cause


@pytest.mark.promise("O6")
@given(ulids | st.from_regex(r"[a-z_.:-]{1,128}", fullmatch=True), st.integers(0, CLOCK_MAX), ulids)
def test_handed_cause_is_read_back(event_id, clock, log_id):
    cause = PassedCause(event_id, clock, log_id)
    assert parse_cause(cause.text) == cause


LOG = "0" * 26


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        f"@1@{LOG}",
        f"a@1@{LOG[1:]}",
        f"a@1@{LOG}\n",
        f"a\n@1@{LOG}",
        f"a@@{LOG}",
        f"a@-1@{LOG}",
        f"a@1.0@{LOG}",
        f"a@²@{LOG}",
        f"a@{CLOCK_MAX + 1}@{LOG}",
        f"a@{'9' * 5000}@{LOG}",
        f"{'a' * 129}@1@{LOG}",
        f"é@1@{LOG}",
        f"\udcff@1@{LOG}",
        f'"@1@{LOG}',
        f"a@1@{LOG}@",
        f"a@1@{LOG.lower()}é",
    ],
)
def test_anything_else_is_no_cause(text):
    assert parse_cause(text) is None


@given(st.text())
def test_no_text_breaks_it(text):
    found = parse_cause(text)
    assert found is None or found.text.startswith(found.event_id)


def test_last_clock_there_is_can_be_handed_on():
    last = PassedCause("x", CLOCK_MAX, "0" * 26)
    assert parse_cause(last.text) == last
    assert parse_cause(PassedCause("x", CLOCK_MAX + 1, "0" * 26).text) is None
