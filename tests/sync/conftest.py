"""The engines of a team's server, as its own tests have them, and the service of one."""

import pytest
from tests.server.team.conftest import address, engine
from tests.sync.fleet.fleet import Server

__all__ = ["address", "engine"]


@pytest.fixture
def server() -> Server:
    """The service of a team's server, without HTTP."""
    return Server("epoch")
