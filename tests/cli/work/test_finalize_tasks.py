"""Packages get files that say where their task is told."""

import pytest
from tests.cli.work.projects import FOLDER, done, planned
from tests.git.repositories import content, git

FILE = f"{FOLDER}/tasks/WP01-the-outbox.md"
TASKS = """# Tasks

## Work Package WP01: The outbox

- [ ] T001 Keep what is to be sent

### Notes
As [the spec](spec.md) and [the schema](contracts/outbox.yaml) say.

### Risks
- A restart amid a write

## Work Package WP02: The sender
"""


@pytest.fixture
def repo(tmp_path):
    repo = planned(tmp_path / "r", TASKS)
    for name in ("spec.md", "contracts/outbox.yaml", "contracts/drafts/old.yaml"):
        (repo / FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / FOLDER / name).write_text("so\n")
    (repo / ".git/info/exclude").write_text("drafts/\n")
    return repo


def test_package_file_says_where_its_task_is(repo):
    done(repo, "finalize-tasks")
    said = (content(repo, FILE) or b"").decode()
    for line in (
        f"What to do is in `{FOLDER}/tasks.md`, in the section of WP01.\n",
        f"For the whole feature: `{FOLDER}/spec.md`, ",
        f", `{FOLDER}/contracts`.\n",
    ):
        assert line in said
    assert content(repo, f"{FOLDER}/tasks/WP02-the-sender.md")
    # what the files point to is in the worktree of who does the package
    assert content(repo, f"{FOLDER}/contracts/outbox.yaml") == b"so\n"
    assert content(repo, f"{FOLDER}/contracts/drafts/old.yaml") is None
    assert git(repo, "status", "--porcelain") == ""


def test_file_that_is_there_stays(repo):
    done(repo, "finalize-tasks")
    ours = (repo / FILE).read_bytes() + b"\nMind the lock.\n"
    (repo / FILE).write_bytes(ours)
    tasks = repo / FOLDER / "tasks.md"
    tasks.write_text(tasks.read_text().replace("amid a write", "amid a read"))
    done(repo, "finalize-tasks")
    assert (repo / FILE).read_bytes() == content(repo, FILE) == ours


def test_package_that_was_added_says_what_it_waits_for(repo):
    told = done(repo, "finalize-tasks", "--add", "Second", "--after", "WP01", "--json").json
    added = (content(repo, f"{FOLDER}/tasks/{told['wp_id']}-second.md") or b"").decode()
    assert "dependencies: [WP01]\n" in added
