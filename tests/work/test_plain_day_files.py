"""A project without git keeps its journal and its day files in `.kittify/`."""

from thence.work.journal.store import EventStore, WorkEvent


def note(folder, text):
    with EventStore.at(folder) as store:
        payload = {"wp_id": "WP01", "entry_type": "note", "entry_content": text}
        return store.append(WorkEvent("HistoryAdded", payload, "001-sync"))


def test_day_files_hold_what_was_appended_as_soon_as_a_command_ends(tmp_path):
    (tmp_path / ".kittify").mkdir()
    (tmp_path / "inner").mkdir()
    first = note(tmp_path, "one")
    second = note(tmp_path / "inner", "two")
    (day,) = (tmp_path / ".kittify" / "events").glob("*.jsonl")
    assert day.name == f"{first[0].timestamp[:10]}.jsonl"
    assert day.read_bytes().splitlines() == [first[0].line, second[0].line]
    with EventStore.at(tmp_path) as store:
        assert store.project.home == tmp_path / ".kittify" / ".thence"
        assert store.project.repo is None


def test_lines_of_others_in_a_day_file_stay_where_they_are(tmp_path):
    (event,) = note_in(tmp_path)
    (day,) = (tmp_path / ".kittify" / "events").glob("*.jsonl")
    day.write_bytes(b"another tool's\n" + event.line)
    (other,) = note(tmp_path, "two")
    assert day.read_bytes() == b"another tool's\n" + event.line + b"\n" + other.line + b"\n"


def note_in(folder):
    (folder / ".kittify").mkdir()
    return note(folder, "one")
