"""The walk of a feature, on real git: what the page shows is true of the journal too."""

import json
import subprocess

import pytest
from tests.docs.test_pages import DOCS, followed
from tests.docs.walk import environment

pytestmark = pytest.mark.xdist_group("cut-a-feature")
PAGE = DOCS / "guides" / "work" / "cut-a-feature.md"
REFUSED = "thence work move-task WP01 --to for_review --actor ada"


def thence(folder, *arguments):
    done = subprocess.run(
        ["thence", *arguments],
        cwd=folder,
        env=environment(folder.parent),
        capture_output=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def walk():
    """The page's walk, in a repository of its own: the folder, and what was said."""
    scratch, said = followed(PAGE)
    return scratch / "shop", said


@pytest.mark.promise("S1")
@pytest.mark.promise("P6")
def test_a_feature_goes_from_its_spec_to_done(walk):
    folder, said = walk
    failed = [each.command for each in said if each.status]
    assert failed == [REFUSED], "the first of the two is refused, nothing else"

    (status,) = thence(folder, "work", "status", "--json")
    (feature,) = status["features"]
    assert [package["wp_id"] for package in feature["lanes"]["done"]] == ["WP01", "WP02"]
    assert feature["progress"] == {"done": 2, "total": 2}
    (why,) = thence(folder, "why", "@last", "--json")
    assert why["chain"][0]["event_type"] == "SpecCreated"
    assert why["chain"][-2]["payload"]["new_status"] == "done"
    assert why["chain"][-1]["payload"]["how"] == "ancestor"
    assert thence(folder, "verify", "--json")[0]["ok"]


@pytest.mark.promise("S1")
def test_each_command_of_the_walk_tells_its_events(walk):
    folder, _ = walk
    events = thence(folder, "log", "--json")
    told = [(each["event_type"], each["aggregate_id"], each["actor"]) for each in events]
    slug = "001-sync-in-the-background"
    assert told == [
        ("SpecCreated", slug, "Ada"),
        ("FeatureCreated", slug, "Ada"),
        ("WPCreated", "WP01", "Ada"),
        ("WPCreated", "WP02", "Ada"),
        ("WPStatusChanged", "WP01", "ada"),
        ("WorkspaceCreated", "WP01", "ada"),
        ("ErrorLogged", "WP01", "ada"),
        ("SubtaskCompleted", "T001", "ada"),
        ("SubtaskCompleted", "T002", "ada"),
        ("WPStatusChanged", "WP01", "ada"),
        ("WPReviewed", "WP01", "ada"),
        ("WPStatusChanged", "WP02", "bob"),
        ("WorkspaceCreated", "WP02", "bob"),
        ("SubtaskCompleted", "T003", "bob"),
        ("WPStatusChanged", "WP02", "bob"),
        ("WPReviewed", "WP02", "bob"),
        ("WPStatusChanged", "WP01", "Ada"),
        ("WPLanded", "WP01", "Ada"),
        ("DependencyResolved", "WP02", "Ada"),
        ("WPStatusChanged", "WP02", "Ada"),
        ("WPLanded", "WP02", "Ada"),
    ]
    batch = {each["causation_id"] for each in events[1:4]}
    assert len(batch) == 1, "packages that are made at once share a causation_id"
    assert events[3]["payload"]["dependencies"] == ["WP01"]
    moves = [
        (
            each["payload"]["wp_id"],
            each["payload"]["previous_status"],
            each["payload"]["new_status"],
        )
        for each in events
        if each["event_type"] == "WPStatusChanged"
    ]
    assert moves == [
        ("WP01", "planned", "doing"),
        ("WP01", "doing", "for_review"),
        ("WP02", "planned", "doing"),
        ("WP02", "doing", "for_review"),
        ("WP01", "for_review", "done"),
        ("WP02", "for_review", "done"),
    ]
