"""Taking back: a line's body goes from the log, and does not come in again."""

from pathlib import Path

from tests.log.committers import append_notice

from thence.core.redaction import Redaction, digests
from thence.log.files.segment import CURRENT
from thence.log.open import Log, open_log

SECRET = "swordfish"


def take_back(log: Log, event_id: str) -> int:
    event = log.get(event_id)
    return log.redactions.take_back([Redaction(event_id, digests(event.line).line.hex())])


def holds_secret(folder: Path) -> list[Path]:
    """Return the files below a folder in which the secret stands."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if SECRET.encode() in path.read_bytes()]


def test_body_that_is_taken_back_is_in_no_file_of_the_log(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        first = log.append("noted", {"password": SECRET}, subject="a")
        log.append("noted", {"n": 1}, caused_by=first)
        log.rebuild()
        quarantine = tmp_path / ".thence" / "quarantine"
        quarantine.mkdir()
        (quarantine / "events.jsonl-7-torn").write_bytes(b"x\n" + first.line[:-20] + b"\ny\n")
        assert holds_secret(tmp_path)
        assert take_back(log, first.event_id) == 2
        log.rebuild()
        assert not holds_secret(tmp_path)
        assert (quarantine / "events.jsonl-7-torn").read_bytes() == b"x\n\ny\n"
        assert not log.get(first.event_id).payload
        assert take_back(log, first.event_id) == 0
        after = log.append("noted", {"n": 2})
        assert [event.event_id for event in log.read()][-1] == after.event_id
        assert not log.verify().findings


def test_whole_line_that_comes_again_is_kept_without_its_body(tmp_path: Path) -> None:
    with open_log(tmp_path / "a") as log, open_log(tmp_path / "b") as other:
        event = log.append("noted", {"password": SECRET})
        other.relay([event.line])
        take_back(log, event.event_id)
        assert log.relay([event.line]).known == 1
        take_back(other, event.event_id)
        third = tmp_path / "c"
        with open_log(third) as empty:
            empty.append("noted")
            empty.redactions.take_back([Redaction(event.event_id, digests(event.line).line.hex())])
            assert empty.relay([event.line]).taken[0].payload == {}
    assert not holds_secret(tmp_path)


def test_damage_beside_a_redacted_line_is_reported_where_it_stands_now(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        first = log.append("noted", {"text": SECRET})
        with log.current_file.open("ab") as segment:
            segment.write(b"\xff damaged\n")
        log.append("noted")
        assert take_back(log, first.event_id) == 1
        (found,) = log.verify().findings
        segment_bytes = log.current_file.read_bytes()
        assert segment_bytes[found.offset :].startswith(b"\xff damaged\n")
        assert found.code == "bad_line"


def test_recorded_damage_beside_a_redacted_line_stays_recorded(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        first = log.append("noted", {"text": SECRET})
        start = log.current_file.stat().st_size
        with log.current_file.open("ab") as segment:
            segment.write(b"\xff damaged\n\xff again\n")
        log.append("noted")
        append_notice(tmp_path, "torn", {"file": CURRENT, "offset": start, "bytes": 17})
        assert take_back(log, first.event_id) == 1
        damage = log.verify()
        assert damage.ok
        assert [finding.code for finding in damage.findings] == ["torn", "torn"]
        segment_bytes = log.current_file.read_bytes()
        assert segment_bytes[damage.findings[0].offset :].startswith(b"\xff damaged\n")
