"""Reading tasks.md as people and tools write it, and ticking its boxes."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.errors import PlanningError
from thence.work.plan.tasks import (
    HEADING,
    PlannedPackage,
    Subtask,
    cycle_in,
    describe,
    in_order,
    lines_of,
    packages_of,
    parse,
)

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


def depending(*lines, begin="### Dependencies\n"):
    """Returns a tasks.md that says on which of eight packages WP09 depends."""
    others = "\n".join(f"## Work Package WP{n:02}: x" for n in range(1, 9))
    text = f"{others}\n## Work Package WP09: x\n{begin}" + "\n".join(lines)
    return parse(text.encode(), "tasks.md")


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
    tasks = depending(line)
    assert (tasks.packages[-1].dependencies, tasks.problems) == (ids, ())


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
    assert depending(line, begin="**Dependencies**: ").packages[-1].dependencies == ids


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
    if is_key:
        number, tasks = 10, depending(line.removeprefix("- "), begin="**Dependencies**: ")
    else:
        number, tasks = 11, depending(line)
    assert [(each.line, each.key, each.message) for each in tasks.problems] == [
        (number, "WP09", "this names packages, but not as a list")
    ]
    assert tasks.packages[-1].dependencies == ()


def test_dependencies_of_several_lines_are_joined():
    tasks = depending("- Depends on WP02", "", "- Depends on WP01, WP02", "# over", "WP03")
    assert tasks.packages[-1].dependencies == ("WP02", "WP01")


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


def kept(text):
    """Returns the lines outside code and comments as (number, level, text)."""
    return [tuple(line) for line in lines_of(text.encode()).lines]


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        ("# a", 1, "a"),
        ("   ###### a # b ##  ", 6, "a # b"),
        ("##", 2, ""),
        ("## ##", 2, ""),
        ("#\ta#", 1, "a#"),
        ("####### a", 0, "####### a"),
        ("    # a", 0, "    # a"),
        ("#a", 0, "#a"),
        ("a # b", 0, "a # b"),
    ],
)
def test_heading_is_told_from_other_lines(line, level, text):
    assert kept(line) == [(1, level, text)]


def test_other_separators_end_no_line():
    assert kept("a\u2028b\x0bc\x85d") == [(1, 0, "a\u2028b\x0bc\x85d")]


# the order of packages, and the circles that prevent one


class Package(NamedTuple):
    wp_id: str
    dependencies: tuple[str, ...] = ()


def packages(**depending):
    return [Package(wp_id, tuple(ids.split())) for wp_id, ids in depending.items()]


def ids(found):
    return [each.wp_id for each in found]


graphs = st.dictionaries(
    st.sampled_from([f"WP{number:02}" for number in range(8)]),
    st.lists(st.sampled_from([f"WP{number:02}" for number in range(9)]), max_size=3),
).map(lambda graph: [Package(wp_id, tuple(needed)) for wp_id, needed in graph.items()])


def test_package_stands_behind_what_it_depends_on():
    given_packages = packages(WP01="WP03", WP02="", WP03="WP04", WP04="", WP05="WP01 WP02")
    assert ids(in_order(given_packages)) == ["WP02", "WP04", "WP03", "WP01", "WP05"]


def test_circles_are_named_from_their_first_package():
    given_packages = packages(
        WP01="WP03", WP02="WP01 WP04", WP03="WP02", WP04="", WP05="WP05", WP06="WP03", WP07="WP06"
    )
    assert cycle_in(given_packages) == ("WP01", "WP03", "WP02")
    assert describe(("WP01", "WP03", "WP02")) == "WP01 → WP03 → WP02 → WP01"
    with pytest.raises(PlanningError, match="WP01 → WP03 → WP02 → WP01"):
        in_order(given_packages)


@given(graphs)
def test_either_all_have_an_order_or_there_is_a_circle(graph):
    known = {each.wp_id: each.dependencies for each in graph}
    found = cycle_in(graph)
    if not found:
        ordered = ids(in_order(graph))
        assert sorted(ordered) == sorted(known)
        for wp_id in ordered:
            before = ordered[: ordered.index(wp_id)]
            assert all(needed in before for needed in known[wp_id] if needed in known)
        return
    with pytest.raises(PlanningError):
        in_order(graph)
    assert len(found) == len(set(found))
    for wp_id, needed in zip(found, found[1:] + found[:1], strict=True):
        assert needed in known[wp_id]
