"""The redaction of stored lines, with a store in memory: in any order, in logs of each kind."""

import itertools
from zlib import crc32

import pytest
from tests.server.team.lines import foreign, lines
from tests.server.team.notices import ANN, BOB, EVE, Node
from tests.server.team.test_sync_service import walked, with_teams

from thence.core.redaction import digests, redacted
from thence.server.team.accounts import Accounts, Member
from thence.server.team.keys import KeyRegistry
from thence.server.team.store import Store
from thence.server.team.sync_service import Exchange
from thence.sync.wire.messages import RELAYED_MAX, BatchRefused, KeyRequest
from thence.sync.wire.signatures import TeamKeys, signed_push
from thence.sync.wire.signing import SigningKey, is_signed

THEIRS = "ffffffffffff"
# each begins at another digest, the same ones in each run
ANSWERS_MAX = 10
pytestmark = [pytest.mark.promise("S10a"), pytest.mark.usefixtures("engine")]


class Server:
    """A server without HTTP: ann owns NODE in red, eve is a writer, boss an admin."""

    def __init__(self) -> None:
        self.database = with_teams()
        self.exchange = Exchange(Store(self.database))
        self.keys = KeyRegistry(self.database)
        accounts = Accounts(self.database, str)
        for name, role in (("ann", "writer"), ("eve", "writer"), ("boss", "admin")):
            accounts.add_user(name, "red", role, lambda: "correct horse")
        self.claim("ann", ANN.public_key, Node().node)
        self.claim("eve", EVE.public_key, THEIRS)

    def claim(self, user: str, key: str, *nodes: str, team: str = "red") -> None:
        role = "admin" if user == "boss" else "writer"
        self.keys.register(Member(user, team, role), KeyRequest(key, nodes))

    def push(self, *pushed: bytes, key: SigningKey | None = ANN, kind: str = "plain") -> list[str]:
        named = [digests(line).line for line in pushed] if key else []
        push = signed_push(key, "red", "log", named) if key else None
        verdicts = self.exchange.batch("red", "log", kind, list(pushed), signature=push)
        return [verdict.status for verdict in verdicts.results]

    @property
    def lines(self) -> list[bytes]:
        return walked(self.exchange, 100)

    def relayed(self, key: SigningKey = ANN) -> list[bytes]:
        joined = self.exchange.page("red", "log", limit=1, key=key.public_key).relayed
        return [joined[at : at + 32] for at in range(0, len(joined), 32)]


@pytest.mark.both_engines
def test_owner_redacts_and_digest_and_number_stay() -> None:
    server, node = Server(), Node()
    target, other = node.said(), node.said("fine")
    server.push(target, other)
    notice = node.redaction(target)
    before = server.exchange.page("red", "log").next
    assert server.push(notice) == ["success"]
    assert server.lines == [redacted(target), other, notice]
    assert server.exchange.page("red", "log", before).lines == [notice]
    assert server.push(target, redacted(target)) == ["duplicate"] * 2
    assert server.lines[0] == redacted(target)
    assert server.exchange.lines("red", "log", [digests(target).line]) == [redacted(target)]


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
                is_taken = not is_bodiless or len(pushes) == 1 or order[0] == notice
                assert (redacted(target) in server.lines) == is_taken
                assert target not in server.lines
                assert notice in server.lines


def test_redaction_of_an_id_that_no_line_can_have_is_refused() -> None:
    server, node = Server(), Node()
    target = node.said()
    assert server.push(node.redaction(target, "a\0", is_caused=False)) == ["rejected"]
    assert server.push(target) == ["success"]
    assert server.lines == [target]


def test_keys_of_another_team_do_not_count() -> None:
    server, node = Server(), Node()
    Accounts(server.database, str).add_user("sue", "blue", "admin", lambda: "correct horse")
    server.claim("sue", BOB.public_key, node.node, team="blue")
    target = node.said()
    server.push(target)
    assert server.push(node.redaction(target, key=BOB), key=BOB) == ["rejected"]
    assert server.lines == [target]
    assert server.keys.of_team("blue") == TeamKeys({node.node: BOB.public_key}, (BOB.public_key,))
    assert BOB.public_key not in server.keys.of_team("red").claims.values()


def test_words_that_are_written_with_escapes_count_all_the_same() -> None:
    server, node = Server(), Node()
    target = node.said()
    escaped = resealed(redacted(target).replace(b'"body_', b'"body\\u005f'))
    with pytest.raises(BatchRefused, match="a line in it is not an event"):
        server.push(escaped, key=None)
    assert server.push(target) == ["success"]
    notice = node.redaction(target)
    hidden = resealed(notice.replace(b'"log.redacted"', b'"log\\u002eredacted"'))
    server.push(hidden)
    assert server.lines == [redacted(target), hidden]


def resealed(line: bytes) -> bytes:
    data = line[: line.rindex(b',"crc":')]
    return data + b',"crc":"%08x"}' % crc32(data)


@pytest.mark.both_engines
def test_relayed_lines_are_named_to_their_owner_all_of_them_in_the_end() -> None:
    server = Server()
    many = lines(RELAYED_MAX + 500)
    for at in range(0, len(many), 500):
        server.push(*many[at : at + 500], key=EVE)
    server.push(foreign(1), key=None)
    named = {digests(line).line for line in many}
    assert server.relayed(EVE) == server.relayed(BOB) == []
    seen: set[bytes] = set()
    for _ in range(ANSWERS_MAX):
        answer = server.relayed()
        assert len(answer) == len(set(answer)) == RELAYED_MAX
        seen.update(answer)
        if seen == named:
            break
    assert seen == named
    server.push(*many[:1_000])
    assert set(server.relayed()) == {digests(line).line for line in many[1_000:]}


@pytest.mark.both_engines
def test_certificate_of_a_push_is_kept_and_can_be_checked() -> None:
    server, node = Server(), Node()
    pushed = [node.said("a"), node.said("b")]
    server.push(*pushed)
    server.push(Node(THEIRS).said(), key=None)
    server.push(*pushed, key=EVE)
    with server.database.reading() as connection:
        ((key, total, signature, first, last),) = connection.execute(
            "SELECT public_key, lines_sha256, signature, first, last FROM certificates"
        )
    assert (key, first, last) == (ANN.public_key, 1, 2)
    assert is_signed(key, signature, f"thence push 1\nred log {total}".encode())
