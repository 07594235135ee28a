"""The engines of a team's server, as its own tests have them."""

from tests.server.team.conftest import address, engine

__all__ = ["address", "engine"]
