"""What describes the package has one source: version, forge, Pythons, extras."""

import os
import re
import tomllib

from ruamel.yaml import YAML
from tests.house.tree import ROOT, texts
from tools.lock_table import ENVIRONMENTS

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
EXTRA = re.compile(
    r"""thence\[([\w,]+)\]|(?:needs_extra|require_packages)\((?:[\w"' ]+, )??"(\w+)\""""
)
# what readers are shown of a version
SHOWS_VERSION = ("CHANGELOG.md", "README.md", "docs/", "requirements", "tests/")
SHOWN = re.compile(r"\bversion (\d+\.\d+\.\d+)|\bthence[- ](\d+\.\d+\.\d+)")


def pythons() -> set[str]:
    """The Pythons that the classifiers name."""
    return set(re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"])))


def second_versions(version: str, files: list[tuple[str, str]]) -> list[str]:
    """Find the places beside the source that name the version of the package."""
    written = re.compile(rf"(?<![\d.]){re.escape(version)}(?![\d.]*\d)")
    return [
        f"{name}:{number}"
        for name, text in files
        if name != PYPROJECT["tool"]["hatch"]["version"]["path"]
        and not name.startswith(SHOWS_VERSION)
        for number, line in enumerate(text.splitlines(), 1)
        if written.search(line)
    ]


def version() -> str:
    """The version as the source has it."""
    source = (ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]).read_text()
    return re.search(r'^__version__ = "([\d.]+\w*)"$', source, re.MULTILINE)[1]


def test_version_is_written_in_one_place():
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT
    found = second_versions(version(), list(texts()))
    assert not found, f"the version is written a second time: {', '.join(found)}"


def test_version_that_readers_are_shown_is_this_one():
    stale = [
        f"{name}: {match[0]}"
        for name, text in texts(".md")
        if name.startswith(("README.md", "docs/"))
        for match in SHOWN.finditer(text)
        if version() != (match[1] or match[2])
    ]
    assert not stale


def test_second_version_is_found():
    assert second_versions("1.2.0", [("a.py", 'x = 1\nVERSION = "1.2.0"')]) == ["a.py:2"]
    assert not second_versions("1.2.0", [("a.py", "1.2.01 11.2.0"), ("docs/a.md", "1.2.0")])


def test_address_of_the_forge_is_written_in_one_place():
    urls = PROJECT["urls"]
    assert urls.keys() == {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    assert all(url.startswith(urls["Source"]) for url in urls.values())
    written = [name for name, text in texts() if urls["Source"] in text]
    # a test may have addresses of its own
    assert [name for name in written if not name.startswith("tests/")] == ["pyproject.toml"]


def test_extras_that_are_named_exist():
    named = {
        (name, extra)
        for name, text in texts(".py", ".md", ".toml")
        if not name.startswith("tests/house/")
        for match in EXTRA.finditer(text)
        for extra in (match[1] or match[2]).split(",")
    }
    assert {extra for _, extra in named} >= {"server", "sync", "tables", "pandas", "llm"}
    missing = [pair for pair in sorted(named) if pair[1] not in PROJECT["optional-dependencies"]]
    assert not missing


def test_what_is_large_is_not_in_all():
    (everything,) = PROJECT["optional-dependencies"]["all"]
    named = set(re.findall(r"\w+", everything.partition("[")[2]))
    large = {"tables", "pandas", "plot", "populations", "ray"}
    assert named == PROJECT["optional-dependencies"].keys() - large - {"all"}


def test_workflow_runs_ci_on_every_python():
    (job,) = YAML(typ="safe").load(WORKFLOW)["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[-1] == ".ci/run"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    (checkout,) = (step for step in job["steps"] if "uses" in step)
    assert checkout["with"]["fetch-depth"] == 0
    installed = re.findall(r"\b3\.\d+", "\n".join(commands) + job["container"]["image"])
    assert set(installed) == pythons()


def test_pythons_are_those_of_the_locks_and_of_ci():
    assert pythons() == {environment["python_version"] for environment in ENVIRONMENTS}
    listed = re.findall(r"3\.\d+", (ROOT / ".ci" / "pythons").read_text())
    first = min(pythons(), key=lambda version: int(version[2:]))
    assert PROJECT["requires-python"] == f">={first}"
    assert pythons() - {first} <= set(listed)
