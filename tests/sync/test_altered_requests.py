"""A proxy alters the requests that bring one line: what is altered is never kept, and ends."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256

import pytest
from tests.server.team.team_server import PASSWORD, TeamServer, team_server
from tests.sync.proxy import Proxy
from tests.tiers import some, tenth

import thence
from thence.sync.client import SyncClient, log_in
from thence.sync.credentials import CredentialStore
from thence.sync.engine import SyncEngine
from thence.sync.target import SyncTarget

ALTERED_TIMES = tenth(6, 2)
SMALL = {"n": 13}
LARGE = {"text": "".join(sha256(b"%d" % number).hexdigest() for number in range(50))}
HUGE = {"text": LARGE["text"] * 2}  # stands beside the line


def doubled(place: re.Match[bytes]) -> bytes:
    return place[0] + place[0]


# what is altered: the payload of the line, a pattern of what comes up, and what goes on instead
ALTERATIONS = {
    "a byte of the line": (SMALL, rb'"n":13', rb'"n":12'),
    "a byte of the vocabulary": (SMALL, rb"(?<=/batch/\?)(.*kind=pla)in", rb"\1yn"),
    "the name of the log": (SMALL, rb"(?<=/batch/\?log=l)og", rb"ag"),
    "what names the log": (SMALL, rb"(?<=/batch/\?)log", rb"lof"),
    "the end of the batch": (
        SMALL,
        rb'"crc":"[0-9a-f]{8}"}\],"nodes":\[[^]]*\]}',
        lambda end: b" " * len(end[0]),
    ),
    "a run that comes twice": (SMALL, rb'"payload":{"n":13', doubled),
    "two runs in exchange": (SMALL, rb'("event_id":")([0-9A-Z]{10})', rb"\2\1"),
    "a byte that is packed": (
        LARGE,
        rb"\x1f\x8b\x08(?s:.{200}).",
        lambda body: body[0][:-1] + b"!",
    ),
    "a byte of a large value": (
        HUGE,
        rb"\x1f\x8b\x08(?s:.{200}).",
        lambda body: body[0][:-1] + b"!",
    ),
    "how it is packed": (LARGE, rb"(?<=Content-Encoding: )gzip", rb"gzap"),
    "the name of that": (LARGE, rb"Content-Encoding(?=: gzip)", rb"Content-Encoting"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    with team_server(tmp_path_factory.mktemp("altered") / "server") as running:
        yield running


@pytest.fixture
def proxy(server: TeamServer) -> Iterator[Proxy]:
    with Proxy(server.url) as running:
        yield running


@contextmanager
def engine_of(log: thence.Log, url: str, name: str) -> Iterator[SyncEngine]:
    """Gives an engine of a log that brings its lines by way of a proxy."""
    store = CredentialStore(log.folder.with_name("config"))
    store.save(log_in(url, "ada", PASSWORD))
    target = SyncTarget(url, "red", "ada", name, "plain", "")
    with (
        closing(SyncClient(target, store.login(url), store)) as transport,
        closing(SyncEngine(log, transport, target=name)) as engine,
    ):
        yield engine


@pytest.mark.promise("S12")
@pytest.mark.parametrize("name", some(ALTERATIONS, 4, "alterations"))
@pytest.mark.whole
def test_line_that_is_altered_on_its_way_is_brought_later(tmp_path, server, proxy, name):
    payload, pattern, instead = ALTERATIONS[name]
    counts: list[int] = []

    def alter(part: bytes) -> bytes:
        altered, count = re.subn(pattern, instead, part, count=1)
        if not count or len(counts) == ALTERED_TIMES:
            return part
        counts.append(count)
        return altered

    title = f"log{list(ALTERATIONS).index(name)}"
    with (
        thence.open(tmp_path / "log", bodies_from=len(HUGE["text"])) as log,
        engine_of(log, proxy.url, title) as engine,
    ):
        log.append("note")
        assert engine.round().is_complete
        event = log.append("note", payload)
        proxy.alter = alter
        for _ in range(ALTERED_TIMES):
            engine.round()
            engine.outbox.retry()
        assert 0 < len(counts) <= ALTERED_TIMES
        assert engine.round().is_complete
        lines = [one.line for one in log.read()]
    assert event.line in lines
    assert sorted(server.client("ada").pull(title)[0]) == sorted(lines)


@pytest.mark.promise("S6")
def test_line_that_is_refused_as_it_is_gets_parked(tmp_path, server, proxy):
    bad = rb'{"event_id":"no\u0000","event_type":"note"}'
    with thence.open(tmp_path / "log") as log, engine_of(log, proxy.url, "bad") as engine:
        log.append("note")
        log.relay([bad])
        report = engine.round()
        assert (report.pushed, report.parked, report.left) == (1, 1, 0)
        assert "U+0000" in engine.outbox.parked()[0].reason
