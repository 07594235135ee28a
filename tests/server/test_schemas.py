"""The schemas of the hosts' event types over HTTP."""

import jsonschema_rs
import pytest
from tests.server.conftest import Shop

from thence.sim import schemas
from thence.work import events


@pytest.mark.promise("E2")
def test_schemas_of_all_event_types_of_both_hosts_are_given(shop: Shop) -> None:
    told = shop.server.json("/schemas")
    assert set(told) == {"sim", "work"}
    assert told["sim"] == {kind: schemas.schema(kind) for kind in schemas.EVENT_TYPES}
    assert told["work"] == {kind: events.schema(kind) for kind in events.EVENT_TYPES}
    rules = jsonschema_rs.Draft202012Validator(told["sim"]["MILESTONE"])
    page = shop.server.json("/simulations/first/events", event_types="MILESTONE")
    assert page["events"]
    assert all(rules.is_valid(event["details"]) for event in page["events"])
    assert not rules.is_valid({"milestone_type": "never"})
