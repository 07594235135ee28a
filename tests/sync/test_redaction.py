"""Redaction and authorship: real logs of three logins, a real server, by whatever way lines come.

Ada and ben are writers of a team, boss is an admin of it.
"""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from zlib import crc32

import pytest
from tests.codes import raises_code
from tests.events import notices, stored
from tests.server.team.team_server import PASSWORD, TeamServer, team_server

import thence
from thence.core.redaction import digests, redacted, redaction_in
from thence.core.vocabulary import PLAIN
from thence.log.open import OS_DISK
from thence.log.read.reader import lines
from thence.sync.client import SyncClient, log_in
from thence.sync.credentials import CredentialStore
from thence.sync.engine import SyncEngine
from thence.sync.outbox import key_of
from thence.sync.redactions import check_right, left_to_others, redact
from thence.sync.target import SyncTarget

SECRET = "swordfish"
_CRC = ',"crc":"00000000"}'
_numbers = count()


class Team:
    """A log at a server, and the logins by which it is synced."""

    def __init__(self, server: TeamServer, folder: Path, logins):
        self.server, self._folder, self._logins = server, folder, logins
        self.log = f"log-{next(_numbers)}"

    def client(self, login):
        target = SyncTarget(self.server.url, "red", login, self.log, "plain", "")
        store = CredentialStore(self._folder / login)
        store.save(self._logins[login])
        return SyncClient(target, self._logins[login], store)

    @contextmanager
    def engine(self, log, login):
        with (
            closing(self.client(login)) as client,
            closing(SyncEngine(log, client)) as engine,
        ):
            yield engine

    def synced(self, log, login):
        with self.engine(log, login) as engine:
            found = engine.round()
        assert found.error is None
        return found

    def right(self, event, login):
        with closing(self.client(login)) as client:
            return client.node_owner(event.node_id)

    def lines(self):
        return self.server.client("ada").pull(self.log)[0]

    def push(self, login, lines):
        """Push lines as a program does that is no log; return their statuses."""
        return self.server.client(login).statuses(self.log, lines)


@pytest.fixture(scope="module")
def server(tmp_path_factory, address) -> Iterator[TeamServer]:
    with team_server(tmp_path_factory.mktemp("authors") / "data", address=address) as running:
        running.add("ben")
        running.add("boss", role="admin")
        yield running


@pytest.fixture(scope="module")
def logins(server):
    return {name: log_in(server.url, name, PASSWORD) for name in ("ada", "ben", "boss")}


@pytest.fixture
def team(server, logins, tmp_path):
    return Team(server, tmp_path / "config", logins)


@pytest.fixture
def clones(team, tmp_path):
    """Clones of ada and of ben that hold a secret of ada's."""
    with thence.open(tmp_path / "a") as a, thence.open(tmp_path / "b") as b:
        a.append("noted", {"text": SECRET}, subject="s")
        team.synced(a, "ada")
        b.append("begun")
        team.synced(b, "ben")
        assert holds_secret(tmp_path / "b")
        yield a, b


def holds_secret(folder: Path) -> bool:
    files = (path for path in folder.rglob("*") if path.is_file())
    return any(SECRET.encode() in path.read_bytes() for path in files)


def secret_in(log):
    return next(event for event in log.events() if event.event_type == "noted")


def twin_of(line, name):
    """Return a line with another type under the id of an event that was noted."""
    data = line.replace(b'"event_type":"noted"', b'"event_type":"%s"' % name)[: -len(_CRC)]
    return data + b',"crc":"%08x"}' % crc32(data)


def left(team, log, login):
    """Return what `sync status` names as waiting for others."""
    with team.engine(log, login) as engine:
        engine.outbox.update()
        return left_to_others(log, engine.outbox)


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_redaction_by_its_author_reaches_a_clone_that_held_the_line(team, clones):
    a, b = clones
    event = secret_in(a)
    assert redact(a, event, "a password") == 1
    assert not holds_secret(a.folder)
    assert team.synced(a, "ada").is_complete
    assert team.synced(b, "ben").redacted == 1
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
def test_redaction_by_another_member_changes_nothing(team, clones):
    a, b = clones
    before = secret_in(b)
    with raises_code("redaction_refused"):
        check_right(b, before, team.right(before, "ben"), is_synced=True)
    with raises_code("redaction_refused"):
        check_right(b, before, None, is_synced=True)
    redact(b, before, "to hide it")  # by a program that does not ask
    with team.engine(b, "ben") as engine:
        assert engine.round().parked == 1
        assert "only the login that owns the node" in engine.outbox.parked()[0].reason
    assert team.synced(a, "ada").redacted == 0
    assert notices(a, "redacted") == []
    assert secret_in(a).payload == {"text": SECRET}


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_admin_issues_a_redaction_that_reaches_who_wrote_the_line(team, clones, tmp_path):
    a, _ = clones
    with thence.open(tmp_path / "c") as c:
        team.synced(c, "boss")
        check_right(c, secret_in(c), team.right(secret_in(c), "boss"), is_synced=True)
        redact(c, secret_in(c), "")
        assert team.synced(c, "boss").is_complete
    assert team.synced(a, "ada").redacted == 1
    assert not holds_secret(a.folder)
    assert secret_in(a).payload == {}


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_redaction_by_another_is_never_in_the_outbox_and_is_named_until_it_counts(
    team, clones, tmp_path
):
    a, b = clones
    redact(a, secret_in(a), "a password")
    (notice,) = notices(a, "redacted")
    event_id = secret_in(a).event_id
    b.relay([notice.line])  # as from the board's branch
    found = team.synced(b, "ben")
    assert (found.is_complete, found.pushed) == (True, 0)
    assert left(team, b, "ben") == [event_id]
    assert notice.line not in team.lines()
    assert secret_in(b).payload == {"text": SECRET}
    with thence.open(tmp_path / "c") as c:  # an admin has it too, and issues one that counts
        team.synced(c, "boss")
        c.relay([notice.line])
        assert team.synced(c, "boss").is_complete
        assert left(team, c, "boss") == [event_id]
        redact(c, secret_in(c), "")
        assert team.synced(c, "boss").is_complete
        assert left(team, c, "boss") == []
    assert team.synced(b, "ben").redacted == 1
    assert left(team, b, "ben") == []
    assert not holds_secret(b.folder)
    assert team.synced(a, "ada").is_complete
    assert notice.line in team.lines()


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_own_redaction_that_another_brought_first_is_brought_by_its_author_too(team, tmp_path):
    with thence.open(tmp_path / "a") as a:
        a.append("begun")
        assert team.synced(a, "ada").is_complete
        event = a.append("noted", {"text": SECRET})
        redact(a, event, "")
        (notice,) = notices(a, "redacted")
        # as a program of ben's that knows no difference, from the board's branch
        assert team.push("ben", [notice.line]) == ["success"], "the line is not there yet"
        assert team.push("ben", [event.line]) == ["success"]
        assert event.line in team.lines(), "it does not count by ben"
        assert team.synced(a, "ada").is_complete
        assert event.line not in team.lines()
        assert redacted(event.line) in team.lines()
        assert team.synced(a, "ada").duplicate == 0, "it is brought once"


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_lines_of_another_are_brought_and_stay_of_who_wrote_them(team, tmp_path):
    with thence.open(tmp_path / "a") as a, thence.open(tmp_path / "b") as b:
        made = a.append_many([{"event_type": "noted", "payload": {"n": n}} for n in range(1_100)])
        b.append("begun")
        b.relay([event.line for event in made])
        assert team.synced(b, "ben").pushed == 1_101
        right = team.right(made[0], "ben")
        assert (right.owner, right.may_redact) == (None, False)
        assert team.synced(a, "ada").is_complete
        a.append("ended")
        assert team.synced(a, "ada").is_complete
        assert team.right(made[0], "ben").owner == "ada"
        redact(a, made[0], "")
        assert team.synced(a, "ada").is_complete
        assert team.synced(b, "ben").redacted == 1


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_node_of_another_login_is_told_to_a_copy_of_its_log(team, clones, tmp_path):
    a, _ = clones
    shutil.copytree(a.folder, tmp_path / "copy")
    with thence.open(tmp_path / "copy") as copy:
        copy.append("copied")
        assert team.synced(copy, "ben").is_complete
        event = secret_in(copy)
        right = team.right(event, "ben")
        assert (right.owner, right.may_redact) == ("ada", False)
        with raises_code("redaction_refused") as refused:
            check_right(copy, event, right, is_synced=True)
        assert "ada's" in refused.value.cause
    assert team.right(secret_in(a), "ada").may_redact


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_log_that_is_pulled_anew_belongs_to_its_login_still(team, clones, tmp_path):
    a, _ = clones
    with thence.open(tmp_path / "anew") as anew:
        team.synced(anew, "ada")
        event = secret_in(anew)
        check_right(anew, event, team.right(event, "ada"), is_synced=True)
        redact(anew, event, "")
        assert team.synced(anew, "ada").is_complete
    assert team.synced(a, "ada").redacted == 1


@pytest.mark.promise("S10a")
def test_body_that_nobody_may_have_taken_is_given_back_to_clones(team, clones, tmp_path):
    a, b = clones
    with thence.open(tmp_path / "c") as c:
        c.relay([redacted(secret_in(a).line)])  # by a member who changed the board's branch
        assert secret_in(c).payload == {}
        team.synced(c, "ben")
        assert secret_in(c).payload == {"text": SECRET}
        assert c.verify().ok
        assert team.synced(c, "ben").pulled == 0
    assert secret_in(b).payload == {"text": SECRET}


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_line_without_its_value_waits_for_its_author_and_keeps_no_other_behind(team, tmp_path):
    with thence.open(tmp_path / "a") as a, thence.open(tmp_path / "b") as b:
        event = a.append("noted", {"text": SECRET})
        redact(a, event, "")
        b.relay([redacted(event.line)])
        b.append("begun")
        assert team.synced(b, "ben").is_complete
        assert left(team, b, "ben") == [event.event_id]
        assert redacted(event.line) not in team.lines()
        assert team.synced(b, "ben").is_complete, "it is not tried again in each round"
        assert team.synced(a, "ada").is_complete
        assert redacted(event.line) in team.lines()
        assert team.synced(b, "ben").is_complete
        assert left(team, b, "ben") == []


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_redactions_go_last_and_redacted_lines_without_their_bodies(team, tmp_path):
    with thence.open(tmp_path / "a") as a:
        events = a.append_many([{"event_type": "noted", "payload": {"n": n}} for n in range(1_500)])
        for event in (events[0], events[-1]):
            redact(a, event, "")
        a.append("ended")
        assert team.synced(a, "ada").is_complete
        lines = team.lines()
        assert [event.line for event in notices(a, "redacted")] == lines[-2:]
    assert lines[0] == redacted(events[0].line)
    assert redacted(events[-1].line) in lines
    assert events[-1].line not in lines


def test_notices_and_lines_of_other_tools_are_never_taken_back(team, clones):
    a, b = clones
    redact(a, secret_in(a), "")
    (notice,) = notices(a, "redacted")
    foreign = b'{"event_type":"t","event_id":"theirs","text":"x"}'
    a.relay([foreign])
    for event in (notice, next(each for each in a.events() if each.is_foreign)):
        with raises_code("redaction_refused"):
            check_right(a, event, team.right(notice, "ada"), is_synced=True)
        digest = key_of(event).digest.hex()
        a.redactions.record("redacted", {"event_id": event.event_id, "line_sha256": digest})
    team.synced(a, "ada")
    assert team.synced(b, "ben").redacted == 1
    assert foreign in [event.line for event in b.events()]
    assert notices(b, "redacted")[0].line == notice.line


@pytest.mark.promise("S10a")
def test_redaction_that_a_kill_cut_short_is_completed_by_the_next_round(team, clones):
    a, b = clones
    event = secret_in(a)
    facts = {"event_id": event.event_id, "line_sha256": key_of(event).digest.hex()}
    a.redactions.record("redacted", facts)  # and then the process was killed
    assert team.synced(a, "ada").redacted == 1
    assert not holds_secret(a.folder)
    assert team.synced(b, "ben").redacted == 1
    assert redact(a, secret_in(a), "") == 0
    assert len(notices(a, "redacted")) == 1


@pytest.mark.promise("S10a")
@pytest.mark.parametrize("way", ["by git", "by the server"])
def test_redaction_that_another_forged_under_our_node_changes_nothing(team, clones, way):
    a, b = clones
    event = secret_in(a)
    data = (
        b'{"event_id":"01ZZZZZZZZZZZZZZZZZZZZZZZZ","event_type":"log.redacted","event_version":1,'
    )
    data += b'"timestamp":"2026-11-20T07:13:00.123456Z","node_id":"%s","seq":1,"lamport_clock":1,'
    data += b'"payload":{"event_id":"%s","line_sha256":"%s"}'
    data %= (event.node_id.encode(), event.event_id.encode(), key_of(event).digest.hex().encode())
    forged = data + b',"crc":"%08x"}' % crc32(data)
    if way == "by git":
        a.relay([forged])
    else:
        assert team.push("ben", [forged]) == ["rejected"]
    for _ in range(2):
        assert team.synced(a, "ada").is_complete
    assert (forged in stored(a.folder)) == (way == "by git")
    assert team.synced(b, "ben").redacted == 0
    assert secret_in(a).payload == secret_in(b).payload == {"text": SECRET}


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_own_redaction_survives_that_the_log_gets_another_node(team, clones):
    """As one does that was put back from a copy, before it has brought the redaction."""
    a, b = clones
    event = secret_in(a)
    redact(a, event, "")
    with team.engine(a, "ada") as engine:
        assert engine.outbox.pending() == 1
    data = b'{"event_id":"01ZZZZZZZZZZZZZZZZZZZZZZZY","event_type":"noted","event_version":1,'
    data += b'"timestamp":"2026-11-20T07:13:00.123456Z","node_id":"%s","seq":900,"lamport_clock":7'
    data %= event.node_id.encode()
    assert team.push("ben", [data + b',"crc":"%08x"}' % crc32(data)]) == ["success"]
    found = team.synced(a, "ada")
    assert (found.is_restored, found.is_complete) == (True, True)
    assert team.synced(b, "ben").redacted == 1
    assert not holds_secret(b.folder)


@pytest.mark.parametrize("is_indexed", [False, True])
def test_one_line_of_an_id_is_served_in_every_clone_whichever_came_first(team, clones, is_indexed):
    a, b = clones
    event_id, line = secret_in(a).event_id, secret_in(a).line
    if is_indexed:
        b.rebuild()
    for name in (b"a", b"b", b"c"):
        forged = twin_of(line, name)
        assert team.push("ben", [forged]) == ["success"]
        with thence.open(b.folder.parent / f"other-{name.decode()}") as other:
            other.relay([forged])  # here it comes first
            team.synced(other, "ben")
            served = other.get(event_id).line
        for log, login in ((b, "ben"), (a, "ada")):
            assert team.synced(log, login).pulled >= 1
            assert log.get(event_id).line == served
            assert [e.line for e in log.query() if e.event_id == event_id] == [served]
            assert [e.line for e in log.read() if e.event_id == event_id] == [served]
            assert {line, forged} <= {each.data for each in lines(OS_DISK, log.folder, PLAIN)}
    assert not b.verify().ok
