"""A project's journal as its programs meet it: store, decorators, refusals, clock, index."""

import inspect
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import click
import pytest
from click.testing import CliRunner
from tests.codes import raises_code
from tests.git.repositories import git

import thence
from thence.errors import InvalidEvent
from thence.log.files.disk import Disk
from thence.work import ErrorStore, EventStore, WorkEvent, with_error_store, with_event_store

SLUG = "001-sync"


def clock_of(folder):
    return json.loads((folder / ".kittify/clock.json").read_bytes())


def note(text="a note", wp_id="WP01", **more):
    payload = {"wp_id": wp_id, "entry_type": "note", "entry_content": text}
    return WorkEvent("HistoryAdded", payload, SLUG, **more)


def given(agent, **more):
    payload = {"wp_id": "WP01", "agent_id": agent, "phase": "implementation"}
    return WorkEvent("WPAssigned", payload, SLUG, **more)


@pytest.fixture
def store(folder):
    with EventStore.at(folder) as opened:
        yield opened


@pytest.mark.promise("P4")
def test_all_folders_and_worktrees_of_a_project_share_one_journal(folder, tmp_path):
    (folder / "deep" / "inner").mkdir(parents=True)
    tree = tmp_path / "tree é"
    git(folder, "worktree", "add", "--quiet", "--detach", tree)
    for place in (folder, folder / "deep" / "inner", tree):
        with EventStore.at(place) as store:
            store.append(note(str(place)))
            home = store.project.home
    with EventStore.at(folder) as store:
        assert [event.payload["entry_content"] for event in store.read()] == [
            str(folder),
            str(folder / "deep" / "inner"),
            str(tree),
        ]
        assert store.project.home == home
        assert home.parent == folder / ".git" / "thence"


@pytest.mark.promise("P4")
def test_events_of_a_store_share_a_correlation_and_those_of_an_append_a_causation(store):
    (alone,) = store.append(note())
    pair = store.append(note(), note(wp_id="WP02"))
    correlations = {event.header.correlation_id for event in (alone, *pair)}
    assert correlations == {store.correlation_id}
    assert alone.header.causation_id is None
    assert len({event.header.causation_id for event in pair}) == 1
    assert pair[0].header.causation_id is not None


def test_event_names_what_it_is_told_what_is_around_and_the_heads_of_its_subject(store):
    (spec,) = store.append(note("spec", "WP09"))
    (around,) = store.append(note("around", "WP08"))
    (first,) = store.append(given("ada"))
    (remark,) = store.append(note("a remark, which decides nothing"))
    assert remark.caused_by == (first.event_id,)
    with thence.because(around):
        second, third = store.append(given("bob", caused_by=(spec.event_id,)), given("ada"))
    assert second.caused_by == (spec.event_id, around.event_id, first.event_id)
    assert third.caused_by == (around.event_id, second.event_id)
    assert {each.event_id for each in store.log.heads(third.subject)} == {
        remark.event_id,
        third.event_id,
    }


def test_event_that_decides_beside_remarks_has_the_index_asked_not_the_journal_read(
    folder, monkeypatch
):
    with EventStore.at(folder) as store:
        store.append(note("before all"), *(given(str(number)) for number in range(500)))
        size_bytes = (store.project.home / "events.jsonl").stat().st_size
    pieces = []

    def read_at(disk, descriptor, offset, size, real=Disk.read_at):
        pieces.append(real(disk, descriptor, offset, size))
        return pieces[-1]

    with EventStore.at(folder) as store:
        (first,) = store.append(given("ada"))
        store.append(note("which decides nothing"))
        monkeypatch.setattr(Disk, "read_at", read_at)
        (second,) = store.append(given("bob"))
        read_bytes = sum(map(len, pieces))
        assert second.caused_by == (first.event_id,)
        assert 0 < read_bytes < size_bytes / 4
        assert len(store.read()) == 504
        assert sum(map(len, pieces)) > size_bytes, "what is read in another way would be missed"


def test_store_takes_one_cause_or_several_and_refuses_a_text_that_is_none(store):
    (first,) = store.append(note("one", "WP07"))
    with (store.project.home / "events.jsonl").open("ab") as file:
        file.write(b'{"event_id":"order-7","event_type":"imported"}\n')
    for number, causes in enumerate((first, first.event_id, [first], iter((first.event_id,)))):
        (made,) = store.append(note("more", f"WP1{number}", caused_by=causes))
        assert made.caused_by == (first.event_id,)
    (made,) = store.append(note("more", "WP20", caused_by="order-7"))
    assert made.caused_by == ("order-7",)
    with pytest.raises(InvalidEvent, match="'order-8'"):
        store.append(note(caused_by=["order-7", "order-8"]))


@pytest.mark.promise("L2")
def test_event_that_is_none_is_refused_whole(store):
    with pytest.raises(InvalidEvent, match="entry_type"):
        store.append(
            note(), WorkEvent("HistoryAdded", {"wp_id": "WP01", "entry_content": "x"}, SLUG)
        )
    assert store.read() == []


def test_store_that_is_only_read_makes_no_journal(folder):
    with EventStore.at(folder) as store:
        assert store.read() == []
        assert not store.is_there
        assert not store.project.home.exists()


@pytest.mark.promise("L6")
def test_command_gets_its_store_without_showing_it(folder, monkeypatch):
    @click.command()
    @click.argument("text")
    @with_event_store
    def keep(text, event_store):
        """Keep a note."""
        event_store.append(note(text))

    monkeypatch.chdir(folder)
    assert CliRunner().invoke(keep, ["kept"], catch_exceptions=False).exit_code == 0
    helped = CliRunner().invoke(keep, ["--help"]).output
    assert "store" not in helped
    assert "Keep a note." in helped
    with EventStore.at(folder) as store:
        assert [event.payload["entry_content"] for event in store.read()] == ["kept"]


@pytest.mark.promise("L6")
@pytest.mark.parametrize(
    ("decorator", "store", "keyword"),
    [
        (with_event_store, EventStore, "event_store"),
        (with_error_store, ErrorStore, "error_store"),
    ],
)
def test_store_is_hidden_from_the_signature_and_its_project_is_looked_for_if_none_is_given(
    decorator, store, keyword, folder, tmp_path, monkeypatch
):
    @decorator
    def command(name: str, *, event_store=None, error_store=None):
        return event_store or error_store

    assert keyword not in inspect.signature(command).parameters
    own = store.at(folder)
    monkeypatch.chdir(tmp_path)
    assert command("x", **{keyword: own}) is own
    with raises_code("not_a_project"):
        command("x", **{keyword: None})
    monkeypatch.chdir(folder)
    assert isinstance(command("x"), store)


@pytest.mark.promise("L8")
def test_refusals_are_lines_of_their_day_the_newest_first(folder):
    errors = ErrorStore.at(folder)
    for number in range(3):
        errors.add(
            "subtasks_open",
            entity_id=f"{SLUG}/WP0{number}",
            attempted_operation="move-task",
            reason="T001 is open",
            context={"remedy": "tick it"},
        )
    (day,) = (folder / ".kittify" / "errors").iterdir()
    with day.open("ab") as file:
        file.write(b"another program's line\n")
    found = errors.recent(2)
    assert [record.entity_id for record in found] == [f"{SLUG}/WP02", f"{SLUG}/WP01"]
    assert day.name == f"{found[0].timestamp[:10]}.jsonl"
    assert set(json.loads(day.read_bytes().splitlines()[0])) == {
        "error_id",
        "error_type",
        "entity_id",
        "attempted_operation",
        "reason",
        "timestamp",
        "context",
    }


@pytest.mark.promise("L8")
def test_file_of_refusals_that_can_not_be_read_is_passed_over_and_told(folder):
    errors = ErrorStore.at(folder)
    kept = errors.add("x", entity_id="y", attempted_operation="z", reason="r")
    kittify = folder / ".kittify" / "errors"
    (kittify / "2025-01-01.jsonl").mkdir()
    os.mkfifo(kittify / "2025-01-02.jsonl")
    (kittify / "2025-01-03.jsonl").symlink_to("gone")
    (kittify / "2025-01-04.jsonl").write_bytes(b'\xff\xfe{"error_id":"\xff"}\n\x00\n[]\n')
    told = []
    assert errors.recent(report=told.append) == [kept]
    assert [words.partition(" was skipped: ")[0][-16:-6] for words in told] == [
        "2025-01-03",
        "2025-01-02",
        "2025-01-01",
    ]
    for words, reason in zip(told, ("symbolic link", "neither a file", "directory"), strict=True):
        assert reason in words
    assert errors.recent() == [kept]


def test_reason_of_any_length_makes_one_line(folder):
    errors = ErrorStore.at(folder)
    errors.add("x", entity_id="y", attempted_operation="z", reason="é\n" * 100_000)
    (day,) = (folder / ".kittify" / "errors").iterdir()
    assert day.read_bytes().count(b"\n") == 1
    assert errors.recent()[0].reason.startswith("é\n")


@pytest.mark.promise("L4")
@pytest.mark.parametrize(
    "spoilt",
    [
        None,
        b"",
        b"no JSON",
        b'{"value":-5,"node_id":"0123456789ab","last_updated":"x"}',
        b'{"value":9007199254740991,"node_id":"0123456789ab","last_updated":"2027-01-01"}',
        "a folder",
    ],
    ids=["lost", "empty", "corrupt", "negative", "far ahead", "folder"],
)
def test_clock_goes_on_from_the_journal_whatever_stands_in_its_file(folder, spoilt):
    path = folder / ".kittify" / "clock.json"
    with EventStore.at(folder) as store:
        (first,) = store.append(note())
    assert (first.lamport_clock, first.seq) == (1, 1)
    assert clock_of(folder)["value"] == 1
    path.unlink()
    if spoilt == "a folder":
        path.mkdir()
    elif spoilt is not None:
        path.write_bytes(spoilt)
    with EventStore.at(folder) as store:
        (second,) = store.append(note())
    assert (second.lamport_clock, second.seq) == (2, 2)
    if spoilt != "a folder":
        clock = clock_of(folder)
        assert (clock["value"], clock["node_id"]) == (2, second.node_id)


@pytest.mark.promise("L4")
def test_clock_holds_the_last_value_of_commands_that_end_at_once(folder):
    program = (
        "import sys\n"
        "from tests.work.test_stores import note\n"
        "from thence.work import EventStore\n"
        "with EventStore.at('.') as store:\n"
        "    for number in range(20): store.append(note(str(number)))\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    env = {**os.environ, "PYTHONPATH": root}
    EventStore.at(folder).close()
    running = [
        subprocess.Popen([sys.executable, "-c", program], cwd=folder, env=env) for _ in range(4)
    ]
    assert [process.wait(60) for process in running] == [0] * 4
    with EventStore.at(folder) as store:
        clocks = [event.lamport_clock for event in store.read()]
    assert clocks == list(range(1, 81))
    assert clock_of(folder)["value"] == 80


def noted(folder, text):
    with EventStore.at(folder) as store:
        store.append(note(text))
        return store.project.home / ".thence" / "index.db"


def counted(folder):
    """Counts the events as another program would, by the index alone."""
    path = folder / ".kittify" / "events" / "index.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT count(*) FROM events").fetchone()[0]


def asked(folder):
    with EventStore.at(folder) as store:
        return store.query(type="HistoryAdded", limit=1).total


@pytest.mark.promise("L1", "L12")
@pytest.mark.parametrize("which", ["none", "link", "index", "both", "spoilt", "folder"])
def test_index_follows_each_command_and_may_vanish_at_any_moment(folder, which):
    made = noted(folder, "one")
    assert counted(folder) == 1
    assert git(folder, "status", "--porcelain", "--untracked-files=all").count("index.db") == 0
    link = folder / ".kittify" / "events" / "index.db"
    if which in ("link", "both"):
        link.unlink()
    if which in ("index", "both"):
        made.unlink()
    if which == "spoilt":
        made.write_bytes(b"no database")
    if which == "folder":
        git(folder, "clean", "--quiet", "-fdx")
    assert asked(folder) == 1
    noted(folder, "two")
    assert (counted(folder), asked(folder)) == (2, 2)


def test_file_of_another_program_under_the_name_stays(folder):
    link = folder / ".kittify" / "events" / "index.db"
    link.parent.mkdir(parents=True)
    link.write_bytes(b"another program's")
    noted(folder, "one")
    assert link.read_bytes() == b"another program's"
    assert asked(folder) == 1
