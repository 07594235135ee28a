"""The attacks on who wrote a line and who may redact one, over HTTP, with real keys.

Ada owns a node of each test. Eve and Bea are other writers of the team, boss is an admin of it, bob
a writer of another team. The client knows docs/reference/formats/wire.md alone.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest
from nacl.signing import SigningKey
from tests.cli.installed import thence
from tests.server.team.stranger import Client, digest, redaction, signature, written
from tests.server.team.team_server import TeamServer, team_server

from thence.core.redaction import digests, redacted

NODE, OTHER = "ada0ada0ada0", "e0e0e0e0e0e0"
SECRET = "swordfish"
ADA, EVE, BOSS = (SigningKey(bytes([number]) * 32) for number in (11, 12, 13))
pytestmark = pytest.mark.promise("S10a")


def public(key: SigningKey) -> str:
    return bytes(key.verify_key).hex()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[TeamServer]:
    data = tmp_path_factory.mktemp("attacked") / "data"
    with team_server(data, address=address) as found:
        for user, team, role in (
            ("eve", "red", "writer"),
            ("bea", "red", "writer"),
            ("boss", "red", "admin"),
            ("bob", "blue", "writer"),
        ):
            found.add(user, team, role)
        claim(found.client("ada"), ADA, NODE)
        claim(found.client("eve"), EVE, OTHER)
        claim(found.client("boss"), BOSS)
        claim(found.client("bob"), ADA, NODE)  # the same key and node, in another team
        yield found


def claim(client: Client, key: SigningKey, *nodes: str) -> None:
    got = client.post("/api/v1/keys/", {"public_key": public(key), "nodes": nodes})
    assert got.status == 200, got.body


def push(
    client: Client,
    log: str,
    lines: list[bytes],
    key: SigningKey | None = None,
    *,
    team: str = "red",
) -> list[str]:
    """Pushes lines, signed by a key; returns their statuses."""
    header = signature(key, team, log, lines) if key else ""
    return client.statuses(log, lines, signature=header)


def said(seq: int, text: str = SECRET, node: str = NODE) -> bytes:
    return written(node, seq, seq, {"text": text})


@pytest.fixture
def log(server: TeamServer, request: pytest.FixtureRequest) -> str:
    """The name of a log in which ada has pushed one line with a secret."""
    name = f"log-{crc32(request.node.name.encode()):x}"
    assert push(server.client("ada"), name, [said(1)], ADA) == ["success"]
    return name


def is_redacted(server: TeamServer, log: str, line: bytes) -> bool:
    """Reports whether the server has a line without its body; it has it in one form."""
    lines = server.client("ada").pull(log)[0]
    (held,) = (held for held in lines if digests(held).line == digest(line))
    return SECRET.encode() not in held


def refused(server: TeamServer, user: str, log: str, notice: bytes, key: SigningKey | None) -> None:
    """A push of a redaction is refused, and nothing of it is stored."""
    client = server.client(user)
    header = signature(key, "red", log, [notice]) if key else ""
    got = client.push(log, [notice], signature=header)
    (result,) = got.json["results"]
    assert (result["status"], result["error"]) == ("rejected", "redaction_refused")
    assert "owns the node" in result["error_message"]
    assert notice not in client.pull(log)[0]
    assert not is_redacted(server, log, said(1))


@pytest.mark.both_engines
def test_owner_redacts_and_the_whole_text_never_comes_back(server: TeamServer, log: str) -> None:
    ada, eve = server.client("ada"), server.client("eve")
    notice = redaction(NODE, 2, said(1), ADA)
    assert push(ada, log, [notice], ADA) == ["success"]
    assert is_redacted(server, log, said(1))
    assert push(ada, log, [said(1)], ADA) == ["duplicate"]
    assert push(eve, log, [said(1)]) == ["duplicate"]
    assert push(eve, log, [notice]) == ["duplicate"]
    assert ada.pull(log)[0] == [redacted(said(1)), notice]
    page = ada.ask("GET", f"/logs/{log}/events").body
    assert page
    assert SECRET.encode() not in page


def test_admin_redacts_what_another_wrote(server: TeamServer, log: str) -> None:
    notice = redaction("b055b055b055", 1, said(1), BOSS)
    assert push(server.client("boss"), log, [notice], BOSS) == ["success"]
    assert is_redacted(server, log, said(1))


def test_redaction_without_a_signature_is_refused_whoever_signs_the_push(
    server: TeamServer, log: str
) -> None:
    for user, key in (("boss", None), ("boss", BOSS), ("ada", ADA)):
        refused(server, user, log, redaction("b055b055b055", 1, said(1), None), key)
        refused(server, user, log, redaction(NODE, 2, said(1), None), key)
    late = redaction(NODE, 2, said(6), None)
    assert push(server.client("ada"), log, [late, said(6)], ADA) == ["rejected", "success"]


def test_other_member_does_not_redact_whatever_node_the_notice_bears(
    server: TeamServer, log: str
) -> None:
    for notice in (redaction(OTHER, 1, said(1), EVE), redaction(NODE, 2, said(1), EVE)):
        for key in (EVE, None):
            refused(server, "eve", log, notice, key)


def test_stranger_and_member_of_another_team_are_not_heard(server: TeamServer, log: str) -> None:
    notice = redaction(NODE, 2, said(1), ADA)
    header = signature(ADA, "red", log, [notice])
    assert server.client().push(log, [notice], signature=header).status == 401
    bob = server.client("bob")
    bob.team = "red"
    assert bob.push(log, [notice], signature=header).status == 403
    bob.team = "blue"
    assert push(bob, log, [said(1), notice], ADA, team="blue") == ["success"] * 2
    assert not is_redacted(server, log, said(1))


def test_key_that_nobody_registered_does_not_redact(server: TeamServer, log: str) -> None:
    key = SigningKey(b"x" * 32)
    refused(server, "eve", log, redaction(OTHER, 1, said(1), key), key)


def test_redaction_that_its_owner_or_an_admin_signed_counts_whoever_brings_it(
    server: TeamServer, log: str
) -> None:
    eve, both = server.client("eve"), [said(2), said(3)]
    assert push(eve, log, both) == ["success"] * 2
    notices = [redaction(NODE, 4, said(1), ADA), redaction("b055b055b055", 1, said(2), BOSS)]
    late = redaction(NODE, 5, said(6), ADA)
    assert push(eve, log, [*notices, late]) == ["success"] * 3
    assert push(eve, log, [redacted(said(6))]) == ["success"]
    forms = [redacted(said(1)), redacted(said(2)), said(3), *notices, late, redacted(said(6))]
    assert eve.pull(log)[0] == forms


def test_redaction_with_any_other_signature_is_refused(server: TeamServer, log: str) -> None:
    good = redaction(OTHER, 1, said(1), ADA)
    by_eve = redaction(OTHER, 1, said(1), EVE)
    of_another = redaction(OTHER, 1, said(2), ADA)
    signatures = [json.loads(line)["payload"]["signature"] for line in (good, by_eve, of_another)]
    for wrong in (*signatures[1:], "", "x", "0" * 128):
        forged = closed(good.replace(signatures[0].encode(), wrong.encode()))
        refused(server, "eve", log, forged, EVE)
    refused(server, "eve", log, by_eve, EVE)
    refused(server, "boss", log, by_eve, None)


def test_owner_of_one_of_two_lines_redacts_that_one_alone(server: TeamServer, log: str) -> None:
    eve, theirs = server.client("eve"), said(1, node=OTHER)
    assert push(eve, log, [theirs], EVE) == ["success"]
    notices = [redaction(OTHER, 2, said(1), EVE), redaction(OTHER, 3, theirs, EVE)]
    assert push(eve, log, notices, EVE) == ["rejected", "success"]
    assert is_redacted(server, log, theirs)
    assert not is_redacted(server, log, said(1))
    assert notices[0] not in eve.pull(log)[0]


def test_redaction_of_the_digest_of_another_event_is_refused(server: TeamServer, log: str) -> None:
    ada, line = server.client("ada"), said(2, "other")
    payload = {"event_id": json.loads(said(1))["event_id"], "line_sha256": digest(line).hex()}
    text = f"thence redaction 1\n{payload['event_id']} {payload['line_sha256']}".encode()
    payload |= {"public_key": public(ADA), "signature": ADA.sign(text).signature.hex()}
    mixed = written(NODE, 3, 3, payload, "log.redacted")
    assert push(ada, log, [line], ADA) == ["success"]
    assert push(ada, log, [mixed], ADA) == ["rejected"]
    assert ada.pull(log)[0] == [said(1), line]


def test_notices_are_not_redacted(server: TeamServer, log: str) -> None:
    ada = server.client("ada")
    notice = redaction(NODE, 2, said(1), ADA)
    assert push(ada, log, [notice], ADA) == ["success"]
    assert push(ada, log, [redaction(NODE, 3, notice, ADA)], ADA) == ["rejected"]
    assert ada.pull(log)[0] == [redacted(said(1)), notice]


@pytest.mark.both_engines
def test_line_is_signed_by_the_key_that_owns_its_node_and_by_no_other(
    server: TeamServer, log: str
) -> None:
    eve = server.client("eve")
    forged, own = said(2, "forged"), said(1, node=OTHER)
    assert push(eve, log, [forged, own], EVE) == ["success"] * 2
    assert eve.signed(log, [said(1), forged, own]) == [said(1), own]


@pytest.mark.parametrize("altered", ["key", "list", "order", "log", "team", "bytes"])
@pytest.mark.whole(rows=3)
def test_signature_of_anything_else_is_refused_and_nothing_is_stored(
    server: TeamServer, log: str, altered: str
) -> None:
    eve = server.client("eve")
    lines = [said(2, "a"), said(3, "b")]
    named = {"log": log, "team": "red"} | ({altered: "other"} if altered in ("log", "team") else {})
    signed = {"list": lines[:1], "order": lines[::-1], "bytes": [said(2, "A"), lines[1]]}
    header = signature(ADA, named["team"], named["log"], signed.get(altered, lines))
    if altered == "key":
        header = f"{public(ADA)} {signature(EVE, 'red', log, lines).split()[1]}"
    got = eve.push(log, lines, signature=header)
    assert (got.status, got.code) == (403, "sync_refused")
    assert eve.pull(log)[0] == [said(1)]


def test_header_that_is_no_signature_is_refused(server: TeamServer, log: str) -> None:
    ada = server.client("ada")
    good = signature(ADA, "red", log, [said(2)])
    for header in ("x", good[:-1], good.upper(), good.replace(" ", "  "), f"{good} {good}"):
        assert ada.push(log, [said(2)], signature=header).status == 400
    path = "/api/v1/events/batch/"
    body = b'{"events":[' + said(2) + b"]}"
    assert ada.ask("POST", path, body, X_Signature=good).status == 400, "it names no log"
    assert ada.pull(log)[0] == [said(1)]


@pytest.mark.both_engines
def test_push_that_another_login_repeats_changes_nothing(server: TeamServer, log: str) -> None:
    ada, eve = server.client("ada"), server.client("eve")
    lines = [said(2, "a"), redaction(NODE, 3, said(2, "a"), ADA)]
    header = signature(ADA, "red", log, lines)
    assert ada.statuses(log, lines, signature=header) == ["success"] * 2
    held = ada.pull(log)[0]
    assert eve.statuses(log, lines, signature=header) == ["duplicate"] * 2
    assert ada.pull(log)[0] == held
    other = f"{log}-other"
    got = eve.push(other, lines, signature=header)
    assert (got.status, got.code) == (403, "sync_refused")
    assert push(eve, other, lines) == ["success"] * 2, "a redaction counts whoever brings it"
    assert eve.signed(other, lines[:1]) == []
    bob = server.client("bob")
    assert bob.push(log, lines, signature=header).status == 403


def test_repeated_push_takes_no_body_though_digests_do_not_change(
    server: TeamServer, log: str
) -> None:
    ada, eve = server.client("ada"), server.client("eve")
    lines = [said(2, "a"), said(3, "b")]
    header = signature(ADA, "red", log, lines)
    bodiless = [redacted(lines[0]), lines[1]]
    first = eve.push(log, bodiless, signature=header)
    assert [result["status"] for result in first.json["results"]] == ["rejected", "success"]
    assert first.json["results"][0]["error"] == "body_missing"
    assert ada.statuses(log, lines, signature=header) == ["success", "duplicate"]
    assert eve.statuses(log, bodiless, signature=header) == ["duplicate"] * 2
    assert ada.pull(log)[0] == [said(1), lines[1], lines[0]]


def test_line_without_its_body_is_not_taken_unless_it_is_redacted(
    server: TeamServer, log: str
) -> None:
    ada, eve = server.client("ada"), server.client("eve")
    line, notice = said(2, "a"), redaction(NODE, 3, said(2, "a"), ADA)
    for client, key in ((eve, EVE), (eve, None), (ada, ADA)):
        assert push(client, log, [redacted(line)], key) == ["rejected"]
    assert push(ada, log, [notice], ADA) == ["success"], "the line is not here yet"
    assert push(eve, log, [line]) == ["success"]
    assert ada.pull(log)[0] == [said(1), notice, redacted(line)]
    both = [said(5, "b"), redaction(NODE, 4, said(5, "b"), ADA)]
    assert push(ada, log, [redacted(both[0]), both[1]], ADA) == ["success"] * 2
    assert ada.pull(log)[0][3:] == [redacted(both[0]), both[1]]


@pytest.mark.both_engines
def test_redaction_of_a_line_to_come_counts_for_lines_of_its_writer_alone(
    server: TeamServer, log: str
) -> None:
    ada, eve, line = server.client("ada"), server.client("eve"), said(2, "a")
    assert push(eve, log, [redaction(OTHER, 1, line, EVE)], EVE) == ["success"]
    assert push(eve, log, [redacted(line)], EVE) == ["rejected"]
    assert push(ada, log, [line], ADA) == ["success"]
    assert line in ada.pull(log)[0]


def test_line_that_a_colleague_relayed_is_signed_once_its_owner_brings_it(
    server: TeamServer, log: str
) -> None:
    ada, eve = server.client("ada"), server.client("eve")
    line, twin = said(2, "a"), closed(said(2, "a").replace(b"stranger.said", b"a.forged"))
    assert push(eve, log, [twin, line], EVE) == ["success"] * 2
    assert eve.signed(log, [line, twin]) == []
    assert relayed(ada, log) == {digest(line), digest(twin)}
    assert push(ada, log, [line], ADA) == ["duplicate"]
    assert eve.signed(log, [line, twin]) == [line]
    assert relayed(ada, log) == {digest(twin)}
    assert set(ada.pull(log)[0]) == {said(1), line, twin}


def relayed(client: Client, log: str) -> set[bytes]:
    """Returns what the server says of ada's lines that she did not push."""
    got = client.ask("GET", f"/api/v1/events?log={log}&key={public(ADA)}")
    joined = base64.b64decode(got.json.get("relayed", ""))
    return {joined[at : at + 32] for at in range(0, len(joined), 32)}


def closed(line: bytes) -> bytes:
    """Returns a line with a checksum that fits again."""
    data = line[: -len(',"crc":"00000000"}')]
    return data + b',"crc":"%08x"}' % crc32(data)


def test_former_owner_of_a_node_redacts_no_more_and_the_new_one_does(tmp_path: Path) -> None:
    node, log = "ada0ada0ada1", "moved"
    line, twin = said(1, node=node), said(2, node=node)
    with team_server(tmp_path / "data") as server:
        server.add("eve")
        ada, eve = server.client("ada"), server.client("eve")
        claim(eve, EVE, node)  # before ada could
        claim(ada, ADA, node)
        assert push(eve, log, [twin], EVE) == ["success"]
        assert push(ada, log, [line], ADA) == ["success"]
        assert ada.signed(log, [line, twin]) == [twin]
        notice = redaction(node, 3, line, ADA)
        assert push(ada, log, [notice], ADA) == ["rejected"]
        moved = ("server", "team", "claim", "red", node, public(ADA), "--data", str(server.data))
        assert thence(*moved, cwd=tmp_path).code == 0
        assert ada.signed(log, [line, twin]) == [], "until she brings them"
        early = redaction(node, 4, line, EVE)
        assert push(ada, log, [early]) == ["rejected"], "signed as she owned it"
        former = signature(EVE, "red", log, [twin])
        assert eve.statuses(log, [twin], signature=former) == ["duplicate"]
        assert push(eve, log, [redaction(node, 4, line, EVE)], EVE) == ["rejected"]
        assert push(ada, log, [line, notice], ADA) == ["duplicate", "success"]
        assert ada.signed(log, [line, twin]) == [line]
        assert ada.pull(log)[0] == [twin, redacted(line), notice]


def test_former_admin_redacts_no_more(tmp_path: Path) -> None:
    with team_server(tmp_path / "data") as server:
        server.add("boss", "red", "admin")
        ada, boss = server.client("ada"), server.client("boss")
        claim(ada, ADA, NODE)
        claim(boss, BOSS)
        assert push(ada, "log", [said(1)], ADA) == ["success"]
        early = redaction("b055b055b055", 1, said(2), BOSS)
        assert push(boss, "log", [early], BOSS) == ["success"], "the line is not here yet"
        with server.accounts() as accounts:
            accounts.remove_user("boss")
            accounts.add_user("boss", "red", "writer", lambda: "correct horse")
        boss = server.client("boss")
        claim(boss, BOSS)
        assert push(boss, "log", [redaction("b055b055b055", 2, said(1), BOSS)], BOSS) == [
            "rejected"
        ]
        assert push(ada, "log", [said(2)], ADA) == ["success"]
        assert ada.pull("log")[0] == [said(1), early, said(2)]
