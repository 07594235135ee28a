"""Large values at a server: no line without them, and none for who may not read the line."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from tests.server.team.test_sync_service import service, statuses, with_teams

import thence
from thence.core.codec import close_line
from thence.core.event import Event
from thence.core.redaction import REDACTED, Redaction, digests
from thence.core.vocabulary import PLAIN
from thence.errors import InvalidEvent, VocabularyMismatch
from thence.log.blobs.blob_files import RawPiece, piece_line, text_of
from thence.log.files.segment import BODIES
from thence.server.team import body_pieces
from thence.server.team.store import Store
from thence.server.team.sync_service import SyncService

pytestmark = pytest.mark.usefixtures("engine")
SECRET = "swordfish"
COMMON = f"{SECRET} " * 300


class Writer:
    """A log with large values: its lines, and its pieces as they are brought."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = thence.open(folder, bodies_from=1_024)

    def said(self, *texts: str) -> list[bytes]:
        """Appends an event for each text; returns the lines."""
        return [self.log.append("told", {"text": text}).line for text in texts]

    def redaction(self, line: bytes) -> bytes:
        """Appends the redaction of a line; returns its own line."""
        event = Event(line, None, PLAIN)
        facts = Redaction(event.event_id, digests(line).line.hex()).facts()
        return self.log.redactions.record(REDACTED, facts, (event.event_id,)).line

    @property
    def pieces(self) -> list[bytes]:
        return (self.folder / BODIES).read_bytes().splitlines()


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "writer")


def names(lines: Sequence[bytes]) -> list[bytes]:
    """Returns the digests of all values that lines name."""
    entries = [entry for line in lines for entry in Event(line, None, PLAIN).body_entries]
    return [bytes.fromhex(entry.digest) for entry in entries]


def piece(data: bytes, before: bytes = b"", **wrong: object) -> bytes:
    """Returns the line of a piece behind the bytes before it, with some wrong members."""
    end, whole = len(before + data), before + data
    name = str(wrong.get("digest", sha256(whole).hexdigest()))
    raw = RawPiece(name, sha256(before).hexdigest() if before else "", end, text_of(data))
    return piece_line(raw._replace(end=int(str(wrong.get("end", end)))))[:-1]


def counted(database: object) -> int:
    with database.reading() as connection:  # type: ignore[attr-defined]
        return int(connection.execute("SELECT count(*) FROM body_pieces")[0][0])


def brought(found: SyncService, writer: Writer, log: str = "log", team: str = "red") -> None:
    for line in writer.pieces:
        assert found.keep_pieces(team, log, "plain", [line]) == 1


def test_nobody_learns_of_values_of_another_log_or_team(writer: Writer) -> None:
    found = service()
    lines = writer.said(COMMON)
    brought(found, writer)
    assert statuses(found, lines) == ["success"]
    digests = names(lines)
    for team, log in (("red", "other"), ("blue", "log"), ("blue", "other")):
        found.batch(team, log, "plain", [])
        assert found.lacking_pieces(team, log, digests) == (digests[0].hex(),)
        assert found.given_pieces(team, log, digests) == []
        results = found.batch(team, log, "plain", lines).results
        assert results[0].error == "bodies_missing", "a line that names a digest opens nothing"
        assert found.given_pieces(team, log, digests) == []
        behind = piece(b"x", COMMON.encode())
        assert found.keep_pieces(team, log, "plain", [behind]) == 0, "nor does what continues it"


@pytest.mark.parametrize(
    "wrong",
    [
        piece(b"body", digest=sha256(b"other").hexdigest()),
        piece(b"body", end=5),
        piece(b"body", end=3),
        piece(b"body", end=9_999_999_999),
        piece(b"y", b"body", digest=sha256(b"bodyx").hexdigest()),
        piece(b"y", b"body", end=6),
        piece(b""),
        piece(b"a" * (256 * 1024 + 1)),
        piece(b"body")[:-3] + b'0"}',
        b'{"sha256":"%s"}' % (b"0" * 64),
        close_line(b'{"sha256":"%b","bytes":4,"text":"\\ud800"' % (b"0" * 64))[:-1],
        b"[]",
        b"7",
    ],
)
@pytest.mark.whole(rows=6)
def test_piece_that_is_not_what_it_says_is_refused_with_all_beside_it(wrong: bytes) -> None:
    database = with_teams()
    found = SyncService(Store(database))
    with pytest.raises(InvalidEvent):
        found.keep_pieces("red", "log", "plain", [piece(b"body"), wrong])
    assert counted(database) == 0
    assert found.keep_pieces("red", "log", "plain", [piece(b"body"), piece(b"y", b"body")]) == 2


@pytest.mark.both_engines
def test_piece_that_stands_there_can_not_be_replaced(writer: Writer) -> None:
    database = with_teams()
    found = SyncService(Store(database))
    lines = writer.said("c" * 2_000)
    brought(found, writer)
    again = [piece(b"c" * 1_500), piece(b"c" * 500, b"c" * 1_500)]
    assert found.keep_pieces("red", "log", "plain", again) == 2
    assert counted(database) == 2, "the value stays one piece, the other one is of no line"
    assert statuses(found, lines) == ["success"]
    assert found.given_pieces("red", "log", names(lines)) == writer.pieces


def test_value_over_64_mib_or_in_too_many_pieces_is_refused(writer, monkeypatch):
    monkeypatch.setattr(body_pieces, "PAYLOAD_BYTES_MAX", 600_000)
    monkeypatch.setattr(body_pieces, "CHAIN_PIECES_MAX", 4)
    found = service()
    lines = writer.said("d" * 700_000, "e" * 500_000)
    with pytest.raises(InvalidEvent):
        found.keep_pieces("red", "log", "plain", writer.pieces[:3])
    assert found.keep_pieces("red", "log", "plain", writer.pieces[3:]) == 2
    results = found.batch("red", "log", "plain", lines).results
    assert [one.error for one in results] == ["bodies_refused", None]
    whole = b"abcdef"
    chain = [piece(whole[at : at + 1], whole[:at]) for at in range(6)]
    assert found.keep_pieces("red", "log", "plain", chain[:4]) == 4
    with pytest.raises(InvalidEvent):
        found.keep_pieces("red", "log", "plain", chain[4:])


def test_line_that_names_a_value_by_another_size_is_refused(writer: Writer) -> None:
    found = service()
    [line] = writer.said("f" * 2_000)
    brought(found, writer)
    data = line[: -len(',"crc":"00000000"}')].replace(b",2000]]", b",2001]]")
    assert data != line[: -len(',"crc":"00000000"}')]
    results = found.batch("red", "log", "plain", [close_line(data)[:-1]]).results
    assert (results[0].status, results[0].error) == ("rejected", "bodies_refused")


@pytest.mark.promise("S12")
@pytest.mark.parametrize(
    "pointer", ["/nope/x", "/", "/nope", "/text/0", "/number", "/map", "/list/0", "/map/none", "//"]
)
def test_line_whose_value_has_no_place_in_its_payload_is_refused_alone(writer, pointer):
    found = service()
    payload = {"text": "f" * 2_000, "number": 7, "map": {"in": "g" * 2_000}, "list": ["x"]}
    line = writer.log.append("told", payload).line
    [small] = writer.said("small")
    brought(found, writer)
    assert line.count(b'["/text",') == line.count(b'["/map/in",') == 1
    data = line[: -len(',"crc":"00000000"}')].replace(b'["/text",', b'["%b",' % pointer.encode())
    wrong = close_line(data)[:-1]
    results = found.batch("red", "log", "plain", [wrong, line, small]).results
    assert [one.status for one in results] == ["rejected", "success", "success"]
    assert results[0].error == "bodies_refused"
    assert f"{pointer} leads to neither text nor a list" in (results[0].error_message or "")
    assert found.page("red", "log").lines == [line, small]
    of_another_kind = found.batch("red", "run", "sim", [line]).results[0]
    assert (of_another_kind.status, of_another_kind.error) == ("rejected", "bodies_refused")


def test_pieces_make_the_log_and_are_of_its_kind() -> None:
    found = service()
    assert found.keep_pieces("red", "new", "plain", [piece(b"a")]) == 1
    with pytest.raises(VocabularyMismatch):
        found.keep_pieces("red", "new", "sim", [piece(b"a")])
    for name, kind in ((".dot", "plain"), ("log", "none")):
        with pytest.raises(InvalidEvent):
            found.keep_pieces("red", name, kind, [piece(b"a")])


@pytest.mark.promise("S10a")
def test_pieces_of_a_line_that_was_redacted_before_it_came_do_not_stay(writer: Writer) -> None:
    database = with_teams()
    found = SyncService(Store(database))
    [line] = writer.said("late " * 300)
    node = Event(line, None, PLAIN).node_id
    assert statuses(found, [writer.redaction(line)], nodes=[node]) == ["success"]
    brought(found, writer)
    assert statuses(found, [line]) == ["success"]
    assert counted(database) == 0
    assert b"body_sha256" in found.page("red", "log").lines[1]
