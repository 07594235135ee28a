"""The fixtures of the tests of the work commands."""

import json
import shutil

import pytest
from tests.cli.work.orchestra import Project, tasks
from tests.cli.work.projects import finalized_project
from tests.cli.work.three_packages import handed_in, plan
from tests.work.boards import NAMED


@pytest.fixture(scope="session")
def templates():
    """Projects that were planned, by their packages."""
    return {}


@pytest.fixture
def make(tmp_path, tmp_path_factory, templates):
    def made(packages, **setup):
        key = json.dumps(packages)
        if key not in templates:
            folder = tmp_path_factory.mktemp("planned") / "sync"
            templates[key] = finalized_project(folder, tasks(packages))
        project = Project(tmp_path, packages, templates[key])
        project.setup(**setup)
        project.tell()
        return project

    return made


@pytest.fixture
def in_review(make):
    """A project whose only package is committed and in review."""
    project = make({"WP01": []})
    handed_in(project.folder, wp_id="WP01")
    return project


@pytest.fixture(scope="session")
def three(tmp_path_factory):
    """A project with three packages, all planned, to be copied."""
    return plan(tmp_path_factory.mktemp("three") / "sync")


@pytest.fixture(scope="session")
def two(tmp_path_factory):
    """A project with two packages, both planned, to be copied; WP02 needs WP01, which has T001."""
    return finalized_project(tmp_path_factory.mktemp("two") / "r", files=NAMED)


@pytest.fixture
def repo(two, tmp_path):
    return shutil.copytree(two, tmp_path / "r", symlinks=True)


@pytest.fixture(scope="module")
def finalized(tmp_path_factory):
    """A project with two packages that nothing is to become of."""
    return finalized_project(tmp_path_factory.mktemp("finalized") / "r")


@pytest.fixture
def project(three, tmp_path):
    return shutil.copytree(three, tmp_path / "sync é", symlinks=True)
