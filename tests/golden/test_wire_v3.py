"""The wire of version 3: a session that was recorded once is answered the same for ever."""

import json

import pytest
from tests.golden.wire_v3 import FILE, exchanges, played
from tests.server.team.team_server import team_server


@pytest.mark.promise("S12")
def test_recorded_session_is_asked_and_answered_the_same(tmp_path):
    recorded = [json.loads(line) for line in FILE.read_text().splitlines()]
    asked = [
        tuple(each[name] for name in ("method", "path", "body", "signature")) for each in recorded
    ]
    assert list(exchanges()) == asked
    with team_server(tmp_path / "data") as server:
        client = server.client("ada")
        for each, request in zip(recorded, asked, strict=True):
            assert played(client, *request) == each
