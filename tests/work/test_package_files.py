"""The file of a new package."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.git.files import TreeFiles
from thence.work.plan.frontmatter import read
from thence.work.plan.package_files import holds, is_made_here, path_of, render, text_of
from thence.work.plan.tasks import PlannedPackage, Subtask, parse

FOLDER = "kitty-specs/028-sync"
TASKS = f"{FOLDER}/tasks.md"
WHOLE = PlannedPackage(
    wp_id="WP02",
    title='Day files: "shared"',
    priority="P1",
    prompt="tasks/WP02-day-files.md",
    subtasks=(
        Subtask("T003", "Write them", False, True, 9),
        Subtask("T004", "", False, False, 10),
    ),
    dependencies=("WP01", "WP03"),
    owns=("src/**", "- odd.md"),
    line=7,
)
SAID = """# Tasks

## Work Package WP01: The journal

## Work Package WP02: Day files (Priority: P1)

**Goal**: Share the journal.
**Independent Test**: Merge two clones.
**Prompt**: `tasks/WP02-day-files.md`

### Included Subtasks
- [x] T003 [P] Write them
  - [ ] each once
- [ ] **T004** Read them

### Implementation Notes
As [the spec](spec.md#lines) and [the page](https://example.org/a) say, not [as here](old.md).
`lines[0](spec.md)` is code.

```
- [ ] T004 in [code](spec.md)
<!-- and what looks like a comment
```

### Risks & Mitigations
- A clone [may lag](contracts/lag.yaml), as told in [the code](src/lag.py).

<!-- for those who look closely -->
#### Even deeper
The end.

## Work Package WP03: The page
"""
TOLD = """**Goal**: Share the journal.
**Independent Test**: Merge two clones.

### Included Subtasks
- T003 [P] Write them
  - [ ] each once
- **T004** Read them

### Implementation Notes
As [the spec](../spec.md#lines) and [the page](https://example.org/a) say, not as here (`old.md`).
`lines[0](spec.md)` is code.

```
- [ ] T004 in [code](spec.md)
<!-- and what looks like a comment
```

### Risks & Mitigations
- A clone [may lag](../contracts/lag.yaml), as told in [the code](../../../src/lag.py).

<!-- for those who look closely -->
#### Even deeper
The end."""


@pytest.fixture
def files(tmp_path):
    for name in (f"{FOLDER}/spec.md", f"{FOLDER}/contracts/lag.yaml", "src/lag.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return TreeFiles(tmp_path)


def told(text, files, wp_id="WP02"):
    """Return what the file of a package has of a tasks.md."""
    data = text.encode()
    package = next(each for each in parse(data, TASKS).packages if each.wp_id == wp_id)
    return text_of(data, TASKS, package, files)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_file_says_all_that_tasks_md_says_in_its_order_and_points_to_what_is_there(files, end):
    assert told(SAID.replace("\n", end), files) == TOLD
    assert told(SAID, files, "WP01") == told(SAID, files, "WP03") == ""


def test_prompt_that_is_there_is_named_from_the_top_and_another_one_not_at_all(files):
    for prompt in ("spec.md", "/spec.md", f"`{FOLDER}/spec.md`", "[so](spec.md)"):
        said = f"## Work Package WP01: A\n**Prompt**: {prompt}\nB\n"
        assert told(said, files, "WP01") == f"**Prompt**: `{FOLDER}/spec.md`\nB"
    for prompt in ("tasks/planned/WP01.md", "\0", "../../../..", "", "a" * 5000):
        assert told(f"## Work Package WP01: A\n**Prompt**: {prompt}\nB\n", files, "WP01") == "B"


def test_file_lies_where_its_prompt_has_it():
    assert path_of(WHOLE) == "tasks/WP02-day-files.md"
    for prompt in ("/tasks/WP02-x.md", f"{FOLDER}/tasks/WP02-x.md"):
        assert path_of(WHOLE._replace(prompt=prompt)) == "tasks/WP02-x.md"
    for prompt in (
        "",
        "tasks/WP03-x.md",
        "tasks/../WP02.md",
        "tasks/a/WP02.md",
        "../tasks/WP02.md",
    ):
        assert path_of(WHOLE._replace(prompt=prompt)) == "tasks/WP02-day-files-shared.md"


def test_file_holds_what_an_agent_needs():
    reading = (f"{FOLDER}/spec.md", f"{FOLDER}/contracts")
    data = render(WHOLE, "028-sync", TOLD, reading)
    fields = read(data, path_of(WHOLE))
    assert fields.values == {
        "work_package_id": "WP02",
        "title": 'Day files: "shared"',
        "feature_slug": "028-sync",
        "priority": "P1",
        "dependencies": ["WP01", "WP03"],
        "subtasks": ["T003", "T004"],
        "owns": ["src/**", "- odd.md"],
    }
    for said in (
        f'\n# WP02: Day files: "shared"\n\n{TOLD}\n\n',
        f"`{FOLDER}/spec.md`, `{FOLDER}/contracts`",
        "thence work implement WP02 --feature 028-sync",
        "branch `028-sync-WP02`",
        "worktree `.worktrees/028-sync-WP02`",
        "owns no other package changes",
        "thence work mark-status T003 --feature 028-sync",
        "marked [P] may be done",
        "thence work move-task WP02 --to for_review --feature 028-sync",
    ):
        assert said in fields.body
    assert data.endswith(b"shows the board.\n")
    assert is_made_here(fields.body, "WP02")
    assert not is_made_here(fields.body, "WP01")


def test_file_leaves_out_what_tasks_md_does_not_say():
    data = render(PlannedPackage("WP01", "A"), "028-sync", "")
    fields = read(data, "a.md")
    assert fields.values["dependencies"] == fields.values["subtasks"] == []
    assert not {"priority", "owns"} & set(fields.values)
    for unsaid in ("read", "mark-status", "[P]", "owns", "\n\n\n"):
        assert unsaid not in fields.body


def test_text_holds_another_whatever_is_ticked():
    assert holds(f"# WP02\n\n{TOLD}\n\nmore", TOLD)
    assert holds(
        TOLD.replace("- T003", "  * [x] T003").replace("*", "-"), "- [ ] T003 [P] Write them"
    )
    assert not holds(TOLD, f"{TOLD}\n- another risk")


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), st.lists(st.text("a*-#:' ")))
def test_fields_read_back_whatever_they_hold(title, owns):
    package = PlannedPackage("WP01", title, owns=tuple(owns), dependencies=("WP02",))
    values = read(render(package, "028-sync", ""), "a.md").values
    assert (values["title"], values.get("owns", [])) == (title, owns)
