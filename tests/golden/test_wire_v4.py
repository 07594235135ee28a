"""The wire of version 4: a recorded session about large values is answered the same for ever."""

import json

import pytest
from tests.golden.wire_v4 import FILE, exchanges, played
from tests.server.team.team_server import team_server


@pytest.mark.promise("S12")
def test_recorded_session_about_large_values_is_asked_and_answered_the_same(tmp_path):
    recorded = [json.loads(line) for line in FILE.read_text().rstrip("\n").split("\n")]
    asked = [
        tuple(each[name] for name in ("method", "path", "body", "signature")) for each in recorded
    ]
    assert list(exchanges()) == asked
    with team_server(tmp_path / "data") as server:
        client = server.client("ada")
        for each, request in zip(recorded, asked, strict=True):
            assert played(client, *request) == each
