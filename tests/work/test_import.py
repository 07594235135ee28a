"""`work import`: old history comes into the log once, and what could not be read is told."""

import json

import pytest
from tests.git.repositories import content, git, make_repository, write
from tests.work.boards import clone, on_remote
from tests.work.existing_projects import (
    DAY,
    FOLDER,
    SECOND,
    SLUG,
    events,
    existing,
    foreign_line,
    moved,
)

from thence.cli.commands.work.looking import status
from thence.cli.commands.work.moving import move_task
from thence.cli.commands.work.planning import add, finalize_tasks, setup_spec
from thence.cli.commands.work.sharing import import_history, publish
from thence.work.session.session import Session

CONFIG = "project_uuid: 00000000-0000-4000-8000-000000000001\n"
META_OF_GONE = '{"target_branch": "2.x"}'
BROKEN = "---\nwork_package_id: WP01\nlane: [doing\n---\n"


def imported(repo, **options):
    """Import, and return what the command says with --json."""
    with Session(repo) as session:
        return import_history(session, None, **options).as_json()


def lane(repo, slug, wp_id="WP01"):
    """Return the lane of a package as the board shows it."""
    with Session(repo) as session:
        return session.refresh().features[slug].packages[wp_id].lane


def test_history_comes_in_once_with_its_source(tmp_path):
    repo = existing(tmp_path / "r")
    first = imported(repo)
    assert first["features"] == {SLUG: len(events(repo))}
    assert {event.header.source for event in events(repo)} == {"kitty-specs"}
    keys = [event.header.source_id for event in events(repo)]
    assert len(set(keys)) == len(keys)
    moves = [
        (event.timestamp, event.header.actor, event.payload["new_status"])
        for event in events(repo)
        if event.event_type == "WPStatusChanged" and event.payload["wp_id"] == "WP01"
    ]
    assert moves == [
        ("2025-11-20T11:00:00.000000Z", "ada", "doing"),
        ("2025-11-20T13:00:00.000000Z", "bob", "for_review"),
    ]

    again = imported(repo)
    assert again["features"] == {SLUG: 0}
    assert again["events"] == []
    assert [event.header.source_id for event in events(repo)] == keys


def test_line_that_was_added_since_comes_in_at_the_next_import(tmp_path):
    repo = existing(tmp_path / "r")
    imported(repo)
    path = repo / FOLDER / "tasks" / "WP01-first.md"
    path.write_text(path.read_text() + "- 2025-11-21T09:00:00Z – bob – lane=for_review – Fine\n")
    assert imported(repo)["features"] == {SLUG: 1}
    assert events(repo)[-1].payload["entry_content"] == "Fine"


def test_dry_run_tells_the_same_and_appends_nothing(tmp_path):
    lines = "\n".join((moved(1, "planned", "doing"), "not json"))
    repo = existing(tmp_path / "r")
    write(repo, {DAY: lines})
    would = imported(repo, is_dry=True)
    assert [event.line.decode() for event in events(repo)] == lines.splitlines()[:1]
    did = imported(repo)
    assert (would["lines"], did["lines"]) == (1, 0), "any command takes in what stands there"
    keys = ("features", "unread", "bad_lines")
    assert [would[key] for key in keys] == [did[key] for key in keys]


def test_feature_that_was_begun_here_brings_nothing(tmp_path):
    repo = make_repository(tmp_path / "r")
    with Session(repo) as session:
        setup_spec(session, "Sync of logs")
        add(session, "By hand")
    before = events(repo)
    assert imported(repo)["features"] == {}
    assert events(repo) == before


def test_what_could_not_be_read_is_told_with_file_and_line(tmp_path):
    repo = existing(tmp_path / "r")
    day = "\r\n".join(("\ufeff<<<<<<< HEAD", moved(1, "planned", "doing"), "=======", '{"a": 1}'))
    log = "## Activity Log\n- a bullet without a time\n- 2025-11-20T10:00:00Z – x – lane=odd – y\n"
    write(
        repo,
        {
            f"{FOLDER}/meta.json": "{",
            f"{FOLDER}/tasks/WP01-first.md": BROKEN,
            f"{FOLDER}/tasks/WP03-third.md": log,
            f"{FOLDER}/tasks.md": "# no headings\n",
            DAY: day,
        },
    )
    with Session(repo) as session:
        result = import_history(session, None)
    unread = [(each["file"], each["line"]) for each in result.data["unread"]]
    assert unread == [
        (f"{FOLDER}/meta.json", 1),
        (f"{FOLDER}/tasks.md", 1),
        (f"{FOLDER}/tasks/WP01-first.md", 4),
        (f"{FOLDER}/tasks/WP03-third.md", 2),
        (f"{FOLDER}/tasks/WP03-third.md", 3),
        (DAY, 1),
        (DAY, 3),
        (DAY, 4),
    ]
    assert result.exit_code == 3
    assert result.lines[-1] == "not read: 8 parts of 5 files; -v or --json names them"
    with Session(repo) as session:
        detailed = import_history(session, None, is_detailed=True)
    assert f"not read: {DAY}:4: the line is JSON without an event_id" in detailed.lines
    assert lane(repo, SLUG, "WP02") == "doing", "the rest is brought"
    assert lane(repo, "030-log") == "doing"


def test_file_in_the_folder_of_a_lane_is_gone_on_with(tmp_path):
    repo = existing(tmp_path / "r")
    imported(repo)
    path = f"{FOLDER}/tasks/doing/WP02-second.md"
    with Session(repo, actor="ben") as session:
        finalize_tasks(session, SLUG)
        move_task(session, "WP02", "rejected", feature=SLUG, reason="not needed")
    assert content(repo, path) == SECOND.encode(), "a file without a lane gets none"
    made = git(repo, "ls-tree", "-r", "--name-only", "main", f"{FOLDER}/tasks").splitlines()
    assert [each for each in made if "WP02" in each] == [path]


MISSION = "write-surface-coherence-01KVTVZS"


def test_mission_without_a_number_keeps_its_slug(tmp_path):
    folder = f"kitty-specs/{MISSION}"
    status = {"event_id": "01KVTVZS0000000000000000AA", "at": "2026-01-02T03:04:05Z"}
    status |= {"wp_id": "WP01", "actor": "ada", "from_lane": "planned", "to_lane": "claimed"}
    repo = existing(
        tmp_path / "r",
        **{
            f"{folder}/meta.json": '{"mission_type": "research", "target_branch": "main"}',
            f"{folder}/tasks.md": "## Work Package WP01: First\n",
            f"{folder}/status.events.jsonl": json.dumps(status) + "\n",
        },
    )
    assert MISSION in imported(repo)["features"]
    assert lane(repo, MISSION) == "doing"
    with Session(repo) as session:
        for name in (MISSION, "write-surface-coherence", "write"):
            session.refresh()
            assert session.feature(name).slug == MISSION
        feature = session.board.features[MISSION]
    assert (feature.title, feature.number) == ("write surface coherence", "")


def test_folder_that_no_feature_can_be_is_named(tmp_path):
    odd = "kitty-specs/Not_A_Feature"
    files = {f"{odd}/{number}/x.md": "x\n" for number in range(3)}
    repo = existing(tmp_path / "r", **files, **{"kitty-specs/README.md": "# All\n"})
    with Session(repo) as session:
        result = import_history(session, None)
    assert result.exit_code == 3
    (line,) = (each for each in result.lines if each.startswith("not read: "))
    assert line.startswith(f"not read: {odd}: the folder is not named like 028-sync")


def test_many_features_are_one_line_with_a_count(tmp_path):
    plans = {
        f"kitty-specs/0{number}-many/{name}": text
        for number in range(10, 40)
        for name, text in (("tasks.md", "## Work Package WP01: A\n"), ("meta.json", META_OF_GONE))
    }
    repo = make_repository(tmp_path / "r", plans)
    with Session(repo) as session:
        result = import_history(session, None)
    assert result.lines == ("imported 90 events of 30 features",)
    with Session(repo) as session:
        session.refresh()
        for feature in session.board.features.values():
            session.target_of(feature)
        assert session.warnings == ["2.x, the target of 30 features, is main now"]


@pytest.mark.promise("L2")
def test_lines_of_other_tools_are_taken_as_they_are_and_once(tmp_path):
    lines = [
        foreign_line(1, "WPCreated", {"wp_id": "WP01", "title": "A", "feature_slug": "030-log"}),
        moved(2, "planned", "doing"),
        foreign_line(3, "SomethingElse", {"deep": {"er": None}}),
        moved(4, "doing", "parked"),
    ]
    repo = make_repository(tmp_path / "r")
    write(repo, {DAY: "\n".join(lines) + "\n"})
    assert imported(repo)["lines"] == 4
    assert imported(repo)["lines"] == 0
    assert [event.line.decode() for event in events(repo)] == lines
    assert lane(repo, "030-log") == "parked"


@pytest.mark.promise("L2")
def test_lines_that_are_committed_are_shown_without_an_import(tmp_path):
    repo = make_repository(tmp_path / "r", {DAY: moved(1, "planned", "parked") + "\n"})
    with Session(repo, create=False) as session:
        (feature,) = status(session, None).data["features"]
    assert feature["lanes"]["parked"][0]["wp_id"] == "WP01"
    assert imported(repo)["lines"] == 0


def test_clones_that_import_the_same_history_show_one_board(tmp_path):
    ours = existing(tmp_path / "ours")
    theirs = clone(on_remote(ours, tmp_path / "remote.git"), tmp_path / "theirs")
    boards = []
    for repo in (theirs, ours):
        imported(repo)
        with Session(repo) as session:
            publish(session)
    git(theirs, "fetch", "--quiet")
    for repo in (ours, theirs):
        with Session(repo) as session:
            boards.append(json.dumps(status(session, None).data["features"]))
    assert boards[0] == boards[1]
    assert json.loads(boards[0])[0]["conflicts"] == []
    assert lane(ours, SLUG) == "for_review"
