"""One event as one sentence that ends in its short id."""

import pytest
from tests.events import drafted, event_of, line_of, stamped

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.sentences import SHORT_ID_CHARACTERS, short_id, shown
from thence.core.vocabulary import PLAIN, SIM

ID = "01KAG0QV3J0000000144SGTKJP"


def said(event_type, details, **members):
    made = drafted(ID, event_type, {"turn_number": 5, **members, "details": details})
    event = parse(stamped(made, 1, 1)[:-1], SIM)
    assert isinstance(event, Event)
    return SIM.sentence(event)


@pytest.mark.parametrize(
    ("event_type", "details", "members", "sentence"),
    [
        ("MILESTONE", {"milestone_type": "turn_start"}, {}, "Turn 5 began"),
        ("MILESTONE", {"milestone_type": "turn_end"}, {}, "Turn 5 ended"),
        ("MILESTONE", {"milestone_type": "simulation_start"}, {}, "The simulation began"),
        ("MILESTONE", {"milestone_type": "simulation_end"}, {}, "The simulation ended in turn 5"),
        (
            "MILESTONE",
            {"milestone_type": "phase_transition"},
            {},
            "In turn 5 a phase transition was reached",
        ),
        (
            "DECISION",
            {"new_value": {"sell": 3}},
            {"agent_id": "ada"},
            "In turn 5 ada decided: sell 3",
        ),
        ("ACTION", {"action_type": "rest"}, {"agent_id": "ada"}, "In turn 5 ada did rest"),
        (
            "ACTION",
            {"action_type": "sell", "action_payload": {"good": "salt", "n": [1, 2]}},
            {"agent_id": "ada"},
            "In turn 5 ada did sell (good salt, n 1, 2)",
        ),
        (
            "STATE",
            {"scope": "agent/ada", "variable_name": "money", "old_value": None, "new_value": 1 / 3},
            {},
            "In turn 5 agent/ada/money went from nothing to 0.3333",
        ),
        (
            "SYSTEM",
            {"error_type": "action_retried"},
            {"agent_id": "ada", "description": "no"},
            "In turn 5 the system noted action retried for ada: no",
        ),
        ("OTHER", {"a": 1}, {"agent_id": "ada"}, "ada: OTHER"),
    ],
)
def test_event_of_a_simulation_is_told(event_type, details, members, sentence):
    assert said(event_type, details, **members) == f"{sentence} [{short_id(ID)}]"


def test_plain_event_is_told_by_actor_type_and_subject():
    made = drafted(ID, "order.paid", {"subject": "order/1", "actor": "bob"})
    event = event_of(stamped(made, 1, 1))
    assert PLAIN.sentence(event) == f"bob: order.paid on order/1 [{ID[:SHORT_ID_CHARACTERS]}]"
    bare = event_of(line_of(event_id=ID))
    assert PLAIN.sentence(bare) == f"noted [{ID[:SHORT_ID_CHARACTERS]}]"


def test_long_values_are_cut():
    assert shown("x" * 64) == "x" * 64
    assert shown("x" * 65) == "x" * 63 + "…"
    assert len(shown(list(range(100)))) == 64


@pytest.mark.parametrize(
    ("event_type", "details", "members", "sentence"),
    [
        ("MILESTONE", {}, {}, "In turn 5 a milestone was reached"),
        ("MILESTONE", {"milestone_type": "turn_start"}, {"turn_number": None}, "Turn 0 began"),
        ("DECISION", {}, {"agent_id": "ada"}, "In turn 5 ada decided: nothing"),
        ("ACTION", {}, {"agent_id": "ada"}, "In turn 5 ada did something"),
        ("ACTION", {"action_type": "rest"}, {}, "In turn 5 somebody did rest"),
        ("DECISION", {"new_value": 1}, {}, "In turn 5 somebody decided: 1"),
        ("STATE", {"new_value": 1}, {}, "In turn 5 something went from nothing to 1"),
        ("STATE", {"variable_name": "rain"}, {}, "In turn 5 rain went from nothing to nothing"),
        (
            "STATE",
            {
                "scope": "world",
                "variable_name": "rain",
                "old_value": True,
                "new_value": [1.25, "x"],
            },
            {},
            "In turn 5 world/rain went from True to 1.25, x",
        ),
        ("SYSTEM", {}, {}, "In turn 5 the system noted note"),
        (
            "SYSTEM",
            {"error_type": "a_b_c"},
            {"description": "so it was"},
            "In turn 5 the system noted a b c: so it was",
        ),
        ("OTHER", {}, {"description": "Rain fell."}, "Rain fell."),
    ],
)
def test_event_that_says_little_is_told_all_the_same(event_type, details, members, sentence):
    assert said(event_type, details, **members) == f"{sentence} [{short_id(ID)}]"


def test_values_are_shown_as_a_reader_would_write_them():
    assert shown(None) == "nothing"
    assert shown(1234567.0) == "1.235e+06"
    assert shown({"a": {"b": None}, "c": (1, 2)}) == "a b nothing, c 1, 2"
    assert shown([]) == shown({}) == ""
    assert shown(list("x" * 40)) == ", ".join("x" * 40)[:63] + "…"
