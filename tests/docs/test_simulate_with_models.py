"""The page about models: its scenario loads, and its commands say what is shown below them."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.docs.walk import masked, walked

from thence.sim import SimulationConfig

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "simulations" / "simulate-with-models.md"
RUN = re.compile(r"negotiation-\d{8}T\d{6}Z-\w{6}|\d{4}-\d\d-\d\dT[\d:.]+Z")


def steady(text: str) -> str:
    """Take out what differs from run to run."""
    return re.sub(r"\s+", " ", RUN.sub("run", masked(text)))


@pytest.mark.promise("O12")
@pytest.mark.rest
def test_page_shows_what_its_commands_say(monkeypatch):
    with TemporaryDirectory() as short:
        folder = Path(short).resolve() / "river"
        folder.mkdir()
        monkeypatch.setenv("XDG_CACHE_HOME", f"{short}/cache")
        for one in walked(PAGE.read_text(encoding="utf-8"), folder):
            assert one.status == 0
            assert steady(one.said) == steady(one.shown), one.command
        config = SimulationConfig.from_file(folder / "village.yaml")
    assert [agent.type for agent in config.agents] == ["llm_agent", "scripted"]
