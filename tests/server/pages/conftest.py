"""One browser for the tests of a file, and what a person has."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.server.pages.browser import Tab, chromium, tab_of
from tests.server.pages.world import make_repository, make_world
from tests.server.serving import Serving, serving
from tests.server.test_session_page import play


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Serving]:
    """A server of the logs of a file of tests."""
    with serving(root) as running:
        yield running


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A folder of runs and logs, which is served."""
    root = tmp_path_factory.mktemp("world")
    make_world(root)
    with serving(root) as server:
        yield server


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The repository of the demo, which is served."""
    with serving(make_repository(tmp_path_factory.mktemp("place"))) as server:
        yield server


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A repository with two sessions of hostile words, which is served."""
    with serving(play(tmp_path_factory.mktemp("root") / "shop").top) as server:
        yield server


@pytest.fixture
def tab(browser: Browser, server: Serving) -> Iterator[Tab]:
    """A tab at the server of the test's file."""
    with tab_of(browser, server.url) as opened:
        yield opened
