"""Large values between logs and a server: the pieces come before the lines, and go with them."""

from hashlib import sha256
from random import Random
from types import SimpleNamespace

import pytest
from tests.log.pruned import pruned
from tests.sync.fleet.fleet import Replica

import thence
from thence.core.redaction import Redaction, digests
from thence.log.blobs.blob_files import RawPiece, piece_line, piece_of, text_of
from thence.log.files.segment import BODIES
from thence.server.team.body_pieces import PIECE_COLUMNS
from thence.sync.engine import SyncEngine
from thence.sync.redactions import redact
from thence.sync.wire.messages import PIECES_BYTES_MAX

pytestmark = pytest.mark.usefixtures("engine")


def alone_with(server):
    """Returns what a network needs of a fleet: a server, and no chance."""
    return SimpleNamespace(server=server, random=Random(1))


class Closing(Replica):
    """A machine whose log closes a file after each event."""

    def open(self):
        self.log = thence.open(self.folder, bodies_from=1_024, max_file_size=1)
        self.engine = SyncEngine(self.log, self.network)


@pytest.fixture
def machines(tmp_path, server):
    alone = alone_with(server)
    made = [Replica(alone, tmp_path / name) for name in "ab"]
    yield made
    for machine in made:
        machine.close()


def synced(machine):
    report = machine.engine.round()
    assert report.error is None, report.error
    return report


def test_conversation_goes_both_ways_whole(machines):
    a, b = machines
    messages = [{"role": "system", "content": "be brief " * 300}]
    said = []
    for number in range(20):
        messages = [*messages, {"role": "user", "content": f"{number} " * 500}]
        said.append(a.log.append("asked", {"messages": messages, "n": number}))
    large = a.log.append("read", {"text": "é" * 400_000, "control": "\0" * 300_000})
    assert synced(a).left == 0
    assert synced(b).pulled == 21
    assert [event.payload for event in b.log.events()] == [e.payload for e in a.log.events()]
    assert b.log.get(large.event_id).payload["control"] == "\0" * 300_000
    assert b.log.verify().findings == ()
    answer = b.log.append("answered", {"messages": [*messages, "yes"]}, caused_by=said[-1])
    assert synced(b).left == 0
    assert synced(a).pulled == 1
    assert a.log.get(answer.event_id).payload["messages"][-1] == "yes"
    assert a.log.verify().findings == ()
    assert (b.folder / BODIES).stat().st_size < 1.2 * (a.folder / BODIES).stat().st_size


@pytest.mark.promise("A5")
def test_pruned_values_are_at_the_server_and_do_not_come_back(server, tmp_path):
    alone = alone_with(server)
    a, b = Closing(alone, tmp_path / "a"), Replica(alone, tmp_path / "b")
    words = [f"{number} " * 900 for number in range(8)]
    for text in words:
        a.log.append("told", {"text": text})
    a.log.append("noted")
    synced(a)
    pruned(a.log)
    assert not [event for event in a.log.events() if event.event_type == "told"]
    a.engine.close()
    for path in (a.folder / ".thence" / "sync").glob("outbox.db*"):
        path.unlink()
    a.close()
    a.open()
    assert synced(a).pulled == 0
    assert pieces_of(a.folder) == []
    assert a.log.verify().ok
    synced(b)
    told = [event.payload["text"] for event in b.log.events() if event.event_type == "told"]
    assert told == words
    again = b.log.append("told", {"text": words[0] + "and more"})
    synced(b)
    synced(a)
    assert a.log.get(again.event_id).payload == {"text": words[0] + "and more"}
    for machine in (a, b):
        machine.close()


def pieces_of(folder):
    return [line for line in (folder / BODIES).read_bytes().splitlines() if line]


@pytest.mark.promise("S10a")
def test_redaction_takes_values_everywhere_and_leaves_what_others_need(machines, server, tmp_path):
    a, b = machines
    secret = a.log.append("told", {"text": "only here " * 300})
    shared = a.log.append("told", {"text": "shared " * 300})
    kept = a.log.append("told", {"text": "shared " * 300 + "and more"})
    synced(a)
    synced(b)
    assert len(server.pieces()) == 3
    for event in (secret, shared):
        redact(a.log, event, "")
    synced(a)
    synced(b)
    third = Replica(alone_with(server), tmp_path / "c")
    synced(third)
    for machine in (a, b, third):
        assert len(pieces_of(machine.folder)) == 2 - (machine is third)
        assert b"only here" not in (machine.folder / BODIES).read_bytes()
        assert machine.log.get(secret.event_id).payload == {}
        assert machine.log.get(kept.event_id).payload == kept.payload
        assert machine.log.verify().findings == ()
    assert len(server.pieces()) == 2
    assert not any(b"only here" in one.data for one in server.pieces())
    third.close()


def test_pieces_that_went_before_their_line_came_are_brought_again(machines, server):
    a, b = machines
    real, lost = a.network.batch, []

    def batch(lines, *rest):
        if not lost:
            with server.database.writing() as connection:
                lost.extend(connection.execute("DELETE FROM body_pieces RETURNING size"))
        return real(lines, *rest)

    a.network.batch = batch
    events = [a.log.append("told", {"text": f"{n}" * 2_000}) for n in range(3)]
    a.log.append("told", {"text": "small"})
    report = synced(a)
    assert (len(lost), report.pushed, report.left) == (3, 1, 3)
    assert synced(a).pushed == 3
    synced(b)
    assert b.log.get(events[2].event_id).payload == {"text": "2" * 2_000}


def test_server_that_keeps_no_piece_blocks_no_line_without_large_values(machines, server):
    a, _ = machines
    a.network.push_pieces = lambda lines: len(lines)
    a.log.append("told", {"text": "a" * 2_000})
    a.log.append("told", {"text": "small"})
    report = a.engine.round()
    assert (report.pushed, report.left, report.parked) == (1, 1, 0)
    a.network.push_pieces = lambda lines: 0
    report = a.engine.round()
    assert report.error.code == "bad_answer"
    del a.network.push_pieces
    assert synced(a).left == 0


@pytest.mark.parametrize("how", ["changed", "cut", "other", "none", "longer"])
def test_spoilt_piece_is_asked_again_and_its_line_waits_for_it(machines, how):
    a, b = machines
    text = "x" * 300_000 + "the end"
    a.log.append("told", {"text": "small"})
    large = a.log.append("told", {"text": text})
    synced(a)
    real = b.network.pieces

    def pieces(places):
        def spoilt(line):
            raw = RawPiece(*piece_of(line))
            data, other = b"y" * len(raw.text), b"z" * 1_000
            if how == "changed":
                return piece_line(raw._replace(text=data))[:-1]
            if how == "longer":
                return piece_line(raw._replace(text=data + b"y"))[:-1]
            named = raw._replace(digest=sha256(other).hexdigest(), end=1_000, text=text_of(other))
            return line[:-9] if how == "cut" else piece_line(named)[:-1]

        return [] if how == "none" else [spoilt(line) for line in real(places)]

    b.network.pieces = pieces
    report = synced(b)
    assert (report.pulled, report.parked, report.is_complete) == (1, 1, False)
    assert [event.payload for event in b.log.read()] == [{"text": "small"}]
    [parked] = b.engine.outbox.parked()
    assert (parked.direction, parked.event_id) == ("pull", large.event_id)
    assert large.body_entries[0].digest[:16] in parked.reason
    b.network.pieces = real
    report = synced(b)
    assert (report.pulled, report.pushed, report.parked) == (1, 0, 0)
    assert b.log.get(large.event_id).payload == {"text": text}
    assert b.log.verify().findings == ()


@pytest.mark.promise("S12")
def test_value_that_the_server_has_lost_is_named_and_what_is_behind_it_is_taken(machines, server):
    a, b = machines
    events = [a.log.append("told", {"text": f"{n} " * 2_000}) for n in range(3)]
    a.log.append("told", {"text": "small"})
    synced(a)
    lost = events[1].body_entries[0].digest
    with server.database.writing() as connection:
        rows = connection.execute(
            "DELETE FROM body_pieces WHERE sha256 = :lost RETURNING *",
            {"lost": bytes.fromhex(lost)},
        )
    assert len(rows) == 1
    for _ in range(2):
        report = synced(b)
        assert (report.parked, report.is_complete) == (1, False)
        assert len(list(b.log.read())) == 3
    assert lost[:16] in b.engine.outbox.parked()[0].reason
    answer = b.log.append("told", {"text": "b " * 2_000})
    assert synced(b).pushed == 1
    with server.database.writing() as connection:
        connection.insert("body_pieces", ("team", "log", *PIECE_COLUMNS), rows)
    assert synced(b).parked == 0
    assert b.log.get(events[1].event_id).payload == events[1].payload
    assert synced(a).pulled == 1
    assert a.log.get(answer.event_id).payload == answer.payload


@pytest.mark.promise("S10a")
def test_line_that_waits_for_a_lost_value_loses_its_body_where_it_is_redacted(machines, server):
    a, b = machines
    event = a.log.append("told", {"text": "swordfish " * 2_000})
    synced(a)
    with server.database.writing() as connection:
        connection.execute("DELETE FROM body_pieces")
    assert synced(b).parked == 1
    redact(a.log, event, "")
    synced(a)
    synced(b)
    assert synced(b).parked == 0
    assert b.log.get(event.event_id).payload == {}
    assert b"swordfish" not in (b.folder / ".thence" / "sync" / "outbox.db").read_bytes()


def test_value_goes_on_what_the_log_has_though_it_is_cut_otherwise_there(machines, server):
    a, b = machines
    begin = "one and the same beginning " * 100
    a.log.append("told", {"text": begin})
    a.log.append("told", {"text": begin + "a" * 900})
    b.log.append("told", {"text": begin + "a" * 900 + "b" * 900})
    synced(a)
    synced(b)
    synced(a)
    texts = {begin, begin + "a" * 900, begin + "a" * 900 + "b" * 900}
    for machine in machines:
        assert {event.payload["text"] for event in machine.log.read()} == texts
        assert machine.log.verify().findings == ()


def test_secret_at_the_end_of_a_large_value_is_kept_back(machines, server):
    a, _ = machines
    a.log.append("told", {"text": "a word " * 500 + "AKIAIOSFODNN7EXAMPLB"})
    a.log.append("told", {"text": "another " * 500})
    report = synced(a)
    assert (report.pushed, report.parked) == (1, 1)
    [parked] = a.engine.outbox.parked()
    assert parked.is_secret
    assert not any(b"AKIA" in one.data for one in server.pieces())
    assert a.engine.outbox.let_out(parked.event_id) == 1
    assert synced(a).pushed == 1
    assert any(b"AKIA" in one.data for one in server.pieces())


def test_line_whose_value_is_damaged_is_parked_and_others_go(machines):
    a, b = machines
    first = a.log.append("told", {"text": "first " * 500})
    second = a.log.append("told", {"text": "second " * 500})
    whole = (a.folder / BODIES).read_bytes()
    (a.folder / BODIES).write_bytes(whole.replace(b"second second", b"second sEcond", 1))
    report = synced(a)
    assert (report.pushed, report.parked, report.left) == (1, 1, 0)
    assert "large value" in a.engine.outbox.parked()[0].reason
    (a.folder / BODIES).write_bytes(whole)
    assert a.engine.outbox.retry() == 1
    assert synced(a).pushed == 1
    synced(b)
    for event in (first, second):
        assert b.log.get(event.event_id).payload == event.payload


def test_pieces_go_in_bounded_requests(machines):
    a, b = machines
    sizes = []
    bring, give = a.network.push_pieces, b.network.pieces

    def brought(lines):
        sizes.append(sum(map(len, lines)))
        return bring(lines)

    def given(places):
        lines = give(places)
        sizes.append(sum(map(len, lines)))
        return lines

    a.network.push_pieces, b.network.pieces = brought, given
    for letter in "abcdefg":
        a.log.append("told", {"text": letter * 700_000})
    a.log.append("told", {"text": "h" * 3_000_000})
    synced(a)
    assert len(sizes) >= 5
    synced(b)
    assert len(sizes) >= 10
    assert max(sizes) <= PIECES_BYTES_MAX
    assert sum(len(event.payload["text"]) for event in b.log.read()) == 7_900_000


def test_redaction_that_did_not_count_gives_the_value_back(machines):
    a, b = machines
    event = a.log.append("told", {"text": "whose " * 500})
    synced(a)
    synced(b)
    stolen = b.log.redactions
    stolen.take_back([Redaction(event.event_id, digests(event.line).line.hex())])
    (b.folder / ".thence" / "redactions.json").unlink(missing_ok=True)
    assert b.log.get(event.event_id).payload == {}
    assert pieces_of(b.folder) == []
    synced(b)
    assert b.log.get(event.event_id).payload == event.payload
    assert b.log.verify().findings == ()
