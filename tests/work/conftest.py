"""What many tests of work begin with."""

from pathlib import Path

import pytest
from tests.git.repositories import make_repository
from tests.work.boards import bare, clone, done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository."""
    return make_repository(tmp_path / "sync")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with a package."""
    repo = make_repository(tmp_path / "repo")
    done(repo, "finalize-tasks", "--add", "First")
    return repo


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return bare(tmp_path / "remote.git")


@pytest.fixture
def ada(remote: Path, tmp_path: Path) -> Path:
    """A clone of the remote with a package that nobody else knows yet."""
    ada = clone(remote, tmp_path / "ada")
    done(ada, "finalize-tasks", "--add", "First")
    return ada


@pytest.fixture
def bob(remote: Path, tmp_path: Path) -> Path:
    return clone(remote, tmp_path / "bob")
