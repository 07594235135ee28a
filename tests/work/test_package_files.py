"""The file of a new package."""

from hypothesis import given
from hypothesis import strategies as st

from thence.work.plan.frontmatter import read
from thence.work.plan.package_files import path_of, render
from thence.work.plan.tasks import PlannedPackage, Subtask

FOLDER = "kitty-specs/028-sync"
TASKS = f"{FOLDER}/tasks.md"
WHOLE = PlannedPackage(
    wp_id="WP02",
    title='Day files: "shared"',
    subtasks=(
        Subtask("T003", "Write them", False),
        Subtask("T004", "", False),
    ),
    dependencies=("WP01", "WP03"),
)


def test_file_holds_what_an_agent_needs():
    reading = (f"{FOLDER}/spec.md", f"{FOLDER}/contracts")
    data = render(WHOLE, "028-sync", TASKS, reading)
    fields = read(data, path_of(WHOLE))
    assert fields.values == {
        "work_package_id": "WP02",
        "title": 'Day files: "shared"',
        "feature_slug": "028-sync",
        "dependencies": ["WP01", "WP03"],
        "subtasks": ["T003", "T004"],
    }
    for said in (
        f'\n# WP02: Day files: "shared"\n\nWhat to do is in `{TASKS}`, in the section of WP02.\n',
        f"`{FOLDER}/spec.md`, `{FOLDER}/contracts`",
        "thence work implement WP02 --feature 028-sync",
        "branch `028-sync-WP02`",
        "worktree `.worktrees/028-sync-WP02`",
        "thence work mark-status T003 --feature 028-sync",
        "marked [P] may be done",
        "thence work move-task WP02 --to for_review --feature 028-sync",
    ):
        assert said in fields.body
    assert data.endswith(b"shows the board.\n")


def test_file_leaves_out_what_tasks_md_does_not_say():
    data = render(PlannedPackage("WP01", "A"), "028-sync")
    fields = read(data, "a.md")
    assert fields.values["dependencies"] == fields.values["subtasks"] == []
    for unsaid in ("What to do", "read", "mark-status", "[P]", "\n\n\n"):
        assert unsaid not in fields.body


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_title_reads_back_whatever_it_holds(title):
    package = PlannedPackage("WP01", title, dependencies=("WP02",))
    assert read(render(package, "028-sync"), "a.md").values["title"] == title
