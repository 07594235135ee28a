"""What lies in the queue, and how the outcome of a write is handed out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import drafted, new_id

from thence.errors import AppendFailed, InvalidEvent
from thence.log.admission import Condition
from thence.log.batch import Refused, Waiting, answer, conditions_of, drafts_of, split

items = st.sampled_from(["emitted", "appended", "appended together", "flush"]).map(
    lambda kind: {
        "emitted": lambda: drafted(new_id(), "t", {}),
        "appended": lambda: Waiting([drafted(new_id(), "t", {})]),
        "appended together": lambda: Waiting([drafted(new_id(), "t", {}) for _ in range(3)]),
        "flush": lambda: Waiting(),
    }[kind]()
)


@given(st.lists(items, max_size=12), st.data())
def test_items_are_parted_behind_those_whose_events_are_all_durable(queue, data):
    count = len(drafts_of(queue))
    durable = data.draw(st.integers(0, count))
    done, rest = split(queue, durable)
    assert done + rest == queue
    assert len(drafts_of(done)) <= durable
    if rest:  # a flush belongs to what it waits for
        assert len(drafts_of([*done, rest[0]])) > durable


@given(st.lists(items, max_size=12))
def test_those_who_wait_get_their_own_lines_and_let_each_other_go(queue):
    drafts = drafts_of(queue)
    answer(queue, [item.event_id.encode() for item in drafts], None)
    for item in queue:
        if isinstance(item, Waiting):
            assert item.wait(0)
            assert item.result() == [draft.event_id.encode() for draft in item.drafts]


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_who_has_left_keeps_nobody_behind_waiting(leaves):
    waiting = [Waiting([drafted(new_id(), "t", {})]) for _ in leaves]
    for item, has_left in zip(waiting, leaves, strict=True):
        assert not (has_left and item.wait(0))
    answer(waiting, [b"line"] * len(waiting), None)
    for item, has_left in zip(waiting, leaves, strict=True):
        assert has_left or item.wait(0)


def test_who_comes_back_after_leaving_finds_the_answer():
    first, second = (Waiting([drafted(new_id(), "t", {})]) for _ in range(2))
    assert not first.wait(0)
    answer([first, second], [b"1", b"2"], None)
    assert second.wait(0)
    assert first.wait(0)
    assert (first.result(), second.result()) == ([b"1"], [b"2"])


def test_one_who_waits_gets_the_error_even_with_some_of_its_lines_written():
    waiting = Waiting([drafted(new_id(), "t", {}) for _ in range(2)])
    answer([waiting], [b"line"], AppendFailed("could not append"))
    assert waiting.wait(0)
    assert waiting.outcomes == [b"line"]
    with pytest.raises(AppendFailed):
        waiting.result()


def test_conditions_stand_at_the_last_event_of_their_item():
    condition = Condition(is_named=True)
    queue = [
        drafted(new_id(), "t", {}),
        Waiting([drafted(new_id(), "t", {}) for _ in range(2)], condition),
        Waiting(),
        Waiting([drafted(new_id(), "t", {})]),
    ]
    assert conditions_of(queue, 5) == {7: condition}


def test_notice_is_owed_only_when_something_was_refused():
    refused = Refused()
    assert refused.notices(lambda kind, facts: pytest.fail("nothing to tell")) == []
    refused.count, refused.error = 3, InvalidEvent("no")
    made = drafted(new_id(), "t", {})
    told = []
    assert refused.notices(lambda *facts: told.append(facts) or made) == [made]
    assert told == [("write_failed", {"count": 3, "reason": "no"})]
