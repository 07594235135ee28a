"""What a host calls things: its keys, its notices, its errors."""

import pytest
from tests.events import drafted, stamped

from thence.core.codec import parse
from thence.core.sentences.events import NOTICE_ERROR_TYPES
from thence.core.vocabulary import PLAIN, SIM, VOCABULARIES, WORK
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
    assert WORK.members("028-sync", "WP01", "ada", {"x": 1}) == {
        "feature_slug": "028-sync",
        "aggregate_id": "WP01",
        "actor": "ada",
        "payload": {"x": 1},
    }
    assert PLAIN.members(None, None, None, None) == PLAIN.members(None, None, None, {}) == {}


@pytest.mark.promise("L10")
def test_package_of_one_number_is_another_subject_in_each_feature_and_project():
    keys = ("project_uuid", "feature_slug", "aggregate_id")
    names = [(project, feature, "WP01") for project in "pq" for feature in ("001-a", "002-b")]
    about = {work_event(dict(zip(keys, name, strict=True))).subject for name in names}
    assert about == {"p/001-a/WP01", "p/002-b/WP01", "q/001-a/WP01", "q/002-b/WP01"}
    assert work_event({"aggregate_id": "WP01"}).subject == "-/-/WP01"
    assert work_event({"feature_slug": "001-a"}).subject is None


@pytest.mark.promise("L2")
def test_entity_is_read_as_aggregate_in_lines_of_other_tools():
    line = b'{"event_id":"a","event_type":"t","entity_id":"WP02","entity_type":"WorkPackage"}'
    event = parse(line, WORK)
    assert (event.header.aggregate_id, event.header.aggregate_type) == ("WP02", "WorkPackage")
    both = parse(line[:-1] + b',"aggregate_id":"WP03"}', WORK)
    assert both.header.aggregate_id == "WP03"


@pytest.mark.promise("L2")
@pytest.mark.parametrize("own", [b"", b',"feature_slug":null', b',"feature_slug":7'])
def test_feature_is_read_from_the_payload_of_a_line_of_another_tool_that_names_none(own):
    line = b'{"event_id":"a","aggregate_id":"WP02"%b,"payload":{"feature_slug":"028-sync"}}'
    event = parse(line % own, WORK)
    assert (event.stream, event.subject) == ("028-sync", "-/028-sync/WP02")
    other = parse(line % b',"feature_slug":"001-a"', WORK)
    assert (other.stream, other.subject) == ("001-a", "-/001-a/WP02")
    without = parse(b'{"event_id":"a","aggregate_id":"WP02","payload":{"feature_slug":7}}', WORK)
    assert (without.stream, without.subject) == (None, "-/-/WP02")


def work_event(members):
    return parse(stamped(drafted("0" * 26, "WPCreated", members), 1, 1)[:-1], WORK)


def test_subject_of_a_state_is_its_scope_and_variable():
    state = read(SIM, "STATE", {"scope": "agent/ada", "variable_name": "money"})
    assert state.subject == "agent/ada/money"
    assert read(SIM, "ACTION", {"scope": "agent/ada", "variable_name": "money"}).subject is None
    assert read(SIM, "STATE", {"scope": "agent/ada"}).subject is None


@pytest.mark.parametrize("kind", NOTICE_ERROR_TYPES)
@pytest.mark.parametrize("vocabulary", VOCABULARIES.values())
def test_notice_is_known_by_its_kind(vocabulary, kind):
    event_type, members = vocabulary.notice(kind, {"count": 1}, {})
    event = read(vocabulary, event_type, members[vocabulary.payload_key])
    assert vocabulary.is_notice(event)
    assert vocabulary.notice_kind(event) == kind
    assert event.payload["count"] == 1


def test_event_of_the_host_is_no_notice_and_has_no_kind():
    for vocabulary, event_type, payload in (
        (PLAIN, "order.paid", {"a": 1}),
        (PLAIN, "recovered", {}),
        (SIM, "SYSTEM", {"error_type": "action_rejected"}),
        (SIM, "ACTION", {"error_type": "log_gap"}),
    ):
        event = read(vocabulary, event_type, payload)
        assert not vocabulary.is_notice(event)
        assert vocabulary.notice_kind(event) is None
    assert PLAIN.notice_kind(read(PLAIN, "log.other", {})) is None


def test_notice_holds_its_facts_and_what_its_opener_says():
    context = {"simulation_id": "run", "turn_number": 3}
    assert PLAIN.notice("gap", {"lost": 2}, {"actor": "till"}) == (
        "log.gap",
        {"actor": "till", "payload": {"lost": 2}},
    )
    details = {"error_type": "log_gap", "status": "warning", "retry_count": 0, "lost": 2}
    assert SIM.notice("gap", {"lost": 2}, context) == ("SYSTEM", {**context, "details": details})
    _, members = SIM.notice("gap", {"status": "failure"}, {})
    assert members["details"]["status"] == "failure"


def test_run_that_failed_is_a_notice_of_the_log():
    assert SIM.is_notice(read(SIM, "SYSTEM", {"error_type": "run_failed"}))
    assert SIM.notice_kind(read(SIM, "SYSTEM", {"error_type": "run_failed"})) is None


@pytest.mark.parametrize(
    ("vocabulary", "members", "told"),
    [
        (PLAIN, (7, None, None, None), "stream: 7 is not text"),
        (PLAIN, ("", None, None, None), "stream: it is empty"),
        (PLAIN, (None, None, ["a"], None), "actor: ['a'] is not text"),
        (PLAIN, (None, None, None, [1]), "payload: it must be a mapping, not list"),
        (PLAIN, ([0] * 99, None, None, None), f"stream: {repr([0] * 99)[:80]} is not text"),
        (SIM, (None, "o", None, None), "subject: events of this host have no subject of their own"),
    ],
)
def test_member_that_does_not_fit_is_told_by_its_field(vocabulary, members, told):
    with pytest.raises(InvalidEvent) as caught:
        vocabulary.members(*members)
    assert str(caught.value) == f"could not store the event field {told}"
    assert caught.value.hint == "leave it out, or pass what the field holds"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ([[4, "north", "We"]], [[4, "north", "We"], [4, "abbey", "No"]], "got 4, abbey, No"),
        ([1, 2, 3], [2, 3, 4], "got 4"),
        ([1, 2], [3, 4], "went from 1, 2 to 3, 4"),
        (2, 3, "went from 2 to 3"),
        ([1], [], "went from 1 to nothing"),
    ],
)
def test_list_that_grew_shows_what_was_added(old, new, told):
    details = {"variable_name": "heard", "scope": "agent/ann", "old_value": old, "new_value": new}
    event = read(SIM, "STATE", details)
    assert f"agent/ann/heard {told} [" in SIM.sentence(event)
