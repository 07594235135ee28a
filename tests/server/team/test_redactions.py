"""The redaction of stored lines, with a store in memory: in any order, in logs of each kind."""

import itertools

import pytest
from tests.server.team.lines import Node
from tests.server.team.test_sync_service import walked, with_teams

from thence.core.codec import close_line
from thence.core.redaction import redacted
from thence.server.team.store import Store
from thence.server.team.sync_service import SyncService
from thence.sync.wire.messages import BatchRefused

pytestmark = [pytest.mark.promise("S10a"), pytest.mark.usefixtures("engine")]


class Server:
    """A server without HTTP: ann owns NODE, and eve is a writer."""

    def __init__(self) -> None:
        self.database = with_teams()
        self.service = SyncService(Store(self.database))

    def push(self, *pushed: bytes, login: str = "ann", kind: str = "plain") -> list[str]:
        """Pushes lines by a login; ann's log wrote under NODE."""
        named = {"login": login, "nodes": [Node().node] if login == "ann" else []}
        verdicts = self.service.batch("red", "log", kind, list(pushed), **named)
        return [verdict.status for verdict in verdicts.results]

    @property
    def lines(self) -> list[bytes]:
        return walked(self.service, 100)


@pytest.mark.parametrize(
    "kind", [pytest.param("plain", marks=pytest.mark.both_engines), "sim", "work"]
)
def test_redaction_counts_in_logs_of_each_kind_whatever_came_first(kind: str) -> None:
    node = Node(kind=kind)
    target = node.said()
    notice = node.redaction(target)
    for order in itertools.permutations((target, notice)):
        for pushes in ([order], [order[:1], order[1:]]):
            for is_bodiless in (False, True):
                server = Server()
                for push in pushes:
                    form = [redacted(target) if is_bodiless and x == target else x for x in push]
                    server.push(*form, kind=kind)
                assert set(server.lines) == {redacted(target), notice}


def test_redaction_of_an_id_that_no_line_can_have_is_refused() -> None:
    server, node = Server(), Node()
    target = node.said()
    assert server.push(node.redaction(target, "a\0", is_caused=False)) == ["rejected"]
    assert server.push(target) == ["success"]
    assert server.lines == [target]


def test_words_that_are_written_with_escapes_count_all_the_same() -> None:
    server, node = Server(), Node()
    target = node.said()
    escaped = resealed(redacted(target).replace(b'"body_', b'"body\\u005f'))
    with pytest.raises(BatchRefused, match="a line in it is not an event"):
        server.push(escaped, login="eve")
    assert server.push(target) == ["success"]
    notice = node.redaction(target)
    hidden = resealed(notice.replace(b'"log.redacted"', b'"log\\u002eredacted"'))
    server.push(hidden)
    assert server.lines == [redacted(target), hidden]


def resealed(line: bytes) -> bytes:
    return close_line(line[: line.rindex(b',"crc":')])[:-1]
