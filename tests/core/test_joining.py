"""Many causes are gathered by notices, so that a line names at most 32."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import drafted, new_id

from thence.core.values.codec import CAUSES_MAX
from thence.log.write.drafting import join


@pytest.mark.promise("O6")
@given(st.integers(0, 3_000))
def test_every_cause_is_reached_through_notices_of_at_most_32(count):
    causes = tuple(f"{number:026}" for number in range(count))
    named_by: dict[str, list[str]] = {}

    def notice(group):
        made = drafted(new_id(), "log.joined", {}, group)
        named_by[made.event_id] = list(group)
        return made

    notices, named = join(causes, notice)
    assert len(named) <= CAUSES_MAX
    assert all(len(group) <= CAUSES_MAX for group in named_by.values())
    written: set[str] = set(causes)
    for made in notices:  # in this order they are written: none names a later one
        assert written.issuperset(named_by[made.event_id])
        written.add(made.event_id)
    reached, stack = [], list(reversed(named))
    while stack:
        event = stack.pop()
        if event in named_by:
            stack += reversed(named_by[event])
        else:
            reached.append(event)
    assert tuple(reached) == causes


def test_up_to_32_causes_need_no_notice():
    causes = tuple(f"{number:026}" for number in range(CAUSES_MAX))
    assert join(causes, lambda group: pytest.fail("no notice")) == ([], causes)
    first_layer: list[int] = []

    def notice(group):
        first_layer.append(len(group))
        return drafted(new_id(), "log.joined", {}, group)

    join((*causes, "x" * 26), notice)
    assert first_layer == [32, 1]
