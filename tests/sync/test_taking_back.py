"""Taking back: a redaction reaches each clone if its key may, by whatever way its lines come."""

import shutil
from contextlib import closing
from pathlib import Path
from zlib import crc32

import msgspec
import pytest
from tests.sync.plain_server import Connection, PlainServer

import thence
from thence.core.values.codec import parse
from thence.core.values.digests import digests, redacted
from thence.core.values.vocabulary import PLAIN
from thence.core.wire.seals import SEAL, LinePlace, redaction_in, seal_in, sealed
from thence.errors import RedactionRefused
from thence.log.read.reader import raw_lines
from thence.replica import OS_DISK
from thence.signing import SigningKey, is_signed, known_key, own_key
from thence.sync.engine import SyncEngine
from thence.sync.held_lines import HeldLines, digest_of
from thence.sync.taking_back import check_right, take_back

SECRET = "swordfish"
_CRC = ',"crc":"00000000"}'
ADA, BEN = SigningKey(b"a" * 32), SigningKey(b"b" * 32)


class Impostor:
    """A key that names another one's public key as its own."""

    public_key = ADA.public_key

    def sign(self, text):
        return BEN.sign(text)


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


def notices(log, kind):
    return [event for event in log.events() if event.event_type == f"log.{kind}"]


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
    assert take_back(a, event, "a password", ADA).lines == 1
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
    with pytest.raises(RedactionRefused):
        check_right(b, secret_in(b), BEN.public_key, server.keys(), is_synced=True)
    before = secret_in(b)
    take_back(b, before, "to hide it", BEN)  # by a program that does not ask
    synced(b, server, BEN)
    assert synced(a, server, ADA).taken_back == 0
    assert len(notices(a, "redacted")) == 1
    assert secret_in(a).payload == {"text": SECRET}


@pytest.mark.promise("S10a")
def test_redaction_by_an_admin_reaches_the_node_that_wrote_the_line(team):
    server, a, b = team
    server.admins.add(BEN.public_key)
    check_right(b, secret_in(b), BEN.public_key, server.keys(), is_synced=True)
    take_back(b, secret_in(b), "", BEN)
    synced(b, server, BEN)
    assert synced(a, server, ADA).taken_back == 1
    assert SECRET not in a.current_file.read_text()
    assert secret_in(a).payload == {}


@pytest.mark.promise("S10a")
def test_backup_that_holds_the_line_loses_its_body_in_the_next_round(team, tmp_path):
    server, a, b = team
    shutil.copytree(b.folder, tmp_path / "backup")
    take_back(a, secret_in(a), "", ADA)
    synced(a, server, ADA)
    with thence.open(tmp_path / "backup") as restored:
        assert secret_in(restored).payload
        synced(restored, server, BEN)
    assert not holds_secret(tmp_path / "backup")


@pytest.mark.promise("S10a")
def test_every_own_line_is_sealed_once_and_seals_alone_make_none(tmp_path):
    server = PlainServer()
    with thence.open(tmp_path / "a") as log:
        log.append_many([{"event_type": "noted", "payload": {"n": n}} for n in range(2_100)])
        assert synced(log, server, ADA).sealed == 3
        assert synced(log, server, ADA).sealed == 0
        log.append("noted")
        assert synced(log, server, ADA).sealed == 1
        seals = [seal_in(event) for event in notices(log, SEAL)]
        assert [(seal.first, seal.last) for seal in seals] == [
            (1, 1024), (1025, 2048), (2049, 2100), (2101, 2104),
        ]  # fmt: skip
        assert all(is_signed(seal) for seal in seals)
        with closing(HeldLines(OS_DISK, log.folder, log.vocabulary)) as held:
            held.update()
            for seal in seals:
                numbers = held.notices.numbered(seal.node_id, seal.first, seal.last)
                (digest,) = numbers[seal.first]
                place = LinePlace(seal.node_id, seal.first, digest)
                assert len(seal.covered(numbers, [place])) == seal.count
                assert not seal.covered(numbers, [place._replace(digest=bytes(32))])
                without = {number: numbers[number] for number in list(numbers)[:-1]}
                assert not seal.covered(without, [place])
    assert server.claims == {seals[0].node_id: ADA.public_key}


def test_seal_by_a_forged_key_or_over_other_facts_is_not_signed(team):
    _, a, _ = team
    (seal,) = (seal_in(event) for event in notices(a, SEAL))
    assert is_signed(seal)
    for change in ({"count": 2}, {"public_key": BEN.public_key}, {"signature": "x"}):
        assert not is_signed(msgspec.structs.replace(seal, **change))


def test_key_is_made_once_and_only_its_owner_may_read_it(tmp_path):
    assert known_key(tmp_path) is None
    made = own_key(tmp_path)
    assert own_key(tmp_path).public_key == made.public_key
    path = tmp_path / "signing.key"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(thence.errors.SyncError, match="others"):
        known_key(tmp_path)
    path.chmod(0o600)
    path.write_text("zz")
    with pytest.raises(thence.errors.SyncError, match="no key"):
        own_key(tmp_path)


@pytest.mark.promise("S10a")
def test_body_that_nobody_may_have_taken_is_given_back_to_server_and_clones(team, tmp_path):
    _, a, b = team
    event, server = secret_in(a), PlainServer()
    server.batch([redacted(event.line)])  # by a member who had it from elsewhere
    with thence.open(tmp_path / "c") as c:
        synced(c, server)
        assert secret_in(c).payload == {}
        synced(b, server, BEN)
        assert SECRET in server.lines[0].decode()
        b.relay([a.append("noted").line])
        with closing(SyncEngine(b, Connection(server))) as engine:
            assert engine.pending() == 1
        assert synced(c, server).taken >= 1
        assert secret_in(c).payload == {"text": SECRET}
        assert c.verify().ok
        assert synced(c, server).taken == 0


@pytest.mark.promise("S10a")
def test_lines_that_are_forged_near_a_redaction_do_not_keep_it_from_its_effect(team):
    server, a, b = team
    take_back(a, secret_in(a), "", ADA)
    twins = [event.line for event in a.events()]
    for line in twins:
        for number in range(8):
            data = line[: -len(',"crc":"00000000"}')] + b',"forged":%d' % number
            server.batch([data + b',"crc":"%08x"}' % crc32(data)])
    synced(a, server, ADA)
    assert synced(b, server, BEN).taken_back >= 1
    whole = [event for event in b.read() if event.event_type == "noted" and event.payload]
    assert not [event for event in whole if "forged" not in event.members]


def test_notices_and_lines_of_other_tools_are_never_taken_back(team):
    server, a, b = team
    server.admins.add(ADA.public_key)
    (seal,) = notices(a, SEAL)
    foreign = b'{"event_type":"t","event_id":"theirs","text":"x"}'
    a.relay([foreign])
    for event in (seal, next(each for each in a.events() if each.is_foreign)):
        with pytest.raises(RedactionRefused):
            check_right(a, event, ADA.public_key, server.keys(), is_synced=True)
        digest = digest_of(event).hex()
        a.redactions.record("redacted", {"event_id": event.event_id, "line_sha256": digest})
    synced(a, server, ADA)
    assert synced(b, server, BEN).taken_back == 0
    assert foreign in [event.line for event in b.events()]


@pytest.mark.promise("S10a")
def test_redaction_that_a_kill_cut_short_is_completed_by_the_next_round(team):
    server, a, b = team
    event = secret_in(a)
    facts = {"event_id": event.event_id, "line_sha256": digest_of(event).hex()}
    a.redactions.record("redacted", facts)  # and then the process was killed
    assert synced(a, server, ADA).taken_back == 1
    assert not holds_secret(a.folder)
    assert synced(b, server, BEN).taken_back == 1
    assert take_back(a, secret_in(a), "", ADA).lines == 0
    assert len(notices(a, "redacted")) == 1


@pytest.mark.promise("S10a")
@pytest.mark.parametrize("is_indexed", [False, True])
def test_line_that_its_node_sealed_is_served_whatever_others_bring_under_its_id(team, is_indexed):
    server, a, b = team
    line = secret_in(a).line
    if is_indexed:
        b.rebuild()
    forged = twin_of(line, b"a")
    assert forged < line, "without the seal it would be served"
    server.batch([forged])
    event = parse(forged, PLAIN)
    numbered = [(event.seq, digest_of(event))]
    b.redactions.record(SEAL, sealed(event.node_id, numbered, b"", Impostor()).facts())
    for log, key in ((b, BEN), (a, ADA)):
        assert synced(log, server, key).taken >= 1
        assert secret_in(log).line == line
        assert log.get(secret_in(log).event_id).line == line
        assert [event.line for event in log.query(type="noted")] == [line]
        assert forged in [each for _, each, _ in raw_lines(OS_DISK, log.folder)]
    assert not b.verify().ok
    server.claims.clear()
    with thence.open(b.folder.parent / "c") as c:
        synced(c, server)
        assert c.get(secret_in(b).event_id).line == forged


@pytest.mark.promise("S10a")
@pytest.mark.parametrize("is_forgotten", [False, True])
def test_sealed_line_is_served_though_its_twin_came_beside_sync(team, tmp_path, is_forgotten):
    server, a, _ = team
    line = secret_in(a).line
    forged = [twin_of(line, name) for name in (b"a", b"b")]
    with thence.open(tmp_path / "c") as c:
        c.relay([line, forged[0]])  # as from the board's branch
        synced(c, PlainServer())
        assert c.get(secret_in(a).event_id).line == forged[0]
        if is_forgotten:
            (tmp_path / "c" / ".thence" / "sync" / "held.db").unlink()
        synced(c, server)
        assert c.get(secret_in(a).event_id).line == line
        assert synced(c, server).taken == 0
        c.relay([forged[1]])
        synced(c, server)
        assert c.get(secret_in(a).event_id).line == line
    assert sorted(forged) < [line]


@pytest.mark.promise("S10a")
def test_seal_that_its_key_did_not_sign_proves_nothing(team):
    server, a, b = team
    take_back(b, secret_in(b), "to hide it", Impostor())
    synced(b, server)
    assert synced(a, server, ADA).taken_back == 0
    assert secret_in(a).payload == {"text": SECRET}
