"""The types of a project's events: what they hold, what they refuse."""

import re
from pathlib import Path
from types import MappingProxyType

import jsonschema_rs
import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from thence.errors import InvalidEvent
from thence.work.events import EVENT_TYPES, NO_FEATURE, aggregate_of, checked, schema

GATE = "01JDA0ABCDEFGHJKMNPQRSTVWX"
# each type with all that it must hold, then with all that it may
REQUIRED = {
    "WPStatusChanged": {"wp_id": "WP01", "previous_status": "planned", "new_status": "doing"},
    "WPCreated": {
        "wp_id": "WP01",
        "title": "The journal",
        "feature_slug": "028-sync",
        "dependencies": ["WP02", "WP03"],
    },
    "WPAssigned": {"wp_id": "WP01", "agent_id": "ada", "phase": "review"},
    "WPReviewed": {
        "wp_id": "WP01",
        "commit": "a" * 40,
        "base": "b" * 64,
        "patch": "",
        "patches": ["0" * 40],
    },
    "WPLanded": {"wp_id": "WP01", "how": "no_code"},
    "FeatureCreated": {"feature_slug": "028-sync", "target_branch": "main", "wp_count": 2},
    "FeatureCompleted": {"feature_slug": "028-sync", "total_wps": 2},
    "HistoryAdded": {"wp_id": "WP01", "entry_type": "note", "entry_content": "two\nlines"},
    "ErrorLogged": {"error_type": "validation", "error_message": "T002 is open"},
    "DependencyResolved": {
        "wp_id": "WP02",
        "dependency_wp_id": "WP01",
        "resolution_type": "completed",
    },
    "SpecCreated": {"feature_slug": "028-sync", "title": "Sync", "mission": "software-dev"},
    "WorkspaceCreated": {
        "work_package_id": "WP01",
        "worktree_path": ".worktrees/028-sync-WP01",
        "branch_name": "028-sync-WP01",
    },
    "SubtaskCompleted": {"work_package_id": "WP01", "subtask_index": "T001", "subtask_text": "a"},
    "SubtaskReopened": {"work_package_id": "WP01", "subtask_index": "T001", "subtask_text": "a"},
    "GateCreated": {"work_package_id": "WP01", "gate_type": "CI_CHECK", "gate_id": GATE},
    "GateResultChanged": {"gate_id": GATE, "old_status": "pending", "new_status": "passed"},
}
OPTIONAL = {
    "WPStatusChanged": {
        "changed_by": "ada",
        "feature_slug": "028-sync",
        "reason": "",
        "gate_results": [{"gate_type": "CI_CHECK", "status": "passed"}],
        "dependency_status": [{"wp_id": "WP02", "status": "done"}],
        "overruled": ["not_landed"],
    },
    "WPAssigned": {"retry_count": 0},
    "WPReviewed": {"commits": ["a" * 40]},
    "WPLanded": {"commit": "a" * 40, "reason": ""},
    "FeatureCreated": {
        "feature_number": "028",
        "created_at": "2026-11-20T07:13:00Z",
        "folder": "029-tide",
    },
    "FeatureCompleted": {
        "completed_at": "2026-11-20T07:13:00.5+01:00",
        "total_duration": "3.5",
        "reason": "begun by mistake",
    },
    "HistoryAdded": {"author": "ada"},
    "ErrorLogged": {"wp_id": "WP01", "stack_trace": "at\nline", "agent_id": "ada"},
    "SpecCreated": {"target_branch": "release"},
    "GateResultChanged": {"result_data": {"url": "ci/7", "checks": [1, {"a": None}]}},
}
each_type = pytest.mark.parametrize("event_type", REQUIRED)
pairs = [
    (event_type, name)
    for event_type, held in REQUIRED.items()
    for name in held
    if name != "dependencies"  # absent means none
]
options = [(event_type, name) for event_type, held in OPTIONAL.items() for name in held]


def whole(event_type):
    return REQUIRED[event_type] | OPTIONAL.get(event_type, {})


def refusal(event_type, payload):
    """Returns the error that a payload is refused with."""
    with pytest.raises(InvalidEvent) as caught:
        checked(event_type, payload)
    assert caught.value.hint
    return caught.value


@pytest.mark.promise("L3")
def test_types_are_the_promised_ones():
    assert tuple(REQUIRED) == EVENT_TYPES


@pytest.mark.promise("L3")
@each_type
def test_payload_of_each_type_is_kept_in_the_order_of_the_type(event_type):
    for payload in (REQUIRED[event_type], whole(event_type)):
        backwards = dict(reversed(payload.items()))
        assert list(checked(event_type, backwards).items()) == list(payload.items())
        assert checked(event_type, MappingProxyType(backwards)) == payload


@pytest.mark.promise("L2")
@pytest.mark.parametrize(("event_type", "name"), pairs)
def test_missing_member_is_refused_by_its_name(event_type, name):
    for gone in ({k: v for k, v in whole(event_type).items() if k != name}, None):
        payload = whole(event_type) | {name: None} if gone is None else gone
        error = refusal(event_type, payload)
        assert error.place == f"{event_type}, field {name}"
        assert error.cause == "it is missing"


@pytest.mark.promise("L2")
@pytest.mark.parametrize(("event_type", "name"), pairs + options)
def test_member_of_another_kind_is_refused_by_its_name(event_type, name):
    for wrong in (True, object(), b"WP01", float("nan"), {1: 2}, "\ud800"):
        error = refusal(event_type, whole(event_type) | {name: wrong})
        assert re.search(rf"field (payload\.)?{name}\b", error.place)


@pytest.mark.promise("L2")
@each_type
def test_unknown_member_is_refused_by_its_name(event_type):
    error = refusal(event_type, whole(event_type) | {"colour": "red"})
    assert error.place == f"{event_type}, field colour"
    assert all(name in error.hint for name in REQUIRED[event_type])


def test_unknown_member_is_answered_with_the_nearest_one():
    payload = REQUIRED["WPAssigned"] | {"retry_cuont": 1}
    assert refusal("WPAssigned", payload).hint == "did you mean retry_count?"


@pytest.mark.promise("L2")
@pytest.mark.parametrize(
    ("event_type", "name", "values"),
    [
        ("WPStatusChanged", "new_status", ["", "Doing", "blocked", "doing "]),
        ("WPStatusChanged", "previous_status", ["", "a\nb"]),
        ("WPCreated", "wp_id", ["WP1", "wp01", "01", "WP01\n", " WP01", "WP01x", "WP00001"]),
        ("WPCreated", "title", ["", "a\nb"]),
        ("WPCreated", "feature_slug", ["sync", "28-sync", "028", "028-", "028-a--b", "028-Sync"]),
        ("WPCreated", "feature_slug", ["028-sync\n", "028-sÿnc", "../028-sync", "028_sync"]),
        ("WPCreated", "dependencies", ["WP02", ["WP2"], ["WP02\n"], [None]]),
        ("WPAssigned", "phase", ["reviewing", ""]),
        ("WPAssigned", "retry_count", [-1, 1.5, 1.0, "1"]),
        ("FeatureCreated", "feature_number", ["28", 28, "028\n"]),
        ("FeatureCreated", "wp_count", [-1, 2.5]),
        ("FeatureCreated", "created_at", ["", "yesterday", 0, "2026-02-30"]),
        ("FeatureCompleted", "total_duration", [-1, -0.5, "long", ""]),
        ("WPStatusChanged", "gate_results", [[{"gate_type": "CI_CHECK"}], {"CI_CHECK": 1}]),
        ("HistoryAdded", "entry_type", ["remark"]),
        ("HistoryAdded", "entry_content", [""]),
        ("ErrorLogged", "error_type", ["bad"]),
        ("DependencyResolved", "resolution_type", ["done"]),
        ("SubtaskCompleted", "subtask_index", ["1", "T1", -1, "T001\n"]),
        ("GateCreated", "gate_type", ["ci_check"]),
        ("GateCreated", "gate_id", [GATE.lower(), GATE[:-1], GATE + "0", "8" + GATE[1:]]),
        ("GateResultChanged", "new_status", ["open"]),
    ],
)
def test_wrong_value_is_refused_by_its_name(event_type, name, values):
    for value in values:
        error = refusal(event_type, whole(event_type) | {name: value})
        assert error.place.startswith(f"{event_type}, field {name}")


def test_lane_that_nobody_knows_may_be_left():
    payload = REQUIRED["WPStatusChanged"] | {"previous_status": "blocked"}
    assert checked("WPStatusChanged", payload) == payload


@pytest.mark.promise("L3")
def test_old_status_is_another_name_of_previous_status():
    own = REQUIRED["WPStatusChanged"]
    alias = {"old_status": "planned"} | {k: own[k] for k in ("wp_id", "new_status")}
    assert checked("WPStatusChanged", alias) == own
    assert checked("WPStatusChanged", own | {"old_status": "planned"}) == own
    error = refusal("WPStatusChanged", own | {"old_status": "doing"})
    assert error.place == "WPStatusChanged, field previous_status"
    gate = REQUIRED["GateResultChanged"]
    assert checked("GateResultChanged", gate)["old_status"] == "pending"


def test_absent_member_may_be_given_as_none():
    none = dict.fromkeys(OPTIONAL["WPStatusChanged"])
    assert (
        checked("WPStatusChanged", REQUIRED["WPStatusChanged"] | none)
        == (REQUIRED["WPStatusChanged"])
    )


def test_absent_dependencies_are_none_and_a_duration_is_text():
    own = {k: v for k, v in REQUIRED["WPCreated"].items() if k != "dependencies"}
    for given_ in (own, own | {"dependencies": None}):
        assert checked("WPCreated", given_) == own | {"dependencies": []}
    completed = REQUIRED["FeatureCompleted"]
    for duration, text in ((3.5, "3.5"), (0, "0"), (100, "100"), (1e-9, "0"), (12.25, "12.25")):
        told = checked("FeatureCompleted", completed | {"total_duration": duration})
        assert told["total_duration"] == text


@pytest.mark.promise("L3")
@pytest.mark.parametrize("event_type", ["WPStatusChange", "", "refund.begun"])
def test_other_type_is_refused(event_type):
    assert refusal(event_type, {}).place == "field event_type"
    for asked in (lambda: aggregate_of(event_type, {}), lambda: schema(event_type)):
        with pytest.raises(InvalidEvent):
            asked()


def test_payload_that_is_no_map_is_refused():
    assert refusal("WPCreated", ["WP01"]).place == "WPCreated, field payload"


def test_error_is_the_packages_the_features_or_nobodys():
    error = REQUIRED["ErrorLogged"]
    about_package = error | {"wp_id": "WP01"}
    assert aggregate_of("ErrorLogged", about_package, "028-sync") == ("WorkPackage", "WP01")
    assert aggregate_of("ErrorLogged", error) == ("Feature", NO_FEATURE)


def test_subtask_is_known_by_its_id_however_it_was_given():
    for index in (7, "T007"):
        payload = checked(
            "SubtaskCompleted", REQUIRED["SubtaskCompleted"] | {"subtask_index": index}
        )
        assert payload["subtask_index"] == index
        assert aggregate_of("SubtaskCompleted", payload) == ("Subtask", "T007")


@pytest.mark.promise("L2")
@each_type
def test_schema_tells_what_is_required_and_closes_the_rest(event_type):
    told = schema(event_type)
    assert told["title"] == event_type
    assert told["description"]
    assert list(told["properties"]) == list(whole(event_type))
    assert told["required"] == list(REQUIRED[event_type])
    assert told["additionalProperties"] is False
    assert "$ref" not in msgspec.json.encode(told).decode()


WORDS = ["WP01", "WP1", "planned", "doing", "028-sync", "028", "T001", "note", "review", "CI_CHECK"]
texts = st.sampled_from([*WORDS, "", GATE])
# a number that is whole counts as an integer in a schema, though it is written as 1.0
numbers = st.integers(-2, 3) | st.floats(-2, 2).filter(lambda value: not value.is_integer())
values = st.one_of(texts, numbers, st.lists(texts, max_size=2))


@given(st.data())
def test_what_is_written_is_what_the_schema_allows(data):
    event_type = data.draw(st.sampled_from(EVENT_TYPES))
    told = schema(event_type)
    names = [name for name in told["properties"] if name not in ("created_at", "completed_at")]
    name, value = data.draw(st.sampled_from(names)), data.draw(values)
    assume(name != "total_duration" or isinstance(value, str))  # an older form, made that of today
    changed = REQUIRED[event_type] | {name: value}
    if jsonschema_rs.is_valid(told, changed):
        assert checked(event_type, changed) == changed
    else:
        refusal(event_type, changed)


# the page on the work format tells the types as they are checked

TEXT = (Path(__file__).parents[2] / "docs/reference/formats/work.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (`\w+`, \w+(?:; `\w+`, \w+)?) \| (.*) \|$", re.MULTILINE)
ROWS = {name: (aggregate, payload) for name, aggregate, payload in ROW.findall(TEXT)}


@pytest.mark.promise("L3")
def test_page_has_a_row_for_each_type_and_tells_every_choice():
    assert tuple(ROWS) == EVENT_TYPES
    rules = [rule for one in EVENT_TYPES for rule in schema(one)["properties"].values()]
    chosen = [choice for rule in rules for choice in rule.get("enum", ())]
    assert len(chosen) > 20
    assert [choice for choice in chosen if f"`{choice}`" not in TEXT] == []


@pytest.mark.promise("L3")
@each_type
def test_row_lists_the_members_in_their_order_and_tells_the_aggregate(event_type):
    told = schema(event_type)
    aggregates, members = ROWS[event_type]
    sign = {name: "" if name in told["required"] else "?" for name in told["properties"]}
    assert members == ", ".join(f"`{name}`{sign[name]}" for name in told["properties"])
    for each in aggregates.split("; "):
        aggregate, member = re.fullmatch(r"`(\w+)`, (\w+)", each).groups()
        payload = {member: "x"} if aggregate != "Feature" or event_type != "ErrorLogged" else {}
        assert aggregate_of(event_type, payload, "x") == (aggregate, "x")
