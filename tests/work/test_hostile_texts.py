"""Texts that a stranger wrote to be slow: read in time that grows with them, or refused."""

import time
from collections.abc import Callable

import pytest

from thence.errors import PlanningError, ScenarioError
from thence.sim.scenario.scenario_file import parse_file
from thence.work.plan.package_files import read
from thence.work.plan.tasks import parse
from thence.work.project.yaml_nodes import YamlFile

pytestmark = pytest.mark.promise("L18")
# four times the text takes four times as long: a square takes 16 times, and this machine may rest
GROWTH_MAX = 10.0
TIMES = 4
HEADING = "## Work Package WP01: "
DEPENDS = f"{HEADING}First\n\n### Dependencies\n\n- Depends on "
TASKS: dict[str, Callable[[int], str]] = {
    "heading of spaces": lambda n: f"##{' ' * n}x",
    "heading of spaces and signs": lambda n: f"## a{' #' * n} b",
    "package of spaces": lambda n: f"## Work Package{' ' * n}",
    "title of spaces": lambda n: f"{HEADING}a{' ' * n}b",
    "title of parentheses": lambda n: HEADING + "( " * n,
    "priority of spaces": lambda n: f"{HEADING}(Priority P1{' ' * n}x",
    "line of spaces": lambda n: f"{HEADING}First\n\n{' ' * n}x",
    "field of spaces": lambda n: f"{HEADING}First\n\n**Dependencies**{' ' * n}x",
    "box of stars": lambda n: f"{HEADING}First\n\n- [ ] T1{'*' * n}x",
    "dependencies of brackets": lambda n: DEPENDS + "[" * n,
    "dependencies of links": lambda n: DEPENDS + "[](" * n,
    "dependencies of asides": lambda n: DEPENDS + "(" * n + ")" * n,
    "dependencies of spaces": lambda n: f"{DEPENDS}WP01{' ' * n}x",
}


def took_s(work: Callable[[], object]) -> float:
    """Return the processor time of some work, the least of three."""
    least = float("inf")
    for _ in range(3):
        begun = time.thread_time()
        work()
        least = min(least, time.thread_time() - begun)
    return least


def grows_with_the_text(work: Callable[[bytes], object], text: Callable[[int], str]) -> None:
    size = 5_000
    small, large = (text(each).encode() for each in (size, TIMES * size))
    pairs = ((took_s(lambda: work(small)), took_s(lambda: work(large))) for _ in range(3))
    assert any(many_s < GROWTH_MAX * max(few_s, 0.002) for few_s, many_s in pairs)


@pytest.mark.parametrize("name", TASKS)
def test_tasks_md_is_read_in_time_that_grows_with_it(name):
    grows_with_the_text(lambda data: parse(data, "tasks.md"), TASKS[name])


def test_packages_in_any_order_are_read_in_time_that_grows_with_them():
    def backwards(count: int) -> str:
        numbers = range(10, 10 + count // 5)
        return "".join(
            f"## Work Package WP{n:04}: x\n### Dependencies\n- Depends on WP{n + 1:04}\n"
            for n in numbers
        )

    grows_with_the_text(lambda data: parse(data, "tasks.md"), backwards)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{DEPENDS}([WP02](tasks/a.md)) [WP03](b(1).md), WP04", ()),
        (f"{DEPENDS}[[WP02](a.md)", ()),
        (f"{DEPENDS}WP02 (which needs (much) more), WP03", ("WP02", "WP03")),
        (f"{DEPENDS}WP02 ) and WP03 (", ()),
    ],
)
def test_links_and_asides_are_read_whole_or_are_a_problem(text, words):
    tasks = parse(text.encode(), "tasks.md")
    (package,) = tasks.packages
    assert package.dependencies == words
    causes = {problem.message for problem in tasks.problems}
    assert ("this names packages, but not as a list" in causes) == (not words)


# YAML

DEEP = {
    "brackets": (lambda n: "a: " + "[" * n, "1:54"),
    "braces": (lambda n: "a: " + "{" * n, "1:54"),
    "dashes": (lambda n: "- " * n, "1:101"),
    "questions": (lambda n: "? " * n, "1:101"),
    "keys": (lambda n: "\n".join(" " * level + "a:" for level in range(min(n, 200))), "50:50"),
}
DOUBLED = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
)


def conf(data: bytes) -> None:
    YamlFile(data, "config.yaml", "could not read")


@pytest.mark.parametrize("name", DEEP)
def test_yaml_that_is_too_deep_is_refused_with_its_place(tmp_path, name):
    text, place = DEEP[name]
    data = text(2_000).encode()
    line, column = place.split(":")
    with pytest.raises(PlanningError, match="deeper than 50 levels") as caught:
        conf(data)
    assert caught.value.place == f"config.yaml:{place}"
    path = tmp_path / "scenario.yaml"
    path.write_bytes(data)
    with pytest.raises(ScenarioError, match="deeper than 50 levels") as problem:
        parse_file(path)
    assert f"{path}: line {line}: " in str(problem.value)
    assert f"column {column}" in str(problem.value)
    with pytest.raises(PlanningError, match="deeper than 50 levels") as caught:
        read(b"---\n" + data + b"\n---\n", "WP01.md")
    assert caught.value.place == f"WP01.md:{int(line) + 1}:{column}"


def test_yaml_that_is_too_deep_costs_no_more_when_it_goes_on_longer():
    def read_all(data: bytes) -> None:
        with pytest.raises(PlanningError, match="deeper than 50 levels"):
            conf(data)

    grows_with_the_text(read_all, lambda n: "a: " + "[" * (2 * n))


@pytest.mark.parametrize("more", ["", "\n? *a59\n: 1", "\nb: {<<: *a59}"])
def test_yaml_whose_aliases_multiply_is_refused_with_its_line(tmp_path, more):
    path = tmp_path / "scenario.yaml"
    path.write_text(DOUBLED + more)
    with pytest.raises(ScenarioError, match=r"line 15: .*more than 100000 values"):
        parse_file(path)
    with pytest.raises(PlanningError, match="more than 100000 values") as caught:
        conf((DOUBLED + more).encode())
    assert caught.value.place == "config.yaml:15:18"


def test_yaml_that_holds_itself_is_refused_with_its_line(tmp_path):
    path = tmp_path / "scenario.yaml"
    path.write_text("a: 1\nb: &b [1, *b]\n")
    with pytest.raises(ScenarioError, match=r"line 2: .*holds itself"):
        parse_file(path)


def test_yaml_with_honest_aliases_is_read(tmp_path):
    path = tmp_path / "scenario.yaml"
    path.write_text("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: [*a, *a]}\n")
    data, _ = parse_file(path)
    assert data == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": [{"x": 1}] * 2}}


def test_scenario_of_any_size_is_not_read_whole(tmp_path):
    path = tmp_path / "scenario.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ScenarioError, match="more than 1048576 bytes"):
        parse_file(path)
