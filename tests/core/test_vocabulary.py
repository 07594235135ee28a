"""What a host calls things: its keys, its notices, its errors."""

import pytest
from tests.events import drafted, stamped

from thence.core.codec import parse
from thence.core.vocabulary import NOTICE_ERROR_TYPES, PLAIN, SIM, VOCABULARIES
from thence.errors import InvalidEvent


def read(vocabulary, event_type, payload):
    made = drafted("0" * 26, event_type, {vocabulary.payload_key: payload})
    return parse(stamped(made, 1, 1)[:-1], vocabulary)


def test_members_go_under_the_keys_of_the_host():
    assert PLAIN.members("s", "o", "a", {"x": 1}) == {
        "stream": "s",
        "subject": "o",
        "actor": "a",
        "payload": {"x": 1},
    }
    assert SIM.members("run", None, "ada", {"x": 1}) == {
        "simulation_id": "run",
        "agent_id": "ada",
        "details": {"x": 1},
    }
    assert PLAIN.members(None, None, None, None) == PLAIN.members(None, None, None, {}) == {}


@pytest.mark.parametrize(
    "arguments", [(7, None, None, None), ("", None, None, None), (None, None, None, [1])]
)
def test_members_of_a_wrong_kind_are_refused(arguments):
    with pytest.raises(InvalidEvent):
        PLAIN.members(*arguments)


@pytest.mark.parametrize("kind", NOTICE_ERROR_TYPES)
@pytest.mark.parametrize("vocabulary", VOCABULARIES.values())
def test_notices_are_known_again(vocabulary, kind):
    event_type, members = vocabulary.notice(kind, {"count": 1}, {})
    event = read(vocabulary, event_type, members[vocabulary.payload_key])
    assert vocabulary.is_notice(event)
    assert event.payload["count"] == 1


def test_events_of_the_host_are_no_notices():
    assert not PLAIN.is_notice(read(PLAIN, "order.paid", {"a": 1}))
    assert not SIM.is_notice(read(SIM, "SYSTEM", {"error_type": "action_rejected"}))
    assert not SIM.is_notice(read(SIM, "ACTION", {"error_type": "log_recovered"}))


def test_errors_are_told_by_status_type_or_name():
    for event in (
        read(PLAIN, "refund.failed", {}),
        read(PLAIN, "x", {"status": "failure"}),
        read(SIM, "SYSTEM", {"error_type": "action_rejected"}),
    ):
        assert PLAIN.is_error(event)
    assert not PLAIN.is_error(read(PLAIN, "refund.begun", {"status": "success"}))


def test_subject_of_a_state_is_its_scope_and_variable():
    state = read(SIM, "STATE", {"scope": "agent/ada", "variable_name": "money"})
    assert state.subject == "agent/ada/money"
    assert read(SIM, "ACTION", {"scope": "agent/ada", "variable_name": "money"}).subject is None
    assert read(SIM, "STATE", {"scope": "agent/ada"}).subject is None
