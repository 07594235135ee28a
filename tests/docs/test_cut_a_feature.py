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
