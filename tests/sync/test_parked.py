"""Lines that one side never takes: they are parked once, and cost nothing until a side changes."""

import re
from contextlib import closing

import pytest
from tests.events import stored
from tests.server.team.team_server import PASSWORD, team_server
from tests.sync.fleet.fleet import closed

import thence
from thence.core.secrets import FoundSecret
from thence.sync.client import SyncClient, log_in
from thence.sync.credentials import CredentialStore
from thence.sync.engine import SyncEngine
from thence.sync.target import SyncTarget


class Watched(SyncClient):
    """The transport to a real server, with the number of lines that went either way."""

    moved = 0

    def page(self, *given):
        page = super().page(*given)
        self.moved += len(page.lines)
        return page

    def batch(self, lines, *given):
        self.moved += len(lines)
        return super().batch(lines, *given)


class Server:
    """A team's server in a process of its own, and rounds of logs with it."""

    def __init__(self, server, folder, log):
        self.url, self.log = server.url, log
        self.client = server.client("ada")
        self.store = CredentialStore(folder)
        self.store.save(log_in(server.url, "ada", PASSWORD))

    def synced(self, log, **options):
        """Return the result of a round of a log, and how many lines went either way."""
        target = SyncTarget(self.url, "red", "ada", self.log, "plain", "")
        with (
            closing(Watched(target, self.store.login(self.url), self.store)) as transport,
            closing(SyncEngine(log, transport, target="orders", **options)) as engine,
        ):
            found = engine.round()
        assert found.error is None
        return found, transport.moved

    def lines(self):
        return self.client.pull(self.log)[0]


@pytest.fixture(scope="module")
def red(tmp_path_factory):
    with team_server(tmp_path_factory.mktemp("team") / "server") as found:
        yield found


@pytest.fixture
def server(red, request, tmp_path):
    return Server(red, tmp_path / "config", request.node.name)


def is_secret(line):
    return FoundSecret("a rule", "payload") if b"swordfish" in line else None


@pytest.mark.promise("S6")
def test_line_that_the_server_never_gets_is_parked_once(server, tmp_path):
    with thence.open(tmp_path / "a") as log, thence.open(tmp_path / "b") as other:
        event = log.append("noted", {"text": "swordfish"})
        log.append("noted")
        first, _ = server.synced(log, find_secret=is_secret)
        assert (first.pushed, first.parked) == (1, 1)
        for _ in range(2):
            again, moved = server.synced(log, find_secret=is_secret)
            assert (again.pushed, again.left, again.parked, moved) == (0, 0, 1, 0)

        log.append("noted")  # this side changes
        more, moved = server.synced(log, find_secret=is_secret)
        assert (more.pushed, more.left, moved) == (1, 0, 1)
        assert server.synced(log, find_secret=is_secret)[1] == 0

        assert server.synced(other)[0].pulled == 2
        other.relay([event.line])  # the server's side changes
        assert server.synced(other)[0].pushed == 1
        last, moved = server.synced(log, find_secret=is_secret)
        assert (last.parked, last.left, moved) == (0, 0, 1)
        assert server.synced(log)[0].is_complete
        assert sorted(server.lines()) == sorted(each.line for each in log.events())


@pytest.mark.promise("S11")
def test_line_that_the_log_does_not_take_is_parked_once(server, tmp_path):
    with thence.open(tmp_path / "a") as log, thence.open(tmp_path / "b") as other:
        log.append("noted")
        line = other.append("noted").line
        twins = [closed(line[:-18] + b',"n":%d' % n) for n in range(20)]  # one event for this log
        assert server.client.statuses(server.log, [line, *twins]) == ["success"] * 21
        assert server.synced(log)[0].is_complete
        far = closed(
            re.sub(rb'"lamport_clock":\d+', b'"lamport_clock":%d' % (2**40 + 15), line[:-18])
        )
        assert server.client.statuses(server.log, [far]) == ["success"]
        assert server.synced(log)[0].parked == 1
        assert server.synced(log)[1] == 0
        server.client.statuses(server.log, [other.append("noted").line])
        found, moved = server.synced(log)
        assert (found.pulled, found.parked, moved) == (1, 1, 1)
        assert server.synced(log)[1] == 0
        log.append_many([{"event_type": "noted"}] * 20)
        found, _ = server.synced(log)
        assert (found.pulled, found.parked) == (1, 0), "its clock is no longer too far ahead"
        assert sorted(server.lines()) == stored(log.folder)
