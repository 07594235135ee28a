"""What lies in the queue, and how the outcome of a write is handed out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import drafted, new_id

from thence.errors import AppendFailed, InvalidEvent
from thence.log.batch import Refused, Waiting, answer, drafts_of, split

items = st.sampled_from(["emitted", "appended", "flush"]).map(
    lambda kind: {
        "emitted": lambda: drafted(new_id(), "t", {}),
        "appended": lambda: Waiting(drafted(new_id(), "t", {})),
        "flush": lambda: Waiting(None),
    }[kind]()
)


@given(st.lists(items, max_size=12), st.data())
def test_items_are_parted_behind_the_durable_events(queue, data):
    count = len(drafts_of(queue))
    durable = data.draw(st.integers(0, count))
    done, rest = split(queue, durable)
    assert done + rest == queue
    assert len(drafts_of(done)) == durable
    if rest:  # a flush belongs to what it waits for
        assert not isinstance(rest[0], Waiting) or rest[0].draft is not None


@given(st.lists(items, max_size=12))
def test_those_who_wait_get_their_own_lines(queue):
    drafts = drafts_of(queue)
    answer(queue, [item.event_id.encode() for item in drafts])
    for item in queue:
        if isinstance(item, Waiting):
            assert item.gate.wait(0)
            assert item.result() == (item.draft.event_id.encode() if item.draft else b"")


def test_one_who_waits_gets_the_error():
    waiting = Waiting(None)
    waiting.error = AppendFailed("could not append")
    with pytest.raises(AppendFailed):
        waiting.result()


def test_notice_is_owed_only_when_something_was_refused():
    refused = Refused()
    assert refused.notices(lambda kind, facts: pytest.fail("nothing to tell")) == []
    refused.count, refused.error = 3, InvalidEvent("no")
    made = drafted(new_id(), "t", {})
    told = []
    assert refused.notices(lambda *facts: told.append(facts) or made) == [made]
    assert told == [("write_failed", {"count": 3, "reason": "no"})]
