"""Features that were planned before the log: adopted once, as their files show them now."""

import json
import os
import random

import pytest
from tests.git.repositories import commit, content, git, make_repository, write
from tests.work.boards import clone, exchange, journal, on_remote
from tests.work.existing_projects import (
    DAY,
    FILES,
    FIRST,
    FOLDER,
    SECOND,
    SLUG,
    TASKS,
    existing,
    foreign_line,
    large,
    moved,
)

from thence.cli.commands.work.looking import status
from thence.cli.commands.work.moving import move_task
from thence.cli.commands.work.planning import finalize_tasks
from thence.errors import Refused
from thence.work.events import checked
from thence.work.session.adoption import read_feature, written_time
from thence.work.session.session import Session

STATUS = f"{FOLDER}/status.events.jsonl"
PIECES = [b"\n", b"\r", b"\\ud800", b'"', b"\xff", b": ", b"- ", b"\x00", b"WP", b""]
SCREEN = 48
MISSION = "write-surface-coherence-01KVTVZS"


def adopted(repo, feature=None):
    with Session(repo) as session:
        return finalize_tasks(session, feature)


def board(repo, slug=SLUG):
    with Session(repo) as session:
        return session.refresh().features[slug]


def lanes(repo, slug=SLUG):
    return {wp_id: package.lane for wp_id, package in board(repo, slug).packages.items()}


def shown(repo, feature=None):
    with Session(repo) as session:
        return status(session, feature)


def unread(repo):
    with Session(repo) as session:
        return [(part.file, part.line) for part in read_feature(session.planning, SLUG).unread]


def line(number, lane, wp_id="WP02", **more):
    told = {
        "actor": "eve",
        "at": f"2026-02-09T10:{number:02}:00+00:00",
        "event_id": f"01HXYZ{number:020}",
        "from_lane": "planned",
        "to_lane": lane,
        "wp_id": wp_id,
    }
    return json.dumps(told | more)


def test_feature_has_its_packages_lanes_and_ticks_and_comes_once(tmp_path):
    repo = existing(tmp_path / "r")
    result = adopted(repo)
    assert (result.data["adopted"], result.data["unread"], result.exit_code) == ({SLUG: 3}, [], 0)
    feature = board(repo)
    assert (feature.title, feature.target_branch) == ("Sync of logs", "main")
    assert lanes(repo) == {"WP01": "for_review", "WP02": "doing", "WP03": "planned"}
    assert [one.title for one in feature.packages.values()] == ["The first", "Second", "Third"]
    assert feature.packages["WP02"].dependencies == ("WP01",)
    assert feature.packages["WP02"].agent == "ben"
    assert dict(feature.packages["WP01"].subtasks) == {"T001": True}
    keys = [event.header.source_id for event in journal(repo)]
    assert len({*keys}) == len(keys)
    assert {event.header.source for event in journal(repo)} == {"kitty-specs"}
    path = repo / FOLDER / "tasks/WP01-first.md"
    path.write_text(FIRST.replace("for_review", "done"))
    adopted(repo)
    assert lanes(repo)["WP01"] == "for_review", "the log says how it goes on"
    assert content(repo, f"{FOLDER}/tasks/doing/WP02-second.md") == SECOND.encode()


@pytest.mark.parametrize(
    ("lane", "here", "remark"),
    [
        ("planned", "planned", ()),
        ("claimed", "doing", ()),
        ("in_progress", "doing", ()),
        ("for_review", "for_review", ()),
        ("in_review", "for_review", ()),
        ("approved", "for_review", (("review", "approved"),)),
        ("blocked", "doing", (("note", "blocked: no key"),)),
        ("done", "done", ()),
        ("canceled", "rejected", ()),
    ],
)
def test_last_line_by_time_and_id_gives_the_lane(tmp_path, lane, here, remark):
    lines = [line(9, lane, reason="no key"), line(3, "done"), '{"type": "annotation"}']
    lines.append(line(9, "frozen", event_id="01HXYA"))
    repo = existing(tmp_path / "r", **{STATUS: "\n".join(lines) + "\n"})
    adopted(repo)
    assert lanes(repo)["WP02"] == here
    notes = [one.payload for one in journal(repo) if one.event_type == "HistoryAdded"]
    assert tuple((one["entry_type"], one["entry_content"]) for one in notes) == remark
    noted = "blocked: no key" if lane == "blocked" else None
    assert board(repo).packages["WP02"].blocked == noted
    assert lanes(repo)["WP03"] == "planned", "what was never seeded"


@pytest.mark.promise("L15")
def test_done_before_the_log_is_done_without_advice(tmp_path):
    repo = existing(tmp_path / "r", **{STATUS: line(1, "done") + "\n"})
    adopted(repo)
    told = shown(repo, SLUG)
    assert told.data["here"]["landed"][0]["state"] == "landed"
    assert [one for one in told.data["here"]["next"] if one["wp_id"] == "WP02"] == []


def test_approved_package_with_a_branch_has_its_reviewed_commit(tmp_path):
    repo = existing(tmp_path / "r", **{STATUS: line(1, "approved") + "\n"})
    git(repo, "switch", "--quiet", "--create", f"{SLUG}-WP02")
    oid = commit(repo, {"second.py": "x\n"})
    git(repo, "switch", "--quiet", "main")
    adopted(repo)
    assert board(repo).packages["WP02"].reviewed.commit == git(repo, "rev-parse", oid or "HEAD")


def test_what_can_not_be_read_is_told_and_the_rest_is_adopted(tmp_path):
    repo = existing(tmp_path / "r")
    write(
        repo,
        {
            f"{FOLDER}/meta.json": "{",
            f"{FOLDER}/tasks.md": TASKS.replace("WP03:", "WP1x:"),
            f"{FOLDER}/tasks/WP01-first.md": "---\nwork_package_id: WP01\nlane: [doing\n---\n",
            f"{FOLDER}/tasks/WP03-third.md": "---\nlane: odd\n---\n",
            f"{FOLDER}/tasks/done/WP03-again.md": "# again\n",
            STATUS: f"<<<<<<< HEAD\n{line(1, 'done', 'first')}\n{line(2, 'done', at='now')}\n",
        },
    )
    with open(os.fsencode(repo / FOLDER / "tasks") + b"/WP06-\xff.md", "wb") as file:
        file.write(b"---\nlane: [\n---\n")
    assert unread(repo) == [
        (f"{FOLDER}/meta.json", 1),
        (STATUS, 1),
        (STATUS, 2),
        (STATUS, 3),
        (f"{FOLDER}/tasks.md", 13),
        (f"{FOLDER}/tasks/WP01-first.md", 4),
        (f"{FOLDER}/tasks/WP03-third.md", 1),
        (f"{FOLDER}/tasks/WP06-\ufffd.md", 3),
        (f"{FOLDER}/tasks/done/WP03-again.md", 0),
    ]
    result = adopted(repo)
    assert result.exit_code == 3
    assert result.lines[-2:] == (
        "not read: 4 parts more; --json names them",
        "next: thence work status",
    )
    assert lanes(repo) == {"WP01": "planned", "WP02": "doing", "WP03": "planned", "WP06": "planned"}


def test_any_bytes_give_only_what_can_be_written(tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    files = {
        f"{FOLDER}/meta.json": b'{"friendly_name": "Sync", "created_at": "2025-11-19"}',
        f"{FOLDER}/tasks.md": TASKS.encode(),
        f"{FOLDER}/tasks/WP01-first.md": FIRST.encode(),
        STATUS: f"{line(1, 'done')}\n{line(2, 'blocked', 'WP03')}\n".encode(),
    }
    repo = existing(tmp_path / "r")
    for number in range(40):
        for name, data in files.items():
            spoilt = bytearray(data)
            for _ in range(chance.randrange(12)):
                start = chance.randrange(len(spoilt) + 1)
                spoilt[start : start + chance.randrange(3)] = chance.choice(PIECES)
            path = repo / name.replace(SLUG, f"{number:03}-sync")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(spoilt)
    adopted(repo)
    for event in journal(repo):
        assert checked(event.event_type, event.payload) == event.payload


@pytest.mark.parametrize("here", ["main", "develop", None])
def test_feature_goes_to_the_default_branch_if_its_files_are_there(tmp_path, here):
    repo = existing(tmp_path / "r")
    git(repo, "switch", "--quiet", *(["-C", here] if here else ["--detach"]))
    with Session(repo) as session:
        assert read_feature(session.planning, SLUG).target_branch == "main"


def test_feature_goes_to_the_branch_that_alone_has_its_files_or_that_its_file_names(tmp_path):
    repo = make_repository(tmp_path / "r")
    git(repo, "switch", "--quiet", "--create", "develop")
    commit(repo, {f"{FOLDER}/tasks/WP01-first.md": FIRST})
    with Session(repo) as session:
        assert read_feature(session.planning, SLUG).target_branch == "develop"
        write(repo, {f"{FOLDER}/meta.json": '{"target_branch": "release"}'})
        assert read_feature(session.planning, SLUG).target_branch == "release"


def test_adopted_feature_goes_on_with_its_files(tmp_path):
    repo = existing(tmp_path / "r")
    adopted(repo)
    path = f"{FOLDER}/tasks/doing/WP02-second.md"
    with Session(repo, actor="ben") as session:
        finalize_tasks(session, SLUG)
        move_task(session, "WP02", "rejected", feature=SLUG, reason="not needed")
    assert content(repo, path) == SECOND.encode(), "a file without a lane gets none"
    made = git(repo, "ls-tree", "-r", "--name-only", "main", f"{FOLDER}/tasks").splitlines()
    assert [each for each in made if "WP02" in each] == [path]


def test_mission_without_a_number_keeps_its_slug(tmp_path):
    folder = f"kitty-specs/{MISSION}"
    repo = existing(
        tmp_path / "r",
        **{
            f"{folder}/meta.json": '{"mission_type": "research", "target_branch": "main"}',
            f"{folder}/tasks.md": "## Work Package WP01: First\n",
            f"{folder}/status.events.jsonl": line(1, "claimed", "WP01") + "\n",
        },
    )
    assert adopted(repo).data["adopted"] == {SLUG: 3, MISSION: 1}
    assert lanes(repo, MISSION) == {"WP01": "doing"}
    with Session(repo) as session:
        for name in (MISSION, "write-surface-coherence", "write"):
            session.refresh()
            assert session.feature(name).slug == MISSION
    assert board(repo, MISSION).title == "write surface coherence"


def test_many_features_are_one_line_and_odd_folders_are_named(tmp_path):
    plans = {
        f"kitty-specs/0{number}-many/{name}": text
        for number in range(10, 40)
        for name, text in (
            ("tasks.md", "## Work Package WP01: A\n"),
            ("meta.json", '{"target_branch": "2.x"}'),
        )
    }
    odd = "kitty-specs/Not_A_Feature"
    repo = make_repository(tmp_path / "r", {**plans, f"{odd}/x.md": "x\n"})
    result = adopted(repo)
    assert result.lines[0] == "adopted 30 features, 30 packages"
    assert result.lines[1].startswith(f"not read: {odd}: the folder is not named like 028-sync")


@pytest.mark.promise("L7")
def test_feature_that_is_not_in_the_log_is_named_with_what_adopts_it(tmp_path):
    repo = existing(tmp_path / "r", **{DAY: moved(1, "planned", "parked") + "\n"})
    with Session(repo, create=False) as session:
        result = status(session, None)
    assert [each["feature_slug"] for each in result.data["features"]] == ["030-log"]
    assert result.data["here"]["not_imported"] == [SLUG]
    next_step = "next: thence work finalize-tasks"
    assert result.lines[-2:] == (f"not in the log yet: {SLUG}", next_step)
    with pytest.raises(Refused) as caught:
        shown(repo, SLUG)
    hint = f"thence work finalize-tasks --feature {SLUG}"
    assert (caught.value.guard, caught.value.hint) == ("not_imported", hint)
    step = "git rm -r --cached .kittify/events"
    with Session(repo) as session:
        finalize_tasks(session, "sync")
        assert any(step in words for words in session.warnings), "git tracks a day file"
    assert shown(repo).data["here"]["not_imported"] == []


@pytest.mark.promise("L2")
def test_lines_of_other_tools_count_as_they_are_and_before_the_files(tmp_path):
    told = {"wp_id": "WP01", "title": "A", "feature_slug": "030-log"}
    lines = [
        foreign_line(1, "SomethingElse", {"deep": {"er": None}}),
        foreign_line(2, "HistoryAdded", {**told, "entry_type": "note", "entry_content": "x"}),
        moved(3, "doing", "parked"),
    ]
    files = {
        DAY: "\n".join(lines) + "\n",
        "kitty-specs/030-log/tasks/WP01-a.md": "---\nlane: done\n---\n",
    }
    repo = make_repository(tmp_path / "r", files)
    assert adopted(repo).data["adopted"] == {"030-log": 1}
    assert [event.line.decode() for event in journal(repo) if not event.seq] == lines
    assert lanes(repo, "030-log") == {"WP01": "parked"}


def test_clones_that_adopt_the_same_files_show_one_board(tmp_path):
    ours = existing(tmp_path / "ours")
    theirs = clone(on_remote(ours, tmp_path / "remote.git"), tmp_path / "theirs")
    for repo in (theirs, ours):
        adopted(repo)
        with Session(repo) as session:
            exchange(session)
    git(theirs, "fetch", "--quiet")
    ours, theirs = (json.dumps(shown(repo).data["features"]) for repo in (ours, theirs))
    assert ours == theirs
    assert json.loads(ours)[0]["conflicts"] == []


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2025-11-20", "2025-11-20T00:00:00.000000Z"),
        ("1970-01-01T00:00Z", "1970-01-01T00:00:00.000000Z"),
        ("1969-12-31T23:59:59Z", ""),
        ("9999-12-31T23:59:59-23:00", ""),
        ("now", ""),
    ],
)
def test_time_is_given_in_the_form_of_an_event(text, time):
    assert written_time(text) == time


@pytest.mark.promise("L7")
def test_renamed_folder_is_one_event_and_the_same_feature(tmp_path):
    repo = existing(tmp_path / "r")
    adopted(repo)
    before, name = len(journal(repo)), "029-tide"
    git(repo, "mv", FOLDER, f"kitty-specs/{name}")
    result = adopted(repo)
    assert result.data["adopted"] == {name: 3}
    (event,) = journal(repo)[before:]
    assert (event.event_type, event.payload["folder"]) == ("FeatureCreated", name)
    with Session(repo) as session:
        board = session.refresh()
        assert list(board.features) == [SLUG], "it is not doubled"
        for told in (SLUG, name, "tide", "28"):
            assert session.feature(told).slug == SLUG
        assert session.planning.path(SLUG, "tasks.md") == f"kitty-specs/{name}/tasks.md"
        text = "\n".join(status(session, None).lines)
        assert f"{name} ({SLUG})  Sync of logs  (0 of 3 done)" in text
        assert "not in the log yet" not in text
        assert move_task(session, "WP02", "for_review", is_forced=True, reason="x").data
    commit(repo, {}, "Rename it")
    git(repo, "mv", f"kitty-specs/{name}", FOLDER)
    with Session(repo) as session:
        session.refresh()
        assert session.planning.path(SLUG) == FOLDER, "as before a pull"


def test_same_packages_in_another_feature_are_no_renaming(tmp_path):
    repo = existing(tmp_path / "r")
    adopted(repo)
    git(repo, "switch", "--quiet", "--orphan", "other")
    copied = {path.replace(SLUG, "029-tide"): text for path, text in FILES.items()}
    commit(repo, copied, "A feature of its own, where the other never was")
    adopted(repo)
    with Session(repo) as session:
        assert list(session.refresh().features) == [SLUG, "029-tide"]


@pytest.mark.promise("L7")
def test_board_of_a_project_that_is_years_old_is_one_screen(tmp_path):
    repo = large(tmp_path / "r", features=60, packages=250)
    adopted(repo)
    told = shown(repo)
    assert len(told.lines) <= SCREEN, told.lines
    text = "\n".join((*told.lines, *told.warnings))
    assert told.data["summary"] | {"done": 188, "approved": 60} == told.data["summary"]
    assert "next: thence work merge" not in text, "of what was never seen nothing is advised"
    assert "reopen" not in text
    assert "45 features done" in text
    assert "waits for you: " in text
    assert not told.warnings
