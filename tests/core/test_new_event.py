"""An event before a log has it, its causes, and the positions that guard it."""

import inspect
from itertools import pairwise
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.events import NODE, OTHER_NODE, drafted, event_of, line_of, new_id, stamped, ulids
from tests.log.errors import raised

import thence
from thence.core.clock import CLOCK_MAX
from thence.core.new_event import (
    HostEvent,
    NewEvent,
    PassedCause,
    Position,
    Unchanged,
    cause_ids,
    parse_cause,
)
from thence.errors import InvalidEvent

KEYS = "actor, caused_by, event_type, payload, stream, subject"


def test_one_of_many_may_be_a_new_event():
    new = HostEvent("t", begins=True)
    assert HostEvent.of(new) is new
    assert HostEvent.of(NewEvent("t", {"n": 1}, event_id="x")) == HostEvent(
        "t", {"n": 1}, event_id="x"
    )


@pytest.mark.parametrize(
    "members",
    [["event_type"], "event_type", {}, {"payload": {}}],
    ids=["list", "text", "empty", "typeless"],
)
def test_one_of_many_that_says_something_else_is_refused_with_the_keys_it_may_have(members):
    assert raised(lambda: HostEvent.of(members)) == (
        InvalidEvent,
        "could not store one event of many",
        repr(members)[:80],
        "it is not a mapping of event_type and what else append takes",
        f"pass mappings with the keys {KEYS}",
    )


@pytest.mark.promise("P1a")
@pytest.mark.parametrize(
    ("key", "meant"),
    [("subjct", "; did you mean subject?"), ("causedby", "; did you mean caused_by?"), (7, "")],
)
def test_one_of_many_with_an_unknown_key_is_refused_with_the_nearest(key, meant):
    with pytest.raises(InvalidEvent) as caught:
        HostEvent.of({"event_type": "t", key: "x" * 99})
    assert caught.value.cause == f"append takes no {key}{meant}"
    assert caught.value.hint == f"pass mappings with the keys {KEYS}"


def made(seq, subject="order/1", event_type="paid", node_id=NODE):
    members = {"subject": subject} if subject else {}
    return event_of(stamped(drafted(new_id(), event_type, members), seq, seq, node_id))


@pytest.mark.parametrize("name", ["subjects", "types"])
def test_text_in_place_of_a_collection_of_texts_is_refused(name):
    fields = {"subjects": {"order/1"}, "types": {"paid"}} | {name: "order/1"}
    with pytest.raises(InvalidEvent) as caught:
        Unchanged(Position(), **fields)
    expected = f"could not guard the append field {name}: a string is not a collection of strings"
    assert str(caught.value) == expected
    assert caught.value.hint == f"pass {name}={{'order/1'}}"


def test_all_before_an_event_of_this_node_is_held_along_with_the_numbers_from_1():
    read = [(NODE, 1), (NODE, 2), (NODE, 4), (OTHER_NODE, 2)]
    since = Position().after(numbered(*number) for number in read)
    guard = Unchanged(since, {"order/1"})
    assert [guard.reaches_back_to(made(seq), NODE) for seq in (1, 2, 3, 4)] == [True, True, 0, 0]
    assert not guard.reaches_back_to(made(1, node_id=OTHER_NODE), NODE)
    assert not guard.reaches_back_to(made(2, node_id=OTHER_NODE), OTHER_NODE)
    assert not guard.reaches_back_to(event_of(b'{"event_id":"theirs"}'), "")
    assert not Unchanged(Position(), {"order/1"}).reaches_back_to(made(1), NODE)


A, B = "0" * 25 + "A", "0" * 25 + "B"
EVENT = SimpleNamespace(event_id="other-tool-7")


@pytest.mark.promise("P1")
@pytest.mark.parametrize(
    ("causes", "ids"),
    [
        (None, ()),
        ((), ()),
        (A, (A,)),
        (EVENT, ("other-tool-7",)),
        ([A, EVENT, B], (A, "other-tool-7", B)),
        (iter([B, A]), (B, A)),
        ({A: 1}, (A,)),
        ("held", ("held",)),
    ],
)
def test_causes_are_events_ids_several_or_none(causes, ids):
    assert cause_ids(causes, {"held": True}.__getitem__) == ids  # a ULID is not looked up


@pytest.mark.parametrize(
    "wrong", ["", "held", A.lower(), A[:-1], 7, b"x", [7], [None], [[A]], [""]]
)
def test_anything_else_is_refused_by_name(wrong):
    with pytest.raises(InvalidEvent) as refused:
        cause_ids(wrong)
    inner = wrong[0] if isinstance(wrong, list) else wrong
    assert refused.value.place == "field caused_by"
    assert repr(inner) in refused.value.cause or wrong == b"x"


@pytest.mark.promise("O6")
@example("x", CLOCK_MAX, "0" * 26)
@given(ulids | st.from_regex(r"[a-z_.:-]{1,128}", fullmatch=True), st.integers(0, CLOCK_MAX), ulids)
def test_handed_cause_is_read_back(event_id, clock, log_id):
    cause = PassedCause(event_id, clock, log_id)
    assert parse_cause(cause.text) == cause


LOG = "0" * 26


@pytest.mark.parametrize(
    "text",
    [
        "", f"@1@{LOG}", f"a@1@{LOG[1:]}", f"a@1@{LOG}\n", f"a@@{LOG}", f"a@-1@{LOG}", f"a@²@{LOG}",
        f"a@{CLOCK_MAX + 1}@{LOG}", f"a@{'9' * 5000}@{LOG}", f"{'a' * 129}@1@{LOG}", f"é@1@{LOG}",
        f'"@1@{LOG}', f"a@1@{LOG}@",
    ],
)  # fmt: skip
def test_anything_else_is_no_cause(text):
    assert parse_cause(text) is None


@given(st.text())
def test_no_text_breaks_it(text):
    found = parse_cause(text)
    assert found is None or found.text.startswith(found.event_id)


numbers = st.sets(st.tuples(st.sampled_from([NODE, OTHER_NODE]), st.integers(1, 30)), max_size=40)


def numbered(node_id, seq):
    return event_of(line_of(node_id=node_id, seq=seq))


@given(first=numbers, second=numbers, others=numbers)
def test_position_holds_just_what_was_read_in_any_order(first, second, others):
    position = Position()
    for read in (first, second):
        position = position.after(numbered(*number) for number in read)
    for number in first | second | others:
        assert position.holds(numbered(*number)) == (number in first | second)
    for intervals in position.intervals.values():
        for (_, last), (first, _) in pairwise(intervals):
            assert last + 1 < first
    assert msgspec.json.decode(msgspec.json.encode(position), type=Position) == position


def test_event_of_another_tool_is_held_by_its_id():
    theirs = [event_of(b'{"event_id":"a"}'), event_of(b'{"event_id":"b"}')]
    position = Position().after(theirs[:1])
    assert position.foreign == {"a"}
    assert [position.holds(each) for each in theirs] == [True, False]
    assert position.after(theirs[1:]).foreign == {"a", "b"}
    assert position.after([numbered(NODE, 1)]).foreign == {"a"}
    assert not Position().holds(numbered(OTHER_NODE, 1))


@pytest.mark.promise("P1a")
def test_new_event_has_what_append_takes_and_nothing_of_hosts():
    taken = inspect.signature(thence.Log.append).parameters.keys()
    assert {*NewEvent.__struct_fields__} == taken - {"self", "guard", "timeout_s"}
    with pytest.raises(TypeError):
        NewEvent("t", inferred_causes=("x",))
    hosts = ("append_event", "emit_event", "host_appender")
    assert not [name for name in dir(thence.Log) if name in hosts or name.startswith("host")]
