"""Reading tasks.md as people and tools write it, and ticking its boxes."""

import random

import pytest

from thence.errors import PlanningError
from thence.work.plan.tasks import HEADING, PlannedPackage, Subtask, packages_of, parse

WHOLE = """# Work Packages: Sync

Prose about `WP01`, and a box that is none of a package:
- [ ] T099 nobody's

## Work Package WP01: The journal & its lock (Priority: P0) 🎯

**Goal**: Events survive
what git does.
**Independent Test**: kill it
**Prompt**: `tasks/WP01-journal.md`

### Included Subtasks
- [x] T001 Write the journal
- [ ] T002 [P] [US1] Take the lock
  - [ ] first look who holds it
  - [X] T003 [P]

### Implementation Notes
- [ ] T098 no subtask, a remark
```
## Work Package WP98: in a code block
- [ ] T097 too
```
<!-- ## Work Package WP97: in a comment
- [ ] T096 too -->

### Dependencies
- None (starting package; WP02 comes next).

---

## Work Package WP02 — Day files
**Goal:** share them
- [ ] T004 without a heading of its own
### Dependencies
- Depends on WP01 (the journal), `WP03` and WP01.
- (WP04 can begin at once)

### Risks
- Depends on WP04 being ready

## Work Package WP03: Claims
**Dependencies**: WP01; WP04
## Work Package WP04: Board ##
### dependencies
Depends on: [WP01](tasks/WP01-journal.md)
## Dependency & Execution Summary
- [ ] T095 after the last package
**Goal**: none of a package's
"""
FIRST = PlannedPackage(
    wp_id="WP01",
    title="The journal & its lock 🎯",
    subtasks=(
        Subtask("T001", "Write the journal", True),
        Subtask("T002", "[US1] Take the lock", False),
        Subtask("T003", "", True),
    ),
    dependencies=(),
)


def found(text):
    """Returns the problems of a file as (line, key, message); each has a hint."""
    problems = parse(text.encode(), "a/tasks.md").problems
    assert all(each.file == "a/tasks.md" and each.hint for each in problems)
    return [(each.line, each.key, each.message) for each in problems]


def dependencies(*lines):
    """Returns what WP09 depends on by the lines below its heading."""
    others = "\n".join(f"## Work Package WP{n:02}: x" for n in range(1, 9))
    text = f"{others}\n## Work Package WP09: x\n### Dependencies\n" + "\n".join(lines)
    return packages_of(text.encode(), "tasks.md")[-1].dependencies


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_packages_are_read_with_all_that_counts(end, start):
    tasks = parse((start + WHOLE.replace("\n", end)).encode(), "tasks.md")
    assert tasks.problems == ()
    assert [package.wp_id for package in tasks.packages] == ["WP01", "WP02", "WP03", "WP04"]
    assert tasks.packages[0] == FIRST
    assert [package.dependencies for package in tasks.packages] == [
        (),
        ("WP01", "WP03"),
        ("WP01", "WP04"),
        ("WP01",),
    ]
    assert [package.title for package in tasks.packages][1:] == ["Day files", "Claims", "Board"]
    assert [each.id for each in tasks.packages[1].subtasks] == ["T004"]
    assert tasks.packages[3].subtasks == ()
    assert packages_of(WHOLE.encode(), "tasks.md") == parse(WHOLE.encode(), "tasks.md").packages


@pytest.mark.parametrize(
    "heading",
    [
        "## Work Package WP01: Title",
        "### work package wp01 - Title",
        "#### Work Package WP01 Title",
        "## WP01: Title",
        "##  Work Package  WP01 –  Title  ##  ",
        "## Work Package WP01: (priority: p0) Title",
    ],
)
def test_heading_may_be_written_in_several_ways(heading):
    (package,) = packages_of(heading.encode(), "tasks.md")
    assert (package.wp_id, package.title) == ("WP01", "Title")


def test_file_without_packages_says_what_a_heading_looks_like():
    for text in ("", "# Tasks\n- [ ] T001 a\n", "# Work Package WP01: too high\n", "### WP01: low"):
        problems = parse(text.encode(), "tasks.md").problems
        assert [each.message for each in problems] == ["no heading begins a work package"]
        assert HEADING in problems[0].hint


def test_problems_stand_in_the_order_of_the_file_each_with_its_line():
    text = """## Work Package WP01: First
- [ ] T001 a
- [ ] T1 b
- [ ] c
- [-] T002 d
- [ ] T001 e
### Dependencies
- Depends on WP02, WP07, WP1
- Depends on the schema of WP02
## Work Package WPX: Odd
- [ ] T003 of no package
## Work Package One: Odd
## Work Package WP01: Again
## Work Package WP02
### Dependencies
- WP01
"""
    assert found(text) == [
        (3, "T1", "T1 is not a subtask's id"),
        (4, "WP01", "this subtask has no id"),
        (5, "T002", "the box [-] is neither open nor ticked"),
        (6, "T001", "T001 appears twice, first in line 2"),
        (8, "WP07", "WP01 depends on WP07, which is not there"),
        (8, "WP1", "WP01 depends on WP1, which is not there"),
        (8, "WP01", "packages wait for each other: WP01 → WP02 → WP01"),
        (9, "WP01", "this names packages, but not as a list"),
        (10, "WPX", "'WPX' is not a package's id"),
        (12, "One", "'One' is not a package's id"),
        (13, "WP01", "WP01 appears twice, first in line 1"),
        (14, "WP02", "WP02 has no title"),
    ]


def test_package_that_waits_for_itself_is_a_circle():
    text = "## Work Package WP01: a\n### Dependencies\n- Depends on WP01\n"
    assert found(text) == [(3, "WP01", "packages wait for each other: WP01 → WP01")]


def test_file_that_is_broken_elsewhere_is_told_too():
    good = "## Work Package WP01: a\n"
    assert found(good + "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n") == [
        (2, "", "this is a merge marker of git")
    ]
    assert found(good + "\n~~~\n## Work Package WP02: b\n") == [
        (3, "", "this code block never ends")
    ]
    assert found(good + "a <!-- b\n") == [(2, "", "this comment never ends")]
    problems = parse(good.encode() + b"caf\xe9\n", "tasks.md").problems
    assert [(each.line, each.message) for each in problems] == [(2, "this is not UTF-8")]


def test_code_that_looks_like_a_fence_within_a_line_hides_nothing():
    text = "```` x ````\n## Work Package WP01: a\n~~~ `x`\n```\n~~~\n- [ ] T001 a <!-- b --> c\n"
    (package,) = packages_of(text.encode(), "tasks.md")
    assert [each.text for each in package.subtasks] == ["a <!-- b --> c"]


def test_error_lists_all_problems_and_tells_the_first():
    with pytest.raises(PlanningError) as caught:
        packages_of(b"## Work Package WP01:\n- [ ] a\n", "kitty-specs/001-a/tasks.md")
    assert str(caught.value) == (
        "could not use the planning file kitty-specs/001-a/tasks.md:1: "
        "WP01 has no title, and 1 more problem"
    )
    assert [problem["line"] for problem in caught.value.problems] == [1, 2]
    assert set(caught.value.problems[0]) == {"file", "line", "key", "message", "hint"}


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("- None", ()),
        ("- none (WP01 is nice to have).", ()),
        ("- Nothing, WP01 comes later", ()),
        ("- Depends on WP01, WP02 and WP03", ("WP01", "WP02", "WP03")),
        ("* **Depends on** WP02 (a (WP03) c), WP01.", ("WP02", "WP01")),
        ("- Depends on: WP01 & `WP02` for the schema", ("WP01", "WP02")),
        ("- Depends on WP02-WP04", ("WP02", "WP03", "WP04")),
        ("- depends upon wp02 – WP04, WP08", ("WP02", "WP03", "WP04", "WP08")),
        ("- Depends on WP04..WP02", ("WP04", "WP02")),
        ("- WP01, WP02", ("WP01", "WP02")),
        ("- Depends on the network", ()),
        ("1. WP01", ("WP01",)),
        ("2) WP01 and WP03", ("WP01", "WP03")),
        ("- WP02: the sender must be there", ("WP02",)),
        ("- WP02 – the sender", ("WP02",)),
        ("- WP01 must be merged first", ("WP01",)),
        ("- Requires WP01", ("WP01",)),
        ("- After WP01 and WP02", ("WP01", "WP02")),
        ("- Blocked by WP01", ("WP01",)),
        ("- Depends on WP01 being ready", ("WP01",)),
        ("- Depends on WP01 completion", ("WP01",)),
        ("- none (parallel-safe with WP02)", ()),
        ("- None. Parallel-safe with WP03.", ()),
        ("- **WP02** (the sender of WP01)", ("WP02",)),
        ("- [WP02](tasks/WP02-a.md)", ("WP02",)),
        ("(WP01 may run beside it)", ()),
        ("", ()),
    ],
)
def test_dependencies_are_lists_and_the_rest_is_prose(line, ids):
    assert dependencies(line) == ids


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("WP01 for the outbox", ("WP01",)),
        ("after WP01", ("WP01",)),
        ("WP01, WP02", ("WP01", "WP02")),
        ("none", ()),
    ],
)
def test_key_of_dependencies_is_read_as_a_line_of_them(line, ids):
    others = "\n".join(f"## Work Package WP0{number}: x" for number in range(1, 9))
    text = f"{others}\n## Work Package WP09: x\n**Dependencies**: {line}\n"
    assert packages_of(text.encode(), "tasks.md")[-1].dependencies == ids


@pytest.mark.parametrize("is_key", [False, True])
@pytest.mark.parametrize(
    "line",
    [
        "- WP01 begins after this",
        "- WP01 can begin at once",
        "- Blocks WP01",
        "| WP01 | the outbox |",
        "- the outbox (small) of WP01",
        "- Depends on WP01; WP02 and WP03 may run in parallel",
        "- Depends on WP01, WP02 is optional",
        "- Depends on WP01 or WP02",
        "- [ ] WP01",
        "- WP01 for what WP02 sends",
        "- Depends on WP01 but not on WP02",
    ],
)
def test_line_that_names_a_package_and_is_not_understood_whole_is_a_problem(line, is_key):
    others = "\n".join(f"## Work Package WP0{number}: x" for number in range(1, 9))
    begin = "**Dependencies**: " if is_key else "### Dependencies\n"
    line = line.removeprefix("- ") if is_key else line
    tasks = parse(f"{others}\n## Work Package WP09: x\n{begin}{line}\n".encode(), "tasks.md")
    number = 10 if is_key else 11
    assert [(each.line, each.key, each.message) for each in tasks.problems] == [
        (number, "WP09", "this names packages, but not as a list")
    ]
    assert tasks.packages[-1].dependencies == ()


def test_dependencies_of_several_lines_are_joined():
    assert dependencies("- Depends on WP02", "", "- Depends on WP01, WP02", "# over", "WP03") == (
        "WP02",
        "WP01",
    )


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("- [ ] T001 [P] a [P]", "a [P]"),
        ("* [x] **T001**: a", "a"),
        ("+ [ ] **T001:** [US2] [P] a", "[US2] a"),
        ("   - [ ]   T001: a [P]", "a [P]"),
        ("- [ ] T001", ""),
    ],
)
def test_subtask_may_be_written_in_several_ways(line, text):
    (package,) = packages_of(f"## WP01: a\n{line}\n".encode(), "tasks.md")
    ((subtask_id, told, _),) = package.subtasks
    assert (subtask_id, told) == ("T001", text)


def test_any_bytes_are_read():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(300):
        data = bytearray(WHOLE.encode())
        for _ in range(chance.randrange(1, 20)):
            start = chance.randrange(len(data))
            data[start : start + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
        tasks = parse(bytes(data), "tasks.md")
        count = bytes(data).count(b"\n") + 1
        assert all(1 <= problem.line <= count for problem in tasks.problems)
        assert tasks.packages or tasks.problems
