"""A repository with a log of agents."""

from pathlib import Path

import pytest
from tests.trace.agents.firing import clean_environment, git
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
def repository(tmp_path: Path, env: dict[str, str]) -> Path:
    folder = tmp_path / "shop"
    git("init", "-q", "-b", "main", folder, cwd=tmp_path, env=env)
    git("commit", "-q", "--allow-empty", "-m", "Begin", cwd=folder, env=env)
    return folder


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def played(tmp_path: Path) -> PlayedRepository:
    return PlayedRepository(tmp_path / "shop", {"pay.py": PAY})
