"""One server for all tests that only read: a root with two runs, a log and damaged files."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.server.runs import foreign, make_index, make_orders, make_run
from tests.server.serving import Serving, serving


class Shop(NamedTuple):
    """A root that is served."""

    root: Path
    server: Serving
    orders: list[str]


@pytest.fixture(scope="session", params=["read", "indexed"])
def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """The same twice: a small log is read, unless it has an index."""
    root = tmp_path_factory.mktemp("root")
    make_run(root, "first")
    make_run(root, "second", count=9)
    orders = make_orders(root)
    hurt = root / "hurt"
    hurt.mkdir()
    whole = foreign(1) + b"\xff\xfe not text\n" + b'{"no":"event"}\n' + foreign(2) + b"\x00\x00\n"
    (hurt / "events.jsonl").write_bytes(whole + foreign(3)[:-30])
    if request.param == "indexed":
        for folder in root.iterdir():
            make_index(folder)
    with serving(root) as server:
        yield Shop(root, server, orders)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    """A server over the folder of the test."""
    with serving(tmp_path) as running:
        yield running
