"""The file of a new package."""

from hypothesis import given
from hypothesis import strategies as st

from thence.work.frontmatter import read
from thence.work.package_files import path_of, render
from thence.work.tasks import Package, Subtask

WHOLE = Package(
    wp_id="WP02",
    title='Day files: "shared"',
    priority="P1",
    goal="Share the journal.",
    independent_test="Merge two clones.",
    prompt="notes/WP02.md",
    subtasks=(
        Subtask("T003", "Write them", False, True, 9),
        Subtask("T004", "", False, False, 10),
    ),
    dependencies=("WP01", "WP03"),
    owns=("src/**", "- odd.md"),
    line=7,
)


def test_file_holds_what_an_agent_needs():
    assert path_of(WHOLE) == "tasks/WP02-day-files-shared.md"
    data = render(WHOLE, "028-sync", shows_lane=True)
    assert b"\nlane:" not in render(WHOLE, "028-sync")
    fields = read(data, path_of(WHOLE))
    assert fields.values == {
        "work_package_id": "WP02",
        "title": 'Day files: "shared"',
        "feature_slug": "028-sync",
        "lane": "planned",
        "priority": "P1",
        "dependencies": ["WP01", "WP03"],
        "subtasks": ["T003", "T004"],
        "owns": ["src/**", "- odd.md"],
    }
    for said in (
        '# WP02: Day files: "shared"',
        "Share the journal.",
        "told in `notes/WP02.md`",
        "`src/**`, `- odd.md`",
        "Begins when WP01 and WP03 can",
        "- T003 [P] Write them\n- T004\n",
        "Merge two clones.",
        "thence work implement WP02 --feature 028-sync",
        "branch `028-sync-WP02`",
        "worktree `.worktrees/028-sync-WP02`",
        "thence work mark-status T003 --feature 028-sync",
        "thence work move-task WP02 --to for_review --feature 028-sync",
    ):
        assert said in fields.body
    assert data.endswith(b"shows the board.\n")


def test_file_leaves_out_what_tasks_md_does_not_say():
    data = render(Package("WP01", "A"), "028-sync")
    fields = read(data, "a.md")
    assert fields.values["dependencies"] == fields.values["subtasks"] == []
    assert not {"priority", "owns"} & set(fields.values)
    for unsaid in (
        "Subtasks",
        "mark-status",
        "tested",
        "in detail",
        "Begins",
        "Files of",
        "\n\n\n",
    ):
        assert unsaid not in fields.body
    assert (
        "tasks/WP01-a.md"
        not in render(Package("WP01", "A", prompt="tasks/WP01-a.md"), "028-sync").decode()
    )


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), st.lists(st.text("a*-#:' ")))
def test_fields_read_back_whatever_they_hold(title, owns):
    package = Package("WP01", title, owns=tuple(owns), dependencies=("WP02",))
    values = read(render(package, "028-sync"), "a.md").values
    assert (values["title"], values.get("owns", [])) == (title, owns)
