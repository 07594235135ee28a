"""The page on the work format tells the types as they are checked."""

import re
from pathlib import Path

import pytest

from thence.work.events import EVENT_TYPES, aggregate_of, schema

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "formats" / "work.md"
ROW = re.compile(r"^\| `(\w+)` \| (`\w+`, \w+(?:; `\w+`, \w+)?) \| (.*) \|$", re.MULTILINE)
ROWS = {name: (aggregate, payload) for name, aggregate, payload in ROW.findall(PAGE.read_text())}
TEXT = PAGE.read_text()


def test_page_has_a_row_for_each_type():
    assert tuple(ROWS) == EVENT_TYPES


@pytest.mark.promise("L3")
@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_row_lists_the_members_in_their_order(event_type):
    told = schema(event_type)
    required = told["required"]
    assert ROWS[event_type][1] == ", ".join(
        f"`{name}`" if name in required else f"`{name}`?" for name in told["properties"]
    )


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_row_tells_the_aggregate(event_type):
    for told in ROWS[event_type][0].split("; "):
        aggregate, member = re.fullmatch(r"`(\w+)`, (\w+)", told).groups()
        payload = {member: "x"} if aggregate != "Feature" or event_type != "ErrorLogged" else {}
        assert aggregate_of(event_type, payload, "x") == (aggregate, "x")


def test_every_choice_is_told():
    chosen = [
        choice
        for event_type in EVENT_TYPES
        for rule in schema(event_type)["properties"].values()
        for choice in rule.get("enum", ())
    ]
    assert len(chosen) > 20
    assert [choice for choice in chosen if f"`{choice}`" not in TEXT] == []
