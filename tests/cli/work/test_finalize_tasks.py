"""Packages get files that say all that tasks.md says of them."""

import pytest
from tests.cli.work.projects import FOLDER, done, planned
from tests.git.repositories import content, git

FILE = f"{FOLDER}/tasks/WP01-outbox.md"
TASKS = """# Tasks

## Work Package WP01: The outbox

**Prompt**: `/tasks/WP01-outbox.md`

- [ ] T001 Keep what is to be sent

### Notes
As [the spec](spec.md) and [the schema](contracts/outbox.yaml) say.

### Risks
- A restart amid a write

## Work Package WP02: The sender

**Prompt**: `prompts/WP02.md`
"""


@pytest.fixture
def repo(tmp_path):
    repo = planned(tmp_path / "r", TASKS)
    for name in ("spec.md", "contracts/outbox.yaml", "contracts/drafts/old.yaml"):
        (repo / FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / FOLDER / name).write_text("so\n")
    (repo / ".git/info/exclude").write_text("drafts/\n")
    return repo


def test_package_file_is_where_its_prompt_has_it_with_all_that_tasks_md_says(repo):
    assert "stays as it is" not in done(repo, "finalize-tasks").err
    said = (content(repo, FILE) or b"").decode()
    for line in (
        "- T001 Keep what is to be sent\n",
        "### Notes\nAs [the spec](../spec.md) and [the schema](../contracts/outbox.yaml) say.\n",
        "### Risks\n- A restart amid a write\n",
        f"For the whole feature: `{FOLDER}/spec.md`, ",
        f", `{FOLDER}/contracts`.\n",
    ):
        assert line in said
    second = (content(repo, f"{FOLDER}/tasks/WP02-the-sender.md") or b"").decode()
    assert "Prompt" not in second
    # what the files point to is in the worktree of who does the package
    assert content(repo, f"{FOLDER}/contracts/outbox.yaml") == b"so\n"
    assert content(repo, f"{FOLDER}/contracts/drafts/old.yaml") is None
    assert git(repo, "status", "--porcelain") == ""


def test_file_that_is_there_stays_and_what_it_lacks_is_told(repo):
    done(repo, "finalize-tasks")
    ours = (repo / FILE).read_bytes() + b"\nMind the lock.\n"
    (repo / FILE).write_bytes(ours)
    tasks = repo / FOLDER / "tasks.md"
    tasks.write_text(tasks.read_text().replace("- [ ] T001", "- [x] T001"))
    assert "stays as it is" not in done(repo, "finalize-tasks").err
    tasks.write_text(tasks.read_text().replace("amid a write", "amid a read"))
    assert f"{FILE} stays as it is: tasks.md says more of WP01" in done(repo, "finalize-tasks").err
    assert (repo / FILE).read_bytes() == content(repo, FILE) == ours
    theirs = b"---\nwork_package_id: WP01\nagent: 'ada' # hers\n---\n\nAll is said here.\n"
    (repo / FILE).write_bytes(theirs)
    assert "stays as it is" not in done(repo, "finalize-tasks").err, "whoever wrote it knows"
    assert content(repo, FILE) == theirs


def test_package_that_was_added_says_what_it_waits_for(repo):
    told = done(repo, "finalize-tasks", "--add", "Second", "--after", "WP01", "--json").json
    added = (content(repo, f"{FOLDER}/tasks/{told['wp_id']}-second.md") or b"").decode()
    assert "dependencies: [WP01]\n" in added
