"""Redaction: it reaches each clone if its key may, by whatever way its lines come."""

import shutil
from contextlib import closing
from pathlib import Path
from zlib import crc32

import pytest
from tests.codes import raises_code
from tests.events import notices
from tests.sync.plain_server import Connection, PlainServer
from thence.sync.authorship import check_right, redact
from thence.sync.wire.signatures import push_text, redaction_in, signed_push, signed_redaction
from thence.sync.wire.signing import SigningKey, is_signed, known_key, own_key

import thence
from thence.core.redaction import digests, redacted
from thence.log.open import OS_DISK
from thence.log.read.reader import raw_lines
from thence.sync.engine import SyncEngine
from thence.sync.outbox import key_of

SECRET = "swordfish"
_CRC = ',"crc":"00000000"}'
ADA, BEN = SigningKey(b"a" * 32), SigningKey(b"b" * 32)


def synced(log, server, key=None):
    with closing(SyncEngine(log, Connection(server), signer=key)) as engine:
        found = engine.round()
    assert found.error is None
    return found


def holds_secret(folder: Path) -> bool:
    files = (path for path in folder.rglob("*") if path.is_file())
    return any(SECRET.encode() in path.read_bytes() for path in files)


def twin_of(line, name):
    """Return a line with another type under the id of an event that was noted."""
    data = line.replace(b'"event_type":"noted"', b'"event_type":"%s"' % name)[: -len(_CRC)]
    return data + b',"crc":"%08x"}' % crc32(data)


@pytest.fixture
def team(tmp_path):
    """Two clones that hold a secret of the first, and their server."""
    server = PlainServer()
    with thence.open(tmp_path / "a") as a, thence.open(tmp_path / "b") as b:
        a.append("noted", {"text": SECRET}, subject="s")
        synced(a, server, ADA)
        b.append("begun")
        synced(b, server, BEN)
        assert holds_secret(tmp_path / "b")
        yield server, a, b


def secret_in(log):
    return next(event for event in log.events() if event.event_type == "noted")


@pytest.mark.promise("S10a")
def test_redaction_by_its_node_reaches_a_clone_that_held_the_line(team):
    server, a, b = team
    event = secret_in(a)
    assert redact(a, event, "a password", ADA).lines == 1
    assert not holds_secret(a.folder)
    synced(a, server, ADA)
    assert synced(b, server, BEN).taken_back == 1
    assert not holds_secret(b.folder)
    assert secret_in(b).payload == {}
    assert digests(secret_in(b).line).line == digests(event.line).line
    (notice,) = notices(b, "redacted")
    assert redaction_in(notice).reason == "a password"
    assert b.why(notice).chain[0].event_id == event.event_id
    assert b.relay([event.line]).known == 1
    assert not holds_secret(b.folder)
    assert (b.verify().ok, a.verify().ok) == (True, True)


@pytest.mark.promise("S10a")
def test_redaction_by_another_member_changes_nothing(team):
    server, a, b = team
    with raises_code("redaction_refused"):
        check_right(b, secret_in(b), BEN.public_key, server.keys(), is_synced=True)
    before = secret_in(b)
    redact(b, before, "to hide it", BEN)  # by a program that does not ask
    assert synced(b, server, BEN).parked == 1
    assert synced(a, server, ADA).taken_back == 0
    assert notices(a, "redacted") == []
    assert secret_in(a).payload == {"text": SECRET}
    server.admins.add(BEN.public_key)
    with closing(SyncEngine(b, Connection(server), signer=BEN)) as engine:
        assert "not yours" in engine.parked()[0].reason
        assert engine.retry_parked() == 1
        assert engine.round().is_complete
    assert synced(a, server, ADA).taken_back == 1


@pytest.mark.promise("S10a")
def test_redaction_by_an_admin_reaches_the_node_that_wrote_the_line(team):
    server, a, b = team
    server.admins.add(BEN.public_key)
    check_right(b, secret_in(b), BEN.public_key, server.keys(), is_synced=True)
    redact(b, secret_in(b), "", BEN)
    synced(b, server, BEN)
    assert synced(a, server, ADA).taken_back == 1
    assert SECRET not in a.current_file.read_text()
    assert secret_in(a).payload == {}


@pytest.mark.promise("S10a")
def test_backup_that_holds_the_line_loses_its_body_in_the_next_round(team, tmp_path):
    server, a, b = team
    shutil.copytree(b.folder, tmp_path / "backup")
    redact(a, secret_in(a), "", ADA)
    synced(a, server, ADA)
    with thence.open(tmp_path / "backup") as restored:
        assert secret_in(restored).payload
        synced(restored, server, BEN)
    assert not holds_secret(tmp_path / "backup")


@pytest.mark.promise("S10a")
def test_own_lines_alone_are_signed_also_those_that_a_colleague_brought_before(tmp_path):
    server = PlainServer()
    with thence.open(tmp_path / "a") as a, thence.open(tmp_path / "b") as b:
        made = a.append_many([{"event_type": "noted", "payload": {"n": n}} for n in range(1_100)])
        early, late = [event.line for event in made[:1_050]], [event.line for event in made[1_050:]]
        b.relay(early)  # as from the board's branch
        foreign = b'{"event_type":"t","event_id":"theirs","text":"x"}'
        a.relay([b.append("begun").line, foreign])
        assert synced(b, server, BEN).delivered == 1_051
        assert server.own == {
            key_of(event).digest for event in b.events() if event.line not in early
        }
        assert synced(a, server, ADA).duplicate == 1_050
        assert synced(a, server, ADA).duplicate == 0
        own = {key_of(event).digest for event in a.events() if event.line in {*early, *late}}
        assert own < server.own
        assert key_of(next(each for each in a.events() if each.is_foreign)).digest not in server.own
    assert server.claims.popitem()[1] in (ADA.public_key, BEN.public_key)


def test_signature_is_over_team_log_and_the_digests_in_their_order():
    digests = [bytes(32), b"1" * 32]
    push = signed_push(ADA, "red", "log", digests)
    assert is_signed(*push, push_text("red", "log", digests))
    for other in (
        push_text("blue", "log", digests),
        push_text("red", "other", digests),
        push_text("red", "log", digests[::-1]),
        push_text("red", "log", digests[:1]),
    ):
        assert not is_signed(*push, other)
    assert not is_signed(BEN.public_key, push.signature, push_text("red", "log", digests))
    assert not is_signed(ADA.public_key, "x", push_text("red", "log", digests))


def test_key_is_made_once_and_only_its_owner_may_read_it(tmp_path):
    assert known_key(tmp_path) is None
    made = own_key(tmp_path)
    assert own_key(tmp_path).public_key == made.public_key
    path = tmp_path / "signing.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(thence.errors.SyncRefused, match="others"):
        known_key(tmp_path)
    path.chmod(0o600)
    path.write_text("zz")
    with pytest.raises(thence.errors.SyncRefused, match="not a key"):
        own_key(tmp_path)


@pytest.mark.promise("S10a")
def test_body_that_nobody_may_have_taken_is_given_back_to_clones(team, tmp_path):
    server, a, b = team
    event = secret_in(a)
    with thence.open(tmp_path / "c") as c:
        c.relay([redacted(event.line)])  # by a member who changed the board's branch
        assert secret_in(c).payload == {}
        synced(c, server)
        assert secret_in(c).payload == {"text": SECRET}
        assert c.verify().ok
        assert synced(c, server).taken == 0
    assert secret_in(b).payload == {"text": SECRET}


@pytest.mark.promise("S10a")
def test_line_that_is_redacted_before_it_is_brought_goes_without_its_body(tmp_path):
    server = PlainServer()
    with thence.open(tmp_path / "a") as a:
        events = a.append_many([{"event_type": "noted", "payload": {"n": n}} for n in range(1_500)])
        for event in (events[0], events[-1]):
            redact(a, event, "", ADA)
        assert synced(a, server, ADA).is_complete
    assert set(server.redactions) == {key_of(events[0]).digest, key_of(events[-1]).digest}
    assert events[0].line not in server.lines
    assert redacted(events[-1].line) in server.lines


def test_notices_and_lines_of_other_tools_are_never_taken_back(team):
    server, a, b = team
    server.admins.add(ADA.public_key)
    redact(a, secret_in(a), "", ADA)
    (notice,) = notices(a, "redacted")
    foreign = b'{"event_type":"t","event_id":"theirs","text":"x"}'
    a.relay([foreign])
    for event in (notice, next(each for each in a.events() if each.is_foreign)):
        with raises_code("redaction_refused"):
            check_right(a, event, ADA.public_key, server.keys(), is_synced=True)
        digest = key_of(event).digest.hex()
        a.redactions.record("redacted", {"event_id": event.event_id, "line_sha256": digest})
    synced(a, server, ADA)
    assert synced(b, server, BEN).taken_back == 1
    assert foreign in [event.line for event in b.events()]
    assert notices(b, "redacted")[0].line == notice.line


@pytest.mark.promise("S10a")
def test_redaction_that_a_kill_cut_short_is_completed_by_the_next_round(team):
    server, a, b = team
    event = secret_in(a)
    facts = signed_redaction(ADA, event.event_id, key_of(event).digest, "").facts()
    a.redactions.record("redacted", facts)  # and then the process was killed
    assert synced(a, server, ADA).taken_back == 1
    assert not holds_secret(a.folder)
    assert synced(b, server, BEN).taken_back == 1
    assert redact(a, secret_in(a), "", ADA).lines == 0
    assert len(notices(a, "redacted")) == 1


@pytest.mark.promise("S10a")
def test_redaction_that_a_colleague_brings_first_counts(team):
    server, a, b = team
    redact(a, secret_in(a), "a password", ADA)
    (notice,) = notices(a, "redacted")
    b.relay([notice.line])  # as from the board's branch
    result = synced(b, server, BEN)
    assert (result.parked, len(server.redactions)) == (0, 1)
    assert synced(a, server, ADA).is_complete
    result = synced(b, server, BEN)
    assert (result.parked, result.taken_back) == (0, 1)
    assert not holds_secret(b.folder)


@pytest.mark.promise("S10a")
def test_redaction_that_another_forged_under_our_node_changes_nothing(team):
    server, a, b = team
    event = secret_in(a)
    data = (
        b'{"event_id":"01ZZZZZZZZZZZZZZZZZZZZZZZZ","event_type":"log.redacted","event_version":1,'
    )
    data += b'"timestamp":"2026-11-20T07:13:00.123456Z","node_id":"%s","seq":1,"lamport_clock":1,'
    data += b'"payload":{"event_id":"%s","line_sha256":"%s"}'
    data %= (event.node_id.encode(), event.event_id.encode(), key_of(event).digest.hex().encode())
    a.relay([data + b',"crc":"%08x"}' % crc32(data)])
    assert synced(a, server, ADA).parked == 1
    assert synced(b, server, BEN).taken_back == 0
    assert secret_in(a).payload == secret_in(b).payload == {"text": SECRET}


@pytest.mark.parametrize("is_indexed", [False, True])
def test_one_line_of_an_id_is_served_in_every_clone_whichever_came_first(team, is_indexed):
    server, a, b = team
    event_id, line = secret_in(a).event_id, secret_in(a).line
    if is_indexed:
        b.rebuild()
    for name in (b"a", b"b", b"c"):
        forged = twin_of(line, name)
        server.batch([forged])
        with thence.open(b.folder.parent / f"other-{name.decode()}") as other:
            other.relay([forged])  # here it comes first
            synced(other, server)
            served = other.get(event_id).line
        for log, key in ((b, BEN), (a, ADA)):
            assert synced(log, server, key).taken >= 1
            assert log.get(event_id).line == served
            assert [e.line for e in log.query() if e.event_id == event_id] == [served]
            assert [e.line for e in log.read() if e.event_id == event_id] == [served]
            assert {line, forged} <= {each for _, each, _ in raw_lines(OS_DISK, log.folder)}
    assert not b.verify().ok
