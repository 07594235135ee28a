"""The files of packages: fields as they were meant, or refused with the place; new ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.errors import PlanningError
from thence.work.plan.package_files import Fields, path_of, read, render
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


FILE = b"""---
work_package_id: "WP01"
title: 'It''s: "quoted" #1'   # for people
lane:   planned   # where it is

subtasks:
- T001
-   "T002"
dependencies: [WP02, {id: WP03}]
number: 028
hours: 0x10
weight: 1.50
is_ready: yes
is_open: False
since: 2025-11-20T10:00:00Z
agent:
history: |
  lane: none of it
    ---

goal: >-
  one
  line
"last": ~
---

# WP01

lane: done
---
"""


def refused(data):
    """Returns place and cause of the error that a file is refused with."""
    with pytest.raises(PlanningError) as caught:
        read(data, "a.md")
    assert caught.value.hint
    (problem,) = caught.value.problems
    assert caught.value.place.startswith(f"a.md:{problem['line']}:")
    return caught.value.place.removeprefix("a.md:"), caught.value.cause


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_fields_are_read_as_they_were_meant(start, end):
    fields = read(start + FILE.replace(b"\n", end), "a.md")
    assert fields.values == {
        "work_package_id": "WP01",
        "title": 'It\'s: "quoted" #1',
        "lane": "planned",
        "subtasks": ["T001", "T002"],
        "dependencies": ["WP02", {"id": "WP03"}],
        "number": "028",
        "hours": "0x10",
        "weight": "1.50",
        "is_ready": "yes",
        "is_open": "False",
        "since": "2025-11-20T10:00:00Z",
        "agent": None,
        "history": "lane: none of it\n  ---\n",
        "goal": "one line",
        "last": None,
    }
    assert fields.body.replace("\r\n", "\n") == "\n# WP01\n\nlane: done\n---\n"


def test_field_is_given_as_text():
    fields = read(FILE, "a.md")
    texts = [fields.text(key) for key in ("lane", "hours", "agent", "subtasks", "nothing")]
    assert texts == ["planned", "0x10", "", "", ""]


def test_file_without_fields_has_a_body_alone():
    assert read(b"\xef\xbb\xbf# a\r\n\xff", "a.md") == Fields({}, "# a\r\n\ufffd")
    assert read(b"", "a.md") == Fields({}, "")
    assert read(b"----\na: 1\n---\n", "a.md").values == {}
    assert read(b"---\n---", "a.md") == Fields({}, "")
    assert read(b"---  \n# note\n\n---\t\nb", "a.md") == Fields({}, "b")


@pytest.mark.parametrize(
    ("data", "place", "cause"),
    [
        (b"---\na: 1\n", "1:1", "the fields never end"),
        (b"---", "1:1", "the fields never end"),
        (b"---\na: b: c\n---\n", "2:5", "mapping values are not allowed here"),
        (b'---\r\na: 1\r\nbc: "x\r\n---\r\n', "4:1", "found unexpected end of stream"),
        (b"---\na: *x\n---\n", "2:4", "found undefined alias 'x'"),
        (b"---\na: 1\nb: \x01\n---\n", "3:4", "character 0x0001 has no place in YAML"),
        (b"---\n- a\n---\n", "2:1", "these are not fields"),
        (b"---\n  text\n---\n", "2:3", "these are not fields"),
        (b"---\na: 1\nb: 1\na: 2\n---\n", "4:1", "a appears twice"),
        (b'---\na: "\\U00110000"\n---\n', "1:1", "chr() arg not in range"),
        (b"---\na: 1\n...\nb\n---\n", "4:1", "but found another document"),
    ],
)
def test_fields_that_are_broken_are_refused_with_line_and_column(data, place, cause):
    told = refused(data)
    assert told[0] == place
    assert told[1].startswith(cause)
