"""A repository with a log of agents."""

from pathlib import Path

import pytest
from tests.trace.agents.firing import Shop, clean_environment
from tests.trace.agents.heard import Heard
from tests.trace.agents.played import PAY, PlayedRepository


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    own = clean_environment(home)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "GIT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    return own


@pytest.fixture
def shop(tmp_path: Path, env: dict[str, str]) -> Shop:
    shop = Shop(tmp_path / "shop", env)
    shop.git("init", "-q", "-b", "main", shop.top, cwd=tmp_path)
    shop.git("commit", "-q", "--allow-empty", "-m", "Begin")
    return shop


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def played(tmp_path: Path) -> PlayedRepository:
    return PlayedRepository(tmp_path / "shop", {"pay.py": PAY})
