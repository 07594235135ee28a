"""A project that others began: taken over, worked on by two clones and another tool in turns."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.git.repositories import git
from tests.tiers import tenth
from tests.work.boards import clone, done, shared_lines, synced, view_lines
from tests.work.existing_projects import DAY, FOLDER, SLUG, existing, foreign_line, moved

TURNS = tenth(16, 6)
OTHER = "030-log"
MORE = {
    DAY: moved(1, "planned", "doing") + "\n" + moved(2, "doing", "for_review") + "\n",
    f"kitty-specs/{OTHER}/tasks/WP01-log.md": "---\nwork_package_id: WP01\n---\n# Log\n",
    ".kittify/config.yaml": "agents:\n  available: [claude]\n# theirs\n",
}
LANES = ("doing", "for_review")
NEVER = 10_000


class Tool:
    """Another program that appends to the day files of a clone; its clock goes wrong by hours."""

    def __init__(self, hours: float, node_id: str) -> None:
        self._at = datetime.now(UTC) + timedelta(hours=hours)
        self._node = node_id

    def move(self, folder: Path, number: int, previous: str, lane: str) -> None:
        """Move WP01 in the words of such tools, with the next clock behind all in sight."""
        seen = max(json.loads(line)["lamport_clock"] for line in view_lines(folder))
        payload = {"wp_id": "WP01", "old_status": previous, "new_status": lane}
        line = foreign_line(
            NEVER + number,
            "WPStatusChanged",
            payload,
            timestamp=self._at.isoformat(),
            node_id=self._node,
            lamport_clock=seen + 1,
            feature_slug=SLUG,
        )
        with (folder / ".kittify/events" / f"{self._at:%Y-%m-%d}.jsonl").open("a") as file:
            file.write(line + "\n")


def board(folder: Path) -> list[dict[str, object]]:
    features = done(folder, "status", "--json").json["features"]
    assert isinstance(features, list)
    return features


def lanes(features: list[dict[str, object]]) -> dict[str, str]:
    (found,) = (each for each in features if each["feature_slug"] == SLUG)
    held = found["lanes"]
    assert isinstance(held, dict)
    return {package["wp_id"]: lane for lane, packages in held.items() for package in packages}


def pulled(folder: Path) -> None:
    """Bring what the others have committed, as a user does, and send what is new."""
    git(folder, "pull", "--quiet", "--no-rebase", "--no-edit")
    git(folder, "push", "--quiet")


@pytest.fixture
def clones(tmp_path: Path) -> tuple[Path, Path]:
    """Take a project over in one of two clones of it."""
    first = existing(tmp_path / "first", **MORE)
    git(tmp_path, "clone", "--quiet", "--bare", first, tmp_path / "remote.git")
    ada, bob = (clone(tmp_path / "remote.git", tmp_path / name) for name in ("ada", "bob"))
    done(ada, "setup-spec")
    step = "git rm -r --cached .kittify/events"
    assert step in done(ada, "finalize-tasks").err
    git(ada, *step.split()[1:])
    git(ada, "commit", "--quiet", "--message", "Leave day files to thence")
    assert "git rm" not in done(ada, "status").err
    synced(ada)
    git(ada, "push", "--quiet")
    return ada, bob


@pytest.mark.promise("L2", "L7", "L11")
@pytest.mark.whole
def test_existing_project_goes_on_in_two_clones_and_another_tool(clones):
    ada, bob = clones
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    pulled(ada)
    pulled(bob)
    assert board(bob) == board(ada)
    assert lanes(board(ada)) == {"WP01": "for_review", "WP02": "doing", "WP03": "planned"}
    tools = [Tool(-9, "a laptop"), Tool(9, "a tower")]
    lane, count = "for_review", len(set(view_lines(ada)))
    for number in range(TURNS):
        before, lane = lane, LANES[1 - LANES.index(lane)]
        folder = chance.choice([ada, bob])
        git(folder, "fetch", "--quiet")
        board(folder)
        if chance.random() < 0.5:
            chance.choice(tools).move(folder, number, before, lane)
        else:
            forced = ("--feature", SLUG, "--force", "--reason", "so")
            done(folder, "move-task", "WP01", "--to", lane, *forced)
        assert lanes(board(folder))["WP01"] == lane
        count += 1
        synced(folder)
    for folder in (ada, bob):
        git(folder, "fetch", "--quiet")
    pulled(ada)
    pulled(bob)
    assert board(ada) == board(bob)
    assert lanes(board(ada)) == {"WP01": lane, "WP02": "doing", "WP03": "planned"}
    for feature in board(ada):
        assert feature["conflicts"] == []
    for folder in (ada, bob):
        assert len(set(view_lines(folder))) == len(view_lines(folder)) == count
        assert git(folder, "status", "--porcelain") in ("", f" M {FOLDER}/tasks/WP01-first.md")
        read_as_before(folder)
    assert len(shared_lines(ada.parent / "remote.git")) == count


def read_as_before(folder: Path) -> None:
    """See that the planning files are those that were there, but for the lane of WP01."""
    begun = git(folder, "rev-list", "--max-parents=0", "HEAD")
    for path in git(folder, "ls-tree", "-r", "--name-only", begun).splitlines():
        if path.startswith("kitty-specs/"):
            old = git(folder, "show", f"{begun}:{path}").splitlines()
            new = (folder / path).read_text().splitlines()
            other = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
            assert all(line.startswith("lane: ") for pair in other for line in pair)
            assert not other or path == f"{FOLDER}/tasks/WP01-first.md"
    assert (folder / ".kittify/config.yaml").read_text().startswith(MORE[".kittify/config.yaml"])
