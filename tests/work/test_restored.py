"""A project whose journal was put back from an old copy: it continues under another node."""

import json
import shutil

import pytest
from tests.cli.warm import warm as thence
from tests.cli.work.projects import done, planned
from tests.git.repositories import git
from tests.work.boards import NAMED, clone, features, on_remote, shared_lines, synced

from thence.work.project.project import find_project


def identity(home):
    return json.loads((home / ".thence" / "identity.json").read_bytes())


def log(folder):
    return [json.loads(line) for line in thence("log", "--json", cwd=folder).lines]


@pytest.fixture
def clones(tmp_path):
    """Make two clones: the journal of the first is an old copy, the second went on since."""
    first, second = tmp_path / "first", tmp_path / "second"
    planned(first, files=NAMED)
    done(first, "finalize-tasks")
    origin = on_remote(first, tmp_path / "origin.git")
    home, backup = find_project(first).home, tmp_path / "backup"
    shutil.copytree(home, backup)
    done(first, "mark-status", "T001")
    for number in range(3):
        done(first, "add-history", "WP01", f"note {number}")
    synced(first)
    clone(origin, second)
    done(second, "status")
    done(second, "add-history", "WP02", "of the other clone")
    synced(second)
    git(first, "update-ref", "-d", "refs/remotes/origin/thence-board")
    shutil.rmtree(first / ".kittify/events")
    return first, second, backup


def restored(folder, backup, *, in_place, is_traceless=False):
    """Put the old copy of a home where the new one is, the marks of clean ends too if told so."""
    home = find_project(folder).home
    if in_place:  # as a backup of the files' content does it: the inodes tell nothing
        for path in home.rglob("*"):
            old = backup / path.relative_to(home)
            if path.is_file() and old.is_file():
                path.write_bytes(old.read_bytes())
        if is_traceless:
            shutil.rmtree(home / ".thence" / "marks")
        shutil.rmtree(home / ".thence" / "index", ignore_errors=True)
    else:
        shutil.rmtree(home)
        shutil.copytree(backup, home)


@pytest.mark.promise("L4", "L11")
@pytest.mark.parametrize("in_place", [True, False])
def test_later_events_of_an_old_copy_come_back_by_git_fetch_once_and_in_order(clones, in_place):
    first, second, backup = clones
    restored(first, backup, in_place=in_place)
    git(first, "fetch", "--quiet")
    home, was = find_project(first).home, {line["node_id"] for line in log(first)}
    old = identity(home)["node_id"]
    ended = done(first, "add-history", "WP01", "by the command that finds it")
    assert "recovered 4 events of our own that our journal had lost" in ended.err
    *_, after = lines = log(first)
    (notice,) = (line for line in lines if line["event_type"] == "log.node_changed")
    assert notice["payload"]["old_node_id"] == old
    assert "came in" in notice["payload"]["reason"]
    told = identity(home)
    assert told["earlier"] == [old]
    assert (after["node_id"], after["seq"]) == (told["node_id"], 2)
    assert after["node_id"] not in was
    (home / "seen.json").unlink()
    done(first, "status")
    assert identity(home) == told, "what came under an earlier name changes nothing"
    synced(first)
    lines = [json.loads(line) for line in shared_lines(first.parent / "origin.git")]
    numbers = [(line["node_id"], line["seq"]) for line in lines]
    assert len(set(numbers)) == len(numbers), "no number is given twice"
    git(second, "fetch", "--quiet")
    assert done(first, "status").err == done(second, "status").err == ""
    assert features(first) == features(second)
    lines = log(first)
    ids = [line["event_id"] for line in lines]
    assert len(ids) == len(set(ids))
    assert {line["event_id"] for line in log(second)} <= set(ids)
    numbers = {}
    for line in lines:
        assert line["seq"] == numbers.get(line["node_id"], 0) + 1, "without a hole, in order"
        numbers[line["node_id"]] = line["seq"]
    assert thence("verify", cwd=first).code == 0
    done(first, "add-history", "WP01", "after it")
    assert thence("verify", cwd=first).code == 0


@pytest.mark.promise("L11")
def test_events_that_bear_the_number_of_a_lost_one_are_kept_beside_it(clones):
    first, second, backup = clones
    restored(first, backup, in_place=True, is_traceless=True)
    (mine,) = done(first, "add-history", "WP02", "under a number given before", "--json").json[
        "events"
    ]
    git(first, "fetch", "--quiet")
    ended = done(first, "status")
    assert "of our own that our journal had lost" in ended.err
    assert done(first, "status").err == ""
    assert {mine, *(line["event_id"] for line in log(second))} <= {
        line["event_id"] for line in log(first)
    }
    checked = thence("verify", "--json", cwd=first)
    assert checked.code == 3
    assert {each["reason"].split(" of ")[0][:10] for each in checked.json["damage"]} <= {
        "the number",
        "the clock ",
    }
    synced(first)
    git(second, "fetch", "--quiet")
    assert features(first) == features(second)
    assert mine in {line["event_id"] for line in log(second)}
