"""The taking back of stored lines, with a store in memory: who may, and in any order."""

import itertools
from zlib import crc32

import pytest
from tests.server.team.notices import ANN, BOB, EVE, Node
from tests.server.team.test_exchange import statuses, walked, with_teams

from thence.core.values.digests import digests, redacted
from thence.core.wire.blocks import split_digests
from thence.core.wire.messages import BlocksRequest, KeyRequest
from thence.core.wire.seals import TeamKeys
from thence.server.team.accounts import Accounts, Member
from thence.server.team.exchange import Exchange
from thence.server.team.keys import KeyRegistry
from thence.server.team.sqlite_store import SqliteStore

THEIRS = "ffffffffffff"
pytestmark = pytest.mark.promise("S10a")


class Server:
    """A server without HTTP: ann owns NODE in red, eve is a writer, boss an admin."""

    def __init__(self, *, has_claims: bool = True) -> None:
        self.database = with_teams()
        self.exchange = Exchange(SqliteStore(self.database))
        self.keys = KeyRegistry(self.database)
        accounts = Accounts(self.database, str)
        for name, role in (("ann", "writer"), ("eve", "writer"), ("boss", "admin")):
            accounts.add_user(name, "red", role, lambda: "correct horse")
        if has_claims:
            self.claim("ann", ANN.public_key, Node().node)
            self.claim("eve", EVE.public_key, THEIRS)

    def claim(self, user: str, key: str, *nodes: str, team: str = "red") -> None:
        role = "admin" if user == "boss" else "writer"
        self.keys.register(Member(user, team, role), KeyRequest(key, nodes))

    def take(self, *lines: bytes) -> list[str]:
        return statuses(self.exchange, list(lines))

    @property
    def lines(self) -> list[bytes]:
        return walked(self.exchange, 100)

    @property
    def withheld(self) -> list[bytes]:
        answer = self.exchange.blocks("red", "log", BlocksRequest({}))
        return list(split_digests(answer.withheld))


def test_owner_takes_a_body_back_and_digest_and_number_stay() -> None:
    server, node = Server(), Node()
    target, other = node.said(), node.said("fine")
    server.take(target, other)
    notice, seal = node.redaction(target), node.seal()
    before = server.exchange.blocks("red", "log", BlocksRequest({})).differing
    server.take(notice)
    assert server.lines[0] == target, "nothing is taken back without a seal"
    server.take(seal)
    assert server.lines == [redacted(target), other, notice, seal]
    after = server.exchange.blocks("red", "log", BlocksRequest({})).differing
    assert after[0].digests.startswith(before[0].digests)
    assert server.withheld == []
    assert server.take(target, redacted(target)) == ["duplicate"] * 2
    assert server.lines[0] == redacted(target)
    assert server.exchange.lines("red", "log", [digests(target).line]) == [redacted(target)]


@pytest.mark.parametrize("kind", ["plain", "sim", "work"])
def test_redaction_is_carried_out_in_logs_of_each_kind_whatever_came_first(kind: str) -> None:
    node = Node(kind=kind)
    target = node.said()
    notice = node.redaction(target)
    seal = node.seal()
    for order in itertools.permutations((target, notice, seal)):
        server = Server()
        for line in order:
            server.exchange.batch("red", "log", kind, [line])
        assert redacted(target) in server.lines
        assert target not in server.lines


def test_line_that_completes_the_range_of_a_seal_has_the_redaction_carried_out() -> None:
    server, node = Server(), Node()
    target, late = node.said(), node.said("late")
    server.take(target, node.redaction(target), node.seal())
    assert server.lines[0] == target
    server.take(late)
    assert server.lines[0] == redacted(target)


def test_admin_takes_back_what_another_wrote_and_a_member_does_not() -> None:
    server, node = Server(), Node()
    target = node.said()
    server.take(target)
    theirs = Node(THEIRS)
    server.take(theirs.redaction(target), theirs.seal(EVE))
    assert server.lines[0] == target
    bosss = Node("bbbbbbbbbbbb")
    server.take(bosss.redaction(target), bosss.seal(BOB))
    assert server.lines[0] == target, "the key is nobody's"
    server.claim("boss", BOB.public_key)
    assert server.lines[0] == redacted(target), "it is an admin's now"


def test_what_a_seal_does_not_prove_changes_nothing() -> None:
    node = Node()
    target = node.said()
    notice = node.redaction(target)
    for seal in (
        Node.seal(copy_of(node), EVE),
        Node.seal(copy_of(node), forged=True),
        Node.seal(sealing(notice, "another"), ANN),
    ):
        server = Server()
        server.take(target, notice, seal)
        assert server.lines[0] == target
    for wrong in (
        copy_of(node, 1).redaction(target, event_id="another"),
        copy_of(node, 1).redaction(redacted(target).replace(b"told", b"tolD")),
    ):
        server, forger = Server(), copy_of(node, 1)
        forger.lines.append(wrong)
        server.take(target, wrong, forger.seal())
        assert server.lines[0] == target


def copy_of(node: Node, count: int | None = None) -> Node:
    made = Node(node.node)
    made.lines = node.lines[:count]
    return made


def sealing(notice: bytes, text: str) -> Node:
    """Returns a node whose seal covers a line that is not stored."""
    made = Node()
    made.said(text)
    made.lines.append(notice)
    return made


def test_seal_with_numbers_that_no_database_holds_is_a_line_like_any_other() -> None:
    server, node = Server(), Node()
    large = node.seal_over([(2**70, bytes(32))], ANN)
    assert server.take(node.said(), large) == ["success"] * 2


def test_claim_or_key_that_comes_later_makes_a_redaction_valid() -> None:
    server, node = Server(has_claims=False), Node()
    target = node.said()
    server.take(target, node.redaction(target), node.seal())
    assert server.lines[0] == target
    server.claim("eve", EVE.public_key, node.node)
    assert server.lines[0] == target
    assert server.keys.claim("red", node.node, ANN.public_key) == EVE.public_key
    assert server.lines[0] == redacted(target)


def test_keys_of_another_team_do_not_count() -> None:
    server, node = Server(has_claims=False), Node()
    Accounts(server.database, str).add_user("sue", "blue", "admin", lambda: "correct horse")
    server.claim("sue", ANN.public_key, node.node, team="blue")
    target = node.said()
    server.take(target, node.redaction(target), node.seal())
    assert server.lines[0] == target
    assert server.keys.of_team("blue") == TeamKeys({node.node: ANN.public_key}, (ANN.public_key,))
    assert server.keys.of_team("red") == TeamKeys()


def test_seals_and_redactions_themselves_are_not_taken_back() -> None:
    server, node = Server(), Node()
    target = node.said()
    notice, seal = node.redaction(target), node.seal()
    first = [target, notice, seal, node.redaction(notice), node.redaction(seal), node.seal()]
    server.take(*first)
    assert server.lines == [redacted(target), *first[1:]]


def test_withheld_line_is_named_until_the_whole_one_comes() -> None:
    server, node = Server(), Node()
    one, two = node.said(), node.said()
    assert server.take(redacted(one), redacted(two)) == ["success"] * 2
    assert server.lines == [redacted(one), redacted(two)]
    assert set(server.withheld) == {digests(line).line for line in (one, two)}
    assert server.take(redacted(one), one) == ["success", "duplicate"]
    assert server.lines == [one, redacted(two)]
    assert server.withheld == [digests(two).line]
    assert server.take(two) == ["success"]
    assert server.withheld == []
    assert server.lines == [one, two]


def test_withheld_line_that_is_taken_back_is_named_no_more_and_stays_without_body() -> None:
    server, node = Server(), Node()
    target = node.said()
    server.take(redacted(target), node.redaction(target), node.seal())
    assert server.withheld == []
    assert server.take(target) == ["duplicate"]
    assert server.lines[0] == redacted(target)


def test_withheld_redaction_is_carried_out_when_it_is_whole() -> None:
    server, node = Server(), Node()
    target = node.said()
    notice = node.redaction(target)
    server.take(target, redacted(notice), node.seal())
    assert server.lines[0] == target
    server.take(notice)
    assert server.lines[0] == redacted(target)


def test_words_that_are_written_with_escapes_count_all_the_same() -> None:
    server, node = Server(), Node()
    target = node.said()
    escaped = resealed(redacted(target).replace(b'"body_', b'"body\\u005f'))
    assert digests(escaped).line == digests(target).line
    assert server.take(escaped) == ["success"]
    assert server.withheld == [digests(target).line]
    assert server.take(target) == ["success"]
    assert server.lines == [target]


def resealed(line: bytes) -> bytes:
    data = line[: line.rindex(b',"crc":')]
    return data + b',"crc":"%08x"}' % crc32(data)
