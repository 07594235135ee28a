"""`work status` of many features: what is in work, a line for each other, and counts on top."""

import re
from pathlib import Path

import pytest
from tests.cli.work.projects import done, project
from tests.git.repositories import commit, git

from thence.work.journal.store import EventStore, WorkEvent
from thence.work.project.project import find_project

FEATURES, PACKAGES = 8, 5


def slug(number: int) -> str:
    return f"{number:03}-feature"


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Make a project with many features of many packages, all planned."""
    repo = project(tmp_path / "r")
    commit(repo, {f"kitty-specs/{slug(n)}/spec.md": "# It\n" for n in range(1, FEATURES + 1)})
    with EventStore(find_project(repo), actor="ada") as store:
        for number in range(1, FEATURES + 1):
            cut = {
                "feature_slug": slug(number),
                "feature_number": slug(number)[:3],
                "target_branch": "main",
                "wp_count": PACKAGES,
            }
            packages = [
                {
                    "wp_id": f"WP{wp:02}",
                    "title": "A package",
                    "feature_slug": slug(number),
                    "dependencies": [f"WP{wp - 1:02}"] if wp > 1 else [],
                }
                for wp in range(1, PACKAGES + 1)
            ]
            events = [WorkEvent("WPCreated", each, slug(number)) for each in packages]
            store.append(WorkEvent("FeatureCreated", cut, slug(number)), *events)
    return repo


def titles(lines: list[str]) -> list[str]:
    return [line.partition(" ")[0] for line in lines if re.match(r"\d{3}-", line)]


def packages_shown(lines: list[str]) -> int:
    return sum(" WP" in line and line.startswith("  ") for line in lines)


def test_features_in_work_are_shown_and_the_others_have_a_line(many: Path) -> None:
    lines = done(many, "status").lines
    assert (packages_shown(lines), titles(lines)[0]) == (PACKAGES, slug(1)), "it is to be begun"
    for number in (3, 6):
        done(many, "implement", "WP01", "--feature", slug(number))
    lines = done(many, "status").lines
    assert packages_shown(lines) == 2 * PACKAGES
    rest = [slug(number) for number in (1, 2, 4, 5, 7, 8)]
    assert titles(lines) == [slug(3), slug(6), *rest]
    assert len(lines) < 2 * PACKAGES + FEATURES + 10
    assert packages_shown(done(many, "status", "--all").lines) == FEATURES * PACKAGES
    lines = done(many, "status", "--feature", "5").lines
    assert (packages_shown(lines), titles(lines)) == (PACKAGES, [slug(5)])


def test_counts_stand_on_top_and_in_the_json(many: Path) -> None:
    worktree = done(many, "implement", "WP01", "--feature", "1", "--json").json["worktree"]
    commit(Path(worktree), {"one": "1\n"})
    done(many, "move-task", "WP01", "--feature", "1", "--to", "for_review")
    done(many, "implement", "WP01", "--feature", "2")
    summary = {"planned": 38, "doing": 1, "for_review": 1, "done": 0, "rejected": 0, "landed": 0}
    summary["approved"] = 0
    open_ones = {"blocked": FEATURES * (PACKAGES - 1) - 1, "conflicts": 0}
    answer = done(many, "status", "--json").json
    assert answer["summary"] == summary | open_ones
    assert len(answer["features"]) == FEATURES
    assert done(many, "status").lines[0] == (
        "planned 38, doing 1, in review 1, done 0, landed 0; blocked 31, conflicts 0"
    )
    done(many, "merge", "--feature", "1")
    done(many, "accept", "--feature", "1")
    assert done(many, "status", "--json").json["summary"]["landed"] == 1
    git(many, "revert", "--no-edit", "-m", "1", "HEAD")
    summary = done(many, "status", "--json").json["summary"]
    assert (summary["done"], summary["landed"]) == (1, 0)
