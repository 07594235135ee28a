"""The OpenAPI document, played against the server by a tool that has only it."""

import random

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from tests.server.conftest import Shop
from tests.server.runs import stored
from tests.tiers import examples

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]
EXAMPLES_EACH = examples(12)


@pytest.mark.promise("Q8")
@pytest.mark.whole
def test_server_does_what_its_openapi_document_says(shop: Shop) -> None:
    chosen = random.randrange(2**32)
    print(f"seed {chosen}")
    api = schemathesis.openapi.from_url(f"{shop.server.url}/openapi.json")
    ids = {
        "id": ["first", "second", "hurt", "orders"],
        "event_id": [event.event_id for event in stored(shop.root / "first")] + shop.orders,
    }
    played = 0
    for result in api.exclude(path_regex="/(live|growth)$").get_all_operations():  # these never end
        operation = result.ok()
        cases = st.one_of(
            operation.as_strategy(),
            operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE),
        )

        @seed(chosen)
        @settings(
            max_examples=EXAMPLES_EACH,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases, known=st.booleans(), data=st.data())
        def play(case, known, data) -> None:
            if known:
                for name in set(ids) & set(case.path_parameters):
                    case.path_parameters[name] = data.draw(st.sampled_from(ids[name]))
            case.call_and_validate(checks=CHECKS)

        play()
        played += 1
    assert played >= 15


@pytest.mark.promise("Q8")
def test_document_names_every_route_and_its_errors(shop: Shop) -> None:
    document = shop.server.json("/openapi.json")
    assert {"/health", "/simulations", "/simulations/{id}", "/logs"} < set(document["paths"])
    for path, methods in document["paths"].items():
        assert set(methods) == {"get"}, path
        told = methods["get"]["responses"]
        assert "200" in told
        assert told["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/Problem")
    limits = document["paths"]["/simulations/{id}/causality/{event_id}"]["get"]["parameters"]
    depth = next(item["schema"] for item in limits if item["name"] == "depth")
    assert (depth["minimum"], depth["maximum"], depth["default"]) == (1, 20, 5)


@pytest.mark.promise("Q8")
def test_bounds_of_numbers_in_the_document_are_the_bounds(shop: Shop) -> None:
    paths = shop.server.json("/openapi.json")["paths"]
    known = {"{id}": "first", "{event_id}": stored(shop.root / "first")[3].event_id}
    played = set()
    for path, methods in paths.items():
        for item in methods["get"].get("parameters", ()):
            schema, name = item["schema"], item["name"]
            if schema.get("type") != "integer":
                continue
            played.add(name)
            asked = path
            for key, value in known.items():
                asked = asked.replace(key, value)
            for value, is_taken in (
                (schema["minimum"], True),
                (schema["maximum"], True),
                (schema["minimum"] - 1, False),
                (schema["maximum"] + 1, False),
            ):
                span = (
                    {"from": max(0, value - 1)} if name == "to" else {}
                )  # marks are of a short one
                answer = shop.server.client.head(asked, params=span | {name: value})  # streams end
                assert answer.status_code == (200 if is_taken else 422), (path, name, value)
    assert played == {
        *("limit", "offset", "turn_start", "turn_end", "depth", "tail"),
        *("from", "to", "level", "tile", "after", "before", "lane", "at"),
    }
